"""What an evaluation found: one row per example, and the sums."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tunesmith.errors import brief, shown
from tunesmith.evaluation.paired_tests import two_sided_test
from tunesmith.evaluation.power import gain_spread
from tunesmith.evaluation.resampling import group_sums
from tunesmith.evaluation.statistics import Interval, mean_interval, mean_of, paired_gain
from tunesmith.lm import Spend
from tunesmith.notebook import details_html, paragraphs_html, table_html

__all__ = [
    "RIGHT",
    "Failure",
    "gain",
    "leveled",
    "paired_scores",
    "PairedScores",
    "Report",
    "Row",
    "Step",
    "plain_json",
]

RIGHT = 0.5
"""The score from which on an answer is right, if nothing else is said."""

_SHOWN_ROWS = 10  # in a notebook
_DIGITS = 12  # of a difference; the rest is rounding

METRIC_ERROR_LIMIT = 0.02
"""The share of examples on which a metric may fail; they are in no mean."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an example has no score of its own.

    Attributes:
        fault: `program` (the reply did not parse, the context overflowed, `forward` raised) or `metric`.
        kind: the error's class name.
        message: its text.
    """

    fault: str
    kind: str
    message: str

    def __repr__(self) -> str:
        return brief(self, f"{self.fault}: {self.kind}", message=self.message)


@dataclass(frozen=True, slots=True)
class Step:
    """One prediction inside a program: the predictor's path, its inputs, its outputs."""

    predictor: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]

    def __repr__(self) -> str:
        return brief(self, self.predictor, inputs=dict(self.inputs), outputs=dict(self.outputs))


@dataclass(frozen=True, slots=True)
class Row:
    """One example.

    Attributes:
        key: the example's content key.
        outputs: what the program returned, `None` where it failed.
        score: the metric's value; `None` where there is a failure.
        failure: whose fault it was, where something failed.
        feedback: the metric's words.
        calls: LM calls, cached ones included.
        tokens: of those calls, input and output.
        seconds: what the engine needed for them, also when they came from the cache.
        cached: whether no call reached an engine.
        steps: the program's predictions, where they were asked for.
    """

    key: str
    outputs: Mapping[str, Any] | None
    score: float | None
    failure: Failure | None = None
    feedback: str | None = None
    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cached: bool = False
    steps: tuple[Step, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether a mean counts it: it has a score, or the program failed, which counts as the floor."""
        return self.failure is None or self.failure.fault == "program"

    def is_right(self, least: float = RIGHT) -> bool:
        """Return whether the answer scored `least` or more; a failure is not right."""
        return self.score is not None and self.score >= least

    def without_steps(self) -> "Row":
        """Return the row without steps; `dataclasses.replace` takes five times as long."""
        cost = self.calls, self.tokens, self.seconds, self.cached
        return Row(self.key, self.outputs, self.score, self.failure, self.feedback, *cost)

    def __repr__(self) -> str:
        outputs = None if self.outputs is None else dict(self.outputs)
        return brief(self, self.key[:12], score=self.score, outputs=outputs, failure=self.failure)

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values; outputs that have no JSON form are shown as text."""
        return {
            "key": self.key,
            "outputs": None if self.outputs is None else {k: plain_json(v) for k, v in self.outputs.items()},
            "score": self.score,
            "failure": None
            if self.failure is None
            else {
                "fault": self.failure.fault,
                "kind": self.failure.kind,
                "message": self.failure.message,
            },
            "feedback": self.feedback,
            "calls": self.calls,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 4),
            "cached": self.cached,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The rows of one program on one dataset, in the dataset's order.

    A failure of the program counts as `worst` in `mean`; a failure of the metric leaves the example out. Both are
    shown beside the mean.

    Attributes:
        rows: one per example.
        floor: the most that an example counts that the program failed on: less if a row scores less.
        charged: distinct requests with tokens and engine seconds, cached or not.
        paid: what reached an engine.
        notes: what a reader of the scores has to know, such as that a judge was never measured.
        groups: the group of each row where some examples are related, as `Dataset.groups`; intervals then count groups.

    Example:
        >>> import tunesmith as ts
        >>> data = ts.Dataset.load([{"q": "2 + 2", "a": "4"}], signature=ts.Signature("q -> a"))
        >>> report = ts.evaluate(ts.Predict("q -> a"), data, ts.metrics.exact_match("a"), lm=ts.ScriptedLM("4"))
        >>> report.rows[0].score, report.charged.calls
        (1.0, 1)
    """

    rows: tuple[Row, ...]
    floor: float = 0.0
    charged: Spend = field(default_factory=Spend)
    paid: Spend = field(default_factory=Spend)
    notes: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None

    def values(self, floor: float | None = None) -> list[float | None]:
        """Return the score of each row as it counts, a failure as `floor` or `worst`; `None` if the metric failed."""
        least = self.worst if floor is None else floor
        return [
            row.score if row.failure is None else least if row.failure.fault == "program" else None for row in self.rows
        ]

    @property
    def worst(self) -> float:
        """What a failure counts as: the lowest score of any row, or the floor where that is lower."""
        return min([self.floor, *(row.score for row in self.rows if row.score is not None)])

    @property
    def interval(self) -> Interval:
        """The mean with its 95 % interval."""
        values, groups = self.values(), self.groups
        kept = [value for value in values if value is not None]
        if groups is None:
            return mean_interval(kept)
        return mean_interval(kept, groups=[g for g, value in zip(groups, values, strict=True) if value is not None])

    @property
    def mean(self) -> float | None:
        """Mean score; the program's failures count as `worst`."""
        return mean_of([value for value in self.values() if value is not None])

    @property
    def low(self) -> float | None:
        """Lower end of the 95 % interval."""
        return self.interval.low

    @property
    def high(self) -> float | None:
        """Upper end of the 95 % interval."""
        return self.interval.high

    @property
    def n(self) -> int:
        """How many examples the mean is over."""
        return sum(value is not None for value in self.values())

    @property
    def errors(self) -> int:
        """How many examples the program failed on."""
        return sum(r.failure is not None and r.failure.fault == "program" for r in self.rows)

    @property
    def metric_errors(self) -> int:
        """How many examples the metric failed on; they are in no mean."""
        return sum(r.failure is not None and r.failure.fault == "metric" for r in self.rows)

    def summary(self) -> dict[str, Any]:
        """Return `mean`, `low`, `high`, `n`, `errors`, and if there are any the score that each counts as, as JSON."""
        counted = {"error_score": self.worst} if self.errors else {}
        return {**self.interval.to_json(), "errors": self.errors, **counted}

    def to_json(self) -> dict[str, Any]:
        """Return the whole report as JSON values."""
        return {
            **self.summary(),
            "metric_errors": self.metric_errors,
            "charged": self.charged.to_json(),
            "paid": self.paid.to_json(),
            "notes": list(self.notes),
            "rows": [row.to_json() for row in self.rows],
        }

    def __repr__(self) -> str:
        notes = f"{len(self.notes)} notes" if self.notes else ""
        return brief(self, str(replace(self, notes=())), notes, charged=f"{self.charged.calls} calls")

    def _repr_html_(self) -> str:
        interval = self.interval
        ends = "" if interval.low is None or interval.high is None else f"{interval.low:.3f} to {interval.high:.3f}"
        mean = "" if interval.mean is None else f"{interval.mean:.3f}"
        cells = [mean, ends, str(interval.n), str(self.errors), f"{self.charged.calls:,}"]
        head = ["mean", "95 % interval", "n", "errors", "calls"]
        worst = sorted(self.rows, key=lambda row: -1.0 if row.score is None else row.score)[:_SHOWN_ROWS]
        lines = [["score", "outputs", "failure"], *(list(_told(row)) for row in worst)]
        shown_rows = details_html(f"The {len(worst)} lowest of {len(self.rows)} rows", table_html(lines))
        return table_html([head, cells]) + paragraphs_html(self.notes) + (shown_rows if worst else "")

    def __str__(self) -> str:
        interval = self.interval
        if interval.mean is None:
            return f"no scores ({self.errors} errors)"
        text = f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}] on {interval.n} examples"
        counted = f", {self.errors} errors{f' as {self.worst:g} each' if self.worst else ''}" if self.errors else ""
        return "; ".join([text + counted, *self.notes])


def _told(row: Row) -> Iterator[str]:
    """Yield the cells of a row for a notebook."""
    yield "" if row.score is None else f"{row.score:.3f}"
    yield "" if row.outputs is None else shown(dict(row.outputs))
    yield "" if row.failure is None else f"{row.failure.fault}: {shown(row.failure.message)}"


@dataclass(frozen=True, slots=True)
class PairedScores:
    """The scores of two programs on the same different examples.

    Attributes:
        before, after: one score per example, in the same order.
        groups: the group of each example, `None` where no two are related.
    """

    before: tuple[float, ...]
    after: tuple[float, ...]
    groups: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        groups = None if self.groups is None else self.observations
        return brief(self, f"{len(self.before)} pairs", mean=self.mean, groups=groups)

    @property
    def mean(self) -> float | None:
        """The mean gain, as the interval has it, without the interval's cost."""
        return mean_of([b - a for a, b in zip(self.before, self.after, strict=True)])

    @property
    def observations(self) -> int:
        """How many observations the gain rests on: groups where there are some, else examples."""
        return len(self.before if self.groups is None else set(self.groups))

    @property
    def spread(self) -> float | None:
        """Standard deviation of one example's gain, for the functions of `power`; `None` of fewer than two."""
        return None if self.observations < 2 else gain_spread(self.before, self.after, groups=self.groups)

    def interval(self) -> Interval:
        """Return the mean gain with its 95 % interval; groups are drawn whole."""
        return paired_gain(self.before, self.after, groups=self.groups)

    def chance(self) -> float:
        """Return the chance of such a gain or loss if both were equally good: `two_sided_test`, of means of groups."""
        differences = [b - a for a, b in zip(self.before, self.after, strict=True)]
        sums, sizes = group_sums(differences, self.groups)
        means = (sums / sizes).round(_DIGITS)  # equal means are a tie, in whatever order they were added up
        return two_sided_test(0.0 * means, means)

    def counts(self) -> tuple[int, int, int]:
        """Return on how many examples `after` scores more, the same, and less."""
        pairs = list(zip(self.before, self.after, strict=True))
        more, less = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
        return more, len(pairs) - more - less, less


def leveled(*reports: Report) -> list[Report]:
    """Return reports of the same examples in which a failure counts as the worst score of any of them.

    So a metric below zero never favours a program that fails, and the difference of two means is the paired gain.
    """
    floor = min((one.worst for one in reports), default=0.0)
    return [replace(one, floor=floor) for one in reports]


def paired_scores(before: Report, after: Report) -> PairedScores:
    """Return the scores of two reports of the same examples, by example.

    Examples on which the metric failed for either are left out of both. A failure counts as in `leveled` reports.
    Equal examples are one observation: their scores are averaged.
    """
    before, after = leveled(before, after)
    pairs: dict[str, list[tuple[float, float]]] = {}
    for row, a, b in zip(before.rows, before.values(), after.values(), strict=True):
        if a is not None and b is not None:
            pairs.setdefault(row.key, []).append((a, b))
    means = [[sum(side) / len(found) for side in zip(*found, strict=True)] for found in pairs.values()]
    known = before.groups if before.groups is not None else after.groups
    groups = None
    if known is not None:
        group_of = {row.key: group for row, group in zip(before.rows, known, strict=True)}
        groups = tuple(group_of[key] for key in pairs)
    return PairedScores(tuple(a for a, _ in means), tuple(b for _, b in means), groups)


def gain(before: Report, after: Report) -> Interval:
    """Return the paired gain from one report to another of the same examples; see `paired_scores`.

    Where a dataset has groups of related examples, the interval is of groups.
    """
    return paired_scores(before, after).interval()


def plain_json(value: Any) -> Any:
    """Return `value` as JSON values; what has no JSON form is shown as text."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): plain_json(item) for name, item in value.items()}
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)
