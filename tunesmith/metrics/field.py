"""The base of metrics that compare one field with its label."""

from dataclasses import dataclass
from typing import Any

from tunesmith.data import Score
from tunesmith.metrics.metric import Scorer
from tunesmith.metrics.values import MISSING, checked_fields, given, label_of, missing, one_field
from tunesmith.signatures import Example

__all__ = ["FieldScorer"]


@dataclass(frozen=True, slots=True)
class FieldScorer(Scorer):
    """A metric of one field. A subclass implements `compare`, and `check_label` if not every label will do.

    Attributes:
        field: the field; `None` for the only label that the prediction has.
    """

    field: str | None

    def __post_init__(self) -> None:
        checked_fields(self.labels)
        self.check_settings()

    @property
    def labels(self) -> tuple[str, ...]:
        """The field, if it is named."""
        return () if self.field is None else (self.field,)

    def score(self, example: Example, prediction: object, trace: object = None) -> Score:
        """Return the score of the field; 0 if the prediction lacks it."""
        field = one_field(example, prediction, self.field)
        label, got = label_of(example, field), given(prediction, field)
        self.check_label(field, label, got)
        return missing(field, prediction) if got is MISSING else self.compare(field, label, got)

    def check_settings(self) -> None:
        """Raise `UsageError` for a wrong setting."""

    def check_label(self, field: str, label: Any, got: Any) -> None:
        """Raise `MetricError` for a label that cannot be compared with `got`, which may be `MISSING`."""

    def compare(self, field: str, label: Any, got: Any) -> Score:
        """Return the score of a predicted value."""
        raise NotImplementedError
