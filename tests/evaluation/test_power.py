"""Power, the smallest gain that shows, and the best of many: by formula and by simulation."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.scale import scaled
from tunesmith.evaluation import (
    best_of_gain,
    binary_spread,
    corrected_confidence,
    examples_needed,
    gain_spread,
    minimum_detectable_effect,
    paired_gain,
    power_of,
)

close = pytest.approx
sizes, spreads, powers = st.integers(2, 5000), st.floats(0.05, 2), st.floats(0.5, 0.99)


@given(sizes, spreads, powers)
def test_the_smallest_gain_that_shows_has_the_power_asked_for(n: int, spread: float, power: float) -> None:
    effect = minimum_detectable_effect(n, spread, power=power)

    assert power_of(n, effect, spread) == close(power)
    needed = examples_needed(effect, spread, power=power)
    assert needed in (n, n + 1)


@given(sizes, st.floats(0.001, 1), spreads)
def test_power_is_that_of_the_normal_test(n: int, effect: float, spread: float) -> None:
    expected = stats.norm.sf(stats.norm.ppf(0.975) - effect * math.sqrt(n) / spread)
    assert power_of(n, effect, spread) == close(expected, abs=1e-12)


def test_no_gain_is_never_shown_and_no_spread_always() -> None:
    assert examples_needed(0.0, 0.5) is None
    assert examples_needed(-0.1, 0.5) is None
    assert power_of(10, 0.1, 0.0) == 1
    assert power_of(10, 0.0, 0.0) == 0
    assert examples_needed(0.1, 0.0) == 2


def test_a_gain_from_70_to_80_percent_shows_on_400_independent_examples_as_often_as_said() -> None:
    said = power_of(400, 0.1, binary_spread(0.7, 0.8))
    rng, runs = random.Random(7), scaled(1_000)
    shown = 0
    for seed in range(runs):
        before = [float(rng.random() < 0.7) for _ in range(400)]
        after = [float(rng.random() < 0.8) for _ in range(400)]
        shown += (paired_gain(before, after, seed=seed).low or 0) > 0

    assert said > 0.9
    assert shown / runs == close(said, abs=4 * math.sqrt(said * (1 - said) / runs) + 0.01)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=40))
def test_spread_is_the_standard_deviation_of_gains_and_groups_of_one_change_nothing(pairs: list) -> None:  # type: ignore[type-arg]
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    expected = close(float(np.std(np.subtract(after, before), ddof=1)), abs=1e-12)

    assert gain_spread(before, after) == expected
    assert gain_spread(before, after, groups=list(range(len(pairs)))) == expected


def test_copies_widen_the_spread() -> None:
    before, after = [0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]

    plain = gain_spread(before, after) / math.sqrt(4)
    copied = gain_spread(before * 9, after * 9, groups=[0, 1, 2, 3] * 9) / math.sqrt(36)

    assert copied == close(plain)


def test_confidences_of_many_multiply() -> None:
    assert corrected_confidence(0.95, 1) == close(0.95)
    assert corrected_confidence(0.95, 8) ** 8 == close(0.95)


def test_the_best_of_eight_equal_candidates_shows_no_gain_though_its_own_interval_often_does() -> None:
    runs, rng = scaled(300), np.random.default_rng(11)
    corrected = naive = 0
    for seed in range(runs):
        scores = (rng.random((9, 40)) < 0.6).astype(float)
        best = scores[1 + int(scores[1:].mean(axis=1).argmax())]
        corrected += (best_of_gain(scores[0], scores[1:], seed=seed).low or 0) > 0
        naive += (paired_gain(list(scores[0]), list(best), seed=seed).low or 0) > 0

    assert naive > corrected
    assert corrected / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


def test_one_candidate_has_about_its_own_interval() -> None:
    rng = np.random.default_rng(2)
    before, after = rng.random(80), rng.random(80)

    alone, own = best_of_gain(before, [after]), paired_gain(list(before), list(after))

    assert alone.mean == close(own.mean)
    assert (alone.low, alone.high) == (close(own.low, abs=0.02), close(own.high, abs=0.02))


def test_the_selected_gain_is_that_of_the_best_and_related_examples_widen_it() -> None:
    rng = np.random.default_rng(4)
    before = list((rng.random(20) < 0.5).astype(float))
    candidates = [list((rng.random(20) < share).astype(float)) for share in (0.4, 0.9, 0.5)]

    found = best_of_gain(before, candidates)
    copied = best_of_gain(before * 5, [row * 5 for row in candidates], groups=list(range(20)) * 5)
    blind = best_of_gain(before * 5, [row * 5 for row in candidates])

    assert found.mean == close(max(np.mean(row) for row in candidates) - np.mean(before))
    assert (copied.low, copied.high) == (close(found.low, abs=0.01), close(found.high, abs=0.01))
    assert blind.low is not None
    assert found.low is not None
    assert blind.low > found.low


def test_candidates_that_are_the_program_itself_gain_nothing_exactly() -> None:
    found = best_of_gain([1.0, 0.0], [[1.0, 0.0], [1.0, 0.0]])

    assert (found.mean, found.low, found.high) == (0, 0, 0)
