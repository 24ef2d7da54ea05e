"""JointSearch: MIPROv2's counts, values that compete, what it asks for and what it finds."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import dspy
import pytest

from tests.compilers.worlds import TRAIN, Colour, asked, right, things, world
from tests.each import each
from tests.evaluation.replies import proposed
from tests.scale import scaled
from tunesmith.compilers import CompileReport, JointSearch, RandomSearch, Study, Trial, joint_search
from tunesmith.errors import UsageError
from tunesmith.evaluation import evaluate
from tunesmith.lm import FunctionLM, Meter, Seen, metered

VAL, TEST = things(*range(100, 140)), things(*range(200, 300))


def compiled(lm: Any = None, *, compiler: Any = None, train: Any = TRAIN, **options: Any) -> Any:
    with dspy.context(lm=FunctionLM(world()) if lm is None else lm):
        made = JointSearch(**{"metric": right, **options}) if compiler is None else compiler
        return made.compile(dspy.Predict(Colour), trainset=train, valset=VAL)


def report_of(*args: Any, **options: Any) -> CompileReport:
    return compiled(*args, **options).compile_report


# As published -----------------------------------------------------------------------------------------------


@each(("paths", "trials"), [(1, (10, 18, 27)), (2, (20, 28, 33)), (4, (41, 57, 66))])
def test_the_published_settings_try_as_many_points_as_miprov2(paths: int, trials: Sequence[int]) -> None:
    made = [JointSearch.published(auto) for auto in ("light", "medium", "heavy")]
    assert [compiler.trials(paths) for compiler in made] == list(trials)
    with pytest.raises(UsageError, match="light, medium, heavy"):
        JointSearch.published("large")


def test_the_published_settings_make_as_many_calls_as_published() -> None:
    """A full score pays only for what the minibatch has not seen: the formula counts the 35 twice."""
    meter = Meter()
    with metered(meter):
        report = report_of(compiler=JointSearch.published("light", metric=right), train=TRAIN[:25])

    whole = [trial for trial in report.trials if trial.n == len(VAL)]
    assert len(report.trials) == 1 + 10
    assert len(whole) == 1 + 10 // 5, "the program as given, and the best after 5 and 10 trials"
    assert {trial.n for trial in report.trials if trial not in whole} == {35}
    looks, summary, texts = 3, 1, 3
    assert meter.by_role()["charged"]["prompt"].calls == looks + summary + 3 * texts
    assert report.charged.calls == len(VAL) + 10 * 35 + 2 * (len(VAL) - 35) + 13


def test_a_plan_counts_the_proposals() -> None:
    plan = JointSearch.published("light", metric=right).plan(train=400, val=100)
    assert (plan["candidates"], plan["proposals"]) == (11, 10 + 1 + 9)
    assert JointSearch(proposals=0, metric=right).plan(train=400, val=100)["proposals"] == 0


def test_the_sampler_draws_a_quarter_at_random_and_no_more_than_ten() -> None:
    assert [joint_search._startup(trials) for trials in (10, 27, 40, 66)] == [2, 6, 10, 10]


# What is told -----------------------------------------------------------------------------------------------


def test_all_values_that_a_study_is_told_are_of_the_same_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []

    class Recorded(Study):
        def tell(self, trial: Trial, value: Any, **more: Any) -> Any:
            told.extend(() if value is None else value)
            return super().tell(trial, value, **more)

    monkeypatch.setattr(joint_search, "Study", Recorded)
    report = report_of(minibatch=7, num_trials=12, proposals=2)

    assert len(told) > 12
    assert all((value * 7) == pytest.approx(round(value * 7)) for value in told)
    assert {trial.n for trial in report.trials} <= {7, 14, 28, 40}
    assert sum(trial.n == 40 for trial in report.trials) == 1 + 2, "two leaders are scored on every example"


def test_several_objectives_are_told_of_every_example() -> None:
    report = report_of(objectives=("score", "tokens"), num_trials=6, proposals=1, limits={"tokens": 400})
    assert {trial.n for trial in report.trials} == {len(VAL)}
    assert any("tokens" in note for note in report.notes)


def test_temperatures_are_tried() -> None:
    report = report_of(num_trials=12, temperatures=(0.5,), proposals=0)
    assert {trial.candidate.sampling.get("temperature") for trial in report.trials} == {None, 0.5}


# What it asks for -------------------------------------------------------------------------------------------


def questions(writer: Any, **options: Any) -> list[str]:
    """Return the questions to a prompt model that writes what `writer` returns."""
    answer, found = world(), list[str]()

    def reply(seen: Seen) -> str:
        if not asked(seen):
            return answer(seen)
        found.append(seen.text)
        return proposed(seen, writer(len(found)))

    compiled(FunctionLM(reply), **options)
    return found


def test_every_other_instruction_is_written_without_sight_of_the_present_one() -> None:
    found = questions(lambda number: f"Wording {number}.", proposals=4, rounds=1)
    assert len(found) == 1 + 4
    assert "thing 0" in found[0], "it looks at the data first"
    assert [f"Current: {Colour.instructions}" in text for text in found[1:]] == [True, False, True, False]
    assert all("thing -> colour (one of: red, green, blue)" in text for text in found[1:])


def test_a_later_round_betters_the_best_so_far_and_is_left_out_if_nothing_written_helps() -> None:
    helps = questions(lambda number: "Wording 77." if number % 2 else f"Wording {number}.", rounds=2, num_trials=16)
    useless = questions(lambda number: "Answer with a number, never with a colour.", rounds=2, num_trials=16)
    assert any("Current: Wording" in text for text in helps[4:])
    assert len(useless) <= 1 + 2 * 3


# What it finds ----------------------------------------------------------------------------------------------


@pytest.mark.whole
def test_it_finds_more_than_random_search_for_the_same_calls() -> None:
    """Instructions that a writer can find help in this world; random draws try none."""
    budget = 300

    def tested(kind: Any, seed: int) -> float:
        model = FunctionLM(world())
        program = compiled(model, compiler=kind(metric=right, budget=budget, seed=seed))
        assert program.compile_report.charged.calls <= budget
        return evaluate(program, TEST, right, lm=model).mean or 0.0

    seeds = range(max(3, scaled(40)))
    ours, random = ([tested(kind, seed) for seed in seeds] for kind in (JointSearch, RandomSearch))
    assert fmean(ours) > fmean(random) + 0.02
