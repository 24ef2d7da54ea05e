"""The study: seeded asks, every sampler, and only full scores compete."""

import importlib.util
import logging
import math
from collections import Counter
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from tests.each import each
from tunesmith.compilers import SAMPLERS, Study, Trial
from tunesmith.compilers._study import OBJECTIVES, pareto_front
from tunesmith.errors import UsageError

SPACE = {"instruction": 3, "demos": 5, "set": 8}
HAS_GP = all(importlib.util.find_spec(name) is not None for name in ("torch", "scipy"))
HERE = [name for name in SAMPLERS if name != "gp" or HAS_GP]
samplers = pytest.mark.parametrize("sampler", HERE)


def value(trial: Trial) -> float:
    return sum(count - index for (_, index), count in zip(trial.choices.items(), SPACE.values(), strict=True)) / 16


def values(trial: Trial, objectives: tuple[str, ...]) -> list[float]:
    return [value(trial), *(10.0 + trial.choices["demos"] * 30 for _ in objectives[1:])]


def asked(
    sampler: str, seed: int, count: int = 30, objectives: tuple[str, ...] = ("score",), batch: int = 1
) -> list[dict[str, int]]:
    """Return what a study asks that is told a full score, nothing, or a partial score in turn, some over a limit."""
    study, found = Study(SPACE, sampler=sampler, seed=seed, objectives=objectives, population=4), []
    for _ in range(count // batch):
        trials = [study.ask() for _ in range(batch)]
        for trial in trials:
            found.append(dict(trial.choices))
            over = {"tokens": trial.choices["demos"] - 3.0}
            if trial.number % 5 == 3:
                study.tell(trial, None)
            else:
                study.tell(trial, values(trial, objectives), seen=10 if trial.number % 5 == 1 else 0, over=over)
    return found


# Asks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objectives", [("score",), ("score", "latency", "calls")], ids=len)
@pytest.mark.parametrize("batch", [1, 5])
@samplers
def test_equal_seeds_and_equal_tells_give_equal_asks(sampler: str, batch: int, objectives: tuple[str, ...]) -> None:
    assert asked(sampler, 7, 30, objectives, batch) == asked(sampler, 7, 30, objectives, batch)


@samplers
def test_another_seed_gives_other_asks(sampler: str) -> None:
    assert asked(sampler, 0) != asked(sampler, 9)


@pytest.mark.parametrize("sampler", [name for name in HERE if name not in ("random", "grid")])
def test_what_is_told_decides_what_is_asked(sampler: str) -> None:
    def later(sign: int) -> list[dict[str, int]]:
        study, found = Study(SPACE, sampler=sampler, seed=1, population=4), []
        for _ in range(30):
            trial = study.ask()
            found.append(dict(trial.choices))
            study.tell(trial, sign * value(trial))
        return found

    assert later(1) != later(-1)


def test_tpe_learns_from_what_it_is_told_and_random_does_not() -> None:
    def later(sampler: str, seed: int) -> float:
        study, found = Study(SPACE, sampler=sampler, seed=seed), []
        for _ in range(60):
            trial = study.ask()
            found.append(value(trial))
            study.tell(trial, value(trial))
        return sum(found[30:]) / 30

    seeds = range(3)
    assert sum(later("tpe", s) for s in seeds) > sum(later("random", s) for s in seeds) + 0.3


def test_nsga_spreads_along_the_front_of_score_and_tokens() -> None:
    """Demos raise the score and cost tokens; everything else only costs score, and is bred out."""

    def wasted(sampler: str, seed: int) -> float:
        study = Study(SPACE, sampler=sampler, seed=seed, objectives=("score", "tokens"), population=10)
        found = []
        for _ in range(100):
            trial = study.ask()
            demos, rest = trial.choices["demos"], trial.choices["instruction"] + trial.choices["set"]
            study.tell(trial, (demos - rest, 100 * demos))
            found.append((demos, rest))
        assert {demos for demos, _ in found[50:]} == set(range(5))
        return sum(rest for _, rest in found[50:]) / 50

    assert sum(wasted("nsga-ii", s) for s in range(3)) < 0.7 * sum(wasted("random", s) for s in range(3))


@settings(max_examples=8)
@given(
    st.dictionaries(st.text(min_size=1), st.integers(1, 6), min_size=1, max_size=4),
    st.sampled_from([name for name in HERE if name != "gp"]),
)
def test_every_choice_is_in_its_range(space: dict[str, int], sampler: str) -> None:
    study = Study(space, sampler=sampler, seed=1)
    for number in range(min(5, study.size)):
        trial = study.ask()
        assert trial.number == number
        assert set(trial.choices) == set(space)
        assert all(0 <= trial.choices[name] < count for name, count in space.items())
        study.tell(trial, 0.5)


def test_the_size_is_the_number_of_points() -> None:
    assert Study(SPACE).size == 120
    assert Study({"only": 1}).size == 1


# The grid -------------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_a_grid_covers_the_space_exactly(counts: list[int], seed: int) -> None:
    study = Study({f"name {i}": count for i, count in enumerate(counts)}, sampler="grid", seed=seed)
    found: Counter[tuple[int, ...]] = Counter()
    while not study.exhausted:
        trial = study.ask()
        found[tuple(trial.choices.values())] += 1
        study.tell(trial, 0.5)

    assert len(found) == study.size == math.prod(counts)
    assert set(found.values()) == {1}
    with pytest.raises(UsageError, match="points of the grid were asked for"):
        study.ask()


def test_a_grid_is_in_random_order_and_is_not_listed_beforehand() -> None:
    huge = Study({f"name {i}": 50 for i in range(12)}, sampler="grid", seed=1)
    points = [tuple(huge.ask().choices.values()) for _ in range(40)]
    assert len(set(points)) == 40
    assert all(len({point[i] for point in points}) > 10 for i in range(12)), "every name varies from the start"
    assert not huge.exhausted


def test_other_samplers_are_never_exhausted() -> None:
    study = Study({"only": 2}, seed=0)
    for _ in range(5):
        study.tell(study.ask(), 0.5)
    assert not study.exhausted


# Tells ----------------------------------------------------------------------------------------------------------


def told(study: Study) -> list[Any]:
    return study._study.get_trials()


@samplers
def test_a_partial_or_missing_score_is_never_the_best(sampler: str) -> None:
    study = Study(SPACE, sampler=sampler, seed=0)
    whole = []
    for score, seen in ((1.0, 4), (0.2, 0), (0.9, 12), (0.3, 0), (1.0, 1)):
        trial = study.ask()
        study.tell(trial, score, seen=seen)
        whole += [trial.number] if not seen else []
    study.tell(study.ask(), None)

    assert study._study.best_trial.number == whole[-1]
    assert study._study.best_value == 0.3


def test_a_dropped_trial_is_pruned_after_as_many_steps_as_it_was_seen_on() -> None:
    study = Study(SPACE, seed=0)
    study.tell(study.ask(), 0.25, seen=12)
    study.tell(study.ask(), 0.75)
    study.tell(study.ask(), None)

    dropped, whole, missing = told(study)
    assert (dropped.state, dropped.intermediate_values) == (TrialState.PRUNED, {12: 0.25})
    assert (whole.state, whole.value, whole.intermediate_values) == (TrialState.COMPLETE, 0.75, {})
    assert (missing.state, missing.value) == (TrialState.FAIL, None)


def test_with_several_objectives_a_dropped_trial_failed() -> None:
    study = Study(SPACE, seed=0, objectives=("score", "tokens"))
    study.tell(study.ask(), (0.25, 80.0), seen=12)
    study.tell(study.ask(), (0.75, 90.0))

    dropped, whole = told(study)
    assert (dropped.state, dropped.values, dropped.intermediate_values) == (TrialState.FAIL, None, {})
    assert (whole.state, whole.values) == (TrialState.COMPLETE, [0.75, 90.0])
    assert study._study.best_trials == [whole]


@given(
    st.lists(
        st.tuples(st.floats(-5, 5), st.sampled_from([0, 0, 3, 20]), st.booleans()), min_size=1, max_size=12
    ),
    st.sampled_from([("score",), ("score", "tokens")]),
)  # fmt: skip
@settings(max_examples=25)
def test_the_study_holds_what_it_was_told_and_nothing_else(
    tells: list[tuple[float, int, bool]], objectives: tuple[str, ...]
) -> None:
    """Full scores and no others are the values that samplers compare, in the order of their trials."""
    study = Study(SPACE, seed=2, objectives=objectives)
    trials = [study.ask() for _ in tells]
    for trial, (score, seen, is_missing) in zip(trials, tells, strict=True):
        study.tell(trial, None if is_missing else [score, *(1.0 for _ in objectives[1:])], seen=seen)

    full = [(t.number, score) for t, (score, seen, missing) in zip(trials, tells, strict=True) if not (seen or missing)]
    assert [(t.number, t.values[0]) for t in told(study) if t.state is TrialState.COMPLETE] == full
    assert [t.params for t in told(study)] == [dict(trial.choices) for trial in trials]
    steps = [(t.number, s, v) for t in told(study) for s, v in t.intermediate_values.items()]
    partial = [(t.number, n, v) for t, (v, n, missing) in zip(trials, tells, strict=True) if n and not missing]
    assert steps == (partial if len(objectives) == 1 else [])


def test_a_pruned_point_does_not_draw_tpe_towards_it() -> None:
    # Choice 0 looks perfect on few examples and is then dropped; choice 1 scores in full.
    study = Study({"choice": 2}, sampler="tpe", seed=3)
    later = []
    for number in range(60):
        trial = study.ask()
        chosen = trial.choices["choice"]
        study.tell(trial, 1.0 if chosen == 0 else 0.6, seen=4 if chosen == 0 else 0)
        if number >= 30:
            later.append(chosen)
    assert sum(later) > 20


@pytest.mark.parametrize("sampler", [name for name in HERE if name not in ("random", "grid")])
def test_a_point_over_a_limit_is_not_sought_however_well_it_scores(sampler: str) -> None:
    def sought(*, limited: bool) -> int:
        study, count = Study({"demos": 4, "set": 3}, sampler=sampler, seed=5, population=6), 0
        for number in range(60):
            trial = study.ask()
            demos = trial.choices["demos"]
            study.tell(trial, float(demos), over={"tokens": 100.0 * demos - 150} if limited else None)
            count += number >= 30 and demos > 1
        return count

    assert sought(limited=True) < 12
    assert sought(limited=False) > 18


def test_a_constraint_is_told_for_pruned_trials_too() -> None:
    study = Study(SPACE, seed=0)
    found = study.tell(study.ask(), 0.9, seen=4, over={"tokens": 12.5})
    assert found.constraints == {"tokens": 12.5}
    assert found.state is TrialState.PRUNED


def test_points_may_be_open_together_and_told_in_any_order() -> None:
    study = Study(SPACE, seed=2)
    trials = [study.ask() for _ in range(4)]

    for trial in reversed(trials):
        study.tell(trial, 0.1 * trial.number)

    assert study._study.best_trial.number == 3


# Objectives -----------------------------------------------------------------------------------------------------


def test_scores_go_up_and_costs_go_down() -> None:
    study = Study(SPACE, objectives=tuple(OBJECTIVES))
    assert [direction.name for direction in study._study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE", "MINIMIZE"]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=10))
def test_the_front_is_what_optuna_calls_its_best_trials(points: list[tuple[int, int]]) -> None:
    study = Study(SPACE, objectives=("score", "tokens"))
    for point in points:
        study.tell(study.ask(), point)

    front = pareto_front([{"score": a, "tokens": b} for a, b in points], ("score", "tokens"))
    assert front == sorted(trial.number for trial in study._study.best_trials)


# What is refused ------------------------------------------------------------------------------------------------


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(UsageError, match="no sampler 'cma-es'"):
        Study(SPACE, sampler="cma-es")
    with pytest.raises(UsageError, match="Nothing can be chosen for demos"):
        Study({"demos": 0, "set": 3})
    for objectives in ((), ("tokens",), ("score", "score")):
        with pytest.raises(UsageError, match="Objectives are `score` and others"):
            Study(SPACE, objectives=objectives)
    with pytest.raises(UsageError, match="no objective 'beauty'"):
        Study(SPACE, objectives=("score", "beauty"))


@pytest.mark.skipif(HAS_GP, reason="torch and scipy are installed")
def test_a_sampler_whose_packages_are_missing_says_what_to_install() -> None:
    with pytest.raises(UsageError, match=r"'gp' needs .*torch.* Run `pip install .*torch.*`"):
        Study(SPACE, sampler="gp")


@each("bad", [math.nan, math.inf, (0.5, 0.5), ()])
def test_a_value_that_is_none_is_refused_and_the_trial_stays_open(bad: Any) -> None:
    study = Study(SPACE)
    trial = study.ask()
    with pytest.raises(UsageError, match="a finite value for each of score"):
        study.tell(trial, bad)
    study.tell(trial, 0.5)
    with pytest.raises(UsageError, match="Trial 0 is not open"):
        study.tell(trial, 0.5)


@pytest.mark.filterwarnings("error")
@samplers
def test_optuna_stays_silent_and_keeps_its_verbosity(
    sampler: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.INFO)
    try:
        study = Study(SPACE, sampler=sampler, seed=0)
        for _ in range(12):
            study.tell(study.ask(), 1.0)
        assert optuna.logging.get_verbosity() == logging.INFO
        said = capfd.readouterr()
        assert (said.out, said.err, caplog.messages) == ("", "", [])
        optuna.create_study()
        assert "A new study created" in caplog.text, "a user's own studies are announced as ever"
    finally:
        optuna.logging.set_verbosity(before)
