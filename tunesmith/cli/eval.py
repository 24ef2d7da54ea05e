"""`tunesmith eval`: score a program."""

from pathlib import Path

from tunesmith.cli.choosing import chosen_lm, chosen_program, current_project
from tunesmith.cli.failures import DONE, GATE
from tunesmith.cli.output import emit, note, say
from tunesmith.cli.progress import shown_progress
from tunesmith.cli.reports import CacheWatch, interval_text, say_notes, say_opened, say_reports, say_spent
from tunesmith.compilers import count_evaluation, is_test_split
from tunesmith.data import Dataset
from tunesmith.errors import UsageError
from tunesmith.evaluation import ClassScores, Report, class_scores, evaluate
from tunesmith.experiments import Project
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
    spec: str | None,
    slots: int | None,
    executor: str | None,
    no_store: bool,
    allow: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Score a program on a dataset."""
    project = current_project().changed(metric=metric)
    model = chosen_lm(spec, project, slots=slots, store=not no_store)
    program = chosen_program(target, project, model, allow)
    watch = CacheWatch(model)
    judge = project.metric()
    examples, is_test = _examples(project, program, data, split)
    with shown_progress(quiet=quiet) as tell:
        report = evaluate(
            program,
            examples,
            judge,
            lm=model,
            slots=slots,
            progress=lambda done, all_: tell("evaluating", done, all_),
            executor=executor or project.settings.compile.executor,
        )
    opened = count_evaluation(examples.fingerprint, program, judge, model) if is_test else None
    scores = _class_scores(program, examples, report)
    name = target if target is not None else project.program_name or type(program).__name__
    passed = at_least is None or (report.mean is not None and report.mean >= at_least)
    if as_json:
        about = {"program": name, "data": examples.name, "metric": metric_name(judge), "lm": model.identity.to_json()}
        gate = {} if at_least is None else {"gate": {"at_least": at_least, "passed": passed}}
        classes = {} if scores is None else {"classes": scores.to_json()}
        emit({**about, **gate, "test_opened": opened, **report.to_json(), **classes, "cache": watch.to_json()})
    else:
        _say(name, examples, metric_name(judge), report, opened, scores)
        say_notes(watch.notes())
    if not passed:
        note(f"error: the gate failed: the mean is below {at_least}.")
        return GATE
    return DONE


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
    failures = [row.failure for row in report.rows if row.failure is not None]
    for failure in failures[:_SHOWN_FAILURES]:
        say(f"Error of the {failure.fault}: {failure.kind}: {failure.message}")
    if len(failures) > _SHOWN_FAILURES:
        say(f"... and {len(failures) - _SHOWN_FAILURES} more; --json lists them all.")
