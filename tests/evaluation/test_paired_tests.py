"""Paired tests: against SciPy, exact where they say so, and what related examples change."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.scale import FULL, scaled
from tunesmith.errors import UsageError
from tunesmith.evaluation import (
    PairedTest,
    mcnemar,
    paired_t_test,
    sign_flip_test,
    sign_test,
    signed_rank_test,
)

few = settings(max_examples=40 if FULL else 10)
close = pytest.approx
bits = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=120)
grades = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
graded = st.lists(st.tuples(grades, grades), min_size=2, max_size=12)
TESTS = [sign_test, sign_flip_test, signed_rank_test, paired_t_test]


def sides(pairs: list) -> tuple[list[float], list[float]]:  # type: ignore[type-arg]
    return [float(a) for a, _ in pairs], [float(b) for _, b in pairs]


@few
@given(bits)
def test_sign_mcnemar_and_sign_flips_of_right_and_wrong_answers_are_scipys_binomial_test(pairs: list) -> None:
    before, after = sides(pairs)
    up, down = (sum(b > a for a, b in pairs), sum(a > b for a, b in pairs))
    for found in (sign_test(before, after), mcnemar(before, after), sign_flip_test(before, after)):
        if not up + down:
            assert (found.greater, found.less, found.p, found.n) == (1, 1, 1, 0)
            continue
        assert found.greater == close(stats.binomtest(up, up + down, alternative="greater").pvalue)
        assert found.less == close(stats.binomtest(up, up + down, alternative="less").pvalue)
        assert found.p == close(stats.binomtest(up, up + down).pvalue)
        assert found.n == up + down


def test_mcnemar_is_for_right_and_wrong_answers() -> None:
    with pytest.raises(UsageError, match=r"0 or 1. Given: 0.5"):
        mcnemar([0.5], [1.0])


@few
@given(graded)
def test_few_sign_flips_are_every_pattern_counted(pairs: list) -> None:
    before, after = sides(pairs)
    differences = np.subtract(after, before)
    totals = [np.dot(signs, differences) for signs in itertools.product((1, -1), repeat=len(differences))]

    found = sign_flip_test(before, after)

    assert found.greater == close(np.mean(np.array(totals) >= differences.sum() - 1e-9))
    assert found.less == close(np.mean(np.array(totals) <= differences.sum() + 1e-9))


def test_many_sign_flips_agree_with_scipys_permutation_test() -> None:
    rng = random.Random(1)
    before = [rng.random() for _ in range(60)]
    after = [min(1.0, a + rng.gauss(0.05, 0.2)) for a in before]
    theirs = stats.permutation_test(
        (np.subtract(after, before),),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        alternative="greater",
        rng=np.random.default_rng(3),
    )

    found = sign_flip_test(before, after, seed=5)

    assert found.greater == close(theirs.pvalue, abs=0.02)
    assert found == sign_flip_test(before, after, seed=5)
    assert found.greater > 0, "what was seen is one of the draws"


@few
@given(graded)
def test_the_signed_rank_test_is_exact_with_ties_and_zeros(pairs: list) -> None:
    before, after = sides(pairs)
    differences = np.subtract(after, before)
    if not differences.any():
        assert signed_rank_test(before, after) == PairedTest(1.0, 1.0, 0)
        return
    ranks = stats.rankdata(np.abs(differences))
    seen = ranks[differences > 0].sum()
    moved = ranks[differences != 0]
    sums = [np.dot(signs, moved) for signs in itertools.product((1, 0), repeat=len(moved))]

    found = signed_rank_test(before, after)

    assert found.greater == close(np.mean(np.array(sums) >= seen - 1e-9))
    assert found.less == close(np.mean(np.array(sums) <= seen + 1e-9))
    if len(differences) == len(moved) and len(set(np.abs(differences))) == len(differences):
        assert found.greater == close(stats.wilcoxon(after, before, alternative="greater", method="exact").pvalue)


@pytest.mark.parametrize("n", [8, 30, 50, 51, 200])
def test_the_signed_rank_test_is_scipys(n: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        differences = rng.normal(0.2, 1, n)
        method = "exact" if n <= 50 else "asymptotic"
        theirs = stats.wilcoxon(differences, alternative="greater", method=method, zero_method="zsplit").pvalue
        assert signed_rank_test(np.zeros(n), differences).greater == close(theirs, rel=1e-6)


@few
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=3, max_size=40))
def test_the_paired_t_test_is_scipys(pairs: list) -> None:
    before, after = sides(pairs)
    found = paired_t_test(before, after)
    differences = np.subtract(after, before)
    if np.std(differences) <= 1e-9 * max(1e-300, np.abs(differences).max()):
        return
    theirs = stats.ttest_rel(after, before, alternative="greater").pvalue
    assert found.greater == close(theirs, rel=1e-6, abs=1e-12)


def test_differences_without_variance_are_certain_and_none_is_none() -> None:
    assert paired_t_test([0, 0, 0], [1, 1, 1]).greater == 0
    assert paired_t_test([1, 1, 1], [0, 0, 0]).less == 0
    assert paired_t_test([1, 1, 1], [1, 1, 1]) == PairedTest(1.0, 1.0, 0)


@few
@given(graded, st.sampled_from(TESTS))
def test_a_test_turns_round_with_its_sides(pairs: list, test) -> None:  # type: ignore[no-untyped-def]
    before, after = sides(pairs)
    there, back = test(before, after), test(after, before)

    assert (there.greater, there.less) == (close(back.less), close(back.greater))
    assert 0 <= there.p <= 1


@few
@given(graded, st.sampled_from([sign_test, sign_flip_test]))
def test_groups_of_one_change_nothing_and_one_group_shows_nothing(pairs: list, test) -> None:  # type: ignore[no-untyped-def]
    before, after = sides(pairs)

    assert test(before, after, groups=list(range(len(before)))) == test(before, after)
    assert test(before, after, groups=["all"] * len(before)).p == 1


def test_copies_of_an_example_are_no_further_evidence() -> None:
    before, after = [0.0] * 4, [1.0] * 4
    copied = sign_flip_test(before * 10, after * 10, groups=[0, 1, 2, 3] * 10)

    assert copied == sign_flip_test(before, after)
    assert sign_flip_test(before * 10, after * 10).p < 1e-10


def test_equal_programs_differ_significantly_5_times_of_100_at_most() -> None:
    runs, rng = scaled(2_000), random.Random(3)
    for test in TESTS:
        wrong = 0
        for _ in range(runs):
            before, after = ([rng.choice([0.0, 0.5, 1.0]) for _ in range(25)] for _ in range(2))
            wrong += test(before, after).p <= 0.05
        assert wrong / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)
