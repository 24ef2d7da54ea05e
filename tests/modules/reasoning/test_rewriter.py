"""Rewriter: what the step gets, what the trace has, what it costs."""

from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import ModelUnavailable, UsageError
from tunesmith.lm import FunctionLM, ScriptedLM, Seen
from tunesmith.modules import calls_of, program_inputs

GIVEN = "norway capital is what?"
BETTER = "What is the capital of Norway?"


def rewriter(**options: Any) -> ts.Rewriter:
    return ts.Rewriter(ts.Predict("question -> answer"), "question", **options)


def run(*replies: str, program: Any = None) -> tuple[Any, list[Seen], list[Any]]:
    """Return the answer, what the model saw, and the trace."""
    seen, left = [], iter(replies)

    def reply(one: Seen) -> str:
        seen.append(one)
        return next(left)

    with dspy.context(lm=FunctionLM(reply), trace=[]):
        found = (program or rewriter())(question=GIVEN)
        return found.answer, seen, list(dspy.settings.trace)


def test_the_step_gets_the_rewrite() -> None:
    answer, seen, trace = run(BETTER, "Oslo")
    assert answer == "Oslo"
    assert BETTER in seen[1].text
    assert [step[2].toDict() for step in trace] == [{"rewritten": BETTER}, {"answer": "Oslo"}]


@each("rewritten", ["Oslo.", "The answer is Oslo?", " ", "What is the capital of Norway in 1999?"])
def test_a_rewrite_that_breaks_a_rule_is_not_used_and_not_in_the_trace(rewritten: str) -> None:
    answer, seen, trace = run(rewritten, "Oslo")
    assert answer == "Oslo"
    assert GIVEN in seen[-1].text
    assert [step[2].toDict() for step in trace] == [{"answer": "Oslo"}]


def test_without_a_model_the_error_is_raised_and_not_hidden() -> None:
    def gone(seen: Seen) -> str:
        raise ModelUnavailable("the server is gone")

    with dspy.context(lm=FunctionLM(gone)), pytest.raises(ModelUnavailable):
        rewriter()(question=GIVEN)


def test_a_setting_turns_it_off_and_the_cost_is_declared() -> None:
    assert calls_of(rewriter()) == (2, True)
    assert calls_of(rewriter(active=False)) == (1, True)
    answer, seen, _ = run("Oslo", program=rewriter(active=False))
    assert answer == "Oslo"
    assert len(seen) == 1


def test_its_inputs_are_those_of_the_step() -> None:
    assert program_inputs(rewriter()).names == ("question",)


def test_an_artifact_brings_it_back_without_leave(tmp_path: Path) -> None:
    ts.save(tmp_path / "artifact", rewriter(protect=["Oslo"], active=False))
    found = ts.load(tmp_path / "artifact")
    assert isinstance(found, ts.Rewriter)
    assert (found.field, found.protect, found.active) == ("question", ["Oslo"], False)
    with dspy.context(lm=ScriptedLM("Oslo")):
        assert found(question=GIVEN).answer == "Oslo"


@each(
    ("arguments", "message"),
    [
        (("question -> answer", "question"), "`step` must be a module"),
        ((ts.Predict("question -> answer"), "text"), "`field` must be an input of the step: question. Given: 'text'"),
        ((ts.Predict("question -> answer"), "question", "Oslo"), "`protect` is a list of texts"),
    ],
)
def test_what_cannot_be_used_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ts.Rewriter(*arguments)
