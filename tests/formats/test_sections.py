"""What is particular to `lines`, `markdown` and `xml`: replies that look like the inputs."""

import datetime
import json
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from tests.contracts.format import MODES, predictor
from tests.each import each
from tests.formats.gbnf import allows
from tests.scale import scaled
from tests.strategies import CASES, MARKERS, by_name, made_of
from tunesmith.errors import FormatError, ParseError
from tunesmith.formats import Format, get_format
from tunesmith.lm import ScriptedLM, message_text, text_response

NAMES = ("lines", "markdown", "xml")


class Two(dspy.Signature):
    """Answer."""

    question: str = dspy.InputField()
    short_answer: str = dspy.OutputField()
    stars: int = dspy.OutputField(ge=1, le=5)


def form(name: str) -> Format:
    found = get_format(name)
    assert isinstance(found, Format)
    return found


def asked(name: str, signature: Any, reply: str, *, finish: str = "stop", mode: str = "grammar") -> Any:
    """Return the outputs that are read from a reply, and the request."""
    lm = ScriptedLM(text_response(reply, model="m", finish_reason=finish), capabilities=MODES[mode])
    program = dspy.Predict(signature)
    with dspy.context(lm=lm, adapter=get_format(name)):
        found = program(**dict.fromkeys(signature.input_fields, "x"))
    return found.toDict(), lm.requests[0]


def grammar_of(name: str, signature: Any) -> str:
    found = form(name).constraint(signature, "grammar").grammar
    assert found is not None
    return found


def one(annotation: Any) -> Any:
    return dspy.Signature({"text": (str, dspy.InputField()), "kind": (annotation, dspy.OutputField())})


@pytest.mark.parametrize(
    ("name", "user", "assistant"),
    [
        ("lines", "Question: a", "Short answer:\n  b\n  # c <d>\nStars: 4"),
        ("markdown", "## Question\na", "## Short answer\nb\n\\# c <d>\n\n## Stars\n4"),
        ("xml", "<question>a</question>", "<short_answer>b\n# c &lt;d></short_answer>\n<stars>4</stars>"),
    ],
)
def test_a_demo_is_written_so(name: str, user: str, assistant: str) -> None:
    program = dspy.Predict(Two)
    program.demos = [dspy.Example(question="a", short_answer="b\n# c <d>", stars=4)]
    lm = ScriptedLM(assistant)
    with dspy.context(lm=lm, adapter=get_format(name)):
        found = program(question="a")

    first, second, last = lm.requests[0].messages
    assert [message_text(first), message_text(second), message_text(last)] == [user, assistant, user]
    assert found.toDict() == {"short_answer": "b\n# c <d>", "stars": 4}


@each(
    ("name", "reply"),
    [
        ("lines", "Short answer: yes\nStars: 3"),
        ("lines", "short_answer: yes\nstars: 3\n"),
        ("lines", "**Short answer:** yes\n**Stars**: 3"),
        ("lines", "```\nShort answer: yes\nStars: 3\n```"),
        ("lines", "Sure!\nShort answer: yes\nStars:\n  3"),
        ("lines", 'Short answer: "yes"\nStars: 3\nShort answer: no'),
        ("lines", "Stars: 3\nShort answer:\nyes"),
        ("markdown", "## Short answer\nyes\n## Stars\n3"),
        ("markdown", "# **Short answer:**\n\nyes\n\n### stars ###\n\n3\n"),
        ("markdown", "```markdown\n## short_answer\nyes\n## Stars\n3\n```"),
        ("markdown", "Here:\n## Stars\n3\n## Short answer\nyes\n## Stars\n1"),
        ("xml", "<short_answer>yes</short_answer><stars>3</stars>"),
        ("xml", "```xml\n<Short_answer>\nyes\n</Short_answer>\n<stars> 3 </stars>\n```"),
        ("xml", "<answer><stars>3</stars><short_answer>yes</answer>"[:-9]),
        ("xml", "<short_answer>yes\n<stars>3</stars>"),
        ("xml", "<stars>3</stars>\n<stars>1</stars>\n<short_answer>yes"),
    ],
)
def test_a_free_reply_is_read_with_patience(name: str, reply: str) -> None:
    assert asked(name, Two, reply)[0] == {"short_answer": "yes", "stars": 3}


@each(
    ("name", "reply", "reason"),
    [
        ("lines", "yes, 3", "missing"),
        ("lines", "Short answer: yes", "missing"),
        ("lines", "Short answer: yes\nStars: 9", "invalid"),
        ("lines", "Short answer:\nStars: 3", "empty"),
        ("lines", "  Short answer: yes\n  Stars: 3", "missing"),
        ("markdown", "Short answer: yes\nStars: 3", "missing"),
        ("markdown", "## Short answer\n\n## Stars\n3", "empty"),
        ("markdown", "## Short answer\nyes\n## Stars\nthree", "invalid"),
        ("xml", "<short_answer>yes</short_answer>", "missing"),
        ("xml", "<short_answer></short_answer><stars>3</stars>", "empty"),
        ("xml", "<short_answer>yes</short_answer><stars>3 of 5</stars>", "invalid"),
        ("xml", "<short_answer>" * 50_000, "missing"),
    ],
)
def test_what_is_not_there_is_a_parse_error(name: str, reply: str, reason: str) -> None:
    with pytest.raises(ParseError) as caught:
        asked(name, Two, reply)
    assert caught.value.reason == reason


def test_a_text_may_hold_what_looks_like_another_field_of_another_format() -> None:
    text = "Stars: 1\n## Stars\n<stars>1</stars>\n{}"
    for name in NAMES:
        reply = form(name).demo_reply(Two, {"short_answer": text, "stars": 5})
        assert asked(name, Two, reply)[0] == {"short_answer": text, "stars": 5}


def test_declared_defaults_stand_for_absent_outputs() -> None:
    signature = dspy.Signature(
        {
            "text": (str, dspy.InputField()),
            "kind": (str, dspy.OutputField()),
            "note": (str, dspy.OutputField(default="none")),
        }
    )
    for name, reply in (("lines", "Kind: a"), ("markdown", "## Kind\na"), ("xml", "<kind>a</kind>")):
        assert asked(name, signature, reply)[0] == {"kind": "a", "note": "none"}


@each("name", NAMES)
@each(
    ("annotation", "value"),
    [
        (Literal["card", "card_arrival"], "card_arrival"),
        (datetime.date, datetime.date(2024, 2, 29)),
        (uuid.UUID, uuid.UUID(int=7)),
        (list[int], [1, 2]),
        (str | None, "a"),
    ],
)
def test_a_cut_reply_whose_values_are_complete_is_a_good_reply(name: str, annotation: Any, value: Any) -> None:
    reply = form(name).demo_reply(one(annotation), {"kind": value})
    assert asked(name, one(annotation), reply, finish="length")[0] == {"kind": value}


@each("name", ["lines", "markdown"])
@each(("annotation", "value"), [(Literal["card", "card_arrival"], "card"), (int, 1), (str, "a")])
def test_a_cut_reply_whose_last_value_may_go_on_is_truncated(name: str, annotation: Any, value: Any) -> None:
    reply = form(name).demo_reply(one(annotation), {"kind": value})
    with pytest.raises(ParseError) as caught:
        asked(name, one(annotation), reply, finish="length")
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("name", NAMES)
def test_only_a_grammar_constrains_the_reply(name: str) -> None:
    reply = form(name).demo_reply(Two, {"short_answer": "a", "stars": 1})
    assert asked(name, Two, reply)[1].config.extensions["grammar"].startswith("root ::= ")
    for mode in ("schema", "none"):
        config = asked(name, Two, reply, mode=mode)[1].config
        assert config.response_format is None
        assert not config.extensions


@each("name", NAMES)
@each("case", CASES, ids=lambda case: case.name)
def test_the_grammar_allows_what_a_demo_shows(name: str, case: Any) -> None:
    good = {"tags": ["a", "b"]} if case.name == "Tags" else case.good
    grammar = grammar_of(name, case.signature)

    assert allows(grammar, form(name).demo_reply(case.signature, good))
    for reply in ("", "~", form(name).demo_reply(case.signature, good) + "\x00", json.dumps({"a": 1})):
        assert not allows(grammar, reply)


class Place(BaseModel):
    street: str = Field(max_length=30)
    flat: int | None = None
    when: datetime.datetime | None = None


class Family(BaseModel):
    father: Place
    others: dict[str, float] = {}
    pair: tuple[int, bool] = (1, True)


class Loose(BaseModel):
    first: int = 1
    second: Literal["x", "<y>"] = "x"


_places = st.builds(Place, street=st.text("abc ", max_size=30), flat=st.none() | st.integers(-99, 99))


@each(
    ("annotation", "values"),
    [
        (int, st.integers(-(10**15), 10**15)),
        (Annotated[int, Field(ge=10, le=500)], st.integers(10, 500)),
        (Decimal, st.decimals(-1000, 1000, places=2)),
        (datetime.datetime, st.datetimes().map(lambda t: t.replace(year=2024, day=1, microsecond=0))),
        (datetime.time, st.times().map(lambda t: t.replace(microsecond=0))),
        (Literal['say "hi"', "a: b", "## Kind", "</kind>", "&lt;"], None),
        (Place, _places),
        (Family, st.builds(Family, father=_places, others=st.dictionaries(st.text("ab", min_size=1), st.just(1.5)))),
        (Loose, st.builds(Loose, first=st.integers(-5, 5), second=st.sampled_from(["x"]))),
        (list[Place], st.lists(_places, max_size=3)),
        (Annotated[list[bool], Field(min_length=2, max_length=3)], st.lists(st.booleans(), min_size=2, max_size=3)),
        (int | str | None, st.none() | st.integers(0, 9) | st.text("ab")),
    ],
    ids=lambda value: None if isinstance(value, st.SearchStrategy) or value is None else str(value)[:40],
)
def test_the_grammar_allows_every_value_of_a_type(annotation: Any, values: Any) -> None:
    signature = one(annotation)
    grammars = {name: grammar_of(name, signature) for name in NAMES}
    if values is None:
        values = st.sampled_from(annotation.__args__)

    @settings(max_examples=scaled(400))
    @given(values)
    def check(value: Any) -> None:
        for name, grammar in grammars.items():
            assert allows(grammar, form(name).demo_reply(signature, {"kind": value})), name

    check()


def test_what_the_grammar_allows_is_read() -> None:
    """Texts that the model may write under the grammar, several lines and the longest ones among them."""
    signature = one(Annotated[str, Field(max_length=30)])
    grammars = {name: grammar_of(name, signature) for name in NAMES}

    @settings(max_examples=scaled(800))
    @given(made_of("ab#<: \n\n\n\n", min_parts=1, max_parts=27).map(str.strip))
    def check(text: str) -> None:
        if not text:
            return
        for name, grammar in grammars.items():
            reply = form(name).demo_reply(signature, {"kind": text})
            if allows(grammar, reply):
                assert asked(name, signature, reply)[0]["kind"] == text

    check()


@pytest.mark.parametrize("name", NAMES)
def test_five_hundred_labels_are_not_a_grammar_but_are_checked(name: str) -> None:
    signature = one(Literal[tuple(f"label {i}" for i in range(500))])  # type: ignore[valid-type]
    reply = form(name).demo_reply(signature, {"kind": "label 499"})

    assert asked(name, signature, reply)[0]["kind"] == "label 499"
    assert "label 7" not in grammar_of(name, signature)
    with pytest.raises(ParseError):
        asked(name, signature, reply.replace("499", "500"))


@pytest.mark.parametrize("name", NAMES)
def test_no_demo_reply_holds_a_turn_marker(name: str) -> None:
    for marker in MARKERS:
        reply = form(name).demo_reply(Two, {"short_answer": f"a {marker} b", "stars": 1})
        assert marker.casefold() not in reply.casefold()
        assert asked(name, Two, reply)[0]["short_answer"] == f"a {marker} b"


def test_a_type_that_no_reply_can_carry_is_refused() -> None:
    for name in NAMES:
        with pytest.raises(FormatError):
            form(name).check(dspy.Signature("picture: dspy.Image -> answer"))


def test_two_predictors_of_one_signature_may_have_two_formats() -> None:
    case = by_name("Sentiment")
    for name, reply in (("lines", "Mood: negative"), ("xml", "<mood>negative</mood>")):
        with dspy.context(lm=ScriptedLM(reply)):
            assert predictor(case, name)(text="a").mood == "negative"
