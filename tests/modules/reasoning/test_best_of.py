"""The best of several attempts, and an attempt improved by feedback."""

from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tunesmith.errors import ParseError, UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate, calls_of

STEP = "question -> answer"
JUDGE = "question, answer -> good: bool"


def short(example: Any, found: Any) -> float:
    return 1 / len(found.answer)


def ask(program: dspy.Module, *replies: str, **context: Any) -> dspy.Prediction:
    with dspy.context(lm=ts.ScriptedLM(*replies), **context):
        return program(question="2 + 2?")


def test_the_attempt_with_the_highest_reward_wins_and_the_first_of_equal_ones() -> None:
    trace: list[Any] = []
    found = ask(ts.BestOf(ts.Predict(STEP), short), "four", "44", "22", trace=trace)
    assert (found.answer, found.reward, found.rewards) == ("44", 0.5, [0.25, 0.5, 0.5])
    assert [step[2].answer for step in trace] == ["44"]


def test_it_stops_at_the_threshold() -> None:
    found = ask(ts.BestOf(ts.Predict(STEP), short, threshold=0.5), "four", "44")
    assert (found.rewards, found.stopped) == ([0.25, 0.5], "threshold")


def test_each_attempt_is_another_rollout() -> None:
    seen: list[Seen] = []
    lm = FunctionLM(lambda one: seen.append(one) or "words")
    for rollout in (0, 1):
        with dspy.context(lm=lm.copy(rollout_id=rollout)):
            ts.BestOf(ts.Predict(STEP), short)(question="?")
    assert len({one.request.config.seed for one in seen}) == 6


def test_a_predictor_is_a_reward_and_an_artifact_holds_it(tmp_path: Path) -> None:
    program = ts.BestOf(ts.Predict(STEP), ts.Predict(JUDGE), samples=2)
    assert calls_of(program) == (4, True)
    ts.save(tmp_path / "one", Candidate.of(program).with_setting("self", "samples", 5).apply(program))
    loaded = ts.load(tmp_path / "one")
    assert loaded.samples == 5
    assert ask(loaded, "five", "false", "four", "true").answer == "four"


def test_an_attempt_that_cannot_be_parsed_has_no_reward() -> None:
    class Sized(ts.Signature):
        """Say the size."""

        question: str = ts.InputField()
        size: Literal["small", "large"] = ts.OutputField()

    program = ts.BestOf(ts.Predict(Sized), lambda example, found: 0.5, samples=2)
    assert ask(program, "?", "large").rewards == [None, 0.5]
    with pytest.raises(ParseError):
        ask(program, "?", "?")


def test_without_a_reward_it_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="no `reward`"):
        ask(ts.BestOf(ts.Predict(STEP)), "4")
    with pytest.raises(UsageError, match="`reward` must be"):
        ts.BestOf(ts.Predict(STEP), "short")
    with pytest.raises(UsageError, match="`step` must be"):
        ts.Refine(STEP, short)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a field `attempts`"):
        ts.Refine(ts.Predict("attempts -> answer"), short)
    with pytest.raises(UsageError, match="an output `reward`"):
        ts.BestOf(ts.Predict("question -> reward"), short)


def test_refining_improves_the_last_attempt_by_all_feedback_and_returns_the_best() -> None:
    lm = ts.ScriptedLM("four", "Be short.", "44", "Too many fours.", "444")
    with dspy.context(lm=lm):
        found = ts.Refine(ts.Predict(STEP), short)(question="2 + 2?")
    assert (found.answer, found.rewards, found.stopped) == ("44", [0.25, 0.5, 1 / 3], "rounds")
    text = lm.requests[-1].messages[-1].text.replace("\n  ", "\n")
    assert "Attempt 1:\nanswer: four\nFeedback: Be short.\n\nAttempt 2:\nanswer: 44\nFeedback: Too many" in text


def test_feedback_of_the_reward_costs_no_call() -> None:
    def told(example: Any, found: Any) -> ts.Score:
        return ts.Score(float(found.answer == "4"), "Give the number alone.")

    assert ask(ts.Refine(ts.Predict(STEP), told), "four", "4").rewards == [0.0, 1.0]


def test_an_improvement_that_cannot_be_parsed_ends_refining() -> None:
    found = ask(ts.Refine(ts.Predict("question -> answer: int"), lambda e, f: 0.1), "5", "Too large.", "four")
    assert (found.answer, found.rewards, found.stopped) == (5, [0.1, None], "unreadable")


def test_a_refiner_is_rebuilt_from_an_artifact(tmp_path: Path) -> None:
    program = ts.Refine(ts.ChainOfThought(STEP), ts.Predict(f"reasoning, {JUDGE}"), rounds=1)
    assert calls_of(program) == (5, True)
    ts.save(tmp_path / "one", program)
    assert ts.load(tmp_path / "one").rounds == 1


def test_a_budget_that_ends_before_a_judgement_leaves_the_attempt() -> None:
    program = ts.BestOf(ts.Predict(STEP), ts.Predict(JUDGE))
    with ts.metered(ts.Meter(ts.Budget(calls=3))):
        found = ask(program, "five", "false", "four")
    assert (found.answer, found.rewards, found.stopped) == ("five", [0.0, None], "budget")


def test_a_search_whose_last_attempt_a_budget_cut_says_so() -> None:
    for outer in (
        lambda step: ts.BestOf(step, lambda example, found: 0.1, samples=2),
        lambda step: ts.SelfConsistency(step, samples=2),
    ):
        for calls, stopped in ((3, "budget"), (5, "budget"), (6, "samples")):
            program = outer(ts.SelfConsistency(ts.Predict(STEP), samples=3))
            with ts.metered(ts.Meter(ts.Budget(calls=calls))):
                assert ask(program, *"123456").stopped == stopped


def test_a_search_around_a_search_has_the_fields_of_the_outer_one() -> None:
    program = ts.BestOf(ts.SelfConsistency(ts.Predict(STEP), samples=1), short, samples=2)
    assert ask(program, "four", "44").stopped == "samples"
    assert ask(ts.BestOf(program, short, samples=1), "four", "44").rewards == [0.5]
