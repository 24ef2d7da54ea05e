"""Thoughts in one call and the answer in a second, as Kojima et al. 2022 say."""

from pathlib import Path

import dspy
import pytest

import tunesmith as ts
from tunesmith.errors import UsageError
from tunesmith.lm import text_response
from tunesmith.modules import Candidate, calls_of, choices_of

JUGGLER = "A juggler can juggle 16 balls. Half are golf balls, and half of those are blue. How many blue golf balls?"
THOUGHT = "There are 16 balls in total. Half are golf balls: 8. Half of the golf balls are blue: 4."


def test_the_papers_first_example_takes_two_calls() -> None:
    lm = ts.ScriptedLM(THOUGHT, "4")
    with dspy.context(lm=lm):
        found = ts.ZeroShotCoT("question -> answer: int")(question=JUGGLER)
    assert (found.answer, found.reasoning) == (4, THOUGHT)
    first, second = (request.messages[-1].text for request in lm.requests)
    assert first.rstrip().endswith("Let's think step by step.\nReasoning:")
    assert JUGGLER in second
    assert THOUGHT in second
    assert "step by step" not in second


def test_thoughts_that_are_cut_at_the_limit_of_a_reply_are_used() -> None:
    with dspy.context(lm=ts.ScriptedLM(text_response(THOUGHT[:60], model="m", finish_reason="length"), "4")):
        found = ts.ZeroShotCoT("question -> answer: int")(question=JUGGLER)
    assert (found.answer, found.reasoning) == (4, THOUGHT[:60].strip())


def test_a_compiler_chooses_the_trigger_and_an_artifact_keeps_it(tmp_path: Path) -> None:
    program = ts.ZeroShotCoT("question -> answer")
    assert calls_of(program) == (2, True)
    trigger = choices_of(program)["self", "trigger"][1]
    ts.save(tmp_path / "one", Candidate.of(program).with_setting("self", "trigger", trigger).apply(program))
    assert ts.load(tmp_path / "one").trigger == trigger


def test_a_signature_with_its_fields_is_refused() -> None:
    with pytest.raises(UsageError, match="`reasoning`"):
        ts.ZeroShotCoT("question -> reasoning, answer")
