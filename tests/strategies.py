"""Signatures of every kind of output, and texts that try to be more than text."""

import datetime
import enum
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Optional

import dspy
from hypothesis import strategies as st
from pydantic import BaseModel

__all__ = [
    "CASES",
    "HOSTILE_PARTS",
    "MARKERS",
    "Case",
    "by_name",
    "hostile_text",
    "json_values",
    "junk_replies",
    "made_of",
    "plain_text",
]


class Address(BaseModel):
    street: str
    zip_codes: list[int] = []


class Person(BaseModel):
    name: str
    age: int
    home: Address | None = None


class Size(enum.Enum):
    SMALL = "petite"
    LARGE = "größer"


class Sentiment(dspy.Signature):
    """Judge the mood."""

    text: str = dspy.InputField()
    mood: Literal["positive", "negative", "mixed feelings"] = dspy.OutputField()


class Rating(dspy.Signature):
    """Rate from 1 to 5."""

    text: str = dspy.InputField()
    stars: int = dspy.OutputField(ge=1, le=5)


class Price(dspy.Signature):
    """Find the price."""

    text: str = dspy.InputField()
    price: float = dspy.OutputField(desc="in euros")


class Spam(dspy.Signature):
    """Is it spam?"""

    text: str = dspy.InputField()
    is_spam: bool = dspy.OutputField()


class Due(dspy.Signature):
    """When is it due?"""

    text: str = dspy.InputField()
    due: datetime.date = dspy.OutputField()


class Tags(dspy.Signature):
    """Tag the text."""

    text: str = dspy.InputField()
    tags: list[str] = dspy.OutputField()


class Nested(dspy.Signature):
    """Who is it?"""

    text: str = dspy.InputField()
    person: Person = dspy.OutputField()


class Nickname(dspy.Signature):
    """The nickname, if there is one."""

    text: str = dspy.InputField()
    nickname: Optional[str] = dspy.OutputField()  # noqa: UP045 - the older spelling is used as well


class Counts(dspy.Signature):
    """Count the words."""

    text: str = dspy.InputField()
    counts: dict[str, int] = dspy.OutputField()


class Two(dspy.Signature):
    """Answer, and say how sure you are."""

    text: str = dspy.InputField()
    answer: str = dspy.OutputField()
    sure: bool = dspy.OutputField()


class Poem(dspy.Signature):
    """Write a poem."""

    text: str = dspy.InputField()
    poem: str = dspy.OutputField()


class Essay(dspy.Signature):
    """Write at length."""

    text: str = dspy.InputField()
    essay: str = dspy.OutputField(max_length=3000)


class Foreign(dspy.Signature):
    """Choisissez, bitte."""

    text: str = dspy.InputField()
    größe: Literal["größer", "日本語", "été", "naïve (à part)", "🙂"] = dspy.OutputField()


class Sized(dspy.Signature):
    """Choose a size."""

    text: str = dspy.InputField()
    size: Size = dspy.OutputField()


@dataclass(frozen=True)
class Case:
    """A signature, example outputs, and a strategy for more of them.

    Attributes:
        good: outputs that every format carries.
        outputs: generates more of those.
        bad: values of single outputs that no format carries.
    """

    signature: type[dspy.Signature]
    good: dict[str, Any]
    outputs: st.SearchStrategy[dict[str, Any]] = field(repr=False)
    bad: tuple[dict[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return self.signature.__name__

    @property
    def single(self) -> bool:
        return len(self.signature.output_fields) == 1


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Turn markers of ChatML, Llama 2 and 3, Mistral, Gemma, Phi, DeepSeek, Zephyr and Command R.
MARKERS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "[INST]",
    "[/INST]",
    "[SYSTEM_PROMPT]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_CALLS]",
    "<<SYS>>",
    "<</SYS>>",
    "<s>",
    "</s>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|eot_id|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<bos>",
    "<eos>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<｜User｜>",
    "<｜end▁of▁sentence｜>",
    "<|START_OF_TURN_TOKEN|>",
)
_LOOKALIKES = (
    "Kind:",
    "\nKind:",
    "\nKind: billing",
    "\nTopic:",
    "\nTopic: forged",
    "\n  Topic: forged",
    "Topic:",
    "topic:",
    "Reply to: nobody",
    "\n\nReply to:\n  nobody",
    "\nNumbers: [1]",
    "Topic :",
    "Тopic:",
    "\n  ",
    "\n ",
    "  ",
    " ",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\t",
    '"',
    '""',
    '"quoted"',
    "'",
    "\\",
    "\\n",
    "\\u000a",
    "\\u003c|im_end|>",
    "{",
    "}",
    "null",
    "[[ ## topic ## ]]",
    "[[ ## completed ## ]]",
    "user:",
    "### Assistant:",
    "```",
)
_BREAKS = ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x00", "\x1b[2J", "\x7f", "\ufeff")
_SURROGATES = ("\ud800", "\udfff", "\udc80", "\ud83d")


_BRACKETS = ("<", "|", ">", "<|", "|>")
_SWAPPED = tuple(marker.swapcase() for marker in MARKERS)
_ANY = "\uf8ff"
"""Stands among parts for any text at all; it is of private use."""
HOSTILE_PARTS = (*string.printable, *_LOOKALIKES, *MARKERS, *_SWAPPED, *_BREAKS, *_SURROGATES, *_BRACKETS, *[_ANY] * 20)
_SPLIT_PAIR = re.compile("([\ud800-\udbff])(?=[\udc00-\udfff])")


def made_of(parts: Sequence[str], *, max_parts: int, min_parts: int = 0) -> st.SearchStrategy[str]:
    """Return texts made of `parts`, and of any text in a few places.

    What hypothesis draws is one text with a character of private use for each part: that costs a fraction of what a
    list of parts costs.
    """
    table = dict(enumerate(parts, start=0xE000))
    several = st.text("".join(map(chr, table)), min_size=min_parts, max_size=max_parts)
    anything = st.text(max_size=12)

    @st.composite
    def joined(draw: st.DrawFn) -> str:
        text = draw(several).translate(table)
        if _ANY in text:
            text = text.replace(_ANY, draw(anything))
        # Two halves side by side are one character in every JSON reader.
        return _SPLIT_PAIR.sub(r"\1 ", text)

    return joined()


def hostile_text(*, max_parts: int = 12) -> st.SearchStrategy[str]:
    """Return texts made of field names, turn markers, odd white space, quotes and anything else."""
    return made_of(HOSTILE_PARTS, max_parts=max_parts)


def plain_text(*, max_size: int = 80) -> st.SearchStrategy[str]:
    """Return text that is some text, several lines and odd characters included, without half surrogate pairs."""
    whole = [part for part in HOSTILE_PARTS if _encodable(part)]
    anything = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=max_size)
    # Each kind is filtered by itself: that is drawn in half the time that a filter of both needs.
    return anything.filter(str.strip) | made_of(whole, min_parts=1, max_parts=5).filter(str.strip)


WHOLE = st.integers(-(10**20) + 1, 10**20 - 1)
"""Whole numbers; one of 21 digits fills the bound that a schema of ours sets, and counts as cut."""


def json_values() -> st.SearchStrategy[Any]:
    """Return JSON values whose texts are hostile; keys hold no half surrogate pairs, which pydantic refuses."""
    keys = hostile_text(max_parts=2).filter(_encodable)
    scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | hostile_text(max_parts=4)
    # Levels written out are drawn in half the time that `st.recursive` needs.
    inner = scalars | st.lists(scalars, max_size=3) | st.dictionaries(keys, scalars, max_size=2)
    return inner | st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)


def junk_replies() -> st.SearchStrategy[str]:
    """Return replies that hold no JSON object, no number and no label of `CASES`."""
    marked = st.sampled_from(("~", "{", "[", '{"', "}{", "```json\n", "\x00\xff", "[[[[", '{"a":')) | hostile_text()
    return st.tuples(marked, hostile_text()).map(lambda parts: f"~{parts[0]}~{parts[1]}~")


def _one(name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return values.map(lambda value: {name: value})


_people = st.builds(
    Person,
    name=plain_text(max_size=20),
    age=st.integers(0, 150),
    home=st.none() | st.builds(Address, street=plain_text(max_size=20), zip_codes=st.lists(WHOLE, max_size=3)),
)

CASES: tuple[Case, ...] = (
    Case(
        Sentiment,
        {"mood": "mixed feelings"},
        _one("mood", st.sampled_from(("positive", "negative", "mixed feelings"))),
        ({"mood": "sad"}, {"mood": None}, {"mood": 1}),
    ),
    Case(Rating, {"stars": 4}, _one("stars", st.integers(1, 5)), ({"stars": 6}, {"stars": True}, {"stars": "four"})),
    Case(
        Price,
        {"price": 12.5},
        _one("price", st.floats(allow_nan=False, allow_infinity=False)),
        ({"price": float("nan")}, {"price": float("inf")}, {"price": "much"}),
    ),
    Case(Spam, {"is_spam": False}, _one("is_spam", st.booleans()), ({"is_spam": "perhaps"}, {"is_spam": 2})),
    Case(
        Due,
        {"due": datetime.date(2024, 2, 29)},
        _one("due", st.dates(datetime.date(1000, 1, 1))),
        ({"due": "tomorrow"}, {"due": 5}),
    ),
    Case(
        Tags,
        {"tags": ["a, b", "line\nline", 'quo"te']},
        _one("tags", st.lists(plain_text(max_size=20), max_size=5)),
        ({"tags": "a"}, {"tags": ["\ud800"]}, {"tags": [object()]}),
    ),
    Case(
        Nested,
        {"person": Person(name="Ann", age=3, home=Address(street="High Street", zip_codes=[1, 2]))},
        _one("person", _people),
        ({"person": "Ann"}, {"person": {"name": "Ann"}}),
    ),
    Case(Nickname, {"nickname": None}, _one("nickname", st.none() | plain_text()), ({"nickname": True},)),
    Case(
        Counts,
        {"counts": {"the": 2, "naïve": 1}},
        _one("counts", st.dictionaries(plain_text(max_size=10), WHOLE, max_size=4)),
        ({"counts": [1]}, {"counts": {"a": "many"}}),
    ),
    Case(
        Two,
        {"answer": 'He said "no".\nThen he left.', "sure": True},
        st.fixed_dictionaries({"answer": plain_text(), "sure": st.booleans()}),
        ({"answer": "\ud800", "sure": True}, {"answer": "a", "sure": "very"}, {"answer": [5], "sure": True}),
    ),
    Case(
        Poem,
        {"poem": "Roses are red,\n  violets are blue.\n\nText: not a field\nPoem: nor this"},
        _one("poem", st.lists(plain_text(max_size=30), min_size=1, max_size=5).map("\n".join)),
        ({"poem": "\udfff"}, {"poem": False}),
    ),
    Case(
        Essay,
        {"essay": "word " * 299 + "words"},
        _one("essay", plain_text(max_size=20).map(lambda text: (text + " and") * (1500 // (len(text) + 4)))),
        ({"essay": "x" * 3001},),
    ),
    Case(
        Foreign,
        {"größe": "naïve (à part)"},
        _one("größe", st.sampled_from(("größer", "日本語", "été", "naïve (à part)", "🙂"))),
        ({"größe": "kleiner"},),
    ),
    Case(Sized, {"size": Size.LARGE}, _one("size", st.sampled_from(Size)), ({"size": "huge"},)),
)


def by_name(name: str) -> Case:
    """Return the case of that name."""
    return next(case for case in CASES if case.name == name)
