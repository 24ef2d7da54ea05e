"""`ts.compile`: compile, test, verdict, artifact, in one call that can be repeated."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.artifacts import Artifact, save
from tunesmith.compilers import (
    Compiler,
    CompileReport,
    Mirror,
    MirrorPlace,
    RandomSearch,
    Session,
    as_dataset,
    as_model,
    check_seed,
    mirrored,
    split_validation,
)
from tunesmith.data import Dataset, check_disjoint, example_key
from tunesmith.errors import BudgetExceeded, DataError, UsageError, shown
from tunesmith.evaluation import (
    Interval,
    Ledger,
    Metric,
    Report,
    RunFolder,
    Runner,
    lm_key,
    paired_scores,
    program_source,
    run_path,
)
from tunesmith.experiments.verdict import Finding, count_opening, finding_of
from tunesmith.lm import LM, BaseLM, Budget, Meter, Spend, content_key, metered, unpaid
from tunesmith.metrics import metric_fingerprint, metric_name
from tunesmith.modules import Candidate, Module, caller_adapter, class_name, program_fingerprint
from tunesmith.signatures import Example

__all__ = ["CompileResult", "Progress", "compile_program", "plan"]

_log = logging.getLogger("tunesmith")
_NOT_OF_A_RUN = ("api_key", "headers", "extra_headers", "rollout_id")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class CompileResult:
    """What `ts.compile` returns.

    Attributes:
        program: the compiled program, or a copy of the given one where nothing better was found.
        report: what the search found, decided on validation.
        baseline: the program as given on the test split, `None` without one.
        compiled: the compiled program on the test split, `None` without one.
        finding: what the test split says: verdict, gain, how many more examples would settle it, one sentence.
        artifact: the saved artifact, `None` without `run`.
        charged, paid: what the whole compile cost, test included.
        opened: how many runs looked at this test split so far, `None` without one.
        notes: what was decided for the caller, in words.
        seed: of every draw.
    """

    program: Module
    report: CompileReport
    baseline: Report | None
    compiled: Report | None
    finding: Finding
    artifact: Artifact | None
    charged: Spend
    paid: Spend
    opened: int | None
    notes: tuple[str, ...]
    seed: int

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
        base = self.report.baseline if self.baseline is None else self.baseline
        done = self.report.compiled if self.compiled is None else self.compiled
        found = self.report.gain if self.gain is None else self.gain
        return {
            "split": "validation" if self.baseline is None else "test",
            "baseline": base.summary(),
            "compiled": done.summary(),
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


@dataclass(frozen=True, slots=True)
class _Job:
    """The checked arguments of one compile."""

    program: Module
    metric: Metric
    train: Dataset
    val: Dataset
    test: Dataset | None
    compiler: Compiler
    lm: LM
    budget: Budget
    notes: tuple[str, ...]
    seed: int

    def identity(self) -> dict[str, Any]:
        adapter = caller_adapter()
        return {
            "program": program_fingerprint(self.program),
            "source": program_source(self.program),
            "candidate": Candidate.of(self.program).key,
            "adapter": None if adapter is None else class_name(adapter),
            "metric": metric_fingerprint(self.metric),
            **_lm_parts(self.lm, self.program),
            "trainset": self.train.fingerprint,
            "valset": self.val.fingerprint,
            "testset": None if self.test is None else self.test.fingerprint,
            "group": [self.val.group, None if self.test is None else self.test.group],
            "compiler": self.compiler.options(),
            "budget": self.budget.to_json(),
            "seed": self.seed,
        }

    def about(self, **more: str) -> dict[str, Any]:
        """What a mirror of the search says of it."""
        return {"compiler": self.compiler.name, "metric": metric_name(self.metric), "seed": self.seed, **more}


def _lm_parts(lm: LM, program: Module) -> dict[str, Any]:
    """Return what the models of a run are, so that a change of the digest or of one option is named as such.

    The hash of everything stands under `lm` only where a predictor has a model or options of its own: else it would
    differ whatever differs.
    """
    about = lm.identity.to_json()
    own = any(predictor.lm is not None or predictor.config for _, predictor in program.named_predictors())
    return {
        "lm": lm_key(lm, program) if own else f"{about['backend']} {about['model']}",
        "lm digest": about["digest"],
        **{f"lm option {name}": value for name, value in about["details"].items()},
        **{f"lm option {name}": _shown_option(value) for name, value in lm.kwargs.items() if _counts(name, value)},
    }


def _counts(name: str, value: Any) -> bool:
    """Whether an option makes another run; what is secret is never written down, and no reply depends on it."""
    return value is not None and name not in _NOT_OF_A_RUN


def _shown_option(value: Any) -> Any:
    """Return a number as it is and a hash of any other value: a text may be private."""
    if isinstance(value, (bool, int, float)):
        return value
    try:
        return content_key(value)
    except DataError:
        return class_name(value)


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
        budget: the most everything together may be charged: a `Budget`, or a number of calls. Of calls, those for
            testing are kept back from the search.
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
        SplitError: two of the splits share examples.
        RunMismatch: the run folder holds a run of something else.
        LedgerError: the run's ledger cannot be written, as on a full disk; the same call goes on later.
        BudgetExceeded: the budget ended before the program as given was scored.
        ModelMissing, ModelUnavailable: there is nobody to answer; the same call goes on later.
        Interrupted: by Ctrl-C; the same call goes on later.
    """
    job = _job(program, metric, trainset, valset, testset, compiler, lm, budget, seed)
    if run is None:
        if new or fork is not None or rescore:
            raise UsageError("`new`, `fork` and `rescore` are about a run. Name it, as in `run='first'`.")
        with mirrored(mirror, job.compiler.objectives, about=job.about(), private=not store) as written:
            return _run(job, progress, mirror=written)
    if fork is not None and run_path(fork) == run_path(run):
        raise UsageError(f"A run cannot be forked from itself. Given: fork={shown(fork)}. Choose another name.")
    _say_what_is_not_kept(job, store=store)
    name = run if fork is None else fork
    with (
        RunFolder(name, job.identity(), command=command, new=new, rescore=rescore) as folder,
        folder.ledger(private=not store) as ledger,
        mirrored(
            mirror, job.compiler.objectives, folder=folder, about=job.about(run=str(name)), private=not store
        ) as written,
    ):
        if fork is not None:
            folder.copy_ledger(ledger, run)
        result = _run(job, progress, ledger, rescore=rescore, mirror=written)
        artifact = _save(job, result, folder.path / "artifact")
        result = replace(result, artifact=artifact)
        folder.write("result.json", result.to_json())
    return result


def _say_what_is_not_kept(job: _Job, *, store: bool) -> None:
    if not store:
        _log.warning(
            "Replies, outputs and traces are not kept, only scores: a resume pays again for every evaluation that was "
            "not finished, and for every demo that a teacher made."
        )
    elif not job.lm.caches:
        _log.warning("Replies are not kept: a resume pays again for every evaluation that was not finished.")


def plan(
    program: Module,
    *,
    metric: Metric,
    trainset: Sequence[Example],
    valset: Sequence[Example] | None = None,
    testset: Sequence[Example] | None = None,
    compiler: Compiler | None = None,
    lm: BaseLM | None = None,
    budget: Budget | int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what `compile_program` with the same arguments would need, at no LM call.

    Args: as `compile_program`.

    Returns:
        `candidates`, `calls` (`expected`, `worst`), numbers of examples, and the notes.
    """
    job = _job(program, metric, trainset, valset, testset, compiler, lm, budget, seed)
    calls = float(len(program.named_predictors()))
    found = job.compiler.plan(train=len(job.train), val=len(job.val), calls=calls)
    _search_budget(job)  # says what a compile would say
    test = int(2 * (0 if job.test is None else len(job.test)) * calls)
    needed = {kind: count + test for kind, count in found["calls"].items()}
    if job.budget.calls is not None:
        needed = {kind: min(count, job.budget.calls) for kind, count in needed.items()}
    return {
        **found,
        "calls": needed,
        "examples": {
            "train": len(job.train),
            "val": len(job.val),
            "test": 0 if job.test is None else len(job.test),
        },
        "budget": job.budget.to_json(),
        "notes": list(job.notes),
    }


def _job(
    program: Module,
    metric: Metric,
    trainset: Sequence[Example],
    valset: Sequence[Example] | None,
    testset: Sequence[Example] | None,
    compiler: Compiler | None,
    lm: BaseLM | None,
    budget: Budget | int | None,
    seed: int,
) -> _Job:
    model = as_model(lm)
    check_seed(seed)
    if not isinstance(program, Module):
        raise UsageError(f"A program is a `dspy.Module`. Given: {shown(program)}. Pass an instance, not a class.")
    if compiler is not None and not isinstance(compiler, Compiler):
        raise UsageError(
            f"`compiler` is one of tunesmith's, such as `ts.RandomSearch(metric=...)`. Given: {shown(compiler)}."
        )
    notes = []
    train = as_dataset(trainset, "trainset")
    if valset is None:
        train, val = split_validation(train, seed)
        notes.append(
            f"No validation set was given: {len(train)} examples of the training set give demos and {len(val)} select."
        )
    else:
        val = as_dataset(valset, "valset")
    test = None if testset is None else as_dataset(testset, "testset")
    splits = {"trainset": train, "valset": val} | ({} if test is None else {"testset": test})
    check_disjoint(**splits)
    chosen = RandomSearch(metric=metric, seed=seed) if compiler is None else compiler
    limit = chosen.budget if budget is None else Budget.of(budget)
    return _Job(program, metric, train, val, test, chosen, model, limit, tuple(notes), seed)


def _run(
    job: _Job,
    progress: Progress | None,
    ledger: Ledger | None = None,
    *,
    rescore: bool = False,
    mirror: Mirror | None = None,
) -> CompileResult:
    meter = Meter(job.budget)
    keys = _keys(job)
    with metered(meter), unpaid() if rescore else nullcontext():
        session = job.compiler.session(
            job.program,
            trainset=job.train,
            valset=job.val,
            metric=job.metric,
            lm=job.lm,
            meter=Meter(_search_budget(job)),
            progress=progress,
            ledger=ledger,
            rescore=rescore,
            mirror=mirror,
        )
        try:
            report = job.compiler.run(session)
        except BudgetExceeded as stop:
            raise _with_kept_calls(job, stop) from None
        _check_unchanged(job, keys)
        program = report.candidate.apply(job.program)
        program._compiled = True
        program.compile_report = report  # type: ignore[attr-defined]  # promised
        before, after, notes = _test(job, session, report, meter, progress)
    _check_unchanged(job, keys)
    scores = None if before is None or after is None else paired_scores(before, after)
    finding = finding_of(scores, changed=report.improved)
    found = finding.gain
    if found is not None and job.test is not None and found.n < len(job.test):
        notes = (*notes, f"The gain is over {found.n} different test examples of {len(job.test)}.")
    return CompileResult(
        program=program,
        report=report,
        baseline=before,
        compiled=after,
        finding=finding,
        artifact=None,
        charged=meter.charged,
        paid=meter.paid,
        opened=None
        if job.test is None or found is None
        else count_opening(job.test.fingerprint, content_key(job.identity())),
        notes=(*job.notes, *report.notes, *notes),
        seed=job.seed,
    )


def _keys(job: _Job) -> list[list[str]]:
    splits = [split for split in (job.train, job.val, job.test) if split is not None]
    return [[example_key(example) for example in split] for split in splits]


def _check_unchanged(job: _Job, keys: list[list[str]]) -> None:
    """Refuse scores of examples that changed under way: later candidates saw others than earlier ones."""
    if _keys(job) != keys:
        raise UsageError(
            "The metric or the program changed the examples it was given, so the scores cannot be compared. Let it "
            "work on a copy: `copy.deepcopy(example)`."
        )


def _with_kept_calls(job: _Job, stop: BudgetExceeded) -> BudgetExceeded:
    """Return `stop` with what the search had: a part of the user's budget was kept for the test."""
    kept = (job.budget.calls or 0) - (_search_budget(job).calls or 0)
    if not kept:
        return stop
    return BudgetExceeded(
        f"The budget of {job.budget.calls} calls is too small: {kept} are kept for testing on {len(job.test or ())} "
        f"examples twice, and the rest ended before the program as given was scored on {len(job.val)} validation "
        "examples. Raise it; what was paid for is in the cache.",
        spent=stop.spent,
    )


def _search_budget(job: _Job) -> Budget:
    """Return what the search may be charged: all but the calls that testing both programs takes."""
    limit = job.budget.calls
    if limit is None or job.test is None:
        return job.budget
    kept = 2 * len(job.test) * len(job.program.named_predictors())
    if kept >= limit:
        raise UsageError(
            f"The budget of {limit} calls has no room for a search: testing on {len(job.test)} examples "
            f"alone takes {kept}. Raise the budget or pass a smaller test split."
        )
    return replace(job.budget, calls=limit - kept)


def _test(
    job: _Job,
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
                candidate.apply(job.program), job.metric, lm=job.lm, meter=meter, shelf=session.shelf(candidate)
            )
            found = runner.run(job.test, slots=session.slots, progress=tell)
        except BudgetExceeded as stop:
            return None, None, (f"The budget ended while testing: {stop}",)
        reports.append(found)
    return reports[0], reports[1], ()


def _save(job: _Job, result: CompileResult, folder: Path) -> Artifact:
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
        scores={name: numbers[name] for name in ("split", "baseline", "compiled", "gain", "validation")},
        verdict=result.verdict,
        # What the clock said is no part of an artifact's identity: the same replies give the same artifact.
        charged={name: value for name, value in result.charged.to_json().items() if name != "seconds"},
        paid={**result.paid.to_json(), "charged_seconds": seconds, "test_opened": result.opened},
        notes=result.notes,
        seed=result.seed,
        adapter=None if adapter is None else f"adapter:{class_name(adapter)}",
    )
