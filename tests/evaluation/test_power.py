"""Power and the smallest gain that shows: by formula and by simulation."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.heavy import stats
from tests.scale import scaled
from tunesmith.evaluation import (
    binary_spread,
    examples_needed,
    gain_spread,
    minimum_detectable_effect,
    paired_gain,
)

close = pytest.approx
sizes, spreads, powers = st.integers(2, 5000), st.floats(0.05, 2), st.floats(0.5, 0.99)


def power_of(n: int, effect: float, spread: float) -> float:
    """The chance that the 95 % interval of a true gain lies above zero, by SciPy's normal distribution."""
    return float(stats.norm.sf(stats.norm.ppf(0.975) - effect * math.sqrt(n) / spread))


@given(sizes, spreads, powers)
def test_the_smallest_gain_that_shows_has_the_power_asked_for(n: int, spread: float, power: float) -> None:
    effect = minimum_detectable_effect(n, spread, power=power)

    assert power_of(n, effect, spread) == close(power, abs=1e-12)
    needed = examples_needed(effect, spread, power=power)
    assert needed in (n, n + 1)


def test_no_gain_is_never_shown_and_no_spread_always() -> None:
    assert examples_needed(0.0, 0.5) is None
    assert examples_needed(-0.1, 0.5) is None
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
