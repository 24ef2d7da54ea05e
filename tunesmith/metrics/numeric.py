"""Answers that are numbers."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from tunesmith.data import Score
from tunesmith.errors import MetricError, UsageError, shown
from tunesmith.metrics.digits import as_decimal, is_near, last_number
from tunesmith.metrics.metric import factory
from tunesmith.metrics.values import (
    MISSING,
    checked_fields,
    given,
    judged,
    label_of,
    missing,
    one_field,
    plain,
)
from tunesmith.signatures import Example

__all__ = ["NumericClose", "numeric_close"]


@dataclass(frozen=True, slots=True)
class NumericClose:
    """The metric that `numeric_close` makes."""

    field: str | None
    rel: float
    abs: float
    metric_version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        checked_fields(() if self.field is None else (self.field,))
        for name in ("rel", "abs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise UsageError(f"`{name}` is a number. Given: {shown(value)}.")
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"`{name}` is finite and not negative. Given: {value}.")

    @property
    def metric_name(self) -> str:
        """The name for reports."""
        return "numeric_close" if self.field is None else f"numeric_close({self.field})"

    def __call__(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return 1 where the predicted number is near the label, else 0."""
        field = one_field(example, prediction, self.field)
        label = label_of(example, field)
        expected = _number(label)
        if expected is None:
            raise MetricError(f"The label `{field}` is no number. Given: {shown(label)}.")
        got = given(prediction, field)
        if got is MISSING:
            return missing(field, prediction)
        number = _number(got)
        if number is None:
            return judged(field, 0, label, got, "no number; ")
        return judged(field, is_near(expected, number, self.rel, self.abs), label, got)


@factory
def numeric_close(
    field: str | None = None,
    *,
    rel: float = 1e-9,
    abs: float = 0.0,  # noqa: A002
) -> NumericClose:
    """Return a metric: 1 where the predicted number is near the labelled one, else 0.

    A text counts as its last number, so that "so the answer is $1,234.50." is 1234.5; currency and
    percent signs are ignored ("45%" is 45). Label and prediction are read alike.

    Args:
        field: the field to compare; by default the only label that the prediction has.
        rel: tolerance as a part of the larger of the two, as in `math.isclose`.
        abs: tolerance in the unit of the numbers; the wider of the two counts.

    Raises:
        UsageError: a tolerance that is negative or not finite.
        MetricError: when scoring, where the label is absent or holds no number.
    """
    return NumericClose(field, rel, abs)


def _number(value: Any) -> Decimal | None:
    value = plain(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float, Decimal)):
        number = as_decimal(value)
        return number if number.is_finite() else None
    return last_number(value) if isinstance(value, str) else None
