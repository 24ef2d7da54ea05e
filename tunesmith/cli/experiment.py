"""`tunesmith experiment`: every combination of an experiment, one run after the other, and compared."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tunesmith.cli.choosing import current_project
from tunesmith.cli.failures import DONE, STOPPED, described, exit_code_of_parts
from tunesmith.cli.output import emit, heading, note, say, say_table
from tunesmith.cli.progress import Tell, shown_progress
from tunesmith.errors import UsageError
from tunesmith.experiments import Cell, CellOutcome, Comparison, Experiment, Project, plan, project_experiment

__all__ = ["run"]

_OF_THE_LIST = ("as_json", "quiet")  # the options that mean something where no experiment is named


def run(
    *,
    name: str | None,
    only: tuple[str, ...],
    dry_run: bool,
    by: tuple[str, ...],
    metric: str | None,
    budget_calls: int | None,
    new: bool,
    executor: str | None,
    dask: str | None,
    slots: int | None,
    no_store: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run the cells of an experiment that are not finished, and compare all."""
    options = {"budget_calls": budget_calls, "slots": slots, "executor": executor, "dask": dask}
    project = current_project().changed(metric=metric, compile=options, lm={"slots": slots})
    if name is None:
        _check_nothing_is_of_one(project)
        return _list(project, as_json=as_json)
    experiment = project_experiment(project, name, store=not no_store)
    if dry_run:
        return _plan(experiment, only, as_json=as_json)
    outcomes = []
    cells = experiment.chosen(only)
    with _each_warning_once():
        for outcome in experiment.outcomes(
            only=only,
            new=new,
            watch=_watch(cells, quiet=quiet),
            command=_command(name),
            store=not no_store,
            executor=project.of_experiment(name).executor(),
        ):
            outcomes.append(outcome)
            if not as_json:
                say(f"[{len(outcomes)}/{len(cells)}] {outcome.cell.run}: {_sentence(outcome)}")
    compared, problem = _compared(experiment, only, by)
    if as_json:
        found = None if compared is None else compared.to_json()
        emit({"experiment": name, "cells": [_json(one) for one in outcomes], "comparison": found, "notes": problem})
    else:
        _say(compared, problem)
    return _exit(outcomes)


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Log no text a second time: what is said of one cell is often true of the next."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        text, before = record.getMessage(), len(said)
        said.add(text)
        return len(said) > before

    log = logging.getLogger("tunesmith")
    log.addFilter(is_new)
    try:
        yield
    finally:
        log.removeFilter(is_new)


def _check_nothing_is_of_one(project: Project) -> None:
    """Refuse options of an experiment where none is named: the list would ignore them."""
    context = click.get_current_context()
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in _OF_THE_LIST
        and context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    ]
    if given:
        known = ", ".join(project.settings.experiments) or "none in tunesmith.toml"
        raise UsageError(
            f"{' and '.join(given)} of which experiment? Give its name, as in `tunesmith experiment NAME {given[0]}`. "
            f"There is: {known}."
        )


def _list(project: Project, *, as_json: bool) -> int:
    found = {name: project_experiment(project, name) for name in project.settings.experiments}
    done = {name: sum(one.state(cell) == "done" for cell in one.cells) for name, one in found.items()}
    if as_json:
        counts = [{"experiment": name, "runs": len(one.cells), "done": done[name]} for name, one in found.items()]
        emit({"experiments": counts})
    elif not found:
        say("There are no experiments. [experiments.NAME] in tunesmith.toml is one: docs/experiments.md.")
    else:
        rows = [(name, str(len(one.cells)), str(done[name])) for name, one in found.items()]
        say_table([("experiment", "runs", "done"), *rows], numbers=2)
    return DONE


def _plan(experiment: Experiment, only: Sequence[str], *, as_json: bool) -> int:
    cells = experiment.chosen(only)
    plans = [{**cell.to_json(), "state": experiment.state(cell), **experiment.plan(cell)} for cell in cells]
    left = [one for one in plans if one["state"] != "done"]
    total = {name: sum(one["calls"][name] for one in left) for name in ("expected", "worst")}
    if as_json:
        emit({"experiment": experiment.name, "cells": plans, "runs_left": len(left), "calls_left": total})
        return DONE
    rows = [("run", "state", "candidates", "calls", "at most")]
    for one in plans:
        calls = (f"{one['calls']['expected']:,}", f"{one['calls']['worst']:,}")
        rows.append((one["run"], one["state"], str(one["candidates"]), *calls))
    say_table(rows, numbers=3)
    say()
    say(
        f"{len(left)} of {len(plans)} runs are left, with {total['expected']:,} calls expected, {total['worst']:,} at "
        "most. Calls that an earlier run has paid for are counted too."
    )
    for text in dict.fromkeys(text for one in plans for text in one["notes"]):
        note(text)
    return DONE


def _watch(cells: Sequence[Cell], *, quiet: bool) -> Any:
    numbers = {cell.run: number for number, cell in enumerate(cells, start=1)}

    @contextmanager
    def watch(cell: Cell, arguments: Mapping[str, Any]) -> Iterator[Tell]:
        needed = {name: value for name, value in arguments.items() if name not in ("prompt_lm", "judge_lm", "teacher")}
        calls = plan(**needed)["calls"]["expected"]
        title = f"{numbers[cell.run]}/{len(cells)} {cell.run}: "
        with shown_progress(quiet=quiet, budget=arguments["budget"], expected_calls=calls) as tell:
            yield lambda text, done, total: tell(title + text, done, total)

    return watch


def _command(name: str) -> Any:
    """Return how a cell's run is started again: the options of this command, with the run."""
    context = click.get_current_context()
    kept = ("metric", "budget_calls", "executor", "dask", "slots", "no_store")
    given: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(str(parameter.name))
        if parameter.name in kept and value not in (None, False):
            given += [parameter.opts[0], *([] if value is True else [str(value)])]
    folder = os.fspath(Path.cwd())
    return lambda cell: {"arguments": ["experiment", name, *given, "--only", cell.run], "folder": folder}


def _sentence(outcome: CellOutcome) -> str:
    if outcome.error is not None:
        return f"failed: {described(outcome.error)[1]}"
    if outcome.state == "running":
        return "another process runs it"
    result = outcome.result
    if result is None:
        return f"done before, {outcome.verdict}"
    gain = result.gain
    change = "" if gain is None or gain.mean is None else f", gain {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    return f"{result.verdict}{change}, {result.charged.calls:,} calls charged, {result.paid.calls:,} paid"


def _json(outcome: CellOutcome) -> dict[str, Any]:
    kind, message = (None, None) if outcome.error is None else described(outcome.error)
    error = None if kind is None else {"type": kind, "message": message}
    return {**outcome.cell.to_json(), "state": outcome.state, "verdict": outcome.verdict, "error": error}


def _compared(experiment: Experiment, only: Sequence[str], by: Sequence[str]) -> tuple[Comparison | None, list[str]]:
    """Return the comparison of what is finished, or why there is none."""
    try:
        return experiment.compare(only=only, by=by), []
    except UsageError as error:
        return None, [str(error)]


def _say(compared: Comparison | None, problem: Sequence[str]) -> None:
    if compared is not None:
        heading("Finished runs")
        say_table(compared.cells())
    for text in (*problem, *(() if compared is None else compared.notes)):
        note(text)


def _exit(outcomes: Sequence[CellOutcome]) -> int:
    failed = [one.error for one in outcomes if one.error is not None]
    busy = sum(one.state == "running" for one in outcomes)
    code = exit_code_of_parts(failed) if failed or not busy else STOPPED
    if busy:
        note(f"{busy} of {len(outcomes)} runs are left to another process: compare when it has finished.")
    if failed:
        way = "; the same command goes on" if code == STOPPED else ""
        note(f"error: {len(failed)} of {len(outcomes)} runs failed{way}.")
    return code
