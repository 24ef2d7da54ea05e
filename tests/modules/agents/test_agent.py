"""An agent plans, acts with tools and remembers what they returned."""

import json
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.lm import Capabilities, FunctionLM, Seen
from tunesmith.modules import Candidate, calls_of, program_inputs

CAPITALS = {"Norway": "Oslo", "Italy": "Rome"}


def capital(country: str) -> str:
    """Look up the capital of a country."""
    return CAPITALS[country]


def agent(**options: Any) -> ts.Agent:
    return ts.Agent("question -> answer", tools=[capital], **options)


def act(tool: str, **arguments: Any) -> str:
    return json.dumps({"thought": "?", "action": {"tool": tool, "arguments": arguments}})


def ask(program: dspy.Module, *replies: str, **inputs: Any) -> tuple[dspy.Prediction, list[Any]]:
    lm = ts.ScriptedLM(*replies)
    with dspy.context(lm=lm):
        return program(**inputs), lm.requests


FIRST = ("1. Look it up.\n2. Answer.", act("capital", country="Norway"), act("finish", answer="Oslo"))


def test_it_plans_then_acts_and_the_next_question_is_answered_from_memory() -> None:
    found, requests = ask(agent(), *FIRST, question="What is the capital of Norway?")
    assert (found.answer, found.stopped, found.plan, len(requests)) == ("Oslo", "finish", FIRST[0], 3)
    assert "capital: Look up the capital of a country." in requests[0].system
    assert "1. Look it up." in requests[1].messages[-1].text
    assert found.past == [
        {
            "question": "What is the capital of Norway?",
            "answer": "Oslo",
            "did": ['capital {"country": "Norway"}: Oslo'],
        }
    ]
    again, requests = ask(
        agent(), "Recall it.", act("finish", answer="Oslo"), question="And again?", past=found.past
    )  # fmt: skip
    assert (again.answer, len(requests), len(again.past)) == ("Oslo", 2, 2)
    assert all("Norway" in request.messages[-1].text for request in requests)


def test_without_a_plan_it_is_react_with_a_memory() -> None:
    found, requests = ask(agent(planned=False), *FIRST[1:], question="?")
    assert (found.answer, found.plan, len(requests)) == ("Oslo", "none", 2)


def test_a_plan_that_cannot_be_read_is_none() -> None:
    lm = ts.ScriptedLM("x" * 401, *FIRST[1:], capabilities=Capabilities())
    with dspy.context(lm=lm):
        assert agent()(question="?").plan == "none"


def test_only_what_worked_is_remembered_and_it_is_cut() -> None:
    def long(text: str) -> str:
        """Return much."""
        return text * 300

    program = ts.Agent("question -> answer", tools=[capital, long])
    found, _ = ask(
        program, "Look.", act("capital", country="Nowhere"), act("long", text="a"), act("finish", answer="?"),
        question="?",
    )  # fmt: skip
    assert len(found.past[0]["did"]) == 1
    assert "more characters are left out" in found.did[0]


def test_the_plan_counts_its_calls() -> None:
    assert calls_of(agent(max_steps=3)) == (1 + 3 + 1, True)
    assert calls_of(agent(max_steps=3, planned=False)) == (3 + 1, True)
    assert program_inputs(agent()).names == ("question", "past")


def test_a_compile_finds_that_a_plan_does_not_help() -> None:
    def reply(seen: Seen) -> str:
        if "trajectory" not in seen.text.lower():
            return "Ask somebody."
        return act("finish", answer="?" if "Ask somebody" in seen.request.messages[-1].text else "Oslo")

    rows = [dspy.Example(question=f"Where, {n}?", answer="Oslo").with_inputs("question") for n in range(8)]
    found = ts.compile(
        agent(),
        metric=ts.metrics.exact_match("answer"),
        trainset=rows[:4],
        valset=rows[4:],
        compiler=ts.RandomSearch(),
        lm=FunctionLM(reply),
    )
    assert Candidate.of(found.program).settings["step"]["planned"] is False


@each("field", ["memory", "plan", "did", "past"])
def test_the_fields_that_it_adds_are_taken(field: str) -> None:
    with pytest.raises(UsageError, match="adds"):
        ts.Agent(f"question -> {field}", tools=[capital])
