"""`Outcome`: what a candidate made of one training example."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import brief, shown
from tunesmith.evaluation import Row, Step
from tunesmith.signatures import Example

__all__ = ["Outcome", "outcome_of"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a candidate made of one training example.

    Attributes:
        example: the example, with its labels.
        outputs: what the program answered, `None` if it did not.
        score: what the metric gave, `None` if there was nothing to judge.
        feedback: what the metric said, or the error.
        steps: predictor, inputs and outputs of each inner prediction, in order.
    """

    example: Example
    outputs: Mapping[str, Any] | None
    score: float | None
    feedback: str
    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        return brief(self, shown(dict(self.example.items()), 60), score=self.score, feedback=shown(self.feedback, 60))


def outcome_of(example: Example, row: Row) -> Outcome:
    """Return what `row` says of `example`."""
    said = row.feedback or ""
    if row.failure is not None:
        said = f"{row.failure.kind}: {row.failure.message}"
    return Outcome(example, row.outputs, row.score, said, row.steps)
