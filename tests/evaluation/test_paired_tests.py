"""The signed-rank test: against SciPy, and exact with ties and zeros."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.heavy import stats
from tests.scale import FULL, scaled
from tunesmith.evaluation.paired_tests import holm, signed_rank_test

few = settings(max_examples=40 if FULL else 10)
close = pytest.approx
grades = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
graded = st.lists(st.tuples(grades, grades), min_size=2, max_size=12)


@few
@given(graded)
def test_the_signed_rank_test_is_exact_with_ties_and_zeros(pairs: list[tuple[float, float]]) -> None:
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    differences = np.subtract(after, before)
    if not differences.any():
        assert signed_rank_test(before, after) == 1
        return
    ranks = stats.rankdata(np.abs(differences))
    seen = ranks[differences > 0].sum()
    moved = ranks[differences != 0]
    sums = np.array([np.dot(signs, moved) for signs in itertools.product((1, 0), repeat=len(moved))])

    found = signed_rank_test(before, after)

    assert found == close(np.mean(sums >= seen - 1e-9))
    assert signed_rank_test(after, before) == close(np.mean(sums <= seen + 1e-9))
    if len(differences) == len(moved) and len(set(np.abs(differences))) == len(differences):
        assert found == close(stats.wilcoxon(after, before, alternative="greater", method="exact").pvalue)


@each("n", [8, 30, 50, 51, 200])
def test_the_signed_rank_test_is_scipys(n: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        differences = rng.normal(0.2, 1, n)
        method = "exact" if n <= 50 else "asymptotic"
        theirs = stats.wilcoxon(differences, alternative="greater", method=method, zero_method="zsplit").pvalue
        assert signed_rank_test(np.zeros(n), differences) == close(theirs, rel=1e-6)


def test_equal_programs_gain_significantly_5_times_of_100_at_most() -> None:
    runs, rng, wrong = scaled(2_000), random.Random(3), 0
    for _ in range(runs):
        before, after = ([rng.choice([0.0, 0.5, 1.0]) for _ in range(25)] for _ in range(2))
        wrong += signed_rank_test(before, after) <= 0.05
    assert wrong / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


def test_holm_multiplies_the_smallest_by_all_and_never_falls() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a": 0.03, "c": 0.06, "b": 0.06}
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
