"""The score of one prediction."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from tunesmith.errors import MetricError, brief, shown

__all__ = ["Score"]

_LARGEST = 1e100  # sums and squares of scores stay finite


@dataclass(frozen=True, slots=True)
class Score:
    """A finite number between -1e100 and 1e100, with optional feedback in words.

    A metric may return a bool, a number or a `Score`; `Score.of` converts each to a `Score`. A score
    behaves like its number in sums, comparisons and truth tests, because DSPy's optimizers and
    `dspy.Evaluate` treat a metric's result as a number. It equals that number, and every score with
    the same value and feedback.

    Attributes:
        value: the score, higher is better; the metrics of tunesmith range from 0 to 1.
        feedback: the reason, for people and for compilers that read it.

    Example:
        >>> import tunesmith as ts
        >>> ts.Score(0.5, "The city is right, the country is not.").value
        0.5
    """

    value: float
    feedback: str | None = None

    def __post_init__(self) -> None:
        value = self.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            number = _number(value)
            if number is None:
                raise MetricError(
                    f"A score must be a number. Given: {shown(value)}. "
                    "Return a bool, a number or `Score(value, feedback)` from the metric."
                )
            value = number
        if not abs(value) <= _LARGEST:
            raise MetricError(
                f"A score must be finite and between -{_LARGEST:g} and {_LARGEST:g}. Given: {value}. Return a number "
                "for every prediction, or raise if the prediction cannot be judged."
            )
        object.__setattr__(self, "value", float(value))

    def __repr__(self) -> str:
        return brief(self, str(self.value), feedback=self.feedback)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Score):
            return (self.value, self.feedback) == (other.value, other.feedback)
        number = _number(other)
        return NotImplemented if number is None else self.value == number

    def __hash__(self) -> int:
        return hash(self.value)

    def __float__(self) -> float:
        return self.value

    def __bool__(self) -> bool:
        return self.value != 0

    def __add__(self, other: object) -> float:
        number = _number(float(other) if isinstance(other, Score) else other)
        return NotImplemented if number is None else self.value + number

    __radd__ = __add__

    def __lt__(self, other: "Score | float") -> bool:
        return self.value < float(other)

    def __le__(self, other: "Score | float") -> bool:
        return self.value <= float(other)

    def __gt__(self, other: "Score | float") -> bool:
        return self.value > float(other)

    def __ge__(self, other: "Score | float") -> bool:
        return self.value >= float(other)

    @classmethod
    def of(cls, result: object) -> "Score":
        """Convert the `result` of a metric to a `Score`.

        Raises:
            MetricError: `result` is not a bool, a finite number, a `Score`, or an object or mapping with `score`
                and `feedback`.
        """
        if isinstance(result, Score):
            return result
        if type(result) is bool:
            return _RIGHT if result else _WRONG
        number = _number(result)
        if number is not None:
            return cls(number)
        # DSPy's feedback metrics return `Prediction(score=..., feedback=...)` or a dict.
        held = result.get if isinstance(result, Mapping) else functools.partial(getattr, result)
        number = _number(held("score", None))
        if number is not None:
            feedback = held("feedback", None)
            return cls(number, None if feedback is None else str(feedback))
        raise MetricError(
            f"The metric returned {shown(result)}, a {type(result).__name__}. "
            "Return a bool, a number or `Score(value, feedback)`."
        )


_RIGHT, _WRONG = Score(1.0), Score(0.0)


def _number(value: object) -> float | None:
    if isinstance(value, (bool, int, float, Score)):
        return float(value)
    item = getattr(value, "item", None)  # numpy scalars, without importing numpy
    if callable(item) and getattr(value, "shape", None) == ():
        inner = item()
        return float(inner) if isinstance(inner, (bool, int, float)) else None
    return None
