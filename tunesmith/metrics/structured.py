"""Answers with several fields, each with its weight."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from tunesmith.data import MISSING, Score, at_path
from tunesmith.errors import MetricError, UsageError, shown
from tunesmith.metrics.metric import Scorer
from tunesmith.metrics.values import checked_fields, judged, label_of, same
from tunesmith.signatures import Example

__all__ = ["JsonFields", "checked_weights", "json_fields"]


@dataclass(frozen=True, slots=True)
class JsonFields(Scorer):
    """The metric that `json_fields` makes."""

    weights: tuple[tuple[str, float], ...]
    normalize: bool
    metric_version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        checked_fields(name for name, _ in self.weights)
        checked_weights(weight for _, weight in self.weights)

    @property
    def labels(self) -> tuple[str, ...]:
        """The first part of each name."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name, _ in self.weights))

    @property
    def metric_name(self) -> str:
        """The name for reports."""
        return f"json_fields({', '.join(name for name, _ in self.weights)})"

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return the weighted share of the fields that are right."""
        right, wrong = [], []
        for name, weight in self.weights:
            score = self._field(example, prediction, name)
            right.append(score.value * weight)
            if score.value < 1:
                wrong.append(score.feedback or name)
        value = math.fsum(right) / math.fsum(weight for _, weight in self.weights)
        return Score(min(1.0, value), "; ".join(wrong) if wrong else "all fields: correct")

    def _field(self, example: Example, prediction: object, name: str) -> Score:
        if name not in example:
            label_of(example, name.partition(".")[0])
        expected, got = at_path(example, name), at_path(prediction, name)
        if expected is MISSING:
            first, _, rest = name.partition(".")
            raise MetricError(f"The label `{first}` has no `{rest}`. Given: {shown(example[first])}.")
        if got is MISSING:
            return Score(0.0, f"{name}: missing; expected {shown(expected, 80)}")
        return judged(name, same(expected, got, normalize=self.normalize), expected, got)


def json_fields(weights: Mapping[str, float], *, normalize: bool = True) -> JsonFields:
    """Return a metric: the weighted share of fields that equal their labels, 0 to 1.

    Args:
        weights: the weight of each field, above zero; they need not add up to one. A dot reaches into
            mappings, models, lists, and texts that hold JSON: "address.city", "items.0.price".
        normalize: compare values like `exact_match`.

    Raises:
        UsageError: no fields, or a weight that is not above zero.
        MetricError: a label is absent; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(name="Ada", age=36), dspy.Prediction(name="Ada", age=35)
        >>> ts.metrics.json_fields({"name": 3, "age": 1})(example, prediction).value
        0.75
    """
    if not isinstance(weights, Mapping):
        raise UsageError(f"Give the weight of each field by name. Given: {shown(weights)}.")
    return JsonFields(tuple(weights.items()), normalize)


def checked_weights(weights: Iterable[object]) -> None:
    """Raise `UsageError` unless there is a weight and all are finite and above zero."""
    count = 0
    for count, weight in enumerate(weights, 1):  # noqa: B007
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not number or not 0 < float(weight) < math.inf:  # type: ignore[arg-type]
            raise UsageError(f"A weight must be a number above zero. Given: {shown(weight)}.")
    if count == 0:
        raise UsageError("There are no weights. Give at least one.")
