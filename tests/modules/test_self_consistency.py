"""Self-consistency votes as Wang et al. 2022 say, and a compile can choose how many chains there are."""

import asyncio
from pathlib import Path
from typing import Literal

import dspy
import pytest

import tunesmith as ts
from tunesmith.errors import ParseError, UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate, calls_of

STEP = "question -> answer"


def ask(program: dspy.Module, lm: ts.LM) -> dspy.Prediction:
    with dspy.context(lm=lm):
        return program(question="2 + 2?")


def answers(*texts: str) -> ts.LM:
    return ts.ScriptedLM(*texts)


def test_the_most_frequent_answer_wins_after_normalisation() -> None:
    found = ask(ts.SelfConsistency(ts.Predict(STEP), samples=4), answers("5", "four", "Four.", "six"))
    assert found.answer == "four"
    assert found.confidence == 0.5
    assert [chain["answer"] for chain in found.chains] == ["5", "four", "Four.", "six"]


def test_a_tie_goes_to_the_answer_that_came_first() -> None:
    found = ask(ts.SelfConsistency(ts.Predict(STEP), samples=4), answers("a1", "b1", "b1", "a1"))
    assert (found.answer, found.confidence) == ("a1", 0.5)


def test_each_chain_is_another_rollout_at_the_temperature_of_the_setting() -> None:
    seen: list[Seen] = []
    program = ts.SelfConsistency(ts.Predict(STEP), samples=3, temperature=0.4)
    ask(program, FunctionLM(lambda one: seen.append(one) or "x"))
    assert [one.request.config.seed for one in seen] == [0, 1, 2]
    assert {one.request.config.temperature for one in seen} == {0.4}


def test_two_rollouts_of_a_program_share_no_chain() -> None:
    seen: list[int] = []
    lm = FunctionLM(lambda one: seen.append(one.request.config.seed) or "x")
    program = ts.SelfConsistency(ts.Predict(STEP), samples=3)
    for rollout in (0, 1, 2):
        ask(program, lm.copy(rollout_id=rollout))
    assert len(set(seen)) == 9


def test_a_step_with_a_model_of_its_own_is_rolled_too() -> None:
    seen: list[int] = []
    step = ts.Predict(STEP)
    step.lm = FunctionLM(lambda one: seen.append(one.request.config.seed) or "x")
    ask(ts.SelfConsistency(step, samples=3), answers())
    assert seen == [0, 1, 2]


def test_a_chain_of_thought_votes_on_its_answer_and_not_on_its_reasoning() -> None:
    replies = [f'{{"reasoning": "way {n}", "answer": "{a}"}}' for n, a in enumerate("xyy")]
    found = ask(ts.SelfConsistency(ts.ChainOfThought(STEP), samples=3), answers(*replies))
    assert (found.reasoning, found.answer) == ("way 1", "y")


def test_a_chain_that_cannot_be_parsed_has_no_vote_and_counts() -> None:
    class Sized(ts.Signature):
        """Say the size."""

        question: str = ts.InputField()
        size: Literal["small", "large"] = ts.OutputField()

    found = ask(ts.SelfConsistency(ts.Predict(Sized), samples=3), answers("?", "large", "?"))
    assert (found.size, found.confidence, found.chains[0]) == ("large", 1 / 3, None)
    with pytest.raises(ParseError):
        ask(ts.SelfConsistency(ts.Predict(Sized), samples=2), answers("?", "?"))


def test_the_trace_has_the_winning_chain_alone() -> None:
    program = ts.SelfConsistency(ts.Predict(STEP), samples=3)
    trace: list[object] = []
    with dspy.context(lm=answers("no", "yes", "yes"), trace=trace):
        program(question="?")
    ((predictor, _, prediction),) = trace
    assert predictor is program.step
    assert prediction.answer == "yes"


def test_it_runs_asynchronously() -> None:
    program = ts.SelfConsistency(ts.Predict(STEP), samples=3)

    async def call() -> dspy.Prediction:
        with dspy.context(lm=answers("a1", "b1", "b1")):
            return await program.acall(question="?")

    assert asyncio.run(call()).answer == "b1"


def test_its_calls_are_counted() -> None:
    assert calls_of(ts.SelfConsistency(ts.ChainOfThought(STEP), samples=7)) == (7, True)
    assert calls_of(ts.SelfConsistency(ts.SelfConsistency(ts.Predict(STEP), samples=2), samples=3)) == (6, True)


@pytest.mark.parametrize(
    "made",
    [
        lambda: ts.SelfConsistency("question -> answer"),  # type: ignore[arg-type]
        lambda: ts.SelfConsistency(ts.Predict(STEP), vote="colour"),
        lambda: ts.SelfConsistency(ts.Predict(STEP), samples=0),
        lambda: ts.SelfConsistency(ts.Predict(STEP), samples=3.5),  # type: ignore[arg-type]
        lambda: ts.SelfConsistency(ts.Predict("question -> answer, confidence: float")),
    ],
)
def test_wrong_arguments_are_refused(made: object) -> None:
    with pytest.raises(UsageError):
        made()  # type: ignore[operator]


@pytest.mark.parametrize("step", [ts.Predict(STEP), ts.ChainOfThought(STEP)])
def test_an_artifact_is_rebuilt_with_its_settings_and_without_leave(step: dspy.Module, tmp_path: Path) -> None:
    program = ts.SelfConsistency(ts.SelfConsistency(step, samples=2), vote="answer", samples=3)
    ts.save(tmp_path / "one", Candidate.of(program).with_setting("self", "samples", 9).apply(program))
    loaded = ts.load(tmp_path / "one")
    assert type(loaded) is ts.SelfConsistency
    assert (loaded.samples, loaded.step.samples, loaded.vote) == (9, 2, "answer")
    assert type(loaded.step.step) is type(step)
