"""DSPy's own types: each works under some format of ours, one call per prediction, sync and async."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

import dspy
import pytest
from dspy.adapters.types.decision import Choice, Noul, Score

from tests.contracts.format import MODES, TEXTUAL, CustomEngine, ask, ask_async
from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.errors import FormatError, ParseError, UsageError
from tunesmith.evaluation import evaluate
from tunesmith.formats import carries, default_format, get_format
from tunesmith.lm import Capabilities, FunctionLM, ReplyCache, ScriptedLM, message_text, text_response
from tunesmith.lm import lm as make_lm
from tunesmith.modules import (
    Candidate,
    ChainOfThought,
    Module,
    Predict,
    bind,
    bound_format,
    render,
    with_default_formats,
)

CALLS = pytest.mark.parametrize("call", [ask, ask_async])
SECTIONED = {
    "bare": "{}",
    "json": '{{"answer": "{}"}}',
    "lines": "Answer: {}",
    "markdown": "## Answer\n{}",
    "xml": "<answer>{}</answer>",
    "chat": "[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]",
}
SECTIONED |= dict.fromkeys(("bare-schema", "bare-free", "bare-likeliest", "bare-nearest"), "{}")
OWN = tuple(name for name in SECTIONED if name != "chat")
PICTURE = dspy.Image(url="data:image/png;base64,AAAA")


def double(x: int) -> int:
    """Return twice as much."""
    return 2 * x


class Talk(dspy.Signature):
    """Go on."""

    history: dspy.History = dspy.InputField()
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Pictured(dspy.Signature):
    """What is on the picture?"""

    picture: dspy.Image = dspy.InputField()
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Tools(dspy.Signature):
    """Call a tool."""

    question: str = dspy.InputField()
    tools: list[dspy.Tool] = dspy.InputField()
    calls: dspy.ToolCalls = dspy.OutputField()


class Thought(dspy.Signature):
    """Think."""

    question: str = dspy.InputField()
    reasoning: dspy.Reasoning = dspy.OutputField()
    answer: str = dspy.OutputField()


class Judged(dspy.Signature):
    """Judge."""

    text: str = dspy.InputField()
    spam: Noul = dspy.OutputField(desc="Is it spam?")


class Chosen(dspy.Signature):
    """Judge."""

    text: str = dspy.InputField()
    spam: Annotated[bool, Noul] = dspy.OutputField(desc="Is it spam?")
    kind: Choice[("a", "first"), ("b", "second")] = dspy.OutputField(desc="Which kind?")  # noqa: F821
    grade: Score["bad", "good"] = dspy.OutputField(desc="How good?")  # noqa: F821


EVIDENCE = (
    '{"spam": {"noul": 0.7}, "kind": {"probabilities": {"a": 0.2, "b": 0.8}, "confidence": 0.9}, '
    '"grade": {"probabilities": {"0": 0.5, "1": 0.5}, "confidence": 0.5}}'
)


def bound(signature: Any, name: str) -> dspy.Predict:
    found = dspy.Predict(signature)
    bind(found, name)
    return found


def turns(lm: Any) -> list[tuple[str, str | None]]:
    return [(m.role, message_text(m)) for m in lm.requests[-1].messages]


# History ----------------------------------------------------------------------------------------------------


@CALLS
@each("name", TEXTUAL)
def test_a_history_is_turns_that_look_like_demos(name: str, call: Any) -> None:
    program = bound(Talk, name)
    lm = FunctionLM(lambda seen: SECTIONED[name].format("yes"))
    history = dspy.History(messages=[{"question": "one", "answer": "1"}, {"question": "two", "answer": "2\nor so"}])

    found = call(lm, program, question="three", history=history)

    assert found.answer.strip() == "yes"
    assert [role for role, _ in turns(lm)] == ["user", "assistant", "user", "assistant", "user"]
    if name == "chat":
        return
    plain = bound(dspy.Signature("question -> answer", "Go on."), name)
    plain.demos = [dspy.Example(**entry) for entry in history.messages]
    call(lm, plain, question="three")
    assert lm.requests[0] == lm.requests[1]


@each("name", OWN)
def test_a_history_stands_behind_the_demos_and_may_be_partial_or_absent(name: str) -> None:
    program = bound(Talk, name)
    program.demos = [dspy.Example(question="demo", answer="d")]
    lm = FunctionLM(lambda seen: SECTIONED[name].format("yes"))
    partial = dspy.History(messages=[{"question": "only asked"}, {"answer": "only said", "other": 1}])

    ask(lm, program, question="q", history=partial)
    assert [role for role, _ in turns(lm)] == ["user", "assistant", "user", "assistant", "user"]
    assert "only asked" in turns(lm)[2][1]
    assert "only said" in turns(lm)[3][1]
    ask(lm, program, question="q", history=dspy.History(messages=[]))
    empty = lm.requests[-1]
    ask(lm, program, question="q")
    assert lm.requests[-1] == empty
    assert len(empty.messages) == 3


def test_two_histories_are_two_cache_rows(tmp_path: Any) -> None:
    lm = FunctionLM(lambda seen: str(len(seen.messages)), cache=ReplyCache(tmp_path))
    program = Predict(Talk)
    histories = [dspy.History(messages=[{"question": "a", "answer": "b"}] * count) for count in (0, 1, 2, 1, 2)]

    assert [ask(lm, program, question="q", history=h).answer for h in histories] == ["1", "3", "5", "3", "5"]
    assert len(lm.requests) == 3


def test_what_is_shown_of_a_history_is_what_is_sent() -> None:
    history = dspy.History(messages=[{"question": "a", "answer": "b"}])
    lm = FunctionLM(lambda seen: "yes")
    shown = render(Predict(Talk), lm=lm, question="q", history=history)
    ask(lm, Predict(Talk), question="q", history=history)

    assert shown.request == lm.requests[0]
    entry = lm.history[-1]["messages"]
    assert tuple(entry) == shown.messages


@each(
    "history",
    [
        "text",
        [1],
        {"messages": []},
        dspy.History(messages=[{"question": object()}]),
        dspy.History(messages=[{"role": "user", "content": "Hi"}]),
    ],
)
def test_a_history_that_cannot_be_carried_never_reaches_the_engine(history: Any) -> None:
    lm = FunctionLM(lambda seen: "yes")
    with pytest.raises(FormatError):
        ask(lm, Predict(Talk), question="q", history=history)
    assert lm.requests == []


# Images and tools: DSPy's own format ------------------------------------------------------------------------


@CALLS
def test_an_image_is_a_part_of_the_request_and_the_fallback_is_recorded(call: Any) -> None:
    engine = CustomEngine(SECTIONED["chat"].format("a cat"))
    lm = FunctionLM(lambda seen: engine.reply)
    program = Predict(Pictured)

    assert call(lm, program, picture=PICTURE, question="?").answer == "a cat"
    assert "ImagePart" in [type(part).__name__ for part in lm.requests[0].messages[-1].parts]
    assert len(lm.requests) == 1
    assert Candidate.of(program).parts["self"].format == "chat"
    assert bound_format(with_default_formats(dspy.Predict(Pictured))) == "chat"


@each("name", OWN)
def test_no_other_format_takes_an_image(name: str) -> None:
    assert not carries(name, Pictured)
    lm = FunctionLM(lambda seen: "never")
    with pytest.raises(FormatError, match="chat"):
        ask(lm, bound(Pictured, name), picture=PICTURE, question="?")
    assert lm.requests == []


@CALLS
def test_tool_calls_are_read_and_tools_described(call: Any) -> None:
    reply = '[[ ## calls ## ]]\n{"tool_calls": [{"name": "double", "args": {"x": 2}}]}\n\n[[ ## completed ## ]]'
    lm = FunctionLM(lambda seen: reply)

    found = call(lm, Predict(Tools), question="?", tools=[dspy.Tool(double)])

    assert default_format(Tools) == "chat"
    assert [(one.name, one.args) for one in found.calls.tool_calls] == [("double", {"x": 2})]
    assert found.calls.tool_calls[0].execute([dspy.Tool(double)]) == 4
    assert "Return twice as much" in turns(lm)[-1][1]


@each("name", OWN)
def test_a_tool_among_the_inputs_is_text(name: str) -> None:
    signature = dspy.Signature("question, tools: list[dspy.Tool] -> answer")
    lm = FunctionLM(lambda seen: SECTIONED[name].format("yes"))

    assert ask(lm, bound(signature, name), question="?", tools=[dspy.Tool(double)]).answer == "yes"
    assert "Return twice as much" in turns(lm)[-1][1].replace("&lt;", "<")


@CALLS
def test_react_works(call: Any) -> None:
    replies = iter(
        [
            '{"next_thought": "t", "next_tool_name": "double", "next_tool_args": {"x": 2}}',
            '{"next_thought": "t", "next_tool_name": "finish", "next_tool_args": {}}',
            '{"reasoning": "r", "answer": "4"}',
        ]
    )
    program = with_default_formats(dspy.ReAct("question -> answer", tools=[double]))
    lm = FunctionLM(lambda seen: next(replies))

    assert call(lm, program, question="2 x 2?").answer == "4"


# Reasoning --------------------------------------------------------------------------------------------------

THINKS = Capabilities(frozenset({"json_schema", "grammar"}), thinking=True)
TWO = {
    "json": '{{"reasoning": "{}", "answer": "a"}}',
    "lines": "Reasoning: {}\nAnswer: a",
    "markdown": "## Reasoning\n{}\n\n## Answer\na",
    "xml": "<reasoning>{}</reasoning>\n<answer>a</answer>",
}


@CALLS
@each("name", TWO)
def test_reasoning_is_text_where_the_model_does_not_think(name: str, call: Any) -> None:
    lm = FunctionLM(lambda seen: TWO[name].format("so"))
    found = call(lm, bound(Thought, name), question="?")

    assert str(found.reasoning) == "so"
    assert found.answer == "a"


@CALLS
@each("name", OWN[1:])
@each("options", [{"think": True}, {"reasoning_effort": "low"}])
@each("signature", [Thought, "chain"])
def test_native_thinking_fills_the_reasoning_and_nothing_else_is_asked_for(
    name: str, call: Any, options: dict[str, Any], signature: Any
) -> None:
    reply = text_response(SECTIONED[name].format("a"), model="m", thinking="First this, then that.")
    lm = FunctionLM(lambda seen: reply, capabilities=THINKS, **options)
    program: Any = ChainOfThought("question -> answer") if signature == "chain" else dspy.Predict(signature)
    for predictor in program.predictors():
        predictor.demos = [dspy.Example(question="q", reasoning="long", answer="b")]
        bind(predictor, name)

    found = call(lm, program, question="?")

    assert found.reasoning == "First this, then that."
    assert isinstance(found.reasoning, str if signature == "chain" else dspy.Reasoning)
    assert found.answer == "a"
    request = lm.requests[0]
    assert "easoning" not in request.system + "".join(text or "" for _, text in turns(lm))
    assert request.config.response_format is None
    assert "grammar" not in (request.config.extensions or {})
    if "reasoning_effort" in options:
        assert request.config.reasoning.effort == "low"
    else:
        assert request.config.extensions["think"] is True


@pytest.mark.parametrize("options", [{}, {"think": False}, {"reasoning_effort": "none"}])
def test_thinking_that_nobody_asked_for_changes_nothing(options: dict[str, Any]) -> None:
    reply = text_response(TWO["json"].format("said"), model="m", thinking="thought")
    lm = FunctionLM(lambda seen: reply, capabilities=THINKS, **options)

    assert ask(lm, ChainOfThought("question -> answer"), question="?").reasoning == "said"
    assert "grammar" in (lm.requests[0].config.extensions or {})


def test_a_model_that_cannot_think_is_asked_for_its_reasoning() -> None:
    lm = ScriptedLM(TWO["json"].format("said"), think=True)

    assert ask(lm, ChainOfThought("question -> answer"), question="?").reasoning == "said"


def test_a_model_that_did_not_think_leaves_the_reasoning_empty() -> None:
    lm = ScriptedLM('{"answer": "a"}', capabilities=THINKS, think=True)

    assert ask(lm, ChainOfThought("question -> answer"), question="?").toDict() == {"reasoning": "", "answer": "a"}


@pytest.mark.parametrize("engine", ["plain", "streamed", "cached"])
def test_the_option_of_an_ollama_model_fills_the_reasoning(engine: str, tmp_path: Path) -> None:
    model = FakeModel("deep", reply='{"answer": "4"}', thinking=True, thought="Two and two.")
    program = ChainOfThought("question -> answer")
    with ProtocolServer([model]) as server:
        deep = make_lm("ollama/deep", host=server.url, cache=ReplyCache(tmp_path), think=True)
        for _ in range(1 + (engine == "cached")):
            if engine == "plain":
                found = ask(deep, program, question="2 + 2?")
            else:
                found = streamified(deep, program, question="2 + 2?")
        body = [entry.body for entry in server.requests if entry.path == "/api/chat"][-1]
        assert "easoning" not in render(program, lm=deep, question="?").messages[0]["content"]

    assert found.toDict() == {"reasoning": "Two and two.", "answer": "4"}
    assert body["think"] is True
    assert "easoning" not in body["messages"][0]["content"]


def streamified(lm: Any, program: Any, **inputs: Any) -> Any:
    async def read() -> Any:
        with dspy.context(lm=lm):
            return [piece async for piece in dspy.streamify(program)(**inputs)][-1]

    return asyncio.run(read())


def test_an_effort_that_does_not_exist_is_a_typed_error() -> None:
    for use in (
        lambda: ScriptedLM("a", reasoning_effort="much"),
        lambda: ScriptedLM("a")("?", reasoning_effort="much"),
        lambda: ScriptedLM("a").copy(reasoning_effort="much"),
        lambda: Predict("question -> answer", reasoning_effort="much"),
    ):
        with pytest.raises(UsageError, match=r"`reasoning_effort` cannot be used.*Given: 'much'"):
            use()


# Decisions --------------------------------------------------------------------------------------------------


@CALLS
@each(
    ("name", "reply"),
    [
        ("bare", '{"noul": 0.7}'),
        ("json", '{"spam": {"noul": 0.7}}'),
        ("lines", 'Spam: {"noul": 0.7}'),
        ("markdown", '## Spam\n{"noul": 0.7}'),
        ("xml", '<spam>{"noul": 0.7}</spam>'),
        ("chat", '[[ ## spam ## ]]\n{"noul": 0.7}\n\n[[ ## completed ## ]]'),
    ],
)
def test_a_decision_is_asked_for_as_probability_in_every_format(name: str, reply: str, call: Any) -> None:
    program = bound(Judged, name)
    lm = FunctionLM(lambda seen: reply)

    assert carries(name, Judged)
    assert bool(call(lm, program, text="buy!").spam) is True
    program.fields = {"spam": {"threshold": 0.8}}
    found = call(lm, program, text="buy!")
    assert (found.spam.value, found.spam.probability) == (False, 0.7)
    assert len(lm.requests) == 2


@CALLS
def test_several_decisions_get_json(call: Any) -> None:
    lm = FunctionLM(lambda seen: EVIDENCE)

    found = call(lm, Predict(Chosen), text="buy!")

    assert default_format(Chosen) == "json"
    assert (found.spam, found.kind.value, found.grade.value) == (True, "b", 0.5)
    assert lm.requests[0].config.extensions["grammar"]  # no schema says that a probability is within 0 and 1


@CALLS
def test_a_plain_label_with_a_calibrated_threshold_is_a_decision(call: Any) -> None:
    class Plain(dspy.Signature):
        """Judge."""

        text: str = dspy.InputField()
        spam: bool = dspy.OutputField(desc="Is it spam?")
        kind: Literal["a", "b"] = dspy.OutputField()

    program = Predict(Plain)
    program.fields = {"spam": {"threshold": 0.9}}
    lm = FunctionLM(lambda seen: '{"spam": {"noul": 0.7}, "kind": "a"}')

    assert call(lm, program, text="buy!").toDict() == {"spam": False, "kind": "a"}


def test_decision_fields_survive_copies_candidates_and_evaluation() -> None:
    program = dspy.Predict(Judged)
    program.fields = {"spam": {"threshold": 0.8, "instructions": "Is it spam?"}}
    copies = [
        with_default_formats(program),
        program.deepcopy(),
        Candidate.of(program).apply(program),
        Candidate.of(program).with_part("self", format="xml").apply(program),
    ]

    assert [copied.fields for copied in copies] == [program.fields] * 4
    copies[0].fields["spam"]["threshold"] = 0.1
    assert program.fields["spam"]["threshold"] == 0.8
    lm = FunctionLM(lambda seen: '{"noul": 0.7}')
    rows = [dspy.Example(text="buy!", spam=False).with_inputs("text")]
    report = evaluate(program, rows, lambda example, found, trace=None: found.spam.value == example.spam, lm=lm)
    assert report.mean == 1.0


def test_bad_evidence_is_a_parse_error() -> None:
    for reply in ('{"noul": 2}', "yes"):
        with pytest.raises(ParseError):
            ask(ScriptedLM(reply), Predict(Judged), text="buy!")


def test_a_decision_inside_of_a_list_gets_chat() -> None:
    class Nested(dspy.Signature):
        """Judge."""

        text: str = dspy.InputField()
        spam: list[Noul] = dspy.OutputField(desc="Is each of them spam?")

    assert default_format(Nested) == "chat"
    assert not carries("json", Nested)
    assert get_format("chat").name == "chat"
    assert MODES


def test_one_step_thinks_and_another_does_not(tmp_path: Path) -> None:
    class Two(Module):
        def __init__(self) -> None:
            super().__init__()
            self.deep = ChainOfThought("question -> answer", reasoning_effort="low")
            self.plain = ChainOfThought("question -> answer")

        def forward(self, question: str) -> Any:
            return [self.deep(question=question).reasoning, self.plain(question=question).reasoning]

    program = Two()
    program.save(tmp_path / "two.json")
    loaded = Two()
    loaded.deep.predict.config = {}
    loaded.load(tmp_path / "two.json")

    model = FakeModel("m", '{"reasoning": "said", "answer": "4"}', thinking=True, thought="Two and two.")
    with ProtocolServer([model]) as server, dspy.context(lm=make_lm("ollama/m", host=server.url, cache=False)):
        assert program(question="2 + 2?") == loaded(question="2 + 2?") == ["Two and two.", "said"]
        bodies = [entry.body for entry in server.requests if entry.path == "/api/chat"]
    assert [body["think"] for body in bodies] == ["low", False] * 2
