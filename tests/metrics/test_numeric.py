"""Answers that are numbers."""

import math
from decimal import Decimal

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.errors import MetricError, UsageError
from tunesmith.metrics import numeric_close
from tunesmith.metrics.digits import last_number, numbers_in, whole_number


def close(expected, got, **options) -> float:
    example = dspy.Example(q="?", a=expected).with_inputs("q")
    return numeric_close("a", **options)(example, dspy.Prediction(a=got)).value


@each(
    ("text", "number"),
    [
        ("42", "42"),
        ("The answer is 42.", "42"),
        ("1,234.5", "1234.5"),
        ("$1,234,567.89!", "1234567.89"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("−5", "-5"),
        ("45%", "45"),
        ("5-3", "3"),
        ("(2)-3", "3"),
        ("x = -3", "-3"),
        ("1e-3", "0.001"),
        ("2E5 people", "200000"),
        (".5", "0.5"),
        ("No.5", "5"),
        ("3,5", "5"),
        ("1,2345", "2345"),
        ("12 of 30", "30"),
        ("so 7 * 6 = 42\n#### 42", "42"),
        ("٣٤", "34"),
    ],
)
def test_the_last_number_of_a_text_is_read(text: str, number: str) -> None:
    assert last_number(text) == Decimal(number)


@each("text", ["", "none", "e", "1e99999999999999999999999", "½"])
def test_a_text_may_hold_no_number(text: str) -> None:
    assert last_number(text) is None


def test_all_numbers_come_in_order() -> None:
    assert list(numbers_in("from -1.5 to 2,000 by 3%")) == [Decimal("-1.5"), 2000, 3]


def test_a_whole_number_is_all_of_the_text() -> None:
    assert whole_number(" -$1,234.50 ") == Decimal("-1234.5")
    assert whole_number("5 apples") is None
    assert whole_number("5, 6") is None


def test_tolerances_are_relative_to_the_larger_or_absolute() -> None:
    assert close(100, 101) == 0
    assert close(100, 101, rel=0.01) == 1
    assert close(100, 101.5, rel=0.01) == 0
    assert close(100, 101, abs=1) == 1
    assert close(0, 1e-12) == 0
    assert close(0, 1e-12, abs=1e-9) == 1
    assert close(0.1, "0.1", rel=0) == 1
    assert close(1_000_000_000, 1_000_000_002) == 0


@each("got", [None, True, [1], "one", float("inf"), float("nan"), {"a": 1}])
def test_a_prediction_without_a_number_scores_zero(got) -> None:
    assert close(1, got, rel=1, abs=10) == 0


@each("label", ["one", "", float("nan"), float("inf")])
def test_a_label_without_a_number_is_an_error(label) -> None:
    with pytest.raises(MetricError, match="not a number"):
        close(label, 1)


@each("options", [{"rel": -1}, {"abs": float("inf")}, {"rel": "1"}, {"abs": True}])
def test_tolerances_are_checked(options) -> None:
    with pytest.raises(UsageError):
        numeric_close("a", **options)


def test_numbers_beyond_floats_are_compared_exactly() -> None:
    assert close(10**400, 10**400 + 1, rel=0) == 0
    assert close(10**400, "1" + "0" * 400, rel=0) == 1


@given(st.integers(), st.sampled_from(["{}", "{:,}", "${:,}", "{}%", "it is {:,}.", "= {}.00"]))
def test_every_way_to_write_an_integer_is_read_back(number: int, form: str) -> None:
    assert last_number(form.format(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_back(number: float) -> None:
    assert close(number, repr(number), rel=0) == 1


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(0, 1), st.floats(0, 10))
def test_nearness_is_symmetric_and_is_math_isclose(one, other, rel, tolerance) -> None:
    value = close(one, other, rel=rel, abs=tolerance)

    assert value == close(other, one, rel=rel, abs=tolerance)
    gap, limit = abs(one - other), max(rel * max(abs(one), abs(other)), tolerance)
    if not math.isclose(gap, limit, rel_tol=1e-9, abs_tol=1e-12):  # rounding decides the edge
        assert value == math.isclose(one, other, rel_tol=rel, abs_tol=tolerance)
