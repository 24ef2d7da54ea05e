"""ReAct falls back to chains of thought, and chains of thought to ReAct, as section 3.2 of the paper says."""

import json
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import calls_of


def search(query: str) -> str:
    """Search."""
    return f"nothing about {query}"


def react(**options: Any) -> ts.ReAct:
    return ts.ReAct("question -> answer", tools=[search], **options)


def chains(samples: int = 3) -> ts.SelfConsistency:
    return ts.SelfConsistency(ts.Predict("question -> answer"), samples=samples)


def act(tool: str, **arguments: Any) -> str:
    return json.dumps({"thought": "?", "action": {"tool": tool, "arguments": arguments}})


def ask(program: dspy.Module, *replies: str) -> tuple[dspy.Prediction, int]:
    lm = ts.ScriptedLM(*replies)
    with dspy.context(lm=lm):
        return program(question="Who?"), len(lm.requests)


LOST = [act("search", query="x")] * 2


def test_react_that_finishes_needs_no_chain() -> None:
    found, calls = ask(ts.ReActThenCoT(react(), chains()), LOST[0], act("finish", answer="Ada"))
    assert (found.answer, found.source, found.stopped, calls) == ("Ada", "react", "finish", 2)


def test_react_that_does_not_finish_asks_the_chains_and_not_its_own_extraction() -> None:
    found, calls = ask(ts.ReActThenCoT(react(max_steps=2), chains()), *LOST, "Ada", "Bob", "Ada")
    assert (found.answer, found.source, found.stopped, calls) == ("Ada", "cot", "max_steps", 5)
    assert (found.confidence, len(found.steps)) == (2 / 3, 2)


def test_chains_that_agree_need_no_tool() -> None:
    found, calls = ask(ts.CoTThenReAct(chains(), react()), "Ada", "Bob", "Ada")
    assert (found.answer, found.source, found.confidence, calls) == ("Ada", "cot", 2 / 3, 3)


def test_chains_that_disagree_ask_react() -> None:
    found, calls = ask(ts.CoTThenReAct(chains(), react()), "Ada", "Bob", "Cy", LOST[0], act("finish", answer="Dan"))
    assert (found.answer, found.source, found.confidence, calls) == ("Dan", "react", 1 / 3, 5)


def test_half_of_the_votes_is_enough_as_in_the_paper() -> None:
    found, calls = ask(ts.CoTThenReAct(chains(4), react()), "Ada", "Ada", "Bob", "Cy")
    assert (found.source, calls) == ("cot", 4)


def test_chains_that_cannot_be_read_ask_react() -> None:
    class Sized(ts.Signature):
        """Say the size."""

        question: str = ts.InputField()
        size: int = ts.OutputField()

    def written(seen: Seen) -> str:
        return act("finish", size=3) if "tool" in seen.system else "large"

    program = ts.CoTThenReAct(ts.SelfConsistency(ts.Predict(Sized), samples=2), ts.ReAct(Sized, tools=[search]))
    with dspy.context(lm=FunctionLM(written)):
        found = program(question="?")
    assert (found.size, found.source, found.confidence) == (3, "react", 0.0)


def test_the_plan_has_the_most_calls() -> None:
    assert calls_of(ts.ReActThenCoT(react(max_steps=7), chains(21))) == (7 + 21, True)
    assert calls_of(ts.CoTThenReAct(chains(21), react(max_steps=7))) == (21 + 8, True)


def test_the_react_that_is_given_keeps_its_answer_at_a_limit() -> None:
    given = react(max_steps=2)
    assert ts.ReActThenCoT(given, chains()).react.answer_at_limit is False
    assert given.answer_at_limit is True


@each(
    "make",
    [
        lambda: ts.ReActThenCoT(chains(), chains()),  # type: ignore[arg-type]
        lambda: ts.ReActThenCoT(react(), "cot"),  # type: ignore[arg-type]
        lambda: ts.CoTThenReAct(ts.Predict("question -> answer"), react()),  # type: ignore[arg-type]
        lambda: ts.ReActThenCoT(ts.ReAct("question -> source", tools=[search]), chains()),
    ],
)
def test_other_parts_are_refused(make: Any) -> None:
    with pytest.raises(UsageError):
        make()
