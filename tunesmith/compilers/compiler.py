"""What a compiler is; the door to DSPy's `Teleprompter`."""

import copy
import logging
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

from dspy.dsp.utils.settings import settings
from dspy.teleprompt.teleprompt import Teleprompter

from tunesmith.compilers.session import CompileReport, Session, check_seed
from tunesmith.compilers.study_mirror import Mirror, MirrorPlace, mirrored
from tunesmith.data import Dataset, check_disjoint
from tunesmith.errors import BudgetExceeded, Interrupted, UsageError, brief, shown
from tunesmith.evaluation import (
    Ledger,
    Metric,
    Report,
    RunFolder,
    as_dataset,
    check_compared,
    checked_demos,
    fit_to_program,
    lm_key,
    program_source,
)
from tunesmith.lm import LM, BaseLM, Budget, Meter, StopSignal, as_lm
from tunesmith.metrics import metric_fingerprint
from tunesmith.modules import Candidate, Module, program_fingerprint
from tunesmith.signatures import Example

__all__ = ["Compiler", "Progress", "as_model", "check_program", "fitted_dataset", "split_validation", "tell"]

_log = logging.getLogger("tunesmith")

Progress = Callable[[str, int, int], None]

VALIDATION_SHARE = 0.4


class Compiler(Teleprompter):
    """A policy that finds a better candidate for a program.

    A subclass overrides `search`, which proposes candidates and scores them through the session, and `options`, which
    says how it was configured. The same compiler with the same seed and the same replies gives the same result.

    Args:
        metric: `metric(example, prediction, trace=None)`.
        budget: the most a compile may be charged: a `Budget`, or a number of calls.
        slots: requests on the way at once; default what the LM says.
        seed: of every draw.
    """

    name: ClassVar[str] = ""
    objectives: Sequence[str] = ("score",)
    limits: Mapping[str, float] = MappingProxyType({})

    def __init__(
        self,
        *,
        metric: Metric | None,
        budget: Budget | int | None = None,
        slots: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if metric is not None and not callable(metric):
            raise UsageError(f"A metric is a function of (example, prediction, trace=None). Given: {shown(metric)}.")
        self.metric, self.budget = metric, Budget.of(budget)
        self.slots, self.seed = slots, check_seed(seed)

    def __repr__(self) -> str:
        given = {name: value for name, value in self.options().items() if name not in ("name", "budget") and value}
        return brief(self, **given, budget=self.budget if self.budget.to_json() else None)

    def compile(
        self,
        student: Module,
        *,
        trainset: Sequence[Example],
        teacher: Module | None = None,
        valset: Sequence[Example] | None = None,
        run: str | None = None,
        progress: Progress | None = None,
        mirror: MirrorPlace = None,
        **kwargs: Any,
    ) -> Module:
        """Return a compiled copy of `student`; `student` is not changed.

        Without `valset` a seeded 60/40 split of `trainset` is made and said in the report's notes. The result is never
        worse than `student` on validation: where nothing better is found, it is a copy of `student`.

        Args:
            student: any `dspy.Module`.
            trainset: examples that demos come from.
            teacher: makes demos; default the student.
            valset: examples that select; none of them may be in `trainset`.
            run: name of a run folder that keeps the report; it is refused to a compile of something else.
            progress: is told what goes on, and how many of how many evaluations are done.
            mirror: Optuna URL of a database in which `optuna-dashboard` shows the search; it is only written to.
                Default `study.db` in the run's folder; `False` for none.
            **kwargs: refused; DSPy passes what its own optimizers know.

        Returns:
            The program, with `compile_report` (a `CompileReport`) and `compile_notes`, its notes.

        Raises:
            UsageError: an argument that cannot be used.
            SplitError: `trainset` and `valset` share examples.
            DataError: an example lacks an input, or a demo of the student cannot be shown.
            BudgetExceeded: the budget ended before the student was scored.
        """
        self._refuse(kwargs)
        given: dict[str, Any] = {"trainset": trainset, "teacher": teacher, "valset": valset, "progress": progress}
        session = self.session(student, **{**given, "progress": None})  # the one that runs tells of its notes
        about = {"compiler": self.name, "seed": self.seed}
        if run is None:
            with mirrored(mirror, self.objectives, about=about) as written:
                return self._apply(student, self.run(self.session(student, **given, mirror=written)))
        with (
            RunFolder(run, self._run_identity(student, session)) as folder,
            folder.ledger() as ledger,
            mirrored(mirror, self.objectives, folder=folder, about={**about, "run": str(run)}) as written,
        ):
            report = self.run(self.session(student, **given, ledger=ledger, mirror=written))
            folder.write("compile.json", _report_json(report))
        return self._apply(student, report)

    def session(
        self,
        student: Module,
        *,
        trainset: Sequence[Example],
        teacher: Module | None = None,
        valset: Sequence[Example] | None = None,
        metric: Metric | None = None,
        lm: BaseLM | None = None,
        meter: Meter | None = None,
        progress: Progress | None = None,
        ledger: Ledger | None = None,
        rescore: bool = False,
        mirror: Mirror | None = None,
    ) -> Session:
        """Return what one compile works with, its arguments checked; `metric` replaces the constructor's."""
        check_program(student)
        if isinstance(teacher, list) and len(teacher) == 1:  # as `dspy.BetterTogether` passes it
            teacher = teacher[0]
        if teacher is not None:
            check_program(teacher)
            checked_demos(teacher)
        model = as_model(lm)
        train, seen = fitted_dataset(student, trainset, "trainset")
        notes = [*checked_demos(student), *seen]
        if valset is None:
            train, validation = split_validation(train, self.seed)
            notes.append(
                f"No validation set was given: {len(train)} examples of the training set give demos and "
                f"{len(validation)} select."
            )
        else:
            validation, seen = fitted_dataset(student, valset, "valset")
            notes += seen
            check_disjoint(trainset=train, valset=validation)
        judge = self._metric() if metric is None else metric
        check_compared(judge, validation, student)
        session = Session(
            student,
            metric=judge,
            trainset=list(train),
            valset=validation,
            lm=model,
            meter=Meter(self.budget) if meter is None else meter,
            seed=self.seed,
            slots=self.slots,
            teacher=teacher,
            progress=progress,
            ledger=ledger,
            rescore=rescore,
            objectives=self.objectives,
            limits=self.limits,
            mirror=mirror,
        )
        session.note(*notes)
        return session

    def run(self, session: Session) -> CompileReport:
        """Score the program as given, search, and return the best; the budget's end only ends the search.

        Raises:
            BudgetExceeded: the budget ended before the program as given was scored.
            Interrupted: by Ctrl-C.
        """
        base = session.report(session.baseline, label="program as given")
        session.notes += _note_of_failures(base)
        session.record(session.baseline, "program as given", base.mean, base.n)
        try:
            self.search(session)
        except BudgetExceeded as stop:
            session.notes.append(_note_of_end(session, stop))
        except StopSignal as signal:
            if not isinstance(signal.error, BudgetExceeded):
                raise signal.error from None
            session.notes.append(_note_of_end(session, signal.error))
        except KeyboardInterrupt:  # outside an evaluation, which says how far it came
            raise Interrupted(
                "Stopped during the search. Finished calls are in the cache; the same command goes on."
            ) from None
        return session.finish(self.name)

    @abstractmethod
    def search(self, session: Session) -> None:
        """Propose candidates, score them with `session.report` and note them with `session.record`."""

    def options(self) -> dict[str, Any]:
        """Return how the compiler is configured, as JSON values; part of a run's identity."""
        return {"name": self.name, "seed": self.seed, "budget": self.budget.to_json()}

    def plan(self, *, train: int, val: int, calls: float = 1.0) -> dict[str, Any]:
        """Return what a compile will need before the first call.

        Args:
            train: training examples.
            val: validation examples.
            calls: LM calls of one run of the program, those of a metric that calls an LM included; of a program that
                now makes more and now fewer, the most, for `worst` to hold.

        Returns:
            `candidates`, the program as given included; charged `calls`, the baseline included: `expected`, and
            `worst`, which is never exceeded; a budget of calls limits both. `notes` say if it leaves no room to try any
            candidate.
        """
        return {**self._planned(1, val * calls, val * calls), "notes": []}

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate | None:
        """Return a candidate with as many demos as this compiler gives, for estimates; `None` if it gives none."""
        return None

    def with_budget(self, budget: Budget) -> Self:
        """Return a copy that differs in the budget alone."""
        found = copy.copy(self)
        found.budget = budget
        return found

    def _planned(self, candidates: int, expected: float, worst: float) -> dict[str, Any]:
        """Return what `plan` promises, within the budget."""
        limit = math.inf if self.budget.calls is None else self.budget.calls
        worst = min(worst, limit)
        return {
            "candidates": candidates,
            "calls": {"expected": round(min(expected, worst)), "worst": math.ceil(worst)},
        }

    def _notes_of_room(self, val: int, calls: float, boot: int = 0) -> list[str]:
        """Return a sentence if the budget of calls leaves no room to score one candidate on validation.

        Args:
            val: validation examples.
            calls: of one run of the program.
            boot: runs that bootstrapping is expected to take.
        """
        limit, one = self.budget.calls, math.ceil(val * calls)
        if limit is None or limit >= 2 * one + boot * calls:
            return []
        surely = limit < 2 * one
        about = "" if not boot else f", bootstrapping about {math.ceil(boot * calls)}"
        more = math.ceil(2 * one + boot * calls) - limit
        ways = [f"Raise the budget by {'about ' if boot else ''}{more} calls"]
        ways += ["set max_bootstrapped_demos = 0"] if boot and not surely else []
        return [
            f"{'No' if surely else 'Probably no'} candidate will be tried: of the {limit} calls that the search may "
            f"make, scoring the program as given on {val} validation examples takes {one}{about}, and scoring a "
            f"candidate as many as the program as given. {', '.join(ways)}, or pass fewer validation examples."
        ]

    def _refuse(self, unknown: dict[str, Any]) -> None:
        if unknown:
            raise UsageError(
                f"{type(self).__name__}.compile does not know {', '.join(sorted(unknown))}. "
                "How a compiler works is said in its constructor."
            )

    def _metric(self) -> Metric:
        if self.metric is None:
            raise UsageError(
                f"{type(self).__name__} needs a metric. Pass `metric=`, for instance "
                "`ts.metrics.exact_match('answer')`."
            )
        return self.metric

    def _apply(self, student: Module, report: CompileReport) -> Module:
        program = report.candidate.apply(student)
        program._compiled = True
        program.compile_notes = report.notes  # type: ignore[attr-defined]
        program.compile_report = report  # type: ignore[attr-defined]  # promised; DSPy's Module has no slots
        return program

    def _run_identity(self, student: Module, session: Session) -> dict[str, Any]:
        return {
            "program": program_fingerprint(student),
            "candidate": session.baseline.key,
            "metric": metric_fingerprint(session.metric),
            "source": program_source(student),
            "lm": lm_key(session.lm, student),
            "trainset": Dataset.load(session.trainset).fingerprint,
            "valset": Dataset.load(session.valset).fingerprint,
            "compiler": self.options(),
        }


def _note_of_end(session: Session, stop: Exception) -> str:
    kept = " What is left of the whole budget is kept for the test." if session.keeps else ""
    return f"The search ended early: {stop}{kept}"


def _note_of_failures(base: Report) -> list[str]:
    """Return what to tell the user where the program as given fails on every example."""
    failures = [row.failure for row in base.rows if row.failure is not None and row.failure.fault == "program"]
    if len(failures) < len(base.rows):
        return []
    first = failures[0]
    return [
        f"The program as given fails on all {len(base.rows)} validation examples, the first time with {first.kind}: "
        f"{first.message} Unless demos repair that, call it once on an example to see where."
    ]


def check_program(given: object) -> None:
    """Raise `UsageError` unless `given` is a program."""
    if not isinstance(given, Module):
        raise UsageError(f"A program is a `dspy.Module`. Given: {shown(given)}. Pass an instance, not a class.")


def as_model(lm: BaseLM | None) -> LM:
    """Return `lm`, or where it is `None` the model of `dspy.settings`, as a metered LM.

    Raises:
        UsageError: there is none, or it is no LM.
    """
    model = settings.lm if lm is None else lm
    if model is None:
        raise UsageError("There is no model. Pass `lm=ts.lm(...)`, or set one with `dspy.configure(lm=...)`.")
    if not isinstance(model, BaseLM):
        raise UsageError(f"`lm` must be an LM, such as `ts.lm('embedded')`. Given: {shown(model)}.")
    return as_lm(model)


def fitted_dataset(program: Module, examples: Sequence[Example], name: str) -> tuple[Dataset, tuple[str, ...]]:
    """Return `examples` as `program` gets them, and what to note of them.

    Raises:
        UsageError: they are no list of examples, or one does not say which fields are inputs.
        DataError: there are none, or one lacks an input.
    """
    return fit_to_program(program, as_dataset(examples, name))


def tell(notes: Sequence[str], progress: Progress | None) -> tuple[str, ...]:
    """Say notes of a compile that has no report: in the log, and to `progress`. Return them, each once."""
    found = tuple(dict.fromkeys(notes))
    for note in found:
        _log.warning("%s", note)
        if progress is not None:
            progress(note, 0, 0)
    return found


def split_validation(train: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Return `train` split 60/40 by `seed`.

    Raises:
        SplitError: there are too few examples.
    """
    splits = train.split(train=1 - VALIDATION_SHARE, val=VALIDATION_SHARE, seed=seed)
    if splits.train is None or splits.val is None:
        raise UsageError("The training set is too small to split. Pass `valset=`.")
    return splits.train, splits.val


def _report_json(report: CompileReport) -> dict[str, Any]:
    return {
        "compiler": report.compiler,
        "baseline": report.baseline.summary(),
        "compiled": report.compiled.summary(),
        "gain": report.gain.to_json(),
        "candidate": report.candidate.to_json(),
        "trials": [
            {"number": t.number, "origin": t.origin, "mean": t.mean, "n": t.n, "key": t.candidate.key}
            for t in report.trials
        ],
        "notes": list(report.notes),
        "charged": report.charged.to_json(),
        "paid": report.paid.to_json(),
        "seed": report.seed,
    }
