"""The synthetic worlds: at a small scale here, and the committed figures of 1,000 seeds each."""

import json

import numpy as np
import pytest

from tests.each import each
from tests.scale import scaled
from tests.scripts import benchmark
from tunesmith.evaluation import RACES, paired_gain

worlds = benchmark("race_worlds")
FOUND = json.loads(worlds.OUT.read_text(encoding="utf-8"))
PAGE = worlds.PAGE.read_text(encoding="utf-8")


KINDS = list(worlds.WORLDS)


@pytest.mark.parametrize("kind", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])])
def test_at_the_same_budget_ours_are_not_worse_than_released_ucb_and_cheaper_than_everything(kind: str) -> None:
    seeds = range(max(60, scaled(1_000)))
    drawn = [worlds.world_of(kind, seed) for seed in seeds]
    theirs = [worlds.released_ucb(world, worlds.AT, seed)[0] for seed, world in zip(seeds, drawn, strict=True)]
    whole = [worlds.raced("full", world, worlds.EVERYTHING, seed)[0] for seed, world in zip(seeds, drawn, strict=True)]
    slack = 0 if len(seeds) == 1_000 else 0.005  # fewer seeds, wider intervals
    for race in worlds.PROMISED:
        pairs = [worlds.raced(race, world, worlds.AT, seed) for seed, world in zip(seeds, drawn, strict=True)]
        ours = [accuracy for accuracy, _ in pairs]
        over = paired_gain(theirs, ours).low
        assert over is not None
        assert over > worlds.LEAST_GAIN - slack
        assert np.mean([calls for _, calls in pairs]) <= (1 - worlds.LEAST_SAVED) * worlds.EVERYTHING
        assert np.mean(whole) - np.mean(ours) <= worlds.MOST_LOSS + slack


@each("race", sorted(RACES))
def test_every_race_is_within_budget_and_beats_a_random_choice(race: str) -> None:
    better = []
    for seed in range(scaled(200)):
        for kind in worlds.WORLDS:
            world = worlds.world_of(kind, seed)
            accuracy, calls = worlds.raced(race, world, 512, seed)
            assert calls <= 512
            better.append(accuracy - world.truth.mean())
    assert np.mean(better) > 0.02


def test_the_worlds_are_what_they_are_called() -> None:
    for seed in range(20):
        close = np.sort(worlds.world_of("two within 0.01 of the best", seed).truth)
        assert close[-1] - close[-3] <= 0.01
        failed = worlds.world_of("5 % error rows", seed).scores
        assert 0.002 < np.isnan(failed).mean() < 0.02
        assert set(np.unique(worlds.world_of("fixed outcomes", seed).scores)) == {0.0, 1.0}


def test_released_ucb_is_within_its_budget() -> None:
    for seed in range(10):
        assert worlds.released_ucb(worlds.world_of("fixed outcomes", seed), 512, seed)[1] <= 512


def test_the_committed_figures_are_of_1000_seeds_and_keep_the_promises() -> None:
    assert FOUND["seeds"] == 1_000
    assert {row["race"] for row in FOUND["rows"]} == {*RACES, worlds.RELEASED} - worlds.LEFT_OUT
    assert {row["world"] for row in FOUND["rows"]} == set(worlds.WORLDS)
    assert worlds.broken(FOUND["rows"]) == []


def test_the_page_shows_the_committed_figures() -> None:
    assert worlds.rendered(PAGE, FOUND) == PAGE, "run `python benchmarks/race_worlds.py --table`"


def test_the_page_shows_the_committed_figures_on_the_embedded_model() -> None:
    raced = benchmark("raced_full")
    found = json.loads(raced.OUT.read_text(encoding="utf-8"))
    assert found["pooled"] == raced.summary(found["rows"])
    assert raced.rendered(PAGE, found) == PAGE, "run `python benchmarks/raced_full.py --table`"


def test_a_race_on_the_embedded_model_keeps_its_promise() -> None:
    raced = benchmark("raced_full")
    assert raced.broken(json.loads(raced.OUT.read_text(encoding="utf-8"))["pooled"]) == []


def test_the_page_names_every_race() -> None:
    assert [race for race in RACES if f"| `{race}` |" not in PAGE] == []
