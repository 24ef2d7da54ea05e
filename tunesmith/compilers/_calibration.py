"""Offsets for labels, learned from the log-probabilities of labels in replies that were paid for. No LM call.

An offset is added to the log-probability of a label before the highest one is chosen. A constant in the
log-probabilities of a row changes nothing.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["METHODS", "Offsets", "Scored", "batch", "chosen", "cross_validated", "fitted", "likelihood", "right"]

Offsets = Mapping[str, float]
_DIGITS = 4
_ROUNDS = 50
_STILL = 1e-6  # offsets that move less have arrived
_EDGE = 1.0  # how far an offset goes beyond the outermost example that it decides


@dataclass(frozen=True, slots=True)
class Scored:
    """One reply: the log-probability of each label, less that of the likeliest, and the right label if it is known."""

    logprobs: Mapping[str, float]
    label: str | None = None

    def __post_init__(self) -> None:
        most = max(self.logprobs.values())
        object.__setattr__(self, "logprobs", {label: value - most for label, value in self.logprobs.items()})


def chosen(logprobs: Mapping[str, float], offsets: Offsets) -> str:
    """Return the label with the highest log-probability plus offset, the first one of a tie."""
    return max(logprobs, key=lambda label: logprobs[label] + offsets.get(label, 0.0))


def right(rows: Sequence[Scored], offsets: Offsets) -> int:
    """Return how many rows get their right label."""
    return sum(row.label == chosen(row.logprobs, offsets) for row in rows)


def batch(rows: Sequence[Scored]) -> Offsets:
    """Return offsets that make every label equally likely on average: minus the log of its mean probability.

    Zhou et al. 2023, "Batch Calibration", section 3, with the mean over unlabelled inputs. With content-free inputs it
    is Zhao et al. 2021, "Calibrate Before Use", section 5. Both papers divide probabilities, which is the same.
    """
    mean = _mean_probabilities(rows, {})
    return _tidy({label: -math.log(value) for label, value in mean.items()})


def likelihood(rows: Sequence[Scored]) -> Offsets:
    """Return the offsets under which the right labels are most likely, with half a row added to every label.

    They make the mean probability of each label its share of the rows: the maximum of the likelihood of a model that
    has nothing but offsets.
    """
    labels = list(rows[0].logprobs)
    counts = {label: 0.5 + sum(row.label == label for row in rows) for label in labels}
    total, offsets = sum(counts.values()), dict.fromkeys(labels, 0.0)
    for _ in range(_ROUNDS):
        mean = _mean_probabilities(rows, offsets)
        moves = {label: math.log(counts[label] / total / mean[label]) for label in labels}
        offsets = {label: offsets[label] + move for label, move in moves.items()}
        if max(map(abs, moves.values())) < _STILL:
            break
    return _tidy(offsets)


def fitted(rows: Sequence[Scored]) -> Offsets:
    """Return offsets under which the most rows are right: never fewer than without offsets.

    Starts from the best of no offsets, `batch` and `likelihood`, then moves one offset at a time into the middle of the
    range in which the most rows are right, as long as that is more than before.
    """
    none = dict.fromkeys(rows[0].logprobs, 0.0)
    offsets = max((none, batch(rows), likelihood(rows)), key=lambda found: right(rows, found))
    best = right(rows, offsets)
    for _ in range(_ROUNDS):
        tops = [_two_best(row.logprobs, offsets) for row in rows]
        moves = [(*_moved(rows, tops, label), label) for label in none]
        _, offset, label = max(moves, key=lambda move: move[0])
        found = right(rows, moved := {**offsets, label: offset})
        if found <= best:
            break
        offsets, best = moved, found
    tidy = _tidy(offsets)
    return tidy if right(rows, tidy) >= right(rows, none) else none


METHODS: Mapping[str, Callable[[Sequence[Scored]], Offsets]] = {
    "batch": batch,
    "likelihood": likelihood,
    "fitted": fitted,
}
"""How offsets are learned from rows; all but `batch` need the right labels."""


def cross_validated(learn: Callable[[Sequence[Scored]], Offsets], rows: Sequence[Scored], folds: int) -> int:
    """Return how many rows are right under offsets that were learned from the other folds."""
    parts = [rows[start::folds] for start in range(min(folds, len(rows)))]
    found = 0
    for number, part in enumerate(parts):
        others = [row for other, rest in enumerate(parts) if other != number for row in rest]
        found += right(part, learn(others) if others else {})
    return found


def _mean_probabilities(rows: Sequence[Scored], offsets: Offsets) -> dict[str, float]:
    """Return the mean probability of each label, at least a millionth."""
    sums = dict.fromkeys(rows[0].logprobs, 0.0)
    for row in rows:
        values = {label: value + offsets.get(label, 0.0) for label, value in row.logprobs.items()}
        most = max(values.values())
        weights = {label: math.exp(value - most) for label, value in values.items()}
        total = sum(weights.values())
        for label, weight in weights.items():
            sums[label] += weight / total
    return {label: max(value / len(rows), 1e-6) for label, value in sums.items()}


_Best = tuple[float, str]


def _two_best(logprobs: Mapping[str, float], offsets: Offsets) -> tuple[_Best, _Best]:
    """Return the highest and the second highest log-probability plus offset, each with its label."""
    first, second = sorted(((value + offsets[label], label) for label, value in logprobs.items()), reverse=True)[:2]
    return first, second


def _moved(rows: Sequence[Scored], tops: Sequence[tuple[_Best, _Best]], label: str) -> tuple[int, float]:
    """Return the offset of `label` under which the most rows are right if the others stay, and how many those are."""
    without, steps = 0, []  # right without the label; at which offset so many more are right, or fewer
    for row, (first, second) in zip(rows, tops, strict=True):
        value, other = second if first[1] == label else first
        without += row.label == other
        change = (row.label == label) - (row.label == other)
        if change:
            steps.append((value - row.logprobs[label], change))
    if not steps:
        return without, 0.0
    steps.sort()
    edges = [steps[0][0] - 2 * _EDGE, *[at for at, _ in steps], steps[-1][0] + 2 * _EDGE]
    counts = list(itertools.accumulate((change for _, change in steps), initial=without))
    ranges = [(counts[at], edges[at + 1] - edges[at], at) for at in range(len(counts)) if edges[at + 1] > edges[at]]
    count, _, at = max(ranges, key=lambda one: (one[0], one[1], -one[2]))
    return count, (edges[at] + edges[at + 1]) / 2


def _tidy(offsets: Mapping[str, float]) -> Offsets:
    """Return offsets with a mean of 0, with few digits: the same on every machine."""
    mean = sum(offsets.values()) / len(offsets)
    return {label: round(value - mean, _DIGITS) + 0.0 for label, value in offsets.items()}
