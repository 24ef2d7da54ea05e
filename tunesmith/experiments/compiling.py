"""`ts.compile`: compile, test, verdict, artifact, in one call that can be repeated."""

import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.artifacts import Artifact, note_on_loading, save
from tunesmith.compilers import Compiler, CompileReport, Mirror, MirrorPlace, Session, mirrored
from tunesmith.data import Dataset, content_key, example_key
from tunesmith.errors import BudgetExceeded, UsageError, brief, shown
from tunesmith.evaluation import Interval, Ledger, Metric, Report, RunFolder, Runner, paired_scores, run_path
from tunesmith.experiments.compiling_calls import calls_of_example
from tunesmith.experiments.compiling_job import Job, job_of
from tunesmith.experiments.compiling_plan import notes_of_room, search_budget, stop_of_compile
from tunesmith.experiments.run_notes import RunNotes
from tunesmith.experiments.verdict import Finding, count_opening, finding_of
from tunesmith.lm import BaseLM, Budget, Meter, Spend, metered, unpaid
from tunesmith.metrics import metric_name
from tunesmith.modules import Candidate, Module, caller_adapter, class_name
from tunesmith.signatures import Example

__all__ = ["CompileResult", "Progress", "compile_program"]

_log = logging.getLogger("tunesmith")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class CompileResult:
    """What `ts.compile` returns.

    Attributes:
        program: the compiled program, or a copy of the given one where nothing better was found.
        report: what the search found, decided on validation.
        baseline: the program as given, on the test split; on validation if it was not tested, with a note that says so.
        compiled: the compiled program, on the same.
        tested: whether both are on the test split.
        finding: what the test split says: verdict, gain, how many more examples would settle it, one sentence.
        artifact: the saved artifact, `None` without `run`.
        charged, paid: what the whole compile cost, test included.
        opened: how many runs looked at this test split so far, `None` without one.
        notes: what was decided for the caller, in words.
        seed: of every draw.
    """

    program: Module
    report: CompileReport
    baseline: Report
    compiled: Report
    tested: bool
    finding: Finding
    artifact: Artifact | None
    charged: Spend
    paid: Spend
    opened: int | None
    notes: tuple[str, ...]
    seed: int

    def __repr__(self) -> str:
        path = None if self.artifact is None else str(self.artifact.path)
        return brief(self, self.verdict, self._scores(), artifact=path)

    def __str__(self) -> str:
        spent = f"{self.charged.calls:,} calls and {self.charged.tokens:,} tokens charged"
        lines = [
            f"{self.verdict}: {self._scores()}",
            self.finding.sentence,
            f"{spent}, {self.paid.calls:,} calls paid now",
            "" if self.artifact is None else f"Artifact: {self.artifact.path}",
        ]
        return "\n".join([line for line in lines if line] + [f"Note: {note}" for note in self.notes])

    def _scores(self) -> str:
        split = "test" if self.tested else "validation"
        return f"{self.baseline.interval} -> {self.compiled.interval} of {split}"

    @property
    def verdict(self) -> str:
        """`ship`, `no evidence`, `regression` or `untested`."""
        return self.finding.verdict

    @property
    def gain(self) -> Interval | None:
        """Paired gain on the test split with its 95 % interval, `None` without one."""
        return self.finding.gain

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values: what `result.json` holds."""
        found = self.report.gain if self.gain is None else self.gain
        return {
            "split": "test" if self.tested else "validation",
            "baseline": self.baseline.summary(),
            "compiled": self.compiled.summary(),
            "gain": found.to_json(),
            **self.finding.to_json(),
            "validation": {
                "baseline": self.report.baseline.summary(),
                "compiled": self.report.compiled.summary(),
                "gain": self.report.gain.to_json(),
            },
            "improved": self.report.improved,
            "candidates": len(self.report.trials),
            "calls": {"charged": self.charged.calls, "paid": self.paid.calls},
            "tokens": {"charged": self.charged.tokens, "paid": self.paid.tokens},
            "seconds": {
                "charged": round(self.charged.seconds, 2),
                "paid": round(self.paid.seconds, 2),
            },
            "test_opened": self.opened,
            "notes": list(self.notes),
            "seed": self.seed,
            "artifact": None
            if self.artifact is None
            else {"path": str(self.artifact.path), "sha256": self.artifact.sha256},
        }


def compile_program(
    program: Module,
    *,
    metric: Metric,
    trainset: Sequence[Example],
    valset: Sequence[Example] | None = None,
    testset: Sequence[Example] | None = None,
    compiler: Compiler | None = None,
    lm: BaseLM | None = None,
    budget: Budget | int | None = None,
    run: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    new: bool = False,
    fork: str | Path | None = None,
    rescore: bool = False,
    store: bool = True,
    command: dict[str, Any] | None = None,
    mirror: MirrorPlace = None,
) -> CompileResult:
    """Compile `program`, test it on examples nobody selected on, and save an artifact.

    Every finished evaluation is in the run's ledger and every reply in the cache, so the same call after an
    interruption repeats no finished LM call and ends in the same artifact.

    Args:
        program: any `dspy.Module`; it is not changed.
        metric: `metric(example, prediction, trace=None)`.
        trainset: examples that demos come from.
        valset: examples that select; default a seeded 40 % of `trainset`.
        testset: examples that only label the result.
        compiler: default `RandomSearch`.
        lm: the model; default `dspy.settings.lm`.
        budget: the most everything together may be charged: a `Budget`, or a number of calls. What testing takes is
            kept back from the search: calls by their number, every other kind by what the examples so far cost.
        run: name of the run folder `./runs/<name>`, or a path; without one nothing is saved.
        seed: of every draw.
        progress: is told what goes on, and how many of how many evaluations are done.
        new: set a run that is in the folder aside, under another name, and start afresh.
        fork: name of a new run, or its path, that starts from what `run` has evaluated; whatever of that was of the
            same program, model and metric is not evaluated again.
        rescore: where only the metric changed, score the stored outputs and traces again. No LM but a judge's is
            called; the search ends where it would need to, and the same call without `rescore` goes on.
        store: whether the ledger keeps outputs and traces; keys, scores and charges are kept in any case.
        command: how the run was started, for `tunesmith runs resume`: `arguments` and `folder`.
        mirror: URL of an Optuna database, such as 'postgresql+psycopg://...', in which `optuna-dashboard` shows the
            search; it is only written to, and no failure of it stops a compile that has begun. Default `study.db` in
            the run's folder; `False` for none.

    Raises:
        UsageError: an argument that cannot be used.
        DataError: an example of a split lacks an input of the program, or a demo of the program cannot be shown.
        SplitError: two of the splits share examples.
        RunMismatch: the run folder holds a run of something else.
        LedgerError: the run's ledger cannot be written, as on a full disk; the same call goes on later.
        BudgetExceeded: the budget ended before the program as given was scored.
        ModelMissing, ModelUnavailable: there is nobody to answer; the same call goes on later.
        Interrupted: by Ctrl-C; the same call goes on later.
    """
    job = job_of(program, metric, trainset, valset, testset, compiler, lm, budget, seed)
    for text in notes_of_room(job):  # refuses a budget that is too small, before a folder is made
        _log.warning("%s", text)
    if run is None:
        if new or fork is not None or rescore:
            raise UsageError("`new`, `fork` and `rescore` are about a run. Name it, as in `run='first'`.")
        with mirrored(mirror, job.compiler.objectives, about=job.about(), private=not store) as written:
            return _run(job, progress, mirror=written)
    if fork is not None and run_path(fork) == run_path(run):
        raise UsageError(f"A run cannot be forked from itself. Given: fork={shown(str(fork))}. Choose another name.")
    name = run if fork is None else fork
    if rescore and ((new and fork is None) or not (run_path(run) / "run.json").exists()):
        why = "`new` sets the run aside" if new and fork is None else f"there is no run in {str(run_path(run))!r}"
        raise UsageError(f"There is nothing to rescore: {why}. Leave `rescore` out, or name the run that has outputs.")
    _say_what_is_not_kept(job, store=store)
    hint = note_on_loading(job.program)
    if hint is not None:
        warnings.warn(hint, UserWarning, stacklevel=2)
        job = replace(job, notes=(*job.notes, hint))
    with (
        RunFolder(name, job.identity(), command=command, new=new, rescore=rescore) as folder,
        folder.ledger(private=not store) as ledger,
        mirrored(
            mirror, job.compiler.objectives, folder=folder, about=job.about(run=str(name)), private=not store
        ) as written,
    ):
        if fork is not None:
            folder.copy_ledger(ledger, run)
        notes = RunNotes(folder, job)
        result = _run(job, progress, ledger, rescore=rescore, mirror=written, on_candidate=notes.begin)
        notes.choose(result.report.candidate)
        artifact = _save(job, result, folder.path / "artifact")
        result = replace(result, artifact=artifact)
        folder.write("result.json", result.to_json())
    return result


def _say_what_is_not_kept(job: Job, *, store: bool) -> None:
    if not store:
        _log.warning(
            "Replies, outputs and traces are not kept, only scores: a resume pays again for every evaluation that was "
            "not finished, and for every demo that a teacher made."
        )
    elif not job.lm.caches:
        _log.warning("Replies are not kept: a resume pays again for every evaluation that was not finished.")


def _run(
    job: Job,
    progress: Progress | None,
    ledger: Ledger | None = None,
    *,
    rescore: bool = False,
    mirror: Mirror | None = None,
    on_candidate: Callable[[Candidate], None] | None = None,
) -> CompileResult:
    meter = Meter(job.budget)
    keys = [list(split.keys) for split in _splits(job)]
    with metered(meter), unpaid() if rescore else nullcontext():
        session = job.compiler.session(
            job.program,
            trainset=job.train,
            valset=job.val,
            metric=job.metric,
            lm=job.lm,
            meter=Meter(search_budget(job)),
            progress=progress,
            ledger=ledger,
            rescore=rescore,
            mirror=mirror,
        )
        session.on_candidate = on_candidate
        if job.test is not None:
            session.keep_for_test(len(job.test))
        try:
            _keep_room(job, session)
            report = job.compiler.run(session)
        except BudgetExceeded as stop:
            raise stop_of_compile(job, session, stop, in_run=ledger is not None) from None
        _check_unchanged(job, keys)
        program = report.candidate.apply(job.program)
        program._compiled = True
        program.compile_report = report  # type: ignore[attr-defined]  # promised
        before, after, notes = _test(job, session, report, meter, progress)
    _check_unchanged(job, keys)
    scores = None if before is None or after is None else paired_scores(before, after)
    finding = finding_of(scores, changed=report.improved, unchanged_because=report.unchanged_because)
    found = finding.gain
    if found is not None and job.test is not None and found.n < len(job.test):
        notes = (*notes, f"The gain is over {found.n} different test examples of {len(job.test)}.")
    return CompileResult(
        program=program,
        report=report,
        baseline=_untested(report.baseline, job) if before is None else before,
        compiled=_untested(report.compiled, job) if after is None else after,
        tested=scores is not None,
        finding=finding,
        artifact=None,
        charged=meter.charged,
        paid=meter.paid,
        opened=None
        if job.test is None or found is None
        else count_opening(job.test.fingerprint, content_key(job.identity(), escaped=True)),
        notes=tuple(dict.fromkeys((*job.notes, *report.notes, *notes))),
        seed=job.seed,
    )


def _keep_room(job: Job, session: Session) -> None:
    """Keep more calls for the test, where the program as given makes more than its code tells."""
    limit, test = job.budget.calls, job.test
    if limit is None or test is None or calls_of_example(job.program, job.metric).known:
        return
    rows = session.report(session.baseline, label="program as given").rows
    room = limit - 2 * len(test) * max(row.calls for row in rows)
    if room < (session.meter.budget.calls or 0):
        room = max(room, session.meter.charged.calls)  # what is spent is spent
        session.meter.budget = replace(session.meter.budget, calls=room)


def _splits(job: Job) -> list[Dataset]:
    return [split for split in (job.train, job.val, job.test) if split is not None]


def _check_unchanged(job: Job, keys: list[list[str]]) -> None:
    """Refuse scores of examples that changed under way: later candidates saw others than earlier ones."""
    if [[example_key(example) for example in split] for split in _splits(job)] != keys:
        raise UsageError(
            "The metric or the program changed the examples it was given, so the scores cannot be compared. Let it "
            "work on a copy: `copy.deepcopy(example)`."
        )


def _test(
    job: Job,
    session: Session,
    report: CompileReport,
    meter: Meter,
    progress: Progress | None,
) -> tuple[Report | None, Report | None, tuple[str, ...]]:
    if job.test is None:
        return None, None, ("No test split was given, so the verdict is `untested`.",)
    reports: list[Report] = []
    for label, candidate in (
        ("program as given on test", report.baseline_candidate),
        ("compiled program on test", report.candidate),
    ):
        if reports and candidate == report.baseline_candidate:
            reports.append(reports[0])  # nothing better was found: the same program is not paid for twice
            break

        def tell(done: int, total: int, label: str = label) -> None:
            if progress is not None:
                progress(label, done, total)

        try:
            runner = Runner(
                candidate.apply(job.program),
                job.metric,
                lm=job.lm,
                meter=meter,
                shelf=session.shelf(candidate),
                own=True,
            )
            found = runner.run(job.test, slots=session.slots, progress=tell)
        except BudgetExceeded as stop:
            return None, None, (f"The budget ended while testing: {stop}",)
        reports.append(found)
    return reports[0], reports[1], ()


def _untested(report: Report, job: Job) -> Report:
    why = "no test split was given" if job.test is None else "the budget ended before the test did"
    return replace(report, notes=(*report.notes, f"on validation, as {why}"))


def _save(job: Job, result: CompileResult, folder: Path) -> Artifact:
    adapter = caller_adapter()
    numbers, seconds = result.to_json(), result.charged.to_json()["seconds"]
    datasets = {"trainset": job.train.fingerprint, "valset": job.val.fingerprint}
    if job.test is not None:
        datasets["testset"] = job.test.fingerprint
    return save(
        folder,
        result.program,
        candidate=result.report.candidate,
        baseline=result.report.baseline_candidate,
        lm_identity=job.lm.identity.to_json(),
        metric=metric_name(job.metric),
        datasets=datasets,
        selected_on={"trainset": job.train, "valset": job.val},
        scores={name: numbers[name] for name in ("split", "baseline", "compiled", "gain", "validation")},
        verdict=result.verdict,
        # What the clock said is no part of an artifact's identity: the same replies give the same artifact.
        charged={name: value for name, value in result.charged.to_json().items() if name != "seconds"},
        paid={**result.paid.to_json(), "charged_seconds": seconds, "test_opened": result.opened},
        notes=result.notes,
        seed=result.seed,
        adapter=None if adapter is None else f"adapter:{class_name(adapter)}",
    )
