"""A model that calls tools by itself is asked by tools, every other one by JSON, and the run of `ReAct` is the same."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.lm.front import Act, Asked, chat_reply, front
from tests.protocol import FakeModel, ProtocolServer, Reply, scripted
from tunesmith.errors import FormatError, ParseError
from tunesmith.formats import carries, get_format
from tunesmith.lm import Capabilities, FunctionLM, Message, ReplyCache, Response, TextPart, ToolCallPart, Usage
from tunesmith.modules import bind
from tunesmith.modules.agents.trajectory import ToolStep

QUESTION = "What is the capital of Norway?"
NATIVE = Capabilities(frozenset({"json_schema"}), tools=True)


def capital(country: str) -> str:
    """Look up a capital."""
    return {"Norway": "Oslo"}[country]


STEPS = (
    ("Look it up.", "capital", {"country": "Norge"}),
    ("Try another name.", "capital", {"country": "Norway"}),
    ("I know.", "finish", {"answer": "Oslo"}),
)


def as_json(thought: str, tool: str, arguments: dict[str, Any]) -> str:
    return json.dumps({"thought": thought, "action": {"tool": tool, "arguments": arguments}})


def as_call(thought: str, tool: str, arguments: dict[str, Any]) -> Reply:
    return Reply(thought, tool_calls=[{"name": tool, "arguments": arguments}])


def agent(**options: Any) -> ts.ReAct:
    return ts.ReAct("question -> answer", tools=[capital], **options)


def seen(found: dspy.Prediction) -> dict[str, Any]:
    return {"answer": found.answer, "stopped": found.stopped, "steps": found.steps}


BY_JSON = {
    "answer": "Oslo",
    "stopped": "finish",
    "steps": [
        ToolStep("Look it up.", "capital", {"country": "Norge"}, "Error: KeyError: 'Norge'", failed=True),
        ToolStep("Try another name.", "capital", {"country": "Norway"}, "Oslo"),
        ToolStep("I know.", "finish", {"answer": "Oslo"}, "The answer is given."),
    ],
}


def run(lm: Any, program: ts.ReAct | None = None) -> dspy.Prediction:
    with dspy.context(lm=lm):
        return (program or agent())(question=QUESTION)


@each("tools, replies", [(False, [as_json(*one) for one in STEPS]), (True, [as_call(*one) for one in STEPS])])
def test_ollama_gets_tools_if_the_model_takes_them_and_the_steps_are_the_same(tools: bool, replies: Any) -> None:
    with ProtocolServer([FakeModel("m", scripted(replies), tools=tools)]) as server:
        found = run(ts.lm("ollama/m", host=server.url, cache=False))
        bodies = [entry.body for entry in server.requests if entry.path == "/api/chat"]

    assert seen(found) == BY_JSON
    assert [bool(body.get("tools")) for body in bodies] == [tools] * 3
    assert ["format" in body for body in bodies] == [not tools] * 3
    assert "Observation 1: Error: KeyError: 'Norge'" in bodies[1]["messages"][-1]["content"]


def test_the_request_offers_each_tool_and_says_nothing_of_json() -> None:
    with ProtocolServer([FakeModel("m", scripted([as_call(*STEPS[2])]), tools=True)]) as server:
        run(ts.lm("ollama/m", host=server.url, cache=False))
        body = next(entry.body for entry in server.requests if entry.path == "/api/chat")

    functions = {one["function"]["name"]: one["function"] for one in body["tools"]}
    assert list(functions) == ["capital", "finish"]
    assert functions["capital"]["description"] == "Look up a capital."
    assert functions["capital"]["parameters"]["properties"]["country"]["type"] == "string"
    assert functions["finish"]["parameters"]["required"] == ["answer"]
    assert "JSON" not in body["messages"][0]["content"]
    assert "- capital: Look up a capital." in body["messages"][0]["content"]


def test_a_stream_of_a_model_that_calls_tools_has_the_thoughts_and_the_same_steps() -> None:
    with ProtocolServer([FakeModel("m", scripted([as_call(*one) for one in STEPS]), tools=True)]) as server:
        lm = ts.lm("ollama/m", host=server.url, cache=False)
        events = list(ts.stream(agent(), lm=lm, question=QUESTION))
    thoughts = [event.text for event in events if isinstance(event, ts.FieldDelta) and event.field == "thought"]
    assert thoughts == [thought for thought, _, _ in STEPS]
    assert seen(events[-1].prediction) == BY_JSON


def test_replies_with_calls_are_cached(tmp_path: Path) -> None:
    with ProtocolServer([FakeModel("m", scripted([as_call(*one) for one in STEPS]), tools=True)]) as server:
        lm = ts.lm("ollama/m", host=server.url, cache=ReplyCache(tmp_path))
        first, again = run(lm), run(lm)
        asked = [entry for entry in server.requests if entry.path == "/api/chat"]
    assert (seen(first), seen(again), len(asked)) == (BY_JSON, BY_JSON, 3)


# The protocol of OpenAI -------------------------------------------------------------------------------------


def calling(thought: str, tool: str, arguments: Any) -> Act:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    calls = [{"id": "c", "type": "function", "function": {"name": tool, "arguments": text}}]
    return Act(body=chat_reply(message={"content": thought or None, "tool_calls": calls}, finish_reason="tool_calls"))


def in_turn(*acts: Act) -> Callable[[Asked], Act]:
    left = list(acts)
    return lambda asked: left.pop(0) if asked.path.endswith("/chat/completions") else Act(status=404, body={})


def over(server: Any) -> Any:
    return ts.lm("openai/m", base_url=server.url, api_key="k", dialect="vllm", cache=False)


def test_a_server_of_openais_protocol_gets_tools_and_the_steps_are_the_same() -> None:
    with front(in_turn(*[calling(*one) for one in STEPS])) as server:
        assert seen(run(over(server))) == BY_JSON
    bodies = [asked.body for asked in server.asked if asked.path.endswith("/chat/completions")]
    assert [[one["function"]["name"] for one in body["tools"]] for body in bodies] == [["capital", "finish"]] * 3


def test_arguments_that_are_no_object_are_an_observation() -> None:
    with front(in_turn(calling("?", "capital", "{broken"), calling(*STEPS[2]))) as server:
        found = run(over(server))
    assert (found.answer, found.steps[0].failed) == ("Oslo", True)
    assert "not a JSON object" in found.steps[0].observation


def test_a_server_that_refuses_tools_is_asked_for_json_from_then_on() -> None:
    said = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'

    def answer(asked: Asked) -> Act:
        if not asked.path.endswith("/chat/completions"):
            return Act(status=404, body={})
        if "tools" in asked.body:
            return Act(status=400, body={"error": {"message": said}})
        return Act(body=chat_reply(as_json(*STEPS[2])))

    with front(answer) as server:
        lm = over(server)
        assert run(lm).answer == run(lm).answer == "Oslo"
    assert ["tools" in asked.body for asked in server.asked if asked.path.endswith("/chat/completions")] == [
        True,
        False,
        False,
    ]
    assert any("refuses tools" in note for note in lm.findings.notes)


def test_an_async_call_does_the_same() -> None:
    async def asked(lm: Any) -> dspy.Prediction:
        with dspy.context(lm=lm):
            return await agent().acall(question=QUESTION)

    with front(in_turn(*[calling(*one) for one in STEPS])) as server:
        assert seen(asyncio.run(asked(over(server)))) == BY_JSON


# What models write ------------------------------------------------------------------------------------------


def answering(*replies: str, tools: bool = True) -> FunctionLM:
    left = list(replies)
    return FunctionLM(lambda seen: left.pop(0), capabilities=NATIVE._replace(tools=tools))


@each(
    "reply",
    [
        '{"name": "finish", "arguments": {"answer": "Oslo"}}',
        '{"name": "finish", "parameters": {"answer": "Oslo"}}',
        '<tool_call>\n{"name": "finish", "arguments": {"answer": "Oslo"}}\n</tool_call>',
        '```json\n{"type": "function", "function": {"name": "finish", "arguments": {"answer": "Oslo"}}}\n```',
        '{"tool": "finish", "arguments": "{\\"answer\\": \\"Oslo\\"}"}',
        '<think>\nIs it {"name": "finish"}?\n</think>\n{"name": "finish", "arguments": {"answer": "Oslo"}}',
        as_json("", "finish", {"answer": "Oslo"}),
    ],
)
def test_a_call_that_is_written_as_text_is_read(reply: str) -> None:
    found = run(answering(reply))
    assert (found.answer, len(found.steps)) == ("Oslo", 1)


@each(
    "reply, said",
    [
        ("The capital is Oslo.", "No tool is called. Call one."),
        ("", "The reply is empty: no tool is called."),
        ('{"answer": "Oslo"}', "No tool is called. Call one."),
    ],
)
def test_a_reply_without_a_call_is_an_observation(reply: str, said: str) -> None:
    found = run(answering(reply, as_json(*STEPS[2])))
    assert (found.answer, [step.failed for step in found.steps]) == ("Oslo", [True, False])
    assert said in found.steps[0].observation


def response(*parts: Any) -> Response:
    return Response(
        id=None, model="m", message=Message("assistant", parts), finish_reason="tool_call", usage=Usage(1, 1)
    )


def test_of_several_calls_the_first_counts() -> None:
    calls = [ToolCallPart("a", "finish", {"answer": "Oslo"}), ToolCallPart("b", "capital", {"country": "Norway"})]
    found = run(FunctionLM(lambda seen: response(TextPart("<think>Hm.</think>Now."), *calls), capabilities=NATIVE))
    assert (found.answer, found.steps[0].thought, len(found.steps)) == ("Oslo", "Now.", 1)


def test_thoughts_are_the_thought_if_the_model_writes_nothing_else() -> None:
    reply = Reply("", thinking="I know it.", tool_calls=[{"name": "finish", "arguments": {"answer": "Oslo"}}])
    with ProtocolServer([FakeModel("m", scripted([reply]), tools=True, thinking=True)]) as server:
        found = run(ts.lm("ollama/m", host=server.url, cache=False, think=True))
    assert (found.answer, found.steps[0].thought) == ("Oslo", "I know it.")


# As a format ------------------------------------------------------------------------------------------------


def test_a_demo_is_a_call_for_a_model_that_calls_and_json_for_every_other() -> None:
    demo = {"question": "Q", "trajectory": "No steps yet.", "thought": "T", "action": json.loads(as_json("", "a", {}))}
    demo["action"] = {"tool": "capital", "arguments": {"country": "Italy"}}
    program = agent()
    program.step.demos = [dspy.Example(**demo)]

    native = ts.render(program, lm=answering(), question=QUESTION)
    assert [message["role"] for message in native.messages] == ["system", "user", "assistant", "tool", "user"]
    assert native.messages[2]["content"] == 'T\ncapital {"country":"Italy"}'
    assert native.options["tools"] == ["capital", "finish"]

    plain = ts.render(program, lm=answering(tools=False), question=QUESTION)
    assert [message["role"] for message in plain.messages] == ["system", "user", "assistant", "user"]
    assert "tools" not in plain.options

    with ProtocolServer([FakeModel("m", scripted([as_call(*STEPS[2])]), tools=True)]) as server:
        run(ts.lm("ollama/m", host=server.url, cache=False), program)
        messages = next(entry.body["messages"] for entry in server.requests if entry.path == "/api/chat")
    assert messages[2]["tool_calls"][0]["function"] == {"name": "capital", "arguments": {"country": "Italy"}}
    assert messages[3]["role"] == "tool"


def test_a_predictor_bound_to_json_writes_json() -> None:
    program = agent()
    bind(program.step, "json")
    assert "tools" not in ts.render(program, lm=answering(), question=QUESTION).options


def test_names_that_not_every_server_takes_are_asked_for_as_json() -> None:
    program = ts.ReAct("question -> answer", tools=[ts.Tool(capital, name="world.capital")])
    assert "tools" not in ts.render(program, lm=answering(), question=QUESTION).options


def test_other_signatures_are_refused() -> None:
    signature = ts.Predict("question -> answer").signature
    assert not carries("tools", signature)
    with pytest.raises(FormatError, match="a call of a tool"):
        get_format("tools").check(signature)


def test_a_step_that_is_asked_alone_raises_what_is_wrong() -> None:
    with dspy.context(lm=answering("Hello.")), pytest.raises(ParseError, match="No tool is called"):
        agent().step(question=QUESTION, trajectory="No steps yet.")


def test_a_search_tries_json_only_if_it_differs() -> None:
    rows = [dspy.Example(question=f"{QUESTION} {n}", answer="Oslo").with_inputs("question") for n in range(3)]

    def formats(*, tools: bool) -> set[str]:
        found = ts.compile(
            agent(),
            metric=lambda example, prediction, trace=None: 1.0,
            trainset=rows[:1],
            valset=rows[1:],
            compiler=ts.RandomSearch(num_candidates=8),
            lm=FunctionLM(lambda seen: as_json(*STEPS[2]), capabilities=NATIVE._replace(tools=tools)),
        )
        return {trial.candidate.parts["step"].format for trial in found.report.trials}

    assert formats(tools=False) == {"tools"}
    assert formats(tools=True) == {"tools", "json"}
