"""`tunesmith compile`: find a better candidate, test it, save an artifact."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.cli.choosing import changed_project, chosen_lm, chosen_program, chosen_role, chosen_spec, chosen_teacher
from tunesmith.cli.failures import DONE, GATE
from tunesmith.cli.invoked import invoked_command
from tunesmith.cli.output import emit, heading, note, say, say_table
from tunesmith.cli.progress import shown_progress
from tunesmith.cli.reports import (
    SECONDS,
    CacheWatch,
    say_bad_cases,
    say_diff,
    say_next,
    say_notes,
    say_reports,
    say_spent,
    say_verdict,
)
from tunesmith.cli.resumable import may_be_resumed
from tunesmith.cli.watching import shown_compile
from tunesmith.compilers import CompileResult
from tunesmith.data import Splits
from tunesmith.errors import ModelMissing, UsageError
from tunesmith.evaluation import run_path
from tunesmith.experiments import NO_TRAINING_DATA, Project, compile_program, estimated, plan, timed_calls
from tunesmith.lm import LM, ScriptedLM, engine_kind
from tunesmith.modules import Module

__all__ = ["run"]

_TIMED = 3  # examples that are run without demos and with the most demos


def run(
    *,
    program: str | None,
    train: Path | None,
    val: Path | None,
    test: Path | None,
    bad_cases: Path | None,
    spec: str | None,
    prompt_lm: str | None,
    judge_lm: str | None,
    teacher: str | None,
    teacher_lm: str | None,
    sets: tuple[str, ...],
    no_store: bool,
    allow: tuple[str, ...],
    dry_run: bool,
    gate: bool,
    new: bool,
    fork: str | None,
    rescore: bool,
    study_url: str | None,
    as_json: bool,
    events: bool,
    quiet: bool,
    metric: str | None,
    freeze: tuple[str, ...],
    protect: tuple[str, ...],
    **options: Any,
) -> int:
    """Compile the project's program, test it, and save an artifact."""
    project = changed_project(metric=metric, sets=sets, freeze=freeze, protect=protect, **options)
    if dry_run:
        files = (train, val, test, bad_cases)
        return _dry_run(project, program, files, (spec, allow), store=not no_store, as_json=as_json, quiet=quiet)
    root, named = project.root, project.settings.compile.run
    name = named if fork is None else fork
    with may_be_resumed(run_path(name, root), new=new):
        model = chosen_lm(spec, project, slots=options["slots"], store=not no_store)
        student = chosen_program(program, project, model, allow)
        splits = _splits(project, student, train, val, test)
        bad = None if bad_cases is None else project.read(bad_cases, student)
        given, watch = project.compile_arguments(student, splits, bad), CacheWatch(model)
        calls = plan(**given, lm=model)["calls"]["expected"]
        shown = shown_compile(quiet=quiet, events=events, budget=project.budget(), expected_calls=calls)
        with shown as (tell, watch_standings):
            result = compile_program(
                **given,
                lm=model,
                run=run_path(named, root),
                progress=tell,
                watch=watch_standings,
                new=new,
                fork=None if fork is None else run_path(fork, root),
                rescore=rescore,
                store=not no_store,
                mirror=study_url,
                prompt_lm=chosen_role("prompt_lm", prompt_lm, project, store=not no_store),
                judge_lm=chosen_role("judge_lm", judge_lm, project, store=not no_store),
                teacher=chosen_teacher(teacher, teacher_lm, project, model, allow, store=not no_store),
                executor=project.executor(),
                command=invoked_command(run=name, spec=spec or os.environ.get("TUNESMITH_LM") or None),
            )
    diff = result.report.baseline_candidate.diff(result.report.candidate)
    found = {**result.to_json(), "diff": diff, "cache": watch.to_json()}
    if events:
        emit({"event": "result", **found}, indent=None)
    elif as_json:
        emit(found)
    else:
        _say(result, diff, _first_input(splits) + "=..." + ("" if spec is None else f" --lm {spec}"), watch)
    if gate and result.verdict != "ship":
        note(f"error: the verdict is `{result.verdict}`, not `ship`: the gate failed.")
        return GATE
    return DONE


def _splits(project: Project, program: Module, train: Path | None, val: Path | None, test: Path | None) -> Splits:
    """Return the project's splits, those given as options in their place."""
    given = {name: path for name, path in (("train", train), ("val", val), ("test", test)) if path is not None}
    found = project.data(program)
    found = replace(found, **{name: project.read(path, program) for name, path in given.items()})
    if found.train is None:
        raise UsageError(NO_TRAINING_DATA)
    return found


def _first_input(splits: Splits) -> str:
    return "field" if splits.train is None else splits.train.inputs[0]


def _say(result: CompileResult, diff: str, inputs: str, watch: CacheWatch) -> None:
    title = "on test" if result.tested else "on validation"
    say_reports([("program as given", result.baseline), ("compiled", result.compiled)], title=title)
    say()
    say_verdict(result)
    say()
    say_spent(result.charged, result.paid)
    say_notes((*result.notes, *watch.notes()))
    say_bad_cases(result.bad_cases)
    say_diff(diff, result.report.unchanged_because)
    if result.artifact is not None:
        say_next(result.artifact.path, inputs)


def _dry_run(
    project: Project,
    program: str | None,
    files: tuple[Path | None, Path | None, Path | None, Path | None],
    asked: tuple[str | None, Sequence[str]],
    *,
    store: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    spec, allow = asked
    model, absent = _model_or_why(project, spec, store=store)
    student = chosen_program(program, project, model, allow)
    splits = _splits(project, student, *files[:3])
    given = project.compile_arguments(student, splits, None if files[3] is None else project.read(files[3], student))
    found = plan(**given, lm=ScriptedLM() if model is None else model)
    local = engine_kind(chosen_spec(spec, project) or "", {}).runs_here
    costs = None
    if model is not None and local:
        with shown_progress(quiet=quiet) as tell:
            tell("timing calls without demos and with the most demos", 0, 0)
            arguments = (student, given["compiler"], given["trainset"], given["metric"], model)
            costs = timed_calls(*arguments, count=_TIMED)
    found |= estimated(found, costs)
    if absent is not None:
        found["notes"] = [*found["notes"], absent]
    if as_json:
        emit(found)
    else:
        _say_plan(found)
    return DONE


def _model_or_why(project: Project, spec: str | None, *, store: bool) -> tuple[LM | None, str | None]:
    try:
        return chosen_lm(spec, project, store=store), None
    except ModelMissing as error:
        return None, str(error)


def _say_plan(found: dict[str, Any]) -> None:
    sizes = found["examples"]
    say(f"Examples: {sizes['train']} train, {sizes['val']} validation, {sizes['test']} test")
    say(f"Candidates: at most {found['candidates']}, the program as given included")
    if found["proposals"]:
        say(f"Proposals: {found['proposals']}, asked of the prompt model")
    heading("What it will need")
    rows = [("", "expected", "at most")]
    rows.append(("calls", f"{found['calls']['expected']:,}", f"{found['calls']['worst']:,}"))
    for name in ("tokens", "seconds"):
        values = found[name]
        rows.append((name, "unknown" if values is None else f"about {values['expected']:,}", "no bound"))
    say_table(rows, numbers=2)
    budget = ", ".join(f"{value} {name}" for name, value in found["budget"].items())
    say(f"Budget: {budget or 'none'}")
    say(SECONDS)
    if found["measured"] is None:
        say("Tokens and time are unknown: they are measured only of a model in this process.")
    else:
        seen = found["measured"]
        say(
            f"A call of the program as given takes {seen['tokens_per_call']:,.0f} tokens and "
            f"{seen['seconds_per_call']:.2g} s, the longest with the most demos {seen['longest_tokens']:,.0f} and "
            f"{seen['longest_seconds']:.2g} s."
        )
        say(
            f"If all calls were as long as that, {found['tokens']['longest']:,} tokens and "
            f"{found['seconds']['longest']:,} s. Only a budget bounds them."
        )
    say_notes(found["notes"])
