"""One compile, from its job to its result: run folder, mirror, search, test, verdict."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.compilers._bad_cases import BadCasesReport
from tunesmith.compilers._job import Job
from tunesmith.compilers._mirror import Mirror, MirrorPlace, check_mirror, mirrored
from tunesmith.compilers._plan import calls_of_example, notes_of_room, search_budget
from tunesmith.compilers._report import CompileReport, CompileResult, SavedArtifact
from tunesmith.compilers._search import Search
from tunesmith.compilers._standing import Watch
from tunesmith.compilers._verdict import count_opening, finding_of
from tunesmith.compilers._work import Progress
from tunesmith.data import Dataset, content_key, example_key, fields_of, input_fields_of
from tunesmith.errors import ArtifactError, BudgetExceeded, Interrupted, MetricError, RunMismatch, UsageError, shown
from tunesmith.evaluation import CANDIDATES, TRIALS, Ledger, Report, RunFolder, leveled, paired_scores, run_path
from tunesmith.lm import Meter, StopSignal, metered, remembering, unpaid
from tunesmith.metrics import metric_name
from tunesmith.modules import Candidate, Module, class_name, program_inputs
from tunesmith.signatures import Example, to_json_value

__all__ = ["Place", "run_job", "run_search", "RunNotes", "Saver"]

_log = logging.getLogger("tunesmith")

Saver = Callable[[Job, CompileResult, Path], SavedArtifact]
"""Saves the artifact of a result in a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a compile is kept, and how it starts.

    Attributes:
        run: name of the run folder, or its path; `None` for none.
        new: set a run that is in the folder aside.
        fork: name or path of a new run that starts from what `run` has evaluated.
        rescore: score stored outputs again with a changed metric.
        store: whether the ledger keeps outputs and traces.
        command: how the run was started, for `tunesmith runs resume`.
        mirror: a database that shows the search.
    """

    run: str | Path | None = None
    new: bool = False
    fork: str | Path | None = None
    rescore: bool = False
    store: bool = True
    command: dict[str, Any] | None = None
    mirror: MirrorPlace = None

    @property
    def name(self) -> str | Path | None:
        """The run that is written."""
        return self.run if self.fork is None else self.fork


def run_job(
    job: Job, place: Place, *, progress: Progress | None = None, watch: Watch | None = None, save: Saver | None = None
) -> CompileResult:
    """Compile, test and label.

    Args:
        job: the compile.
        place: where it is kept.
        progress: is told what goes on.
        watch: is told how candidates stand.
        save: saves the artifact in the run folder; default no artifact.

    Raises: as `ts.compile`.
    """
    for text in notes_of_room(job):  # refuses a budget that is too small, before a folder is made
        _log.warning("%s", text)
    _check(place)
    if place.run is None or place.name is None:
        with mirrored(place.mirror, job.objectives, about=job.about(), private=not place.store) as written:
            return _run(job, progress, mirror=written, watch=watch)
    check_mirror(place.mirror, run_path(place.name))
    _say_what_is_not_kept(job, place)
    about, private = job.about(run=str(place.name)), not place.store
    with (
        RunFolder(place.name, job.identity(), command=place.command, new=place.new, rescore=place.rescore) as folder,
        folder.ledger(private=private) as ledger,
        mirrored(place.mirror, job.objectives, folder=folder, about=about, private=private) as written,
    ):
        if place.fork is not None:
            folder.copy_ledger(ledger, place.run)
        notes = RunNotes(folder, job)
        result = _run(job, progress, ledger, rescore=place.rescore, mirror=written, begun=notes.begin, watch=watch)
        notes.finish(result, private=private)
        if save is not None:
            result = replace(result, artifact=save(job, result, folder.path / "artifact"))
        folder.write("result.json", result.to_json())
    return result


def run_search(search: Search) -> CompileReport:
    """Score the program as given, search, and return the best; the budget's end only ends the search.

    Raises:
        BudgetExceeded: the budget ended before the program as given was scored.
        Interrupted: by Ctrl-C.
    """
    base = search.score(search.base)
    search.notes += _note_of_failures(base)
    try:
        search.job.compiler.search(search)
    except BudgetExceeded as stop:
        search.notes.append(_note_of_end(search, stop))
    except StopSignal as signal:
        if not isinstance(signal.error, BudgetExceeded):
            raise signal.error from None
        search.notes.append(_note_of_end(search, signal.error))
    except KeyboardInterrupt:  # outside an evaluation, which says how far it came
        raise Interrupted(
            "Stopped during the search. Finished calls are in the cache; the same command goes on."
        ) from None
    return search.finish()


def _check(place: Place) -> None:
    if place.run is None:
        if place.new or place.fork is not None or place.rescore:
            raise UsageError("`new`, `fork` and `rescore` are about a run. Name it, as in `run='first'`.")
        return
    if place.fork is None and not place.new and _is_of_an_earlier_form(run_path(place.run)):
        raise RunMismatch(
            f"The folder {str(run_path(place.run))!r} holds a run of `Compiler.compile` of an earlier version, which "
            "wrote down otherwise what it is a run of. Choose another `run=` name; paid replies stay in the cache, "
            "and `ts.compile(..., run=..., fork=...)` starts a run from what that one has evaluated."
        )
    if place.fork is not None and run_path(place.fork) == run_path(place.run):
        raise UsageError(
            f"A run cannot be forked from itself. Given: fork={shown(str(place.fork))}. Choose another name."
        )
    aside = place.new and place.fork is None
    if place.rescore and (aside or not (run_path(place.run) / "run.json").exists()):
        why = "`new` sets the run aside" if aside else f"there is no run in {str(run_path(place.run))!r}"
        raise UsageError(f"There is nothing to rescore: {why}. Leave `rescore` out, or name the run that has outputs.")


def _is_of_an_earlier_form(folder: Path) -> bool:
    return (folder / "compile.json").exists() and not (folder / "result.json").exists()


def _say_what_is_not_kept(job: Job, place: Place) -> None:
    if not place.store:
        _log.warning(
            "Replies, outputs and traces are not kept, only scores: a resume pays again for every evaluation that was "
            "not finished, for every demo that a teacher made and for every proposal."
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
    begun: Callable[[Candidate], None] | None = None,
    watch: Watch | None = None,
) -> CompileResult:
    meter, keys = Meter(job.budget), [list(split.keys) for split in _splits(job)]
    with metered(meter), remembering(), unpaid() if rescore else nullcontext():
        search = Search(
            job,
            meter=Meter(search_budget(job)),
            progress=progress,
            ledger=ledger,
            rescore=rescore,
            mirror=mirror,
            begun=begun,
            watch=watch,
        )
        if job.checked_at_end:
            search.keep_for_test(job.checked_at_end)
        try:
            _keep_room(job, search)
            report = run_search(search)
        except BudgetExceeded as stop:
            raise _stop_of_compile(job, search, stop, in_run=ledger is not None) from None
        _check_unchanged(job, keys)
        before, after, notes = _test(job, search, report, meter)
        cases = _followed(job, search, report, meter)
        notes = (*notes, str(cases)) if cases else notes
    if job.test is not None:
        _check_unchanged(job, keys)
    scores = None if before is None or after is None else paired_scores(before, after)
    finding = finding_of(scores, changed=report.improved, unchanged_because=report.unchanged_because)
    found, opened = finding.gain, None
    if found is not None and job.test is not None:
        opened = count_opening(job.test.fingerprint, content_key(job.identity(), escaped=True))
        if found.n < len(job.test):
            notes = (*notes, f"The gain is over {found.n} different test examples of {len(job.test)}.")
    result = CompileResult(
        program=report.candidate.apply(job.program),
        report=report,
        baseline=_untested(report.baseline, job) if before is None else before,
        compiled=_untested(report.compiled, job) if after is None else after,
        tested=scores is not None,
        finding=finding,
        artifact=None,
        charged=meter.charged,
        paid=meter.paid,
        roles=meter.by_role()["charged"],
        opened=opened,
        bad_cases=cases if isinstance(cases, BadCasesReport) else None,
        notes=tuple(dict.fromkeys((*job.notes, *report.notes, *notes))),
        seed=job.seed,
    )
    result.program._compiled = True
    result.program.compile_report = report  # type: ignore[attr-defined]  # promised; DSPy's Module has no slots
    result.program.compile_notes = report.notes  # type: ignore[attr-defined]
    return result


def _keep_room(job: Job, search: Search) -> None:
    """Keep more calls for the test, if the program as given makes more than its code tells."""
    limit, checked = job.budget.calls, job.checked_at_end
    if limit is None or not checked or calls_of_example(job.program, job.metric).known:
        return
    rows = search.score(search.base).rows
    room = limit - 2 * checked * max(row.calls for row in rows)
    if room < (search.meter.budget.calls or 0):
        room = max(room, search.meter.charged.calls)  # what is spent is spent
        search.meter.budget = replace(search.meter.budget, calls=room)


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
    job: Job, search: Search, report: CompileReport, meter: Meter
) -> tuple[Report | None, Report | None, tuple[str, ...]]:
    """Run both programs on the test split, charged to the whole budget; return what is known of them, and notes.

    A failure counts for both as the worst score of either, as in their paired gain.
    """
    if job.test is None:
        return None, None, ("No test split was given, so the verdict is `untested`.",)
    search.charge_to(meter)
    reports = list[Report]()
    for label, candidate in (
        ("program as given on test", report.baseline_candidate),
        ("compiled program on test", report.candidate),
    ):
        if reports and candidate == report.baseline_candidate:
            reports.append(reports[0])  # nothing better was found: the same program is not paid for twice
            break

        def tell(done: int, total: int, label: str = label) -> None:
            search.say(label, done, total)

        try:
            reports.append(search.runner(candidate).run(job.test, slots=job.compiler.slots, progress=tell))
        except BudgetExceeded as stop:
            return None, None, (f"The budget ended while testing: {stop}",)
    before, after = leveled(*reports)
    return before, after, ()


def _followed(job: Job, search: Search, report: CompileReport, meter: Meter) -> BadCasesReport | str:
    """Run both programs on the bad cases, charged to the whole budget; return what became of them, or why not."""
    if job.bad_cases is None:
        return ""
    search.charge_to(meter)
    examples, found = job.bad_cases.examples, list[Report]()
    for candidate in (report.baseline_candidate, report.candidate)[: 1 + report.improved]:
        try:
            found.append(search.runner(candidate).run(examples, slots=job.compiler.slots))
        except BudgetExceeded as stop:
            return f"The budget ended while the bad cases were run: {stop}"
        except MetricError as stop:  # what was found does not depend on them
            return f"What became of the bad cases is not known: {stop} Each needs what the metric compares with."
    threshold = getattr(job.compiler, "metric_threshold", None)
    before, after = found[0], found[-1]
    return BadCasesReport.of((examples, before, after), (search.val, report.baseline, report.compiled), threshold)


def _untested(report: Report, job: Job) -> Report:
    why = "no test split was given" if job.test is None else "the budget ended before the test did"
    return replace(report, notes=(*report.notes, f"on validation, as {why}"))


def _note_of_end(search: Search, stop: Exception) -> str:
    kept = " What is left of the whole budget is kept for the test." if search.keeps else ""
    return f"The search ended early: {stop}{kept}"


def _note_of_failures(base: Report) -> list[str]:
    """Return what to tell the user if the program as given fails on every example."""
    failures = [row.failure for row in base.rows if row.failure is not None and row.failure.fault == "program"]
    if len(failures) < len(base.rows):
        return []
    first = failures[0]
    return [
        f"The program as given fails on all {len(base.rows)} validation examples, the first time with {first.kind}: "
        f"{first.message} Unless demos repair that, call it once on an example to see where."
    ]


def _stop_of_compile(job: Job, search: Search, stop: BudgetExceeded, *, in_run: bool) -> BudgetExceeded:
    """Return `stop` with the limit that was reached, and with what helps: with another budget a run is another one."""
    room = search.meter.room()
    reached = next((name for name in job.budget.to_json() if getattr(room, name) == 0), None)
    if reached is None:
        return stop
    limit, searched = getattr(job.budget, reached), search.meter.budget.calls
    kept = limit - searched if reached == "calls" and searched is not None else 0
    aside = f"{kept} are kept for testing on {job.checked_at_end} examples twice, and the rest" if kept else "it"
    way = "Raise it"
    if in_run:
        way += ", with --fork NAME to start a run from what this one has evaluated, or --new to set this one aside"
    return BudgetExceeded(
        f"The budget of {limit} {reached} is too small: {aside} ended before the program as given was scored on "
        f"{len(job.val)} validation examples. {way}; what was paid for is in the cache.",
        spent=stop.spent or search.meter.charged.to_json(),
    )


def _program_name(program: Module) -> str:
    """Return the class of a program, and of one of tunesmith or DSPy its fields: many programs are of that class."""
    try:
        inputs = program_inputs(program)
    except UsageError:
        return class_name(program)
    fields: Any = inputs.signature if inputs.exact else None
    return class_name(program) + ("" if fields is None else f", {fields.signature}")


class RunNotes:
    """Keeps `candidates.json` and `trials.json` in a run's folder. A disk that refuses costs the notes, never the run.

    The first holds keys of examples, and of candidates the format, the number of demos and, if another one is tried,
    the beginning of the instruction; no demo and no output. The second is written once, at the end.
    """

    def __init__(self, folder: RunFolder, job: Job) -> None:
        self._folder, self._given = folder, Candidate.of(job.program)
        self._splits = splits = {"validation": job.val, "test": job.test}
        parts = {"training": job.train, **splits}
        self._notes: dict[str, Any] = {
            "about": {
                "program": _program_name(job.program),
                "metric": metric_name(job.metric),
                "model": job.lm.model,
                "examples": ", ".join(f"{0 if part is None else len(part)} {name}" for name, part in parts.items()),
            },
            "splits": {name: [] if part is None else sorted(set(part.keys)) for name, part in splits.items()},
            "given": self._given.key,
            "candidates": {},
            "chosen": None,
        }
        self._write()

    def begin(self, candidate: Candidate) -> None:
        """Note a candidate that is evaluated for the first time."""
        known = self._notes["candidates"]
        if candidate.key not in known and candidate != self._given:
            known[candidate.key] = {"number": len(known) + 1, "differs": candidate.differences(self._given)}
            self._write()

    def finish(self, result: CompileResult, *, private: bool) -> None:
        """Note what the search returns, and in `trials.json` every candidate with the examples it was scored on.

        If nothing of the data may be kept, the candidates' texts and the examples are left out, and related examples
        are known by a number.
        """
        self._notes["chosen"] = result.report.candidate.key
        self._write()
        given = result.report.baseline_candidate
        trials = [
            {
                "number": trial.number,
                "key": trial.candidate.key,
                "origin": trial.origin,
                "differs": trial.candidate.differences(given),
                "mean": trial.mean,
                "n": trial.n,
                **({} if private else {"candidate": trial.candidate.to_json()}),
            }
            for trial in result.report.trials
        ]
        shown_as = _numbered_groups if private else _shown_examples
        examples = {name: shown_as(split) for name, split in self._splits.items() if split is not None}
        with contextlib.suppress(ArtifactError):
            self._folder.write(TRIALS, {"trials": trials, "examples": examples})

    def _write(self) -> None:
        with contextlib.suppress(ArtifactError):
            self._folder.write(CANDIDATES, self._notes)


def _numbered_groups(split: Dataset) -> list[dict[str, Any]]:
    """Return which examples are related, and nothing else of them."""
    groups = split.groups
    if groups is None:
        return []
    numbers = {group: str(number) for number, group in enumerate(dict.fromkeys(groups), start=1)}
    return [{"key": key, "group": numbers[group]} for key, group in zip(split.keys, groups, strict=True)]


def _shown_examples(split: Dataset) -> list[dict[str, Any]]:
    groups = split.groups or [None] * len(split)
    return [
        {"key": key, **_sides(example), **({} if group is None else {"group": group})}
        for key, example, group in zip(split.keys, split, groups, strict=True)
    ]


def _sides(example: Example) -> dict[str, Any]:
    """Return the inputs and the labels of an example as JSON values."""
    inputs = input_fields_of(example)
    labels = {name: value for name, value in fields_of(example).items() if name not in inputs}
    return {"inputs": _as_json(inputs), "labels": _as_json(labels)}


def _as_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as JSON values; what has no such form as text: this is for people."""
    found = {}
    for name, value in fields.items():
        try:
            found[name] = to_json_value(value)
        except (TypeError, ValueError, RecursionError):
            found[name] = shown(value)
    return found
