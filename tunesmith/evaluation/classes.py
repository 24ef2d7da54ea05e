"""Precision, recall and F1 of each class over a dataset, and their mean: macro F1."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.data import content_key, example_key
from tunesmith.errors import DataError, UsageError, brief, shown
from tunesmith.evaluation.report import Report
from tunesmith.evaluation.resampling import DRAWS, percentile_ends
from tunesmith.evaluation.statistics import Interval
from tunesmith.lazy import lazy_module
from tunesmith.metrics import items_of, same
from tunesmith.signatures import Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_module("numpy")

__all__ = ["ClassScore", "ClassScores", "class_scores"]

_CHUNK = 1_000_000  # counts held at once


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class.

    Attributes:
        value: its label.
        precision, recall, f1: 0 to 1; `zero_division` where nothing is divided by.
        support: in how many examples it is the label.
        predicted: in how many it was predicted.
    """

    value: Any
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; a value that has no JSON form as text."""
        value = self.value if isinstance(self.value, (str, int, float, bool, type(None))) else _text(self.value)
        return {
            "class": value,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "support": self.support,
            "predicted": self.predicted,
        }


@dataclass(frozen=True, slots=True)
class ClassScores:
    """The classes of one field over a dataset.

    Attributes:
        field: the field that was compared.
        classes: each class, those of the labels first.
        macro: macro F1, the mean of the classes' F1, with its 95 % interval; `n` counts examples.
        unanswered: examples that the program failed on; each is a miss of its class.
    """

    field: str
    classes: tuple[ClassScore, ...]
    macro: Interval
    unanswered: int

    @property
    def macro_f1(self) -> float | None:
        """The mean of the classes' F1; `None` if no class has one."""
        return self.macro.mean

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "field": self.field,
            "macro_f1": self.macro.to_json(),
            "classes": [found.to_json() for found in self.classes],
            "unanswered": self.unanswered,
        }

    def __repr__(self) -> str:
        return brief(self, self.field, f"{len(self.classes)} classes", macro_f1=str(self.macro_f1))

    def __str__(self) -> str:
        if self.macro.mean is None:
            return f"{self.field}: no class has an F1"
        rows = [f"{'':24} precision  recall     f1  support"]
        rows += [
            f"{_text(found.value):24.24} {found.precision:9.3f} {found.recall:7.3f} {found.f1:6.3f} {found.support:8}"
            for found in self.classes
        ]
        return "\n".join([*rows, f"macro F1 of `{self.field}`: {_interval(self.macro)}"])


def class_scores(
    report: Report,
    dataset: Sequence[Example],
    field: str | None = None,
    *,
    classes: Iterable[Any] | None = None,
    zero_division: float = 0.0,
    seed: int = 0,
) -> ClassScores:
    """Return precision, recall and F1 of each class, and macro F1 with an interval.

    The figures are those of scikit-learn's `precision_recall_fscore_support` and `f1_score(average="macro")`: F1 is
    2 TP / (2 TP + FP + FN), and the mean is over all values that are labelled or predicted. Two differences: a value
    that equals a label but for case or punctuation counts as it, as in `exact_match`; an example that the program
    failed on is a miss of its class, and its answer is no class. A field that holds lists or sets of labels counts each
    label for itself.

    The interval draws examples with replacement, or whole groups where the report has groups, 10,000 times, and takes
    percentiles; a class that a draw does not hold is left out of its mean, as scikit-learn would leave it out.

    Args:
        report: what `evaluate` found.
        dataset: the examples that it was found on.
        field: the field that holds the class; by default the only one that is labelled and predicted.
        classes: the classes to average, as `labels=` in scikit-learn; other values count as wrong, and make no class.
        zero_division: what stands where nothing is divided by, such as the precision of a class that is never
            predicted: 0.0, 1.0, or NaN, which is left out of the mean.
        seed: of the draws.

    Raises:
        UsageError: the dataset is another one, or there is no such field.

    Example:
        >>> import tunesmith as ts
        >>> rows = [{"text": "Cold soup.", "topic": "food"}, {"text": "Loud street.", "topic": "room"}]
        >>> data = ts.Dataset.load(rows, signature=ts.Signature("text -> topic"))
        >>> lm = ts.FunctionLM(lambda seen: "food")
        >>> report = ts.evaluate(ts.Predict("text -> topic"), data, ts.metrics.exact_match, lm=lm)
        >>> round(ts.class_scores(report, data, "topic").macro_f1, 3)
        0.333
    """
    typed = _typed(report, dataset)
    if not (zero_division in (0, 1) or math.isnan(zero_division)):
        raise UsageError(f"`zero_division` is 0.0, 1.0 or NaN. Given: {shown(zero_division)}.")
    name = _field(report, dataset, field)
    outputs = [row.outputs for row in report.rows]
    several = any(items_of(example[name]) is not None for example in dataset)
    table = _Table(classes)
    # Labels as they stand first: the others count as one of those, if they are one.
    members = [_members(example[name], several=several) for example in dataset]
    wanted = {
        at: table.of_label(members[at], near=typed[at]) for at in sorted(range(len(typed)), key=typed.__getitem__)
    }
    given = [table.of_answer(_members((found or {}).get(name, ()), several=several)) for found in outputs]
    counts = _counts([wanted[at] for at in range(len(given))], given, len(table.values))
    found = tuple(
        _class_score(value, row, zero_division) for value, row in zip(table.values, counts.sum(0), strict=True)
    )
    scores = [score.f1 for score in found if not math.isnan(score.f1)]
    mean = sum(scores) / len(scores) if scores else None
    absent = zero_division if classes is not None else math.nan
    low, high = (None, None) if mean is None else _ends(counts, report.groups, absent, seed)
    return ClassScores(name, found, Interval(mean, low, high, len(dataset)), outputs.count(None))


def _typed(report: Report, dataset: Sequence[Example]) -> list[bool]:
    """Return which examples were typed for the program before they were scored, as " Good" is to the label `good`.

    Raises:
        UsageError: the report is of other examples, or in another order.
    """
    keys, rows = [example_key(example) for example in dataset], [row.key for row in report.rows]
    known, scored = set(keys), set(rows)
    if len(keys) != len(rows) or any(
        key != row and (key in scored or row in known) for key, row in zip(keys, rows, strict=True)
    ):
        raise UsageError(
            f"The report is of {len(rows)} other examples than the {len(keys)} of the dataset. Give the dataset that "
            "was evaluated, whole and in its order."
        )
    return [key != row for key, row in zip(keys, rows, strict=True)]


def _members(value: Any, *, several: bool) -> Sequence[Any]:
    if several and value is None:
        return ()
    items = items_of(value)
    return [value] if items is None else items


class _Table:
    """The classes in the order in which they come up, and the places of values among them."""

    def __init__(self, classes: Iterable[Any] | None) -> None:
        self.values = [] if classes is None else list(classes)
        self._grows = classes is None
        self._exact = {_key(value): place for place, value in enumerate(self.values)}
        self._near: dict[str, int | None] = {}

    def of_label(self, members: Iterable[Any], *, near: bool) -> set[int]:
        """Return the classes of a label. Two that differ are two classes, however alike, unless `near`."""
        return self._places(members, near=near or not self._grows)

    def of_answer(self, members: Iterable[Any]) -> set[int]:
        """Return the classes of an answer: of equal ones the very same, else one that `exact_match` takes for it."""
        return self._places(members, near=True)

    def _places(self, members: Iterable[Any], *, near: bool) -> set[int]:
        found = {self._place(member, near=near) for member in members}
        return {place for place in found if place is not None}

    def _place(self, value: Any, *, near: bool) -> int | None:
        key = _key(value)
        if key in self._exact:
            return self._exact[key]
        if near and key not in self._near:
            self._near[key] = next((place for place, other in enumerate(self.values) if same(other, value)), None)
        place = self._near.get(key) if near else None
        if place is None and self._grows:
            place = self._exact[key] = len(self.values)
            self.values.append(value)
        return place


def _key(value: Any) -> str:
    try:
        return content_key(value)
    except DataError:
        return f"{type(value).__name__} {value!r}"


def _field(report: Report, dataset: Sequence[Example], field: str | None) -> str:
    outputs: Mapping[str, Any] = next((row.outputs for row in report.rows if row.outputs is not None), {})
    first = dataset[0] if len(dataset) else Example()
    inputs = first.inputs().keys() if getattr(first, "_input_keys", None) is not None else ()
    both = [name for name in outputs if name in first and name not in inputs]
    if field is None and len(both) == 1:
        return both[0]
    if field is not None and all(field in example for example in dataset):
        return field
    given = "" if field is None else f" Not every example has the field {field!r}."
    raise UsageError(
        f"Name the field that holds the class.{given} Labelled and predicted: {', '.join(both) or 'none'}."
    )


def _counts(wanted: list[set[int]], given: list[set[int]], classes: int) -> "NDArray[np.float64]":
    """Return true positives, false positives and false negatives: examples x classes x 3."""
    counts = np.zeros((len(wanted), classes, 3))
    for row, (right, found) in enumerate(zip(wanted, given, strict=True)):
        for kind, places in enumerate((right & found, found - right, right - found)):
            counts[row, list(places), kind] = 1
    return counts


def _class_score(value: Any, counts: "NDArray[np.float64]", zero_division: float) -> ClassScore:
    hit, extra, lost = (int(count) for count in counts)

    def share(part: int, whole: int) -> float:
        return part / whole if whole else zero_division

    return ClassScore(
        value,
        share(hit, hit + extra),
        share(hit, hit + lost),
        share(2 * hit, 2 * hit + extra + lost),
        hit + lost,
        hit + extra,
    )


def _ends(
    counts: "NDArray[np.float64]", groups: Sequence[str] | None, absent: float, seed: int
) -> tuple[float | None, float | None]:
    """Return the ends of the interval; `absent` is the F1 of a class that a draw does not hold, NaN leaves it out."""
    if groups is not None:
        order = {group: place for place, group in enumerate(dict.fromkeys(groups))}
        summed = np.zeros((len(order), *counts.shape[1:]))
        np.add.at(summed, [order[group] for group in groups], counts)
        counts = summed
    size, rng = len(counts), np.random.default_rng(seed)
    # A draw depends only on how often each distinct row comes.
    flat, often = np.unique(counts.reshape(size, -1), axis=0, return_counts=True)
    means = []
    step = max(1, _CHUNK // max(flat.shape))
    for start in range(0, DRAWS, step):
        times = rng.multinomial(size, often / size, size=min(step, DRAWS - start))
        drawn = (times @ flat).reshape(len(times), -1, 3)
        whole = 2 * drawn[..., 0] + drawn[..., 1] + drawn[..., 2]
        f1 = np.divide(2 * drawn[..., 0], whole, out=np.full(whole.shape, float(absent)), where=whole > 0)
        there = ~np.isnan(f1)
        number = there.sum(axis=1)
        total = np.where(there, f1, 0.0).sum(axis=1)
        means.append(np.divide(total, number, out=np.zeros(len(times)), where=number > 0))
    return percentile_ends(np.concatenate(means))


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))


def _interval(found: Interval) -> str:
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}] on {found.n} examples"
