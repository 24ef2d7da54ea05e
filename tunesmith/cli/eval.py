"""`tunesmith eval`: score a program, or compare models on it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunesmith.cli.choosing import chosen_lm, chosen_program, current_project
from tunesmith.cli.failures import DONE, GATE, described, exit_code_of_parts
from tunesmith.cli.output import emit, note, say, say_table
from tunesmith.cli.progress import shown_progress
from tunesmith.cli.reports import CacheWatch, interval_text, say_notes, say_opened, say_reports, say_spent
from tunesmith.compilers import count_evaluation, is_test_split
from tunesmith.data import Dataset
from tunesmith.errors import Interrupted, ModelError, TunesmithError, UsageError
from tunesmith.evaluation import ClassScores, Report, class_scores, evaluate
from tunesmith.experiments import ComparedReport, Project, ReportComparison, compare_reports
from tunesmith.lm import LM
from tunesmith.metrics import metric_name
from tunesmith.modules import Module, program_inputs
from tunesmith.signatures import labels

__all__ = ["run"]

_PREFERRED = ("val", "test", "train")
_SHOWN_FAILURES = 3


def run(
    *,
    target: str | None,
    data: Path | None,
    split: str | None,
    metric: str | None,
    at_least: float | None,
    models: tuple[str, ...],
    spec: str | None,
    slots: int | None,
    executor: str | None,
    dask: str | None,
    no_store: bool,
    allow: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Score a program on a dataset, or several models on one program."""
    project = current_project().changed(metric=metric, compile={"executor": executor, "dask": dask})
    specs = _specs(models, spec, at_least)
    made = {name: chosen_lm(name, project, slots=slots, store=not no_store) for name in specs}
    given = _Given(project, target, (data, split), tuple(allow), slots, quiet)
    if made:
        return _compare(given, made, as_json=as_json)
    artifact = Path(target) if target is not None and Path(target).is_dir() else None
    model = chosen_lm(spec, project, slots=slots, store=not no_store, artifact=artifact)
    watch = CacheWatch(model)
    found = given.scored(model)
    report, program, examples = found.report, found.program, found.examples
    scores = _class_scores(program, examples, report)
    passed = at_least is None or (report.mean is not None and report.mean >= at_least)
    if as_json:
        gate = {} if at_least is None else {"gate": {"at_least": at_least, "passed": passed}}
        classes = {} if scores is None else {"classes": scores.to_json()}
        about = {**found.about(), "lm": model.identity.to_json(), **gate, "test_opened": found.opened}
        emit({**about, **report.to_json(), **classes, "cache": watch.to_json()})
    else:
        _say(found.name, examples, found.metric, report, found.opened, scores)
        say_notes(watch.notes())
    if not passed:
        note(f"error: the gate failed: the mean is below {at_least}.")
        return GATE
    return DONE


@dataclass(frozen=True, slots=True)
class _Scored:
    """A report with what it is of."""

    name: str
    program: Module
    examples: Dataset
    metric: str
    report: Report
    opened: int | None

    def about(self) -> dict[str, str]:
        return {"program": self.name, "data": self.examples.name, "metric": self.metric}


@dataclass(frozen=True, slots=True)
class _Given:
    """What is scored, for any model."""

    project: Project
    target: str | None
    data: tuple[Path | None, str | None]
    allow: tuple[str, ...]
    slots: int | None
    quiet: bool

    def scored(self, model: LM, title: str = "evaluating") -> _Scored:
        program = chosen_program(self.target, self.project, model, self.allow)
        judge = self.project.metric()
        examples, is_test = _examples(self.project, program, *self.data)
        with shown_progress(quiet=self.quiet) as tell:
            report = evaluate(
                program,
                examples,
                judge,
                lm=model,
                slots=self.slots,
                progress=lambda done, all_: tell(title, done, all_),
                executor=self.project.executor(),
            )
        opened = count_evaluation(examples.fingerprint, program, judge, model) if is_test else None
        name = self.target if self.target is not None else self.project.program_name or type(program).__name__
        return _Scored(name, program, examples, metric_name(judge), report, opened)


def _specs(models: Sequence[str], spec: str | None, at_least: float | None) -> list[str]:
    """Return the models that are compared, none without --models; check the gate."""
    if at_least is not None and not math.isfinite(at_least):
        raise UsageError(f"--at-least must be a finite number. Given: {at_least}.")
    specs = [name.strip() for text in models for name in text.split(",") if name.strip()]
    if not models:
        return []
    if spec is not None or at_least is not None:
        other = "--lm" if spec is not None else "--at-least"
        raise UsageError(f"--models and {other} exclude each other: drop one of them.")
    if len(specs) < 2 or len(set(specs)) < len(specs):
        raise UsageError(f"--models compares two or more, each given once. Given: {', '.join(specs) or 'none'}.")
    return specs


def _compare(given: _Given, models: Mapping[str, LM], *, as_json: bool) -> int:
    watches = {name: CacheWatch(model) for name, model in models.items()}
    scored, failed = _each_scored(given, models)
    found = _side_by_side({name: one.report for name, one in scored.items()})
    first = next(iter(scored.values()))
    if as_json:
        details = {
            name: {
                "lm": model.identity.to_json(),
                "test_opened": scored[name].opened,
                "cache": watches[name].to_json(),
                "rows": scored[name].report.to_json()["rows"],
            }
            for name, model in models.items()
            if name in scored
        }
        errors = {name: dict(zip(("type", "message"), described(error), strict=True)) for name, error in failed.items()}
        emit({**first.about(), **found.to_json(), "models": details, "failed": errors})
    else:
        say(f"{first.metric} of {first.name} on {first.examples.name}")
        say_table(found.cells("model"))
        say_opened(max((one.opened for one in scored.values() if one.opened is not None), default=None))
        for name, one in scored.items():
            _say_failures(one.report, f"{name}: ")
        say_notes([text for watch in watches.values() for text in watch.notes()])
    for name, error in failed.items():
        note(f"error: {name}: {described(error)[1]}")
    return exit_code_of_parts(failed.values())


def _each_scored(given: _Given, models: Mapping[str, LM]) -> tuple[dict[str, _Scored], dict[str, TunesmithError]]:
    """Score each model, and return which of them could not be: what others have paid for is shown all the same.

    Raises:
        TunesmithError: nothing was scored, or the first error is not of the model, so that all would meet it.
    """
    scored, failed = dict[str, _Scored](), dict[str, TunesmithError]()
    for number, (name, model) in enumerate(models.items(), start=1):
        try:
            scored[name] = given.scored(model, f"{number}/{len(models)} {name}")
        except TunesmithError as error:
            if not scored and not isinstance(error, ModelError):
                raise
            failed[name] = error
            if isinstance(error, Interrupted):
                break
    if not scored:
        raise next(iter(failed.values()))
    return scored, failed


def _side_by_side(reports: Mapping[str, Report]) -> ReportComparison:
    if len(reports) > 1:
        return compare_reports(reports)
    ((name, report),) = reports.items()
    return ReportComparison((ComparedReport(name, report),), name)


def _examples(project: Project, program: Module, data: Path | None, split: str | None) -> tuple[Dataset, bool]:
    """Return the examples, and whether they are a test split (the project's, or one that was opened before)."""
    if data is not None:
        if split is not None:
            raise UsageError("--data and --split exclude each other. Drop --split: --data is scored as a whole.")
        examples, own = project.read(data, program), project.settings.data.test
        is_own = own is not None and (project.root / own).resolve() == data.resolve()
        return examples, is_own or is_test_split(examples.fingerprint)
    splits = project.data(program)
    for name in _PREFERRED if split is None else (split,):
        found: Dataset | None = getattr(splits, name)
        if found is not None:
            return found, name == "test"
    wanted = "data" if split is None else f"split `{split}`"
    raise UsageError(f"There is no {wanted}. Pass --data FILE, or name files under [data] in tunesmith.toml.")


def _class_scores(program: Module, examples: Dataset, report: Report) -> ClassScores | None:
    """Return the scores of each class, or `None` unless exactly one output is a class."""
    try:
        signature = program_inputs(program).signature
    except UsageError:
        return None
    outputs = () if signature is None else signature.output_fields
    fields = [name for name in outputs if signature is not None and labels(signature, name) is not None]
    if len(fields) != 1 or not all(fields[0] in example for example in examples):
        return None
    return class_scores(report, examples, fields[0])


def _say(
    name: str, examples: Dataset, metric: str, report: Report, opened: int | None, scores: ClassScores | None
) -> None:
    say_reports([(name, report)], title=f"{metric} on {examples.name}")
    if scores is not None and scores.macro_f1 is not None:
        say(
            f"Macro F1 of `{scores.field}`: {scores.macro_f1:.3f} ({interval_text(scores.macro)}) over "
            f"{len(scores.classes)} classes; --json has each."
        )
    say_opened(opened)
    say()
    say_spent(report.charged, report.paid)
    say_notes(report.notes)
    _say_failures(report)


def _say_failures(report: Report, before: str = "") -> None:
    failures = [row.failure for row in report.rows if row.failure is not None]
    for failure in failures[:_SHOWN_FAILURES]:
        say(f"{before}Error of the {failure.fault}: {failure.kind}: {failure.message}")
    if len(failures) > _SHOWN_FAILURES:
        say(f"{before}... and {len(failures) - _SHOWN_FAILURES} more; --json lists them all.")
