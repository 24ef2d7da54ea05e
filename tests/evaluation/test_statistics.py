"""Intervals: against SciPy, and properties that hold for every input."""

import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.heavy import stats
from tests.scale import FULL, scaled
from tunesmith.evaluation import Interval, bootstrap_interval, mean_interval, paired_gain, wilson

few = settings(max_examples=30 if FULL else 12)
scores = st.floats(0, 1, allow_nan=False)
close = pytest.approx


@given(st.integers(1, 500), st.data())
def test_wilson_is_scipys(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    theirs = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")

    ours = wilson(successes, n)

    assert (ours.low, ours.high) == close((theirs.low, theirs.high), abs=1e-12)
    assert (ours.mean, ours.n) == (successes / n, n)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_share_and_stays_between_0_and_1(n: int, data: st.DataObject) -> None:
    found = wilson(data.draw(st.integers(0, n)), n)

    assert found.mean is not None
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.mean <= found.high <= 1


@few
@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_right_and_wrong_answers_get_wilsons_interval(answers: list[bool]) -> None:
    assert mean_interval([float(a) for a in answers]) == wilson(sum(answers), len(answers))


def test_nothing_has_no_mean() -> None:
    nothing = Interval(None, None, None, 0)

    assert mean_interval([]) == nothing
    assert paired_gain([], []) == nothing
    assert nothing.to_json() == {"mean": None, "low": None, "high": None, "n": 0}


@few
@given(st.lists(scores, min_size=1, max_size=60))
def test_a_mean_lies_inside_its_interval_and_the_interval_inside_the_values(values: list[float]) -> None:
    found = mean_interval(values)

    assert found.mean == close(sum(values) / len(values))
    assert found.low is not None
    assert found.high is not None
    slack = 1e-9
    assert min(values) - slack <= found.low <= found.mean + slack or all(v in (0.0, 1.0) for v in values)
    assert found.low <= found.high
    assert found.mean <= found.high + slack
    assert found.n == len(values)


@few
@given(st.lists(scores, min_size=1, max_size=60), st.integers(0, 5))
def test_the_same_values_give_the_same_interval(values: list[float], seed: int) -> None:
    assert mean_interval(values, seed=seed) == mean_interval(list(values), seed=seed)


@few
@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=60))
def test_a_gain_is_the_mean_difference_and_turns_round_with_its_sides(pairs: list[tuple[float, float]]) -> None:
    before, after = [a for a, _ in pairs], [b for _, b in pairs]

    there, back = paired_gain(before, after), paired_gain(after, before)

    assert there.mean == close(float(np.mean(after)) - float(np.mean(before)), abs=1e-9)
    assert back.mean == close(-(there.mean or 0), abs=1e-9)
    assert there.n == len(pairs)
    assert there.low is not None
    assert there.high is not None
    assert -1 - 1e-9 <= there.low <= there.high <= 1 + 1e-9


@few
@given(st.lists(scores, min_size=1, max_size=40))
def test_no_difference_is_no_gain_exactly(values: list[float]) -> None:
    assert paired_gain(values, values) == Interval(0.0, 0.0, 0.0, len(values))


def test_a_gain_needs_as_many_scores_before_as_after() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_gain([1.0, 0.0], [1.0])


def drawn(kind: str, n: int, seed: int) -> list[float]:
    rng = random.Random(seed)
    if kind == "three values":
        return [rng.choice([0.0, 0.5, 1.0]) for _ in range(n)]
    if kind == "gains of 0 and 1":
        return [rng.choice([-1.0, 0.0, 0.0, 1.0, 1.0]) for _ in range(n)]
    return [rng.betavariate(2, 5) for _ in range(n)]  # all different


@each("kind", ["three values", "gains of 0 and 1", "all different"])
@each("n", [20, 100])
def test_the_bootstrap_agrees_with_scipys_percentile_bootstrap(kind: str, n: int) -> None:
    values = drawn(kind, n, seed=n)
    theirs = stats.bootstrap(
        (np.array(values),), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval

    ours = paired_gain([0.0] * n, values)

    spread = float(np.std(values)) / math.sqrt(n)
    assert (ours.low, ours.high) == close((theirs.low, theirs.high), abs=0.12 * spread + 1e-9)


def covered(draw: Sequence[float], truth: float) -> bool:
    found = mean_interval(draw)
    assert found.low is not None
    assert found.high is not None
    return found.low <= truth <= found.high


def test_95_percent_intervals_hold_the_truth_about_95_times_of_100() -> None:
    runs = scaled(2_000)
    rng = random.Random(5)
    binary = sum(covered([float(rng.random() < 0.7) for _ in range(80)], 0.7) for _ in range(runs)) / runs
    graded = sum(covered([rng.choice([0.0, 0.5, 1.0]) for _ in range(80)], 0.5) for _ in range(runs)) / runs

    allowed = 4 * math.sqrt(0.95 * 0.05 / runs)
    assert abs(binary - 0.95) < allowed + 0.015
    assert abs(graded - 0.95) < allowed + 0.015


@pytest.mark.parametrize("unchanged", [0, 3, 200])
def test_fewer_changes_than_a_sign_test_needs_never_exclude_zero(unchanged: int) -> None:
    for changed in range(1, 12):
        before, after = [0.0] * (changed + unchanged), [1.0] * changed + [0.0] * unchanged
        least = stats.binomtest(changed, changed).pvalue  # two-sided: all of them went one way

        up, down = paired_gain(before, after), paired_gain(after, before)

        assert up.low is not None
        assert down.high is not None
        if least > 0.05:
            assert up.low == 0
            assert down.high == 0
        elif unchanged < changed:
            assert up.low > 0
            assert down.high < 0


@each("kind", ["three values", "gains of 0 and 1", "all different"])
@each("n", [20, 100])
def test_the_bca_interval_agrees_with_scipys(kind: str, n: int) -> None:
    values = drawn(kind, n, seed=n)
    theirs = stats.bootstrap(
        (np.array(values),), np.mean, n_resamples=10_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval

    ours = bootstrap_interval(values)

    spread = float(np.std(values)) / math.sqrt(n)
    step = 0 if kind == "all different" else 1 / n  # means of few values lie on a grid
    assert (ours.low, ours.high) == close((theirs.low, theirs.high), abs=0.15 * spread + 1.01 * step)


def test_a_bootstrap_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="studentized"):
        bootstrap_interval([1.0, 0.0], method="studentized")


@few
@given(st.lists(scores, min_size=2, max_size=40), st.sampled_from(["bca", "percentile"]))
def test_groups_of_one_change_nothing(values: list[float], method: str) -> None:
    plain = bootstrap_interval(values, method=method)
    grouped = bootstrap_interval(values, method=method, groups=[f"g{n}" for n in range(len(values))])

    assert grouped == plain


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("score", [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
def test_groups_that_all_score_alike_are_no_certainty(count: int, score: list[float]) -> None:
    found = mean_interval(score * count, groups=[n // 2 for n in range(2 * count)])
    theirs = wilson(count * sum(score) / 2, count)
    assert (found.low, found.high) == (theirs.low, theirs.high)
    assert (found.mean, found.n) == (sum(score) / 2, 2 * count)


def test_a_group_for_every_value() -> None:
    with pytest.raises(ValueError, match="each value needs its group"):
        mean_interval([1.0, 0.0], groups=["a"])


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_copies_of_an_example_narrow_no_interval(method: str) -> None:
    values = drawn("three values", 30, seed=3)

    once = bootstrap_interval(values, method=method)
    copied = bootstrap_interval(values * 8, method=method, groups=list(range(30)) * 8)
    blind = bootstrap_interval(values * 8, method=method)

    assert (copied.low, copied.high) == close((once.low, once.high), abs=0.02)
    assert None not in (blind.low, blind.high, once.low, once.high)
    assert (blind.high or 0) - (blind.low or 0) < 0.5 * ((once.high or 0) - (once.low or 0))


def test_a_gain_of_related_examples_needs_six_groups_that_changed() -> None:
    before, after = [0.0] * 60, [1.0] * 60

    assert paired_gain(before, after).low == pytest.approx(0.025 ** (1 / 60))
    assert paired_gain(before, after, groups=[n % 5 for n in range(60)]).low == 0.0
    assert paired_gain(before, after, groups=[n % 6 for n in range(60)]).low == pytest.approx(0.025 ** (1 / 6))


def test_groups_that_are_alike_inside_are_covered_only_when_they_are_drawn_whole() -> None:
    runs, rng = scaled(1_000), random.Random(8)
    held = {True: 0, False: 0}
    for seed in range(runs):
        skills = [rng.choice([0.2, 0.8]) for _ in range(25)]
        values = [float(rng.random() < skill) + 0.5 for skill in skills for _ in range(8)]
        for grouped in held:
            groups = [n // 8 for n in range(200)] if grouped else None
            found = mean_interval(values, groups=groups, seed=seed)
            held[grouped] += (found.low or 0) <= 1.0 <= (found.high or 0)

    assert held[True] / runs > 0.95 - 4 * math.sqrt(0.05 * 0.95 / runs) - 0.02
    assert held[False] < held[True]


@pytest.mark.parametrize("kind", ["right or wrong", "graded"])
@pytest.mark.parametrize("n", [20, *(pytest.param(n, marks=pytest.mark.slow) for n in (100, 400))])
def test_equal_programs_ship_at_most_5_times_of_100(n: int, kind: str) -> None:
    """A/A: two programs with the same chances; one may be said to be better by its lower bound alone."""
    runs, rng = max(60, scaled(1_000)), np.random.default_rng(n)
    shipped = 0
    for seed in range(runs):
        sides = (rng.random((2, n)) < 0.7).astype(float) if kind == "right or wrong" else rng.beta(2, 2, (2, n))
        shipped += (paired_gain(list(sides[0]), list(sides[1]), seed=seed).low or 0) > 0

    assert shipped / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs) * (runs < 1_000)


# Few graded scores ----------------------------------------------------------------------------------------------

LONG_TAILS = {
    "lognormal": lambda rng, n: rng.lognormal(0, 2, n),
    "t with 2 degrees of freedom": lambda rng, n: rng.standard_t(2, n),
    "Pareto": lambda rng, n: rng.pareto(1.2, n),
    "graded and skewed": lambda rng, n: 1 - rng.beta(0.5, 1.2, n) ** 3,
}


@each("draw", LONG_TAILS.values() if FULL else [LONG_TAILS["lognormal"]])
def test_equal_programs_are_seldom_told_apart_by_few_graded_scores(draw: Callable[..., Any]) -> None:
    """A/A: the verdict `ship` is a low end above zero, and at most 5 % of the runs may have it."""
    rng, runs, shipped, worse = np.random.default_rng(3), 100, 0, 0
    for n in (6, 7) * (runs // 2):
        found = paired_gain(draw(rng, n).tolist(), draw(rng, n).tolist())
        assert found.low is not None
        assert found.high is not None
        shipped, worse = shipped + (found.low > 0), worse + (found.high < 0)
    assert shipped <= 0.05 * runs
    assert worse <= 0.05 * runs


@pytest.mark.parametrize("n", [6, 8, 11])
def test_the_interval_of_few_scores_excludes_zero_only_if_a_sign_flip_test_does(n: int) -> None:
    rng = np.random.default_rng(n)
    for shift in np.linspace(0, 3, 15):
        gains = rng.standard_t(2, n) + shift
        found = paired_gain([0.0] * n, gains.tolist())
        flips = np.array(list(itertools.product((1, -1), repeat=n))) @ gains
        chance = float((flips >= gains.sum() - 1e-9).mean())
        assert found.low is not None
        if found.low > 0:
            assert chance <= 0.025


def test_a_large_gain_on_few_graded_scores_is_still_seen() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.uniform(0.2, 0.4, 8), rng.uniform(0.6, 0.9, 8)
    found = paired_gain(before.tolist(), after.tolist())
    assert found.low is not None
    assert found.low > 0.2


def test_groups_are_drawn_whole_where_there_are_few_too() -> None:
    gains, groups = [0.5, 0.5, 0.4, 0.6, 0.5, 0.7] * 3, list("abcdef") * 3
    found = paired_gain([0.0] * 18, gains, groups=groups)
    assert (found.low, found.high) == (close(0.4), close(0.7)), "six groups: from the lowest mean to the highest"


def test_gains_that_cancel_are_nothing_to_the_last_digit() -> None:
    found = paired_gain([0.0] * 6, [0.1, 0.2, -0.3, 0.1, 0.2, -0.3])
    assert found.low is not None
    assert found.low < 0 < (found.high or 0)
    assert paired_gain([0.1 + 0.2] * 8, [0.3] * 8).mean == close(0.0)


@pytest.mark.parametrize("n", [20, 50])
def test_from_twenty_examples_on_the_interval_is_the_bootstraps(n: int) -> None:
    rng = np.random.default_rng(n)
    before, after = rng.uniform(0, 1, n).tolist(), rng.uniform(0, 1, n).tolist()
    gains = [b - a for a, b in zip(before, after, strict=True)]
    assert paired_gain(before, after) == bootstrap_interval(gains, method="percentile")
