"""What one compile shares with its compiler: data, model, meter, and every score paid for so far."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.evaluation import Interval, Metric, Report, Row, Runner, gain
from tunesmith.lm import LM, Meter, Spend
from tunesmith.modules import Candidate, Module
from tunesmith.signatures import Example

__all__ = ["check_seed", "CompileReport", "Session", "TrialRecord"]


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One candidate as it was compared.

    Attributes:
        number: 0 is the program as given.
        candidate: what was tried.
        origin: where it came from, in words.
        mean: mean score on the validation examples it was seen on; `None` where it was not scored.
        n: how many those were.
    """

    number: int
    candidate: Candidate
    origin: str
    mean: float | None
    n: int


@dataclass(frozen=True, slots=True)
class CompileReport:
    """What a compile found, decided on validation alone.

    Attributes:
        compiler: the compiler's name.
        baseline: the program as given, on validation.
        compiled: what is returned, on validation.
        candidate: what is returned.
        baseline_candidate: the program as given.
        gain: paired gain on validation with its 95 % interval; flattering, because the best of many was selected.
        trials: every candidate that was compared, best first.
        notes: what was decided for the caller, in words.
        charged, paid: what it cost.
        seed: of every draw.
    """

    compiler: str
    baseline: Report
    compiled: Report
    candidate: Candidate
    baseline_candidate: Candidate
    gain: Interval
    trials: tuple[TrialRecord, ...]
    notes: tuple[str, ...]
    charged: Spend
    paid: Spend
    seed: int

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompileReport":
        return self  # frozen, and it travels with copies of the compiled program

    @property
    def improved(self) -> bool:
        """Whether something better than the program as given was found."""
        return self.candidate != self.baseline_candidate


def check_seed(seed: int) -> int:
    """Return `seed` where every random generator in use takes it.

    Raises:
        UsageError: it is no whole number from 0 to 2**32 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UsageError(f"`seed` must be a whole number from 0 to {2**32 - 1}. Given: {shown(seed)}.")
    return seed


class Session:
    """One compile in progress. Scores are kept per (candidate, validation example) and never asked for twice.

    Args:
        program: the program as given; it is never changed.
        metric: judges one prediction.
        trainset: examples that demos come from.
        valset: examples that select.
        lm: the model.
        meter: counts, and holds the budget.
        seed: of every draw.
        slots: requests on the way at once; default what the LM says.
        teacher: makes demos; default the program itself.
        progress: is told in words what goes on, with how many of how many evaluations are done.

    Raises:
        UsageError: student and teacher have different predictors.
    """

    def __init__(
        self,
        program: Module,
        *,
        metric: Metric,
        trainset: Sequence[Example],
        valset: Sequence[Example],
        lm: LM,
        meter: Meter,
        seed: int,
        slots: int | None = None,
        teacher: Module | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        if teacher is not None:
            _check_same_predictors(program, teacher)
        self.program, self.metric, self.lm, self.meter = program, metric, lm, meter
        self.trainset, self.seed, self.slots, self.teacher = trainset, seed, slots, teacher
        order = list(range(len(valset)))
        random.Random(seed).shuffle(order)
        # One shuffled order for all candidates: prefixes of it are comparable.
        self.valset = [valset[index] for index in order]
        self.baseline = Candidate.of(program)
        self.notes: list[str] = []
        self.trials: list[TrialRecord] = []
        self._progress = progress
        self._rows: dict[str, list[Row]] = {}
        self._runners: dict[str, Runner] = {}
        self._notes: tuple[str, ...] = ()  # of every report
        self._worst = 0.0  # what a failure counts as: a metric may go below zero

    @property
    def size(self) -> int:
        """How many validation examples there are."""
        return len(self.valset)

    def say(self, text: str, done: int = 0, total: int = 0) -> None:
        """Tell the caller what goes on."""
        if self._progress is not None:
            self._progress(text, done, total)

    def report(self, candidate: Candidate, n: int | None = None, *, label: str = "") -> Report:
        """Return the candidate's report on the first `n` validation examples of the common order.

        Raises:
            BudgetExceeded: the budget ended; what was paid for is in the cache.
        """
        wanted = self.size if n is None else min(n, self.size)
        key = candidate.key
        rows = self._rows.setdefault(key, [])
        if len(rows) < wanted:
            start = len(rows)
            found = self._runner(candidate).run(
                self.valset[start:wanted],
                slots=self.slots,
                progress=lambda done, total: self.say(label, done, total),
                failed=Report(tuple(rows)).metric_errors,
                total=self.size,
            )
            rows.extend(found.rows)
            self._notes = tuple(dict.fromkeys((*self._notes, *found.notes)))
            self.notes += [note for note in found.notes if note not in self.notes]
        self._worst = min(self._worst, Report(tuple(rows)).worst)
        return Report(tuple(rows[:wanted]), self._worst, self.meter.charged, self.meter.paid, notes=self._notes)

    def seen(self, candidate: Candidate) -> tuple[int, float | None]:
        """Return on how many validation examples the candidate was scored, and its mean there."""
        rows = self._rows.get(candidate.key, [])
        return len(rows), Report(tuple(rows), self._worst).mean

    def forget(self, candidate: Candidate) -> None:
        """Free what evaluating the candidate needed; its scores stay."""
        self._runners.pop(candidate.key, None)

    def record(self, candidate: Candidate, origin: str, mean: float | None, n: int) -> None:
        """Note a candidate for the report."""
        self.trials.append(TrialRecord(len(self.trials), candidate, origin, mean, n))

    def room(self) -> int | None:
        """Return how many more evaluations of one example the budget has room for; `None` without a limit.

        Judged by what the evaluations of the dearest candidate so far cost.
        """
        left = self.meter.room()
        seen = [rows for rows in self._rows.values() if rows]
        kinds = (
            (left.calls, max((sum(row.calls for row in rows) / len(rows) for rows in seen), default=0)),
            (left.tokens, max((sum(row.tokens for row in rows) / len(rows) for rows in seen), default=0)),
            (left.seconds, max((sum(row.seconds for row in rows) / len(rows) for rows in seen), default=0)),
        )
        rooms = [int(limit / cost) for limit, cost in kinds if limit is not None and cost > 0]
        return min(rooms) if rooms else None

    def best(self) -> tuple[Candidate, Report, Report]:
        """Return the best fully scored candidate, its report and the baseline's.

        The program as given wins ties: a candidate must have a paired gain above zero.
        """
        base = self.report(self.baseline)
        chosen, chosen_report, lead = self.baseline, base, 0.0
        for trial in self.trials:
            if len(self._rows.get(trial.candidate.key, ())) < self.size:
                continue
            report = self.report(trial.candidate)
            found = gain(base, report).mean
            if found is not None and found > lead:
                chosen, chosen_report, lead = trial.candidate, report, found
        return chosen, chosen_report, base

    def finish(self, compiler: str) -> CompileReport:
        """Return what was found."""
        chosen, report, base = self.best()
        return CompileReport(
            compiler=compiler,
            baseline=base,
            compiled=report,
            candidate=chosen,
            baseline_candidate=self.baseline,
            gain=gain(base, report),
            trials=tuple(sorted(self.trials, key=lambda t: (-t.n, -(t.mean or 0.0), t.number))),
            notes=tuple(self.notes),
            charged=self.meter.charged,
            paid=self.meter.paid,
            seed=self.seed,
        )

    def _runner(self, candidate: Candidate) -> Runner:
        key = candidate.key
        if key not in self._runners:
            self._runners[key] = Runner(candidate.apply(self.program), self.metric, lm=self.lm, meter=self.meter)
        return self._runners[key]


def _check_same_predictors(student: Module, teacher: Module) -> None:
    ours = {path: list(p.signature.fields) for path, p in student.named_predictors()}
    theirs = {path: list(p.signature.fields) for path, p in teacher.named_predictors()}
    if ours != theirs:
        raise UsageError(
            f"Student and teacher must have the same predictors with the same fields. The student has {ours}, "
            f"the teacher {theirs}. Pass a teacher of the same structure."
        )
