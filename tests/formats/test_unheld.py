"""Servers that do not hold a reply to what was sent with its request, and models that write around their answers."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal

import dspy
import pytest
from pydantic import AnyUrl, BaseModel, Field, HttpUrl

import tunesmith as ts
from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tests.scale import FULL
from tunesmith.errors import Interrupted, ParseError
from tunesmith.evaluation import Report, evaluate
from tunesmith.lm import LM, Capabilities, FunctionLM, ScriptedLM, Seen, lm, text_response
from tunesmith.metrics import exact_match
from tunesmith.modules import bind

ROWS = 20 if FULL else 6
NOTE = "does not hold replies"


class Mood(dspy.Signature):
    """Judge the mood."""

    text: str = dspy.InputField()
    mood: Literal["good", "bad"] = dspy.OutputField()


class Stars(dspy.Signature):
    """Rate from 1 to 5."""

    text: str = dspy.InputField()
    stars: int = dspy.OutputField(ge=1, le=5)


class Tags(dspy.Signature):
    """Tag the text."""

    text: str = dspy.InputField()
    tags: list[str] = dspy.OutputField()


class Two(dspy.Signature):
    """Judge the mood, and rate from 1 to 5."""

    text: str = dspy.InputField()
    mood: Literal["good", "bad"] = dspy.OutputField()
    stars: int = dspy.OutputField()


class Guest(BaseModel):
    name: str


class Who(dspy.Signature):
    """Who is it?"""

    text: str = dspy.InputField()
    guest: Guest = dspy.OutputField()


RIGHT: dict[type[dspy.Signature], dict[str, Any]] = {
    Mood: {"mood": "good"},
    Stars: {"stars": 4},
    Tags: {"tags": ["a", "b"]},
    Two: {"mood": "good", "stars": 4},
    Who: {"guest": Guest(name="Ann")},
}


def scored(model: LM, signature: type[dspy.Signature], name: str | None = None, rows: int = ROWS) -> Report:
    program = ts.Predict(signature)
    if name is not None:
        bind(program, name)
    data = [dspy.Example(text=f"text {n}", **RIGHT[signature]).with_inputs("text") for n in range(rows)]
    return evaluate(program, data, exact_match(), lm=model)


@contextmanager
def ollama(reply: str, *, version: str = "0.32.15", constraints: bool = True, **facts: Any) -> Iterator[LM]:
    with ProtocolServer([FakeModel("m", reply=reply, **facts)], version=version, constraints=constraints) as server:
        yield lm("ollama/m", host=server.url, cache=False)


@contextmanager
def proxy(reply: str) -> Iterator[LM]:
    """A server that speaks OpenAI's protocol and drops what would hold a reply."""
    with ProtocolServer([FakeModel("m", reply=reply)], only_v1=True, constraints=False) as server:
        yield lm("openai/m", base_url=f"{server.url}/v1", dialect="openai", cache=False)


@each("version", ["0.24.0", "0.32.15"])
@each("native", [False, True])
@each("signature", [Mood, Stars, Tags, Who])
def test_the_default_format_is_read_on_both_ways_of_rendering(version: str, native: bool, signature: Any) -> None:
    reply = {Mood: "good", Stars: "4", Tags: '["a", "b"]', Who: '{"name": "Ann"}'}[signature]
    facts = {"native": native} if version == "0.32.15" else {}
    with ollama(reply, version=version, **facts) as model:
        report = scored(model, signature, rows=5)

    assert (report.mean, report.charged.calls, report.notes) == (1.0, 5, ())


@pytest.mark.parametrize("name", ["bare-schema", "json"])
def test_white_space_before_what_a_schema_holds_ends_no_reply(name: str) -> None:
    reply = '"good"' if name == "bare-schema" else '{"mood": "good"}'
    with ollama(reply, leading=True) as model:
        report = scored(model, Mood, name, rows=5)

    assert (report.mean, report.charged.calls, report.notes) == (1.0, 5, ())


WRITTEN = [
    (Mood, None, "good"),
    (Mood, None, '"good"'),
    (Mood, None, '```json\n"good"\n```'),
    (Mood, None, "```\ngood\n```\n"),
    (Mood, None, "<think>\nIt is fine.\n</think>\n\ngood"),
    (Mood, None, '<think>\nIt is fine.\n</think>\n\n```json\n{"mood": "good"}\n```'),
    (Mood, None, "**good**\n\nThe text praises it."),
    (Mood, "bare-schema", "good"),
    (Mood, "bare-schema", "Good."),
    (Mood, "bare-schema", "<think>\nIt is fine.\n</think>\n\ngood"),
    (Mood, "json", '```json\n{"mood": "good"}\n```'),
    (Mood, "json", '<think>\nIt is fine.\n</think>\n\n{"mood": "good"}'),
    (Mood, "json", 'Here you are:\n```json\n{"mood": "good"}\n```\nIs there more?'),
    (Stars, None, "<think>\nIt is fine.\n</think>\n4"),
    (Stars, None, "```json\n4\n```"),
    (Tags, None, '```json\n["a", "b"]\n```'),
    (Tags, None, 'Sure:\n```json\n["a", "b"]\n```'),
    (Tags, None, '<think>Which?</think>["a", "b"]'),
    (Who, None, '<think>Who?</think>\n```json\n{\n "name": "Ann"\n}\n```'),
    (Two, None, '<think>\nIt is fine.\n</think>\n\n```json\n{"mood": "good", "stars": 4}\n```'),
    (Two, "lines", "<think>\nMood: bad?\n</think>\n\nMood: good\nStars: 4"),
    (Two, "xml", "```xml\n<mood>good</mood>\n<stars>4</stars>\n```"),
    (Mood, "bare-free", "<think>\nIt is fine.\n</think>\n\ngood"),
]


SERVERS = ("drops format with think off", "drops every constraint", "drops it on /v1")
# Every reply on every server in the slow run, and on one of them in turn in a short one.
PAIRS = [(*case, server) for at, case in enumerate(WRITTEN) for server in (SERVERS if FULL else [SERVERS[at % 3]])]


@each(("signature", "name", "reply", "server"), PAIRS)
def test_a_model_that_is_always_right_scores_1_whatever_it_writes_around_its_answer(
    signature: type[dspy.Signature], name: str | None, reply: str, server: str
) -> None:
    if server == "drops it on /v1":
        serving = proxy(reply)
    elif server == "drops every constraint":
        serving = ollama(reply, constraints=False)
    else:
        serving = ollama(reply, thinking=True, obeys_format=False, version="0.30.7")
    rows = ROWS if FULL else 5
    with serving as model:
        report = scored(model, signature, name, rows)

    assert (report.mean, report.errors) == (1.0, 0)
    assert report.charged.calls <= max(1.1 * rows, rows + 1)


@pytest.mark.parametrize(
    ("signature", "name", "reply"),
    [
        (Mood, None, "<think>\nIt is fine.\n</think>\n\ngood"),
        (Mood, None, '```json\n"good"\n```'),
        (Mood, "bare-schema", "good"),
        (Mood, "json", "It is good."),
        (Stars, None, "four"),
        (Stars, None, '{"stars": 4}'),
        (Tags, None, "a, b"),
        (Who, None, "Ann"),
        (Two, None, "good, 4"),
    ],
)
def test_a_reply_that_the_constraint_could_not_have_produced_is_noted_once_and_is_not_asked_for_again(
    signature: type[dspy.Signature], name: str | None, reply: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ollama(reply, constraints=False) as model:
        report = scored(model, signature, name)
        again = scored(model, signature, name)

    [note] = [note for note in report.notes if NOTE in note]
    assert "ollama/m" in note
    assert [NOTE in record.message for record in caplog.records if record.name == "tunesmith"] == [True]
    assert report.charged.calls <= ROWS + 1
    assert again.charged.calls == ROWS


MAYBE: Any = Literal["good", "bad"] | None
BY_TYPE: list[tuple[Any, str, Any]] = [
    (list[str], '["a", "b"]', ["a", "b"]),
    (dict[str, int], '{"x": 1}', {"x": 1}),
    (tuple[int, str], '[1, "a"]', (1, "a")),
    (list[list[int]], "[[1], [2]]", [[1], [2]]),
    (int | None, "7", 7),
    (MAYBE, "good", "good"),
    (MAYBE, '"good"', "good"),
    (MAYBE, "null", None),
]
AROUND = ["{}", "**{}**", "`{}`", '"{}"', "{}.", "{}.\n\nSince it says so.", "{}\n\nSince it says so.", "```\n{}\n```"]


@each("around", AROUND)
@each(("kind", "reply", "value"), BY_TYPE)
def test_what_stands_around_a_value_of_json_is_taken_off_as_it_is_around_a_label(
    kind: Any, reply: str, value: Any, around: str
) -> None:
    if (reply.startswith('"') and around.startswith('"')) or (reply == "null" and around not in ("{}", "```\n{}\n```")):
        return  # that is another text, and no value of the type
    said = around.replace("{}", reply)
    signature = dspy.Signature({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())})
    with dspy.context(lm=FunctionLM(lambda seen: said, capabilities=Capabilities())):
        assert ts.Predict(signature)(text="x").found == value


@each("reply", ['It is ["a", "b"]', '["a", "b"] or ["c"]', "a, b", '["a", "b"', "{}", '{"other": ["a", "b"]}'])
def test_a_value_of_json_is_not_looked_for_inside_of_a_sentence(reply: str) -> None:
    signature = dspy.Signature({"text": (str, dspy.InputField()), "found": (list[str], dspy.OutputField())})
    with dspy.context(lm=FunctionLM(lambda seen: reply, capabilities=Capabilities())), pytest.raises(ParseError):
        ts.Predict(signature)(text="x")


NAMED = [
    "<answer>{}</answer>",
    "<answer>\n{}\n</answer>",
    "It says so.\n<answer>{}</answer>",
    "<answer>{}",
    "<found>{}</found>",
    "<final_answer>**{}**</final_answer>",
    "Answer: {}",
    "answer: {}.",
    "**Answer:** {}",
    "**Answer**: {}",
    "Answer: **{}**",
    "Answer: `{}`\n\nSince it says so.",
    "Final answer: {}",
    "### Answer\n{}",
    "**Final Answer:**\n\n{}",
    "The answer is {}.",
    "So the answer is: {}",
    "Found: {}",
    "Step 1: read.\nStep 2: think.\n\nAnswer: {}",
    "\\boxed{{}}",
    "$\\boxed{{}}$",
    "The answer is $\\boxed{\\text{{}}}$.",
    "\\[ \\boxed{{}} \\]",
    "x = \\boxed{{}}",
    "So $x_1 + 2 \\cdot 3 = \\boxed{{}}$.",
    "Ich rechne.\n\n**Antwort:** {}",
    "Réponse : {}",
    "答案：{}",
    "Answer: {}\nI repeat: <answer>{}</answer>",
    "__{}__",
    "“{}”",
]
BY_KIND: list[tuple[Any, str, Any]] = [
    (Literal["good", "bad"], "good", "good"),
    (bool, "true", True),
    (int, "42", 42),
    (float, "-4.5", -4.5),
    (date, "2024-05-01", date(2024, 5, 1)),
    (MAYBE, "good", "good"),
    (int | None, "7", 7),
    (list[str], '["a", "b"]', ["a", "b"]),
    (dict[str, int], '{"x": 1}', {"x": 1}),
    (Guest, '{"name": "Ann"}', Guest(name="Ann")),
]


@each("around", NAMED)
@each(("kind", "reply", "value"), BY_KIND)
def test_what_a_reply_marks_as_its_answer_is_the_answer(kind: Any, reply: str, value: Any, around: str) -> None:
    said = around.replace("{{}}", f"{{{reply}}}").replace("{}", reply)
    signature = dspy.Signature({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())})
    with dspy.context(lm=FunctionLM(lambda seen: said, capabilities=Capabilities())):
        assert ts.Predict(signature)(text="x").found == value


@each("label", ["rating", "Rating", "RATING", "RATİNG", "ratıng"])
def test_the_label_of_an_answer_may_be_in_any_case_of_any_language(label: str) -> None:
    with dspy.context(lm=FunctionLM(lambda seen: f"It is fine.\n\n{label}: 4", capabilities=Capabilities())):
        assert ts.Predict("text -> rating: int")(text="x").rating == 4


@each(
    ("kind", "reply", "value"),
    [
        (str | None, "None", None),
        (str | None, "null", None),
        (date | None, "2024-05-01.", date(2024, 5, 1)),
        (timedelta, "PT1H", timedelta(hours=1)),
        (IPv4Address, "1.2.3.4\n\nSince it says so.", IPv4Address("1.2.3.4")),
        (int | None, "None", None),
        (bool, "Yes.", True),
        (bool, "**No**", False),
    ],
)
@each("name", ["bare", "lines"])
def test_a_string_of_json_may_lack_its_quotes(kind: Any, reply: str, value: Any, name: str) -> None:
    said = reply if name == "bare" else f"Found: {reply}"
    program = ts.Predict(dspy.Signature({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())}))
    bind(program, name)
    with dspy.context(lm=FunctionLM(lambda seen: said, capabilities=Capabilities())):
        assert program(text="x").found == value


@each(
    ("kind", "reply"),
    [
        (str | None, '"Par'),
        (str | None, "Paris"),
        (int | str, "x"),
        (Any, "Paris"),
        (str | list[str], '["a", "b"'),
        (date | None, "in May"),
        (IPv4Address, "1.2.3"),
        (int | None, "no"),
    ],
)
def test_a_broken_value_of_json_is_no_string(kind: Any, reply: str) -> None:
    signature = dspy.Signature({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())})
    with dspy.context(lm=FunctionLM(lambda seen: reply, capabilities=Capabilities())), pytest.raises(ParseError):
        ts.Predict(signature)(text="x")


@each(
    "reply",
    [
        "It is good.",
        "It is **good**.",
        "It is not **good**.",
        "The answer is not good.",
        "The answer is good or bad.",
        "Answer: good, I think",
        "Answer: good\nAnswer: bad",
        "<answer>good</answer><answer>bad</answer>",
        "<answer>good</answer>\nAnswer: bad",
        "\\boxed{good} or \\boxed{bad}",
        "I cannot answer: good",
        "<answer></answer>",
        "Answer:",
        "\\boxed{good",
        "The answer is not \\boxed{good}.",
        "x \\ne \\boxed{good}",
        "x != \\boxed{good}",
        "x \\not= \\boxed{good}",
        "wrong = \\boxed{good}",
        "It is not so that x = \\boxed{good}.",
        "Answer: good\nAntwort: bad",
        "It would be wrong to say <answer>good</answer>.",
        "<answer>good</answer> would be wrong.",
        "Do not answer \\boxed{bad}. It is fine, so good.",
        "Final answer: good\n\nCorrection, final answer: bad",
        "Answer: good\nCorrected answer: bad",
        "Answer: good\nActual answer: bad",
        "Answer: good\nThe answer is not good.",
        "Mood: good\nMood: not sure",
        "Answer: good\nIt is not <answer>bad</answer>",
        "**good**\n\nCorrected answer: bad",
        "good\nbad",
        "```\ngood\n```\nor\n```\nbad\n```",
        '{"not": "bad"}',
        '**{"wrong": "bad"}**',
    ],
)
def test_a_reply_that_marks_no_answer_or_two_is_an_error(reply: str) -> None:
    with dspy.context(lm=FunctionLM(lambda seen: reply, capabilities=Capabilities())), pytest.raises(ParseError):
        ts.Predict(Mood)(text="x")


@each(
    ("reply", "mood"),
    [
        ("<answer>good</answer>\nsince", "good"),
        ("\\boxed{good}\nsi", "good"),
        ("<answer>good</answer> since", None),
        ("<answer>good</answer>\nHmm. <answer>go", None),
        ("\\boxed{good}\nHmm. \\boxed{go", None),
        ("Answer: good\n\nWait, no. Answer: goodn", None),
        ("good\n\nWait, no. Answer: goodn", None),
        ("Answer: good\ngoodness", None),
        ("Answer: good\nSince", "good"),
        ("Answer: good", None),
        ("<answer>good", None),
        ('"good"', "good"),
        ('{"mood": "good"}', "good"),
    ],
)
def test_a_mark_of_a_cut_reply_counts_if_it_is_closed(reply: str, mood: str | None) -> None:
    class Kind(dspy.Signature):
        text: str = dspy.InputField()
        mood: Literal["good", "goodness"] = dspy.OutputField()

    model = ScriptedLM(text_response(reply, model="m", finish_reason="length"), capabilities=Capabilities())
    with dspy.context(lm=model):
        if mood is not None:
            assert ts.Predict(Kind)(text="x").mood == mood
            return
        with pytest.raises(ParseError, match="cut"):
            ts.Predict(Kind)(text="x")


@each(
    "reply",
    [
        "\\boxed{" * 50_000,
        "{" * 100_000,
        "Answer: good\n" * 20_000 + "bad",
        "<answer>" * 50_000,
        "**" * 100_000 + "good",
        "# " * 100_000,
        "- Answer is " * 20_000,
    ],
    ids=range(7),
)
@each("name", ["bare", "json", "lines"])
def test_a_reply_that_repeats_itself_is_read_in_linear_time(name: str, reply: str) -> None:
    program = ts.Predict(Mood)
    bind(program, name)
    start = time.process_time()
    with dspy.context(lm=FunctionLM(lambda seen: reply, capabilities=Capabilities())), contextlib.suppress(ParseError):
        program(text="x")
    assert time.process_time() - start < 2


URL: Any = HttpUrl
WORDS: Any = Annotated[str, Field(min_length=2)] | None
ANY_WORD: Any = Annotated[str, Field(pattern="^.{2,}$")] | None


@each(
    ("kind", "reply", "url"),
    [
        (URL, "https://a.com/x\n\nSince it says so.", "https://a.com/x"),
        (URL, "https://example.com/page.", "https://example.com/page"),
        (URL, "**https://a.com/x**.", "https://a.com/x"),
        (AnyUrl, "Answer: https://a.com/x", "https://a.com/x"),
        (AnyUrl | None, "<answer>https://a.com/x</answer>", "https://a.com/x"),
        (URL, "https://a.com/x is the site, I believe.", None),
        (URL, "https://a.com/x\nhttps://b.com/x", None),
        (URL, "`https://a.com/x`", "https://a.com/x"),
        (URL, "https://a.com/x, and more", None),
        (URL, "https://a.com/x,https://b.com/x", None),
        (URL, "https://a.com)", None),
        (AnyUrl, "Note: there is no URL in the text.", None),
        (AnyUrl, "Note: nothing", None),
        (AnyUrl, "note:nothing", None),
        (WORDS, "I cannot tell.", None),
        (WORDS, "<answer>abc</answer>", None),
        (WORDS, "Answer: abc", None),
        (WORDS, "'abc'", None),
        (ANY_WORD, "<answer>abc</answer>", None),
        (timedelta, "5 days\n\nSince it says so.", timedelta(days=5)),
        (datetime | None, "2024-01-01 10:00", datetime.fromisoformat("2024-01-01 10:00")),
    ],
)
@each("name", ["bare", "lines"])
def test_a_string_without_quotes_has_a_form_and_is_never_made_of_a_sentence(
    kind: Any, reply: str, url: Any, name: str
) -> None:
    if name == "lines" and "nswer" in reply:
        return  # a value of `lines` has no marks
    program = ts.Predict(dspy.Signature({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())}))
    bind(program, name)
    said = f"Found: {reply}" if name == "lines" else reply
    with dspy.context(lm=FunctionLM(lambda seen: said, capabilities=Capabilities())):
        if url is None:
            with pytest.raises(ParseError):
                program(text="x")
        else:
            found = program(text="x").found
            assert (str(found) if isinstance(url, str) else found) == url


GRADE: Any = Literal["A*", "A", "B"]
PRICE: Any = Literal["5", "$5"]
SHOUT: Any = Literal["yes", "yes!"]
NONE_OR_SOME: Any = Literal["None", "some"] | None


@each(
    ("kind", "name", "reply", "value"),
    [
        (GRADE, "lines", "Found: A*.", "A*"),
        (GRADE, "bare", "`A*`", "A*"),
        (GRADE, "bare", "**Answer: A***", "A*"),
        (GRADE, "markdown", "## Found\n**A***", "A*"),
        (GRADE | None, "bare", "`A*`.", "A*"),
        (PRICE, "bare", "$5.", "$5"),
        (PRICE, "bare", "$5$", "5"),
        (SHOUT, "bare", "**yes!**", "yes!"),
        (SHOUT, "bare", "**yes.**", "yes"),
        (NONE_OR_SOME, "bare", "None", "None"),
        (NONE_OR_SOME, "bare", "null", None),
        (bool | None, "bare", "Yes.", True),
        (bool | None, "bare", "no", False),
        (bool | None, "bare", "none", None),
    ],
)
def test_marks_around_a_label_are_taken_off_one_by_one(kind: Any, name: str, reply: str, value: Any) -> None:
    program = ts.Predict(dspy.Signature({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())}))
    bind(program, name)
    with dspy.context(lm=FunctionLM(lambda seen: reply, capabilities=Capabilities())):
        assert program(text="x").found == value


def test_a_word_that_may_be_a_label_is_not_null() -> None:
    signature = dspy.Signature({"text": (str, dspy.InputField()), "found": (NONE_OR_SOME, dspy.OutputField())})
    with dspy.context(lm=FunctionLM(lambda seen: "none", capabilities=Capabilities())), pytest.raises(ParseError):
        ts.Predict(signature)(text="x")


@each("reply", ["Mood: good\n\nCorrected answer: bad", 'Mood: {"not": "bad"}'])
def test_a_value_of_lines_is_not_one_that_its_text_denies(reply: str) -> None:
    program = ts.Predict(Mood)
    bind(program, "lines")
    with dspy.context(lm=FunctionLM(lambda seen: reply, capabilities=Capabilities())), pytest.raises(ParseError):
        program(text="x")


@each("reply", ["<answer>Paris</answer>", "Answer: Paris", "**Paris**", "\\boxed{Paris}"])
def test_a_text_keeps_its_marks_because_a_text_may_hold_them(reply: str) -> None:
    with dspy.context(lm=FunctionLM(lambda seen: reply, capabilities=Capabilities())):
        assert ts.Predict("text -> answer")(text="x").answer == reply


@each(
    ("name", "reply"),
    [
        ("json", '<answer>{"mood": "good", "stars": 4}</answer>'),
        ("json", 'Answer: {"mood": "good", "stars": 4}'),
        ("json", '{"mood": "good", "stars": 4}\n\nSince it says so.'),
        ("json", '**{"mood": "good", "stars": 4}**'),
        ("json", '\\boxed{{"mood": "good", "stars": 4}}'),
        ("json", 'Here is the JSON: {"mood": "good", "stars": 4}'),
        ("json", 'It is fine.\n{"mood": "good", "stars": 4}\nIs there more?'),
        ("lines", "**Mood:** **good**\n**Stars:** `4`"),
        ("lines", "Mood: good.\nStars: 4\n\nSince it says so."),
        ("lines", "<answer>\nMood: good\nStars: 4\n</answer>"),
        ("xml", "Answer:\n<mood>**good**</mood>\n<stars>**4**</stars>"),
        ("markdown", "## Mood\n**good**\n## Stars\n**4**"),
    ],
)
def test_marks_around_several_outputs_are_taken_off_in_every_format(name: str, reply: str) -> None:
    program = ts.Predict(Two)
    bind(program, name)
    with dspy.context(lm=FunctionLM(lambda seen: reply, capabilities=Capabilities())):
        answer = program(text="x")
    assert (answer.mood, answer.stars) == ("good", 4)


@each(
    "reply",
    [
        '{"mood": "good", "stars": 4} or {"mood": "bad", "stars": 1}',
        '{"draft": {"mood": "good", "stars": 4}',
        'A {set}: {"mood": "good", "stars": 4}',
        'It is not {"mood": "good", "stars": 4}',
        'Here is a bad answer: {"mood": "good", "stars": 4}',
        '{"mood": "good", "stars": 4} would be wrong',
    ],
)
def test_an_object_is_not_chosen_among_several_braces_or_out_of_a_sentence(reply: str) -> None:
    program = ts.Predict(Two)
    bind(program, "json")
    with dspy.context(lm=FunctionLM(lambda seen: reply, capabilities=Capabilities())), pytest.raises(ParseError):
        program(text="x")


@each(
    ("signature", "reply"),
    [
        (Mood, "<answer>good</answer>"),
        (Stars, "Answer: 4"),
        (Tags, '\\boxed{["a", "b"]}'),
        (Who, '**{"name": "Ann"}**'),
    ],
)
@each("server", ["drops every constraint", "drops it on /v1"])
def test_a_marked_answer_is_right_on_a_server_that_drops_constraints(signature: Any, reply: str, server: str) -> None:
    with proxy(reply) if server == "drops it on /v1" else ollama(reply, constraints=False) as model:
        report = scored(model, signature)

    assert (report.mean, report.errors) == (1.0, 0)
    assert report.charged.calls <= 1.1 * ROWS


@each(
    ("signature", "reply", "finish"),
    [
        (Mood, '{"mood": "go', "length"),
        (Mood, '{"mood": "good"}', "stop"),
        (Mood, '\n\n {"mood":\n"good"}\n', "stop"),
        (Two, '{"mood": "good", "stars": 4, "more": 1}', "stop"),
        (Mood, "", "stop"),
    ],
)
def test_a_reply_that_the_constraint_allows_proves_nothing(signature: Any, reply: str, finish: str) -> None:
    model = ScriptedLM(
        text_response(reply, model="m", finish_reason=finish), capabilities=Capabilities(frozenset({"json_schema"}))
    )
    program = ts.Predict(signature)
    bind(program, "json")
    with dspy.context(lm=model):
        try:
            program(text="x")
        except ParseError:
            assert reply != '{"mood": "good"}'

    assert model.findings.notes == ()


def test_a_text_that_its_grammar_allows_to_begin_like_a_fence_proves_nothing() -> None:
    class Script(dspy.Signature):
        """Write a script."""

        text: str = dspy.InputField()
        script: str = dspy.OutputField(max_length=200)

    model = FunctionLM(lambda seen: "```sh\nls\n```")
    with dspy.context(lm=model):
        assert ts.Predict(Script)(text="x").script == "```sh\nls\n```"

    assert "grammar" in model.requests[0].config.extensions
    assert model.findings.notes == ()


@each(
    ("roots", "signature", "reply", "sent"),
    [
        ("object", Mood, "good", False),
        ("object", Stars, "4", False),
        ("object", Tags, '["a", "b"]', False),
        ("object", Who, '{"name": "Ann"}', True),
        ("object", Two, '{"mood": "good", "stars": 4}', True),
        ("closed", Mood, '"good"', True),
        ("closed", Stars, "4", False),
    ],
)
def test_what_an_engine_cannot_hold_is_not_sent_and_a_plain_reply_proves_nothing(
    roots: Any, signature: Any, reply: str, sent: bool
) -> None:
    """OpenAI's schemas are objects, TGI's objects and closed sets."""
    able = Capabilities(frozenset({"json_schema"}), logprobs=20, roots=roots)
    model = FunctionLM(lambda seen: reply, capabilities=able)
    report = scored(model, signature, rows=3)

    assert (report.mean, report.notes) == (1.0, ())
    assert [request.config.response_format is not None for request in model.requests] == [sent] * 3
    assert {request.config.stop for request in model.requests} == {()}


@each(
    ("name", "reply"),
    [
        ("xml", "maybe <mood>bad</mood> hm</think>\n<mood>good</mood>"),
        ("lines", "Mood: bad?\nno\n</think>\n\nMood: good"),
        ("markdown", "## Mood\nbad\n</think>\n## Mood\ngood"),
        ("json", '{"mood": "bad"}\n</think>\n{"mood": "good"}'),
        ("bare", "bad\n</think>\n\ngood"),
    ],
)
@each("able", [{"json_schema", "grammar"}, {"json_schema"}, set()])
def test_a_draft_in_thoughts_that_the_prompt_has_opened_is_not_the_answer(
    name: str, reply: str, able: set[str]
) -> None:
    model = FunctionLM(lambda seen: reply, capabilities=Capabilities(frozenset(able)))
    program = ts.Predict(Mood)
    bind(program, name)
    with dspy.context(lm=model):
        assert program(text="x").mood == "good"
    assert len(model.requests) == 1


def test_a_stop_of_the_callers_may_end_a_reply_anywhere() -> None:
    model = ScriptedLM(text_response("go", model="m"), capabilities=Capabilities(frozenset({"grammar"})), stop=["o"])
    with dspy.context(lm=model), pytest.raises(ParseError):
        ts.Predict(Mood)(text="x")

    assert model.findings.notes == ()


def test_a_grammar_that_is_not_enforced_is_noticed_and_not_sent_again() -> None:
    model = FunctionLM(lambda seen: "I think it is good.")
    program = ts.Predict(Mood)
    bind(program, "bare-nearest")
    bound = ts.Predict(Mood)
    for text in "ab":
        with dspy.context(lm=model), pytest.raises(ParseError):
            bound(text=text)

    first, second = model.requests
    assert "grammar" in first.config.extensions
    assert not second.config.extensions
    assert model.findings.notes


def test_a_reply_that_is_all_thoughts_is_told_from_an_answer() -> None:
    model = FunctionLM(lambda seen: "<think>\nIt may be", capabilities=Capabilities())
    with dspy.context(lm=model), pytest.raises(ParseError, match="inside the model's thoughts"):
        ts.Predict("text -> answer")(text="x")


def test_thoughts_beside_an_empty_reply_that_was_cut_are_what_the_error_names() -> None:
    with ProtocolServer([FakeModel("m", "yes", thinking=True, thought="hm " * 700)]) as server:
        model = lm("ollama/m", host=server.url, think=True, cache=False)
        with dspy.context(lm=model), pytest.raises(ParseError, match="inside the model's thoughts"):
            ts.Predict("text -> answer")(text="x")


@each("capabilities", [Capabilities(), Capabilities(frozenset({"json_schema", "grammar"}))])
@each(
    ("reply", "answer"),
    [
        ("<think>\nHm.\n</think>\n\nParis", "Paris"),
        ("Hm.\n</think>\n\nParis", "Paris"),
        ("<think></think>Paris", "Paris"),
        ("<thinking>a</thinking>\nParis", "Paris"),
        ("<think>a</think>\n<think>b</think>\nParis", "Paris"),
        ("[THINK]a[/THINK]Paris", "Paris"),
        ("◁think▷a◁/think▷Paris", "Paris"),
        ("<seed:think>a</seed:think>Paris", "Paris"),
        ("<|START_THINKING|>a<|END_THINKING|>Paris", "Paris"),
        ("<|begin_of_thought|>a<|end_of_thought|>\n\nParis", "Paris"),
        (
            "<|channel|>analysis<|message|>Rome?<|end|><|start|>assistant<|channel|>final<|message|>Paris",
            "Paris",
        ),
        ("Write <think> and </think> around it", "Write <think> and </think> around it"),
    ],
)
def test_thoughts_are_not_part_of_a_text(capabilities: Capabilities, reply: str, answer: str) -> None:
    model = FunctionLM(lambda seen: reply, capabilities=capabilities)
    with dspy.context(lm=model):
        assert ts.Predict("text -> answer")(text="x").answer == answer


@each("capabilities", [Capabilities(), Capabilities(frozenset({"json_schema", "grammar"}))])
@each(
    ("name", "draft", "answer"),
    [
        ("xml", "<answer>Rome</answer>", "<answer>Paris</answer>"),
        ("lines", "Answer: Rome", "Answer: Paris"),
        ("markdown", "## Answer\nRome", "## Answer\nParis"),
        ("json", '{"answer": "Rome"}', '{"answer": "Paris"}'),
        (
            "chat",
            "[[ ## answer ## ]]\nRome\n\n[[ ## completed ## ]]",
            "[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]",
        ),
    ],
)
def test_a_draft_in_the_thoughts_is_not_the_answer(
    capabilities: Capabilities, name: str, draft: str, answer: str
) -> None:
    program = ts.Predict("text -> answer")
    bind(program, name)
    with dspy.context(lm=FunctionLM(lambda seen: f"<think>\n{draft}\n\n</think>\n{answer}", capabilities=capabilities)):
        assert program(text="x").answer == "Paris"
    cut = FunctionLM(lambda seen: f"<think>\n{draft}\n", capabilities=capabilities)
    with dspy.context(lm=cut), pytest.raises(ParseError, match="inside the model's thoughts"):
        program(text="x")


def test_a_resumed_run_knows_it_before_its_first_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [dspy.Example(text=f"text {n}", mood="good").with_inputs("text") for n in range(12)]

    def compiled(model: LM, budget: int) -> ts.CompileResult:
        return ts.compile(
            ts.Predict(Mood),
            metric=exact_match("mood"),
            trainset=rows[:4],
            valset=rows[4:],
            compiler=ts.LabeledFewShot(k=2, metric=exact_match("mood")),
            lm=model,
            budget=budget,
            run="r",
            mirror=False,
        )

    replies = iter(range(1000))

    def answer(seen: Seen) -> str:
        if next(replies) == 6:
            raise KeyboardInterrupt
        return "<think>\nIt is fine.\n</think>\n\ngood"

    model = FunctionLM(answer, capabilities=Capabilities(frozenset({"json_schema"})))
    with pytest.raises(Interrupted):
        compiled(model, 40)
    fresh = FunctionLM(answer, capabilities=Capabilities(frozenset({"json_schema"})))
    result = compiled(fresh, 40)

    assert [NOTE in note for note in result.notes if "reply" in note or "replies" in note] == [True]
    assert all(request.config.stop == () for request in fresh.requests)


@each(
    ("reply", "mood"),
    [("good", "good"), ("It is rather Bad.", "bad"), ("goo", "good"), ("awfully baad", "bad"), ("?", "good")],
)
def test_the_nearest_label_is_taken_only_if_it_was_asked_for(reply: str, mood: str) -> None:
    model = FunctionLM(lambda seen: reply)
    program = ts.Predict(Mood)
    bind(program, "bare-nearest")
    with dspy.context(lm=model):
        assert program(text="x").mood == mood
    if reply != "good":
        bind(program, "bare-free")
        with dspy.context(lm=model), pytest.raises(ParseError):
            program(text="x")
