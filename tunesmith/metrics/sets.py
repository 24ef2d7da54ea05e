"""Answers that are sets of labels: tags, topics, entities."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from tunesmith.data import Score
from tunesmith.errors import MetricError, UsageError, shown
from tunesmith.metrics.field import FieldScorer
from tunesmith.metrics.metric import factory
from tunesmith.metrics.values import items_of, listed, plain, same

__all__ = ["SetMatch", "set_match"]

Measure = Literal["f1", "precision", "recall", "exact"]


@dataclass(frozen=True, slots=True)
class SetMatch(FieldScorer):
    """The metric that `set_match` makes."""

    measure: str
    separator: str | None
    normalize: bool
    metric_version: ClassVar[int] = 1

    def check_settings(self) -> None:
        """Refuse an unknown measure and an empty separator."""
        if self.measure not in get_args(Measure):
            raise UsageError(f"`measure` must be one of {', '.join(get_args(Measure))}. Given: {shown(self.measure)}.")
        if self.separator is not None and (not isinstance(self.separator, str) or not self.separator):
            raise UsageError(f"`separator` must be the text between labels, as `','`. Given: {shown(self.separator)}.")

    @property
    def metric_name(self) -> str:
        """The name for reports."""
        name = "set_match" if self.measure == "f1" else f"set_match[{self.measure}]"
        return name if self.field is None else f"{name}({self.field})"

    def check_label(self, field: str, label: Any, got: Any) -> None:
        """Refuse an object."""
        if self._members(label) is None:
            raise MetricError(f"The label `{field}` must be a set of labels. Given: {shown(label)}.")

    def compare(self, field: str, label: Any, got: Any) -> Score:
        """Return how well the predicted set matches the label."""
        wanted, have = self._members(label) or [], self._members(got)
        if have is None:
            return Score(0.0, f"{field}: no set of labels; got {shown(got, 80)}")
        lacking, extra = self._without(wanted, have), self._without(have, wanted)
        value = self._value(len(wanted) - len(lacking), len(wanted), len(have))
        if not lacking and not extra:
            return Score(value, f"{field}: correct")
        words = [f"missing {listed(lacking, 8)}"] if lacking else []
        words += [f"not wanted {listed(extra, 8)}"] if extra else []
        return Score(value, f"{field}: {'; '.join(words)}")

    def _value(self, common: int, wanted: int, have: int) -> float:
        if not wanted and not have:
            return 1.0
        if self.measure == "exact":
            return float(common == wanted == have)
        total = {"precision": have, "recall": wanted, "f1": (wanted + have) / 2}[self.measure]
        return common / total if total else 0.0

    def _members(self, value: object) -> list[Any] | None:
        """Return the distinct members of a set; `None` for an object."""
        value = plain(value)
        if isinstance(value, str):
            value = self._read(value)
        items = [] if value is None else items_of(value)
        if items is None:
            items = None if isinstance(value, Mapping) else [value]
        if items is None:
            return None
        members: list[Any] = []
        for item in items:
            if not any(self._same(item, member) for member in members):
                members.append(item)
        return members

    def _read(self, text: str) -> Any:
        """Return the members of a text: split at the separator, or a JSON list, else the text itself."""
        if self.separator is not None:
            return [part.strip() for part in text.split(self.separator) if part.strip()]
        if text.lstrip().startswith("["):
            try:
                found = json.loads(text)
            except (ValueError, RecursionError):
                return [text]
            return found if isinstance(found, list) else [text]
        return [text] if text.strip() else []

    def _without(self, members: list[Any], others: list[Any]) -> list[Any]:
        return [member for member in members if not any(self._same(member, other) for other in others)]

    def _same(self, one: object, other: object) -> bool:
        return same(one, other, normalize=self.normalize)


@factory
def set_match(
    field: str | None = None, *, measure: Measure = "f1", separator: str | None = None, normalize: bool = True
) -> SetMatch:
    """Return a metric: how well a predicted set of labels matches the label, 0 to 1.

    Order and repetition do not count. Two empty sets match; if only one is empty, the score is 0. The mean over a
    dataset equals scikit-learn's `average="samples"`, with `zero_division=1` for two empty sets.

    Args:
        field: the field to compare; default the only label that the prediction has. It holds a list, a set, a
            single label, `None` (no labels), or a JSON list as text.
        measure: `precision` (the share of predicted labels that are right), `recall` (the share of right labels that
            are predicted), `f1` (their harmonic mean), or `exact` (1 for equal sets, else 0).
        separator: splits a text into labels, as `","` splits "bug, urgent".
        normalize: compare labels like `exact_match`.

    Raises:
        UsageError: an unknown measure, or an empty separator.
        MetricError: the label is absent or an object; raised when scoring.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> example, prediction = dspy.Example(tags=["bug", "urgent"]), dspy.Prediction(tags=["urgent", "new"])
        >>> ts.metrics.set_match("tags")(example, prediction).value
        0.5
    """
    return SetMatch(field, measure, separator, normalize)
