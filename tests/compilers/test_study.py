"""The study: seeded asks, and only full scores compete."""

import logging

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.compilers import Study, Trial
from tunesmith.errors import UsageError

SPACE = {"instruction": 3, "demos": 5, "set": 8}
samplers = pytest.mark.parametrize("sampler", ["random", "tpe"])


def value(trial: Trial) -> float:
    return sum(count - index for (_, index), count in zip(trial.choices.items(), SPACE.values(), strict=True)) / 16


def asked(sampler: str, seed: int, count: int = 30) -> list[dict[str, int]]:
    """Return what a study asks that is told a score, nothing, or a partial score in turn."""
    study, found = Study(SPACE, sampler=sampler, seed=seed), []
    for _ in range(count):
        trial = study.ask()
        found.append(dict(trial.choices))
        if trial.number % 5 == 3:
            study.tell(trial, None)
        else:
            study.tell(trial, value(trial), seen=10 if trial.number % 5 == 1 else 0)
    return found


@samplers
def test_equal_seeds_and_equal_tells_give_equal_asks(sampler: str) -> None:
    assert asked(sampler, 7) == asked(sampler, 7)


@samplers
def test_another_seed_gives_other_asks(sampler: str) -> None:
    assert asked(sampler, 0) != asked(sampler, 9)


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


@settings(max_examples=6)
@given(
    st.dictionaries(st.text(min_size=1), st.integers(1, 6), min_size=1, max_size=4), st.sampled_from(["random", "tpe"])
)
def test_every_choice_is_in_its_range(space: dict[str, int], sampler: str) -> None:
    study = Study(space, sampler=sampler, seed=1)
    for number in range(5):
        trial = study.ask()
        assert trial.number == number
        assert set(trial.choices) == set(space)
        assert all(0 <= trial.choices[name] < count for name, count in space.items())
        study.tell(trial, 0.5)


def test_the_size_is_the_number_of_points() -> None:
    assert Study(SPACE).size == 120
    assert Study({"only": 1}).size == 1


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


def test_points_may_be_open_together_and_told_in_any_order() -> None:
    study = Study(SPACE, seed=2)
    trials = [study.ask() for _ in range(4)]

    for trial in reversed(trials):
        study.tell(trial, 0.1 * trial.number)

    assert study._study.best_trial.number == 3


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(UsageError, match="no sampler 'grid'"):
        Study(SPACE, sampler="grid")
    with pytest.raises(UsageError, match="Nothing can be chosen for demos"):
        Study({"demos": 0, "set": 3})


def test_optuna_stays_silent_and_keeps_its_verbosity(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.INFO)
    try:
        study = Study(SPACE, sampler="tpe", seed=0)
        assert optuna.logging.get_verbosity() == logging.INFO
        optuna.logging.set_verbosity(logging.WARNING)
        study.tell(study.ask(), 1.0)
    finally:
        optuna.logging.set_verbosity(before)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
