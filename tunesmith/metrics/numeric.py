"""Answers that are numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from tunesmith.data import Score
from tunesmith.errors import MetricError, UsageError, shown
from tunesmith.metrics.digits import as_decimal, is_near, last_number
from tunesmith.metrics.field import FieldScorer
from tunesmith.metrics.metric import factory
from tunesmith.metrics.values import items_of, judged, plain, same

__all__ = ["NumericClose", "numeric_close"]


@dataclass(frozen=True, slots=True)
class NumericClose(FieldScorer):
    """The metric that `numeric_close` makes."""

    rel: float
    abs: float
    metric_version: ClassVar[int] = 2
    made_by: ClassVar[str] = "numeric_close"

    def check_settings(self) -> None:
        """Refuse a tolerance that is negative or not finite."""
        for name in ("rel", "abs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise UsageError(f"`{name}` must be a number. Given: {shown(value)}.")
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"`{name}` must be finite and not negative. Given: {value}.")

    def check_label(self, field: str, label: Any, got: Any) -> None:
        """Refuse a text without a number."""
        if _is_number(label) and _number(label) is None:
            raise MetricError(f"The label `{field}` is not a number. Given: {shown(label)}.")

    def compare(self, field: str, label: Any, got: Any) -> Score:
        """Return 1 if the predicted number is within tolerance of the label, else 0."""
        note = "no number; " if _number(label) is not None and _number(got) is None else ""
        try:
            return judged(field, self._near(label, got), label, got, note)
        except RecursionError:  # nested deeper than any label
            return judged(field, 0, label, got)

    def _near(self, expected: Any, got: Any) -> bool:
        """Return whether all numbers, item by item and field by field, are near and everything else is equal."""
        one, other = _number(expected), _number(got)
        if one is not None:
            return other is not None and is_near(one, other, self.rel, self.abs)
        wanted, have = items_of(expected), items_of(got)
        if wanted is not None and have is not None:
            if any(isinstance(plain(value), (set, frozenset)) for value in (expected, got)):
                wanted, have = (sorted(items, key=_place) for items in (wanted, have))
            return len(wanted) == len(have) and all(map(self._near, wanted, have))
        expected, got = plain(expected), plain(got)
        if isinstance(expected, Mapping) and isinstance(got, Mapping):
            return expected.keys() == got.keys() and all(self._near(expected[name], got[name]) for name in expected)
        return same(expected, got)


@factory
def numeric_close(
    field: str | None = None,
    *,
    rel: float = 1e-9,
    abs: float = 0.0,  # noqa: A002
) -> NumericClose:
    """Return a metric: 1 if the predicted number is within tolerance of the label, else 0.

    A text counts as its last number: "so the answer is $1,234.50." is 1234.5. Currency and percent signs are ignored
    ("45%" is 45). The same rules apply to label and prediction. Lists are compared item by item, sets in order of
    their numbers, mappings and models field by field. Other values (`None`, true and false) must be equal.

    Args:
        field: the field to compare; default the only label that the prediction has.
        rel: relative tolerance, as a fraction of the larger number, as in `math.isclose`.
        abs: absolute tolerance. The wider of the two tolerances counts.

    Raises:
        UsageError: a tolerance is negative or not finite.
        MetricError: the label is absent, or holds no number; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(total=1234.5), dspy.Prediction(total="so it is $1,234.50.")
        >>> ts.metrics.numeric_close("total")(example, prediction).value
        1.0
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


def _is_number(value: Any) -> bool:
    """Return whether a label should hold a number: a number or a text."""
    value = plain(value)
    return isinstance(value, (int, float, Decimal, str)) and not isinstance(value, bool)


def _place(value: Any) -> tuple[Decimal, str]:
    number = _number(value)
    return (Decimal(0) if number is None else number, repr(plain(value)))
