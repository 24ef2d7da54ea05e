"""Tails: against SciPy."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.heavy import stats
from tunesmith.evaluation.distributions import normal_tail, student_t_quantile, student_t_tail

close = pytest.approx


@given(st.floats(-30, 30), st.integers(1, 2000))
@example(t=1.2e-7, df=128)  # df / (df + t * t) rounds to 1
def test_students_t_is_scipys(t: float, df: int) -> None:
    assert student_t_tail(t, df) == close(stats.t.sf(t, df), rel=1e-8, abs=1e-14)


@given(st.sampled_from([0.8, 0.9, 0.95, 0.975, 0.99, 0.999, 0.3]), st.integers(1, 1000))
def test_students_quantile_is_scipys(probability: float, df: int) -> None:
    assert student_t_quantile(probability, df) == close(stats.t.ppf(probability, df), rel=1e-8)


@given(st.floats(-30, 30))
def test_the_normal_tail_is_scipys(z: float) -> None:
    assert normal_tail(z) == close(stats.norm.sf(z), rel=1e-10)


def test_infinity_is_certain() -> None:
    assert (student_t_tail(math.inf, 3), student_t_tail(-math.inf, 3)) == (0, 1)
