"""Metrics made of metrics."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tunesmith.data import Score
from tunesmith.errors import UsageError, shown
from tunesmith.lm import BaseLM
from tunesmith.metrics.metric import Metric, Scorer, check_metric, judged_by, metric_name, score_of
from tunesmith.metrics.structured import checked_weights
from tunesmith.signatures import Example

__all__ = ["Gated", "Weighted", "gated", "weighted"]


@dataclass(frozen=True, slots=True)
class Weighted(Scorer):
    """The metric that `weighted` makes."""

    parts: tuple[tuple[Metric, float], ...]
    metric_version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for metric, _ in self.parts:
            check_metric(metric)
        checked_weights(weight for _, weight in self.parts)

    @property
    def metric_name(self) -> str:
        """The name for reports."""
        return f"weighted({', '.join(metric_name(metric) for metric, _ in self.parts)})"

    @property
    def labels(self) -> tuple[str, ...]:
        """The fields that the parts name."""
        return _named((metric for metric, _ in self.parts), "labels")

    @property
    def outputs(self) -> tuple[str, ...]:
        """The fields that the parts name."""
        return _named((metric for metric, _ in self.parts), "outputs")

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return the weighted mean of the parts."""
        scores = [score_of(metric, example, prediction, trace) for metric, _ in self.parts]
        weights = [weight for _, weight in self.parts]
        total = math.fsum(s.value * weight for s, weight in zip(scores, weights, strict=True))
        return Score(total / math.fsum(weights), "; ".join(self._feedback(scores)))

    def under(self, lm: BaseLM) -> "Weighted":
        """Return the metric with the judges among its parts under the model `lm`; see `judged_by`."""
        return Weighted(tuple((judged_by(metric, lm), weight) for metric, weight in self.parts))

    def _feedback(self, scores: Iterable[Score]) -> Iterable[str]:
        for (metric, _), score in zip(self.parts, scores, strict=True):
            text = f": {score.feedback}" if score.feedback else ""
            yield f"{metric_name(metric)} {score.value:.2f}{text}"


def weighted(parts: Mapping[Any, float] | Iterable[tuple[Metric, float]]) -> Weighted:
    """Return a metric: the mean of several metrics, each by its weight.

    Args:
        parts: weights by metric, or pairs of metric and weight. Weights are above zero and need not
            add up to one. The mean stays in 0 to 1 if the parts do.

    Raises:
        UsageError: no parts, a part that is not a metric, or a weight that is not above zero.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(a="1", b="2"), dspy.Prediction(a="1", b="3")
        >>> metric = ts.metrics.weighted({ts.metrics.exact_match("a"): 3, ts.metrics.exact_match("b"): 1})
        >>> metric(example, prediction).value
        0.75
    """
    pairs: Any = parts.items() if isinstance(parts, Mapping) else parts
    try:
        return Weighted(tuple((metric, weight) for metric, weight in pairs))
    except (TypeError, ValueError) as error:
        raise UsageError(f"Give weights by metric, or pairs of metric and weight. Given: {shown(parts)}.") from error


@dataclass(frozen=True, slots=True)
class Gated(Scorer):
    """The metric that `gated` makes."""

    gate: Metric
    metric: Metric
    at_least: float
    metric_version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_metric(self.gate)
        check_metric(self.metric)
        if not isinstance(self.at_least, (int, float)) or not math.isfinite(self.at_least):
            raise UsageError(f"`at_least` is a number. Given: {shown(self.at_least)}.")

    @property
    def metric_name(self) -> str:
        """The name for reports."""
        return f"gated({metric_name(self.gate)}, {metric_name(self.metric)})"

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of both."""
        return _named((self.gate, self.metric), "labels")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Those of both."""
        return _named((self.gate, self.metric), "outputs")

    def under(self, lm: BaseLM) -> "Gated":
        """Return the metric with judges under the model `lm`; see `judged_by`."""
        return replace(self, gate=judged_by(self.gate, lm), metric=judged_by(self.metric, lm))

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return the metric's score if the gate passes, else 0."""
        gate = score_of(self.gate, example, prediction, trace)
        if gate.value < self.at_least:
            text = f": {gate.feedback}" if gate.feedback else ""
            return Score(0.0, f"{metric_name(self.gate)} did not pass{text}")
        return score_of(self.metric, example, prediction, trace)


def gated(gate: Metric, metric: Metric, *, at_least: float = 1.0) -> Gated:
    """Return a metric: `metric` if `gate` scores `at_least`, else 0.

    Raises:
        UsageError: `gate` or `metric` is not a metric.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(a="1", b="2"), dspy.Prediction(a="0", b="2")
        >>> ts.metrics.gated(ts.metrics.exact_match("a"), ts.metrics.exact_match("b"))(example, prediction).value
        0.0
    """
    return Gated(gate, metric, at_least)


def _named(parts: Iterable[Metric], what: str) -> tuple[str, ...]:
    own = [part for part in parts if isinstance(part, Scorer)]
    return tuple(dict.fromkeys(name for part in own for name in getattr(part, what)))
