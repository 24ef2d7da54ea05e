"""Branches share the inputs, run at once where there are slots, and give what they would give one after the other."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tunesmith.errors import ParseError, UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import calls_of, program_inputs
from tunesmith.signatures import output_types


def three() -> ts.Parallel:
    return ts.Parallel(
        **{name: ts.Predict(f"text -> {name}") for name in ("mood", "topic")},
        both=ts.Predict("text, lang -> mood"),
    )


def reply(seen: Seen) -> str:
    return seen.request.messages[-1].text.splitlines()[-1]


def test_a_field_of_several_branches_has_the_name_of_its_branch_in_front() -> None:
    with dspy.context(lm=ts.ScriptedLM("happy", "snow", "sad")):
        found = three()(text="x", lang="en")
    assert found.toDict() == {"mood_mood": "happy", "topic": "snow", "both_mood": "sad"}
    known = program_inputs(three())
    assert set(known.names) == {"text", "lang"}
    assert known.signature is not None
    assert set(output_types(known.signature)) == set(found.toDict())
    assert calls_of(three()) == (3, True)


class Meeting:
    """A model that answers when as many calls as there are slots have arrived."""

    def __init__(self, slots: int) -> None:
        self.gate = threading.Barrier(slots, timeout=10)

    def answer(self, seen: Seen) -> str:
        self.gate.wait()
        return reply(seen)


def test_as_many_branches_run_at_once_as_the_model_has_slots() -> None:
    with dspy.context(lm=FunctionLM(Meeting(3).answer, slots=3), trace=[]):
        found = three()(text="x", lang="en")
        trace = list(dspy.settings.trace)
    assert [found.mood_mood, found.topic, found.both_mood] == ["Mood:", "Topic:", "Mood:"]
    assert [list(one[2].keys()) for one in trace] == [["mood"], ["topic"], ["mood"]]


def test_in_an_evaluation_they_run_one_after_the_other() -> None:
    running, most = [0], [0]

    def counted(seen: Seen) -> str:
        running[0] += 1
        most[0] = max(most[0], running[0])
        running[0] -= 1
        return "x"

    rows = [dspy.Example(text=str(n), lang="en", topic="x").with_inputs("text", "lang") for n in range(3)]
    report = ts.evaluate(three(), rows, ts.metrics.exact_match("topic"), lm=FunctionLM(counted, slots=1))
    assert (report.mean, most[0]) == (1.0, 1)


def test_async_gives_the_same_with_and_without_slots() -> None:
    async def run(slots: int) -> Any:
        with dspy.context(lm=FunctionLM(reply, slots=slots), trace=[]):
            found = await three().acall(text="x", lang="en")
            return found.toDict(), len(dspy.settings.trace)

    assert asyncio.run(run(1)) == asyncio.run(run(3))


def test_an_error_of_a_branch_is_raised_and_nothing_more_begins() -> None:
    class Sized(ts.Signature):
        """Say the size."""

        text: str = ts.InputField()
        size: int = ts.OutputField()

    program = ts.Parallel(bad=ts.Predict(Sized), good=ts.Predict("text -> answer"), more=ts.Predict("text -> other"))
    for slots in (1, 2):
        lm = FunctionLM(lambda seen: "large", slots=slots)
        with dspy.context(lm=lm), pytest.raises(ParseError):
            program(text="x")
        with dspy.context(lm=lm), pytest.raises(ParseError):
            asyncio.run(program.acall(text="x"))


def test_an_artifact_keeps_the_order_of_the_branches(tmp_path: Path) -> None:
    ts.save(tmp_path / "three", three())
    with dspy.context(lm=ts.ScriptedLM("happy", "snow", "sad")):
        found = ts.load(tmp_path / "three")(text="x", lang="en")
    assert found.toDict() == {"mood_mood": "happy", "topic": "snow", "both_mood": "sad"}


def test_it_needs_two_branches() -> None:
    with pytest.raises(UsageError, match="needs 2 or more parts"):
        ts.Parallel(one=ts.Predict("a -> b"))
