"""Which answers were right and are wrong now, and the other way round."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import brief, shown
from tunesmith.evaluation.report import Report, Row, plain_json
from tunesmith.formats import LABEL_LOGPROBS
from tunesmith.signatures import Example

__all__ = ["Flip", "Flips"]

_MOST_SHOWN = 5
_WIDEST = 160  # characters of a shown value


@dataclass(frozen=True, slots=True, repr=False)
class Flip:
    """An example whose answer became right, or wrong.

    Attributes:
        key: the example's content key.
        inputs: of the example; `None` if they are not known, as in a private ledger.
        before, after: the row of each program.
    """

    key: str
    inputs: Mapping[str, Any] | None
    before: Row
    after: Row

    @property
    def is_right_now(self) -> bool:
        """Whether the answer became right."""
        return self.after.is_right()

    def __repr__(self) -> str:
        return brief(self, "right now" if self.is_right_now else "wrong now", self.key[:12])

    def __str__(self) -> str:
        given = f"example {self.key[:12]}" if self.inputs is None else _shown(self.inputs)
        lines = [given, f"  before: {_answer(self.before)}", f"  after:  {_answer(self.after)}"]
        wrong = self.before if self.is_right_now else self.after
        return "\n".join([*lines, *([f"  metric: {wrong.feedback}"] if wrong.feedback else [])])

    def to_json(self) -> dict[str, Any]:
        """Return the flip as JSON values."""
        sides = {"before": self.before.to_json(), "after": self.after.to_json()}
        names = ("outputs", "score", "failure", "feedback")
        return {
            "key": self.key,
            "inputs": None if self.inputs is None else plain_json(self.inputs),
            **{side: {name: row[name] for name in names} for side, row in sides.items()},
        }


@dataclass(frozen=True, slots=True, repr=False)
class Flips:
    """The examples on which two programs differ in being right; an answer is right if it scores `RIGHT` or more.

    Attributes:
        wrong_now: right before, wrong after.
        right_now: wrong before, right after.
        compared: how many different examples both programs were scored on.

    Example:
        >>> import tunesmith as ts
        >>> data = ts.Dataset.load([{"q": "2 + 2", "a": "4"}], signature=ts.Signature("q -> a"))
        >>> before, after = (
        ...     ts.evaluate(ts.Predict("q -> a"), data, ts.metrics.exact_match("a"), lm=ts.ScriptedLM(said))
        ...     for said in ("5", "4")
        ... )
        >>> print(Flips.of(before, after, data))
        1 of 1 examples is right now, and 0 are wrong now.
        Right now:
        q: 2 + 2
          before: a: 5
          after:  a: 4
          metric: a: expected '4', got '5'
    """

    wrong_now: tuple[Flip, ...]
    right_now: tuple[Flip, ...]
    compared: int

    @classmethod
    def of(
        cls, before: Report | Iterable[Row], after: Report | Iterable[Row], examples: Sequence[Example] | None = None
    ) -> "Flips":
        """Compare the rows of two programs, example by example.

        Rows that only one program has are left out, and those on which the metric failed.

        Args:
            before: rows of the one program.
            after: rows of the other.
            examples: of `before`, in its order, for their inputs. Default: the inputs of each row's first step.
        """
        one, other = (found.rows if isinstance(found, Report) else tuple(found) for found in (before, after))
        inputs = dict[str, Mapping[str, Any]]()
        if examples is not None:
            pairs = zip(one, examples, strict=True)
            inputs = {row.key: dict(example.inputs().items()) for row, example in pairs}
        was, now = ({row.key: row for row in rows if row.counts} for rows in (one, other))
        both = [key for key in was if key in now]
        flips = [
            Flip(key, inputs.get(key, _inputs_of(was[key], now[key])), was[key], now[key])
            for key in both
            if was[key].is_right() != now[key].is_right()
        ]
        wrong, right = (tuple(flip for flip in flips if flip.is_right_now is kind) for kind in (False, True))
        return cls(wrong, right, len(both))

    def __bool__(self) -> bool:
        return bool(self.wrong_now or self.right_now)

    def __repr__(self) -> str:
        return brief(self, self.sentence)

    @property
    def sentence(self) -> str:
        """The counts in one sentence."""
        right, wrong = len(self.right_now), len(self.wrong_now)
        return (
            f"{right} of {self.compared} examples {'is' if right == 1 else 'are'} right now, and {wrong} "
            f"{'is' if wrong == 1 else 'are'} wrong now."
        )

    def __str__(self) -> str:
        lines = [self.sentence]
        for title, flips in (("Wrong now:", self.wrong_now), ("Right now:", self.right_now)):
            if flips:
                lines += [title, *map(str, flips[:_MOST_SHOWN])]
            if len(flips) > _MOST_SHOWN:
                lines.append(f"and {len(flips) - _MOST_SHOWN} more")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the flips as JSON values."""
        return {
            "compared": self.compared,
            "wrong_now": [flip.to_json() for flip in self.wrong_now],
            "right_now": [flip.to_json() for flip in self.right_now],
        }


def _inputs_of(*rows: Row) -> Mapping[str, Any] | None:
    return next((row.steps[0].inputs for row in rows if row.steps), None)


def _answer(row: Row) -> str:
    if row.failure is not None:
        return f"{row.failure.kind}: {row.failure.message}"
    if row.outputs is None:
        return "unknown"
    return _shown({name: value for name, value in row.outputs.items() if name != LABEL_LOGPROBS})


def _shown(values: Mapping[str, Any]) -> str:
    parts = []
    for name, value in values.items():
        text = " ".join(value.split()) if isinstance(value, str) else shown(value, _WIDEST)
        parts.append(f"{name}: {text if len(text) <= _WIDEST else text[: _WIDEST - 1] + '…'}")
    return ", ".join(parts)
