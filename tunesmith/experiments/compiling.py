"""`ts.compile`: compile, test, verdict, artifact, in one call that can be repeated."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.artifacts import Artifact, note_on_loading, save
from tunesmith.compilers import (
    Compiler,
    CompileResult,
    Job,
    MirrorPlace,
    Place,
    Plan,
    Portfolio,
    Progress,
    Watch,
    job_of,
    plan_of,
    run_job,
)
from tunesmith.errors import UsageError, shown
from tunesmith.evaluation import Executor, RunInfo, executing
from tunesmith.lm import BaseLM, Budget
from tunesmith.metrics import Metric, check_metric, metric_name
from tunesmith.modules import Module, caller_adapter, class_name
from tunesmith.signatures import Example

__all__ = ["compile_program", "is_run_of", "plan"]


def compile_program(
    program: Module,
    *,
    metric: Metric,
    trainset: Sequence[Example],
    valset: Sequence[Example] | None = None,
    testset: Sequence[Example] | None = None,
    bad_cases: Sequence[Example] | None = None,
    compiler: Compiler | None = None,
    teacher: Module | BaseLM | None = None,
    lm: BaseLM | None = None,
    prompt_lm: BaseLM | None = None,
    judge_lm: BaseLM | None = None,
    freeze: Sequence[str] = (),
    protect: Sequence[str] = (),
    budget: Budget | int | None = None,
    run: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    watch: Watch | None = None,
    new: bool = False,
    fork: str | Path | None = None,
    rescore: bool = False,
    store: bool = True,
    command: dict[str, Any] | None = None,
    mirror: MirrorPlace = None,
    executor: str | Executor | None = None,
) -> CompileResult:
    """Compile `program`, test it on examples that selected nothing, and save an artifact.

    Every finished evaluation is in the run's ledger and every reply in the cache, so the same call after an
    interruption repeats no finished LM call and ends in the same artifact.

    Args:
        program: any `dspy.Module`; it is not changed.
        metric: `metric(example, prediction, trace=None)`.
        trainset: examples that demos come from.
        valset: examples that select; default a seeded 40 % of `trainset`.
        testset: examples that only label the result.
        bad_cases: examples that a deployed program got wrong, with the right outputs, and maybe `answered`, what it
            said, and `remark`, a text. They join the training examples, come first when failures are looked for, and
            the result says how many are right now and what broke. None may be in `valset` or `testset`.
        compiler: default `Portfolio`.
        teacher: makes demos: a program with the same predictors, or a model for the program itself; default the
            program.
        lm: the model; default `dspy.settings.lm`.
        prompt_lm: writes proposals, for compilers that ask for some; default `lm`.
        judge_lm: judges, for judges of the metric without a model of their own and for compilers that compare outputs;
            default `lm`.
        freeze: what stays as it is: paths of predictors or of modules around them, or one part, such as
            `answer.instruction`, `answer.demos`, `answer.format`, or a setting.
        protect: texts that stay in the instructions that have them.
        budget: the most everything together may be charged: a `Budget`, or a number of calls. What testing takes is
            kept back from the search: calls by their number, every other kind by what the examples so far cost.
        run: name of the run folder `./runs/<name>`, or a path; without one nothing is saved.
        seed: of every draw.
        progress: called with the step, the number of finished evaluations, and their total.
        watch: called with a `Standing` before and after each part of a candidate's evaluation on validation.
        new: set a run that is in the folder aside, under another name, and start afresh.
        fork: name of a new run, or its path, that starts from what `run` has evaluated; what was of the same
            program, model and metric is not evaluated again.
        rescore: if only the metric changed, score the stored outputs and traces again. No LM but a judge's is
            called; the search ends when it would need to, and the same call without `rescore` goes on.
        store: whether the ledger keeps outputs and traces; keys, scores and charges are kept in any case.
        command: how the run was started, for `tunesmith runs resume`: `arguments` and `folder`.
        mirror: URL of an Optuna database, such as 'postgresql+psycopg://...', in which `optuna-dashboard` shows the
            search; it is only written to, and no failure of it stops a compile that has begun. Default `study.db` in
            the run's folder; `False` for none.
        executor: where examples run: `threads` of this process, the default, `processes`, `dask`, or an object such as
            `DaskExecutor(address)` (docs/executors.md).

    Raises:
        UsageError: an argument that cannot be used.
        DataError: an example of a split lacks an input of the program, or a demo of the program cannot be shown.
        SplitError: two of the splits share examples.
        RunMismatch: the run folder holds a run of something else.
        LedgerError: the run's ledger cannot be written, as on a full disk; the same call goes on later.
        BudgetExceeded: the budget ended before the program as given was scored.
        ModelMissing, ModelUnavailable: no model answers; the same call goes on later.
        Interrupted: by Ctrl-C; the same call goes on later.

    Example:
        >>> import tunesmith as ts
        >>> rows = [{"text": f"{word} {n}", "label": word} for n in range(30) for word in ("good", "bad")]
        >>> data = ts.Dataset.load(rows, signature=ts.Signature("text -> label")).split(train=20, val=20, test=20)
        >>> lm = ts.FunctionLM(lambda seen: "bad" if "bad" in seen.text and len(seen.messages) > 1 else "good")
        >>> result = ts.compile(
        ...     ts.Predict("text -> label"),
        ...     metric=ts.metrics.exact_match("label"),
        ...     trainset=data.train,
        ...     valset=data.val,
        ...     testset=data.test,
        ...     lm=lm,
        ...     budget=200,
        ... )
        >>> result.verdict
        'ship'
    """
    given: dict[str, Any] = {"trainset": trainset, "valset": valset, "testset": testset, "bad_cases": bad_cases}
    given |= {"lm": lm, "prompt_lm": prompt_lm, "judge_lm": judge_lm, "teacher": teacher}
    given |= {"freeze": freeze, "protect": protect}
    job = _job(program, compiler, metric=metric, budget=budget, seed=seed, **given)
    place = Place(run=run, new=new, fork=fork, rescore=rescore, store=store, command=command, mirror=mirror)
    hint = None if run is None else note_on_loading(program)
    if hint is not None:
        warnings.warn(hint, UserWarning, stacklevel=2)
        job = replace(job, notes=(*job.notes, hint))
    with executing(executor):
        return run_job(job, place, progress=progress, watch=watch, save=_save)


def plan(
    program: Module,
    *,
    metric: Metric,
    trainset: Sequence[Example],
    valset: Sequence[Example] | None = None,
    testset: Sequence[Example] | None = None,
    bad_cases: Sequence[Example] | None = None,
    compiler: Compiler | None = None,
    teacher: Module | BaseLM | None = None,
    lm: BaseLM | None = None,
    prompt_lm: BaseLM | None = None,
    judge_lm: BaseLM | None = None,
    freeze: Sequence[str] = (),
    protect: Sequence[str] = (),
    budget: Budget | int | None = None,
    seed: int = 0,
) -> Plan:
    """Return what `compile_program` with the same arguments would need, at no LM call.

    Args: as `compile_program`.

    Returns:
        `candidates`; `proposals` of the prompt model; `calls`: `expected`, and `worst`, which is never exceeded if the
        `calls_per_example` are `known`; these, of the `program` and of the metric's `judge`: one of each predictor and
        judge; numbers of `examples`, the `budget` and the `notes`.

    Raises:
        UsageError: an argument that cannot be used, or a budget without room for a search.
        DataError: an example lacks an input of the program, or a demo of it cannot be shown.
        SplitError: two of the splits share examples.
    """
    given: dict[str, Any] = {"trainset": trainset, "valset": valset, "testset": testset, "bad_cases": bad_cases}
    given |= {"lm": lm, "prompt_lm": prompt_lm, "judge_lm": judge_lm, "teacher": teacher}
    given |= {"freeze": freeze, "protect": protect}
    return plan_of(_job(program, compiler, metric=metric, budget=budget, seed=seed, **given))


def is_run_of(run: Path, program: Module, *, metric: Metric, compiler: Compiler | None = None, **given: Any) -> bool:
    """Return whether the run in the folder `run` is of these arguments of `compile_program`, at no LM call.

    Raises: as `plan`.
    """
    kept = RunInfo.of(run).identity
    found = _job(program, compiler, metric=metric, seed=given.pop("seed", 0), **given).identity()
    return kept == json.loads(json.dumps(found))


def _job(program: Module, compiler: Compiler | None, *, metric: Metric, seed: int, **given: Any) -> Job:
    check_metric(metric)
    if compiler is not None and not isinstance(compiler, Compiler):
        raise UsageError(
            f"`compiler` is one of tunesmith's, such as `ts.Portfolio(metric=...)`. Given: {shown(compiler)}."
        )
    chosen = Portfolio(metric=metric, seed=seed) if compiler is None else compiler
    return job_of(program, chosen, metric=metric, seed=seed, **given)


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
        # Times are not part of an artifact's identity: the same replies give the same artifact.
        charged={name: value for name, value in result.charged.to_json().items() if name != "seconds"},
        paid={**result.paid.to_json(), "charged_seconds": seconds, "test_opened": result.opened},
        notes=result.notes,
        seed=result.seed,
        adapter=None if adapter is None else f"adapter:{class_name(adapter)}",
    )
