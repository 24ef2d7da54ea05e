"""What one compile shares with its compiler: data, model, meter, and every score paid for so far."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.compilers.reserve import Reserve
from tunesmith.compilers.study_mirror import Mirror
from tunesmith.compilers.study_objectives import front_in_words
from tunesmith.data import Dataset
from tunesmith.errors import UsageError, brief, shown
from tunesmith.evaluation import (
    Interval,
    Ledger,
    Metric,
    Report,
    Row,
    Runner,
    Shelf,
    Turns,
    as_dataset,
    gain,
    lm_key,
    paired_scores,
    program_key,
)
from tunesmith.lm import LM, Meter, Spend
from tunesmith.metrics import metric_fingerprint
from tunesmith.modules import Candidate, Module
from tunesmith.signatures import Example

if TYPE_CHECKING:
    from tunesmith.compilers.study import FrozenTrial

__all__ = ["check_seed", "CompileReport", "Session", "TrialRecord"]

_PROBE = 4  # examples that show what a candidate costs


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

    def __repr__(self) -> str:
        mean = None if self.mean is None else round(self.mean, 4)
        return brief(self, str(self.number), self.origin, mean=mean, n=self.n)


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

    def __repr__(self) -> str:
        return brief(self, self.compiler, f"{_scores(self)} on validation", f"{len(self.trials)} candidates")

    def __str__(self) -> str:
        change = f"Why nothing changed: {self.unchanged_because}." if self.unchanged_because else ""
        spent = f"{self.charged.calls:,} calls, {self.charged.tokens:,} tokens charged"
        lines = [f"{self.compiler}: {_scores(self)} on validation, {len(self.trials)} candidates, {spent}", change]
        return "\n".join([line for line in lines if line] + [f"Note: {note}" for note in self.notes])

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompileReport":
        return self  # frozen, and it travels with copies of the compiled program

    @property
    def improved(self) -> bool:
        """Whether something better than the program as given was found."""
        return self.candidate != self.baseline_candidate

    @property
    def unchanged_because(self) -> str:
        """Why the program as given is returned, as a clause; empty if it is not."""
        if self.improved:
            return ""
        return _untried(self.trials, self.baseline_candidate, self.baseline.n) or (
            "no candidate beat the program as given on validation"
        )


def _scores(report: CompileReport) -> str:
    before, after = (one.interval for one in (report.baseline, report.compiled))
    return f"{before.mean if before.mean is None else format(before.mean, '.3f')} -> " + (
        "no scores" if after.mean is None else f"{after.mean:.3f}"
    )


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
        ledger: where finished evaluations are kept and come from; default nowhere but in this object.
        rescore: whether what another metric judged is scored again rather than evaluated.
        objectives: names of `OBJECTIVES`; the score decides what is returned, the others what the search looks for.
        limits: the most that one example may cost, by objective; what costs more is not returned.
        mirror: is told of every candidate that is compared.

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
        ledger: Ledger | None = None,
        rescore: bool = False,
        objectives: Sequence[str] = ("score",),
        limits: Mapping[str, float] | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        if teacher is not None:
            _check_same_predictors(program, teacher)
        self.program, self.metric, self.lm, self.meter = program, metric, lm, meter
        self.trainset, self.seed, self.slots, self.teacher = trainset, seed, slots, teacher
        self.turns = Turns(meter, len(program.named_predictors()))
        order = list(range(len(valset)))
        random.Random(seed).shuffle(order)
        # One shuffled order for all candidates: prefixes of it are comparable.
        self.valset = as_dataset(valset, "valset").ordered(order)
        groups = valset.groups if isinstance(valset, Dataset) else None
        self._groups = None if groups is None else tuple(groups[index] for index in order)
        self.baseline = Candidate.of(program)
        self.notes: list[str] = []
        self.trials: list[TrialRecord] = []
        self._progress = progress
        self._ledger, self._rescore, self._mirror = ledger, rescore, mirror
        self._objectives, self._limits = tuple(objectives), dict(limits or {})
        self._fingerprint = "" if ledger is None else metric_fingerprint(metric)
        self._program_keys: dict[int, str] = {}
        self._rows: dict[str, list[Row]] = {}
        self._runners: dict[str, Runner] = {}
        self._notes: tuple[str, ...] = ()  # of every report
        self._worst = 0.0  # what a failure counts as: a metric may go below zero
        self._reserve: Reserve | None = None
        self.on_candidate: Callable[[Candidate], None] | None = None  # is told of each before its first evaluation

    def keep_for_test(self, examples: int) -> None:
        """Leave as much of the budget as testing two programs on `examples` examples takes; of calls see `Job`."""
        found = Reserve(examples, self.meter, self.lm.slots if self.slots is None else self.slots)
        self._reserve = found if found.active else None

    @property
    def keeps(self) -> bool:
        """Whether a part of the budget is kept for the test by what the rows so far cost."""
        return self._reserve is not None

    @property
    def size(self) -> int:
        """How many validation examples there are."""
        return len(self.valset)

    def say(self, text: str, done: int = 0, total: int = 0) -> None:
        """Tell the caller what goes on."""
        if self._progress is not None:
            self._progress(text, done, total)

    def note(self, *notes: str) -> None:
        """Note what was decided or left out, for the report, and tell the caller now; each once."""
        for note in notes:
            if note not in self.notes:
                self.notes.append(note)
                self.say(note)

    def report(self, candidate: Candidate, n: int | None = None, *, label: str = "") -> Report:
        """Return the candidate's report on the first `n` validation examples of the common order.

        Raises:
            BudgetExceeded: the budget ended; what was paid for is in the cache.
        """
        wanted = self.size if n is None else min(n, self.size)
        key = candidate.key
        if key not in self._rows and self.on_candidate is not None:
            self.on_candidate(candidate)
        rows = self._rows.setdefault(key, [])
        first = len(rows)
        for stop in self._stops(first, wanted):
            start = len(rows)
            found = self._runner(candidate).run(
                self.valset[start:stop],
                slots=self.slots,
                progress=self._teller(label, start - first, wanted - first),
                failed=Report(tuple(rows)).metric_errors,
                total=self.size,
            )
            rows.extend(found.rows)
            self._notes = tuple(dict.fromkeys((*self._notes, *found.notes)))
            self.notes += [note for note in found.notes if note not in self.notes]
            base = self._rows.get(self.baseline.key, [])
            if self._reserve is not None and len(base) >= self.size:
                self._reserve.keep(base, self._rows.values())
        self._worst = min(self._worst, Report(tuple(rows)).worst)
        groups = None if self._groups is None else self._groups[:wanted]
        return Report(tuple(rows[:wanted]), self._worst, self.meter.charged, self.meter.paid, self._notes, groups)

    def _teller(self, label: str, before: int, total: int) -> Callable[[int, int], None]:
        """Return what is told of a part of `total` rows, `before` of which are done."""
        return lambda done, _: self.say(label, before + done, total)

    def _stops(self, seen: int, wanted: int) -> list[int]:
        """Return up to where rows are evaluated, one part after the other; a first few show what a candidate costs."""
        first = [_PROBE] if self._reserve is not None and seen < _PROBE < wanted else []
        return [*first, wanted] if seen < wanted else []

    def seen(self, candidate: Candidate) -> tuple[int, float | None]:
        """Return on how many validation examples the candidate was scored, and its mean there."""
        rows = self._rows.get(candidate.key, [])
        return len(rows), Report(tuple(rows), self._worst).mean

    def values(self, candidate: Candidate) -> tuple[float, ...] | None:
        """Return how the candidate did in each objective, on the examples it was seen on; `None` without a score."""
        rows, (_, mean) = self._rows.get(candidate.key, []), self.seen(candidate)
        if mean is None:
            return None
        return tuple(mean if name == "score" else _cost(rows, name) for name in self._objectives)

    def excess(self, candidate: Candidate) -> dict[str, float]:
        """Return by how much the candidate is over each limit; zero or less is within."""
        rows = self._rows.get(candidate.key, [])
        return {name: _cost(rows, name) - limit for name, limit in self._limits.items()} if rows else {}

    def is_over(self, candidate: Candidate) -> bool:
        """Whether the candidate is over a limit, on the examples it was seen on."""
        return any(excess > 0 for excess in self.excess(candidate).values())

    def forget(self, candidate: Candidate) -> None:
        """Free what evaluating the candidate needed; its scores stay."""
        self._runners.pop(candidate.key, None)

    def shelf(
        self, candidate: Candidate, *, program: Module | None = None, lm: LM | None = None, mode: str = "eval"
    ) -> Shelf | None:
        """Return where evaluations of `candidate` are kept; `None` without a ledger.

        Args:
            candidate: what is evaluated.
            program: of which program; default the one that is compiled.
            lm: by which model; default the session's.
            mode: `teach` where the metric is shown the trace.
        """
        if self._ledger is None:
            return None
        whose, model = self.program if program is None else program, self.lm if lm is None else lm
        if id(whose) not in self._program_keys:
            self._program_keys[id(whose)] = program_key(whose)
        return Shelf.of(
            self._ledger,
            program=self._program_keys[id(whose)],
            candidate=candidate.key,
            models=lm_key(model, whose),
            lm=model,
            metric=self._fingerprint,
            mode=mode,
            rescore=self._rescore,
        )

    def record(
        self, candidate: Candidate, origin: str, mean: float | None, n: int, told: "FrozenTrial | None" = None
    ) -> None:
        """Note a candidate for the report, and for the mirror; `told` is what the study that asked for it returned."""
        self.trials.append(TrialRecord(len(self.trials), candidate, origin, mean, n))
        if self._mirror is not None:
            report = Report(tuple(self._rows.get(candidate.key, ())), self._worst)
            seen = 0 if n >= self.size else n
            self._mirror.add(candidate, origin, report, self.values(candidate), seen=seen, told=told)

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

    def note_no_room(self, room: int) -> None:
        """Note that no further candidate is tried, because the budget has room for `room` evaluations alone."""
        spent = self.meter.charged.calls
        text = (
            f"{'No' if len(self.trials) <= 1 else 'No further'} candidate was tried: after {spent} calls the budget of "
            f"the search has room for {room} evaluations of an example, and comparing one takes {self.size}. Raise the "
            "budget, pass fewer validation examples, or set max_bootstrapped_demos = 0 if bootstrapping took the calls."
        )
        if not any("candidate was tried: after" in note for note in self.notes):
            self.notes.append(text)

    def best(self) -> tuple[Candidate, Report, Report]:
        """Return the best fully scored candidate, its report and the baseline's.

        The program as given wins ties: a candidate must have a paired gain above zero, and be within the limits.
        """
        base = self.report(self.baseline)
        chosen, chosen_report, lead = self.baseline, base, 0.0
        for trial in self.trials:
            if len(self._rows.get(trial.candidate.key, ())) < self.size or self.is_over(trial.candidate):
                continue
            report = self.report(trial.candidate)
            found = paired_scores(base, report).mean
            if found is not None and found > lead:
                chosen, chosen_report, lead = trial.candidate, report, found
        return chosen, chosen_report, base

    def finish(self, compiler: str) -> CompileReport:
        """Return what was found."""
        chosen, report, base = self.best()
        self.note(*self._notes_of_costs(), *self._notes_of_choice(chosen))
        if self._mirror is not None:
            self._mirror.note("chosen", chosen.key)
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

    def _notes_of_choice(self, chosen: Candidate) -> list[str]:
        """Say where demos are missing because none helped."""
        tried = {path for trial in self.trials for path, part in trial.candidate.parts.items() if part.demos}
        bare = [path for path, part in chosen.parts.items() if not part.demos and path in tried]
        if chosen == self.baseline:
            untried = _untried(self.trials, chosen, self.report(chosen).n)
            if untried:
                return [f"{untried.capitalize()}, so the program as given is returned."]
            return ["No candidate was better than the program as given on validation, so that is returned."]
        if bare:
            names = ", ".join(f"`{path}`" for path in bare)
            return [f"The best candidate has no demos for {names}; those with demos did no better on validation."]
        return []

    def _notes_of_costs(self) -> list[str]:
        notes = []
        if self.is_over(self.baseline):
            notes.append("The program as given is over a limit itself; it is returned where nothing within is better.")
        if len(self._objectives) > 1:
            whole = [(t.origin, self.values(t.candidate)) for t in self.trials if t.n >= self.size]
            tried = [(origin, values) for origin, values in whole if values is not None]
            notes.append(front_in_words(tried, self._objectives))
        return notes

    def _runner(self, candidate: Candidate) -> Runner:
        key = candidate.key
        if key not in self._runners:
            program, shelf = candidate.apply(self.program), self.shelf(candidate)
            self._runners[key] = Runner(
                program, self.metric, lm=self.lm, meter=self.meter, shelf=shelf, turns=self.turns, own=True
            )
        return self._runners[key]


def _untried(trials: Iterable[TrialRecord], given: Candidate, whole: int) -> str:
    """Return as a clause that nothing was compared with the program as given; empty if something was."""
    others = [trial for trial in trials if trial.candidate != given]
    if not others:
        return "no candidate was tried"
    return "no candidate was scored on all validation examples" if all(trial.n < whole for trial in others) else ""


def _cost(rows: Sequence[Row], name: str) -> float:
    """Return the mean of what one example is charged: `tokens`, `calls`, or `latency` in seconds."""
    return sum(getattr(row, "seconds" if name == "latency" else name) for row in rows) / max(1, len(rows))


def _check_same_predictors(student: Module, teacher: Module) -> None:
    ours = {path: list(p.signature.fields) for path, p in student.named_predictors()}
    theirs = {path: list(p.signature.fields) for path, p in teacher.named_predictors()}
    if ours != theirs:
        raise UsageError(
            f"Student and teacher must have the same predictors with the same fields. The student has {ours}, "
            f"the teacher {theirs}. Pass a teacher of the same structure."
        )
