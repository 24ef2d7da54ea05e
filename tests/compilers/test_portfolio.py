"""`Portfolio`: what it tries, what it spends, and that it beats random search."""

from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import TRAIN, VAL, Colour, Steps, asked, right, world
from tests.evaluation.replies import proposed
from tests.scale import FULL
from tunesmith.compilers import Portfolio, RandomSearch
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen


def compiled(compiler: Any, model: Any, student: Any = None) -> Any:
    with dspy.context(lm=model):
        program = dspy.Predict(Colour) if student is None else student
        return compiler.compile(program, trainset=TRAIN, valset=VAL).compile_report


def origins(report: Any) -> set[str]:
    return {trial.origin for trial in report.trials}


def test_the_first_race_tries_demos_chosen_for_each_call_and_an_instruction_written_from_examples() -> None:
    report = compiled(Portfolio(metric=right, budget=150), FunctionLM(world()))
    assert {"draws", "nearest", "scratch", "formats"} <= origins(report)


@pytest.mark.whole
def test_later_races_go_on_from_the_leaders() -> None:
    report = compiled(Portfolio(metric=right, budget=600), FunctionLM(world()))
    assert {"merges", "demos"} & origins(report)
    whole = [trial for trial in report.trials if trial.n == len(VAL)]
    assert 2 <= len(whole) <= 12


def test_no_proposals_are_asked_for_without_leave_or_an_arm_that_asks() -> None:
    for options in ({"proposals": 0}, {"arms": ["draws", "merges"]}):
        model = FunctionLM(world())
        report = compiled(Portfolio(metric=right, budget=300, **options), model)
        assert not any("proposals" in note for note in report.notes)


@pytest.mark.whole
def test_a_useless_writer_is_asked_less_than_a_good_one() -> None:
    def asked_of(quality: float) -> int:
        answer = world(lambda demos: 0.5)

        def reply(seen: Seen) -> str:
            if asked(seen):
                return proposed(seen, f"Wording {seen.request.config.seed or 0} {len(seen.text)}.")
            if "Wording" in seen.system:
                truth = answer(seen)
                return truth if quality else "red"
            return answer(seen)

        model = FunctionLM(reply)
        report = compiled(Portfolio(metric=right, budget=400, formats=["bare"]), model)
        return sum("Wording" in trial.candidate.parts["self"].instruction for trial in report.trials)

    assert asked_of(0.0) <= asked_of(1.0)


@pytest.mark.whole
def test_a_setting_is_tried() -> None:
    program = ts.SelfConsistency(ts.Predict(Colour), samples=3)
    report = compiled(Portfolio(metric=right, budget=700), FunctionLM(world()), program)
    assert len({str(trial.candidate.settings) for trial in report.trials}) > 1


def test_an_unknown_arm_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"There is no arm 'gepa'\. Use some of: draws, nearest, "):
        Portfolio(metric=right, arms=["gepa"])


@pytest.mark.whole
def test_it_beats_random_search_at_equal_calls() -> None:
    gains: dict[str, list[float]] = {"portfolio": [], "random": []}
    for seed in range(40 if FULL else 3):
        for name, kind in (("portfolio", Portfolio), ("random", RandomSearch)):
            model = FunctionLM(world())
            report = compiled(kind(metric=right, budget=240, seed=seed), model)
            assert report.charged.calls <= 240
            gains[name].append(report.compiled.mean)
    assert sum(gains["portfolio"]) > sum(gains["random"])


def test_a_program_of_three_steps_is_improved_within_its_budget() -> None:
    report = compiled(Portfolio(metric=right, budget=500), FunctionLM(world()), Steps())
    assert report.charged.calls <= 500
    assert (report.gain.mean or 0) >= 0
