"""`tunesmith runs`: list, show, resume and remove runs."""

import datetime
import os
import statistics
from pathlib import Path
from typing import Any

import click

from tunesmith.cli.choosing import current_project
from tunesmith.cli.failures import DONE
from tunesmith.cli.options import json_option, quiet_option, unneeded_quiet_option
from tunesmith.cli.output import emit, heading, note, say, table
from tunesmith.errors import LedgerError, UsageError, shown
from tunesmith.evaluation import RunInfo, count_ledger, read_entries, run_path, runs_in

__all__ = ["command"]

_RESUMED = ("compile", "demo")
_DEEP, _WIDEST = 3, 200  # of an identity's part that people are shown
_IDENTITY = 12  # digits of a fingerprint that people are shown
_name = click.argument("name", metavar="RUN")


@click.group(name="runs")
def command() -> None:
    """List, show, resume and remove runs.

    A run is a folder, ./runs/NAME: what it is of, every evaluation it has finished, its result and its artifact.
    """


@command.command()
@json_option
@unneeded_quiet_option
def ls(as_json: bool) -> int:  # noqa: FBT001 - click passes flags so
    """List the runs of this project."""
    found = runs_in(current_project().root / "runs")
    if as_json:
        emit({"runs": [_summary(info) for info in found]})
    elif not found:
        say("There are no runs here. `tunesmith compile` and `tunesmith demo` make one.")
    else:
        rows = [("run", "state", "verdict", "evaluations", "last written")]
        for summary in map(_summary, found):
            count = "?" if summary["ledger"] is None else f"{summary['ledger']['rows']:,}"
            rows.append((summary["run"], summary["state"], summary["verdict"] or "", count, summary["changed"]))
        say(table(rows, numbers=2))
    return DONE


@command.command()
@_name
@json_option
@unneeded_quiet_option
def show(name: str, as_json: bool) -> int:  # noqa: FBT001
    """Show one run: what it is of, what it has evaluated, how to go on."""
    info = _found(name)
    summary = {**_summary(info), "identity": info.identity, "candidates": _candidates(info), "result": info.result}
    if as_json:
        emit(summary)
        return DONE
    say(f"{summary['path']}: {summary['state']}, last written {summary['changed']}")
    if info.problem is not None:
        say(f"Nothing says what it is a run of: {info.problem}. Put that file back, or start another run from what")
        say(f"this one has evaluated: the command that made it, with --run {info.path.name} --fork NAME.")
    if info.arguments is not None:
        say(f"started by: tunesmith {' '.join(info.arguments)}")
    counts = summary["ledger"]
    if counts is not None:
        say(f"{counts['rows']:,} evaluations, {counts['calls']:,} calls, {counts['tokens']:,} tokens")
        if counts["damaged"]:
            say(f"{counts['damaged']:,} rows were damaged; they are evaluated again")
    heading("What it is of")
    say(table([("part", "identity"), *((part, _short(value)) for part, value in sorted(info.identity.items()))]))
    if summary["candidates"]:
        heading("Candidates")
        rows = [("candidate", "evaluations", "errors", "mean")]
        for found in summary["candidates"]:
            mean = "" if found["mean"] is None else f"{found['mean']:.3f}"
            rows.append((found["candidate"][:_IDENTITY], str(found["rows"]), str(found["errors"]), mean))
        say(table(rows, numbers=3))
    if info.state == "stopped" and info.arguments is not None:
        say()
        ended = _ended_budget(info, summary)
        if ended is None:
            say(f"Go on:  tunesmith runs resume {name}")
        else:
            say(f"Its budget of {ended} is used up. Raise it: the command above with --fork NAME starts from this run.")
    return DONE


@command.command()
@_name
@json_option
@quiet_option
def resume(name: str, as_json: bool, quiet: bool) -> int:  # noqa: FBT001
    """Go on with a run, by the command that started it. Nothing that was finished is paid for again."""
    info = _found(name)
    arguments, folder = _command_of(info)
    if as_json:
        arguments.append("--json")
    if quiet:
        arguments.append("--quiet")
    note(f"tunesmith {' '.join(arguments)}", quiet=quiet)
    os.chdir(folder)
    code = click.get_current_context().find_root().command.main(arguments, "tunesmith", standalone_mode=False)
    return code if isinstance(code, int) else DONE


@command.command()
@_name
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@unneeded_quiet_option
def rm(name: str, yes: bool, as_json: bool) -> int:  # noqa: FBT001
    """Remove a run's folder, its artifact included. Its replies stay in the cache."""
    info = _found(name)
    removed = yes or _agreed(info.path)
    if removed:
        info.remove()
    if as_json:
        emit({"removed": str(info.path) if removed else None})
    else:
        say(f"{info.path} was removed" if removed else "nothing was removed")
    return DONE


def _agreed(path: Path) -> bool:
    try:
        return click.confirm(f"Remove {path} with everything in it?", err=True)
    except click.Abort:
        note("")  # ends the line of the question
        raise UsageError("Nobody answered, so nothing was removed. Pass --yes to remove without asking.") from None


def _found(name: str) -> RunInfo:
    return RunInfo.of(run_path(name, current_project().root))


def _summary(info: RunInfo) -> dict[str, Any]:
    moment = datetime.datetime.fromtimestamp(info.changed, datetime.UTC)
    return {
        "run": info.path.name,
        "path": str(info.path),
        "state": info.state,
        "changed": moment.isoformat(timespec="seconds"),
        "verdict": info.verdict,
        "problem": info.problem,
        "command": info.command,
        "ledger": _counts(info),
    }


def _counts(info: RunInfo) -> dict[str, Any] | None:
    if info.ledger is None:
        return None
    try:
        found = count_ledger(info.ledger)
    except LedgerError:  # the run itself repairs it; a list of runs is no place to fail
        return None
    return {
        "rows": found.rows,
        "damaged": found.damaged,
        "calls": found.calls,
        "tokens": found.tokens,
        "seconds": round(found.seconds, 2),
    }


def _candidates(info: RunInfo) -> list[dict[str, Any]]:
    """Return what was evaluated by candidate, those seen on most examples first."""
    if info.ledger is None:
        return []
    by_candidate: dict[str, list[Any]] = {}
    for entry in read_entries(info.ledger):
        if entry.key.kind == "row" and entry.key.mode == "eval":
            by_candidate.setdefault(entry.key.candidate, []).append(entry.row)
    found = []
    for candidate, rows in by_candidate.items():
        scores = [row.score for row in rows if row.score is not None]
        found.append(
            {
                "candidate": candidate,
                "rows": len(rows),
                "errors": sum(row.failure is not None for row in rows),
                "mean": statistics.fmean(scores) if scores else None,
            }
        )
    return sorted(found, key=lambda one: (-one["rows"], -(one["mean"] or 0.0), one["candidate"]))


def _ended_budget(info: RunInfo, summary: dict[str, Any]) -> str | None:
    """Return the limit that a run ended at before the program as given was scored: with it the run cannot go on.

    Once another candidate was evaluated it can: a budget that ends later only ends the search.
    """
    if any(found["candidate"] != info.identity.get("candidate") for found in summary["candidates"]):
        return None
    limits, spent = info.budget, summary["ledger"] or {}
    reached = (name for name in ("calls", "tokens", "seconds") if name in limits and spent.get(name, 0) >= limits[name])
    name = next(reached, None)
    return None if name is None else f"{limits[name]} {name}"


def _command_of(info: RunInfo) -> tuple[list[str], Path]:
    """Return the arguments that started the run, and the folder they were given in.

    Raises:
        UsageError: it was not started from the command line, or its folder is gone.
    """
    if info.problem is not None:
        raise UsageError(
            f"The run {str(info.path)!r} cannot go on: {info.problem}. Put that file back, or start another run from "
            f"what it has evaluated: the command that made it, with --run {info.path.name} --fork NAME."
        )
    arguments, folder = info.arguments, (info.command or {}).get("folder")
    if arguments is None:
        raise UsageError(
            f"The run {str(info.path)!r} was not started from the command line. The same call of `ts.compile` goes on."
        )
    if not arguments or arguments[0] not in _RESUMED:
        raise UsageError(f"The run {str(info.path)!r} names no command that can be resumed. Given: {shown(arguments)}.")
    if not isinstance(folder, str) or not Path(folder).is_dir():
        raise UsageError(
            f"The folder that the run was started in is gone. Given: {shown(folder)}. Go to where the project is now "
            f"and run: tunesmith {' '.join(arguments)}"
        )
    return list(arguments), Path(folder)


def _short(value: Any, depth: int = 0) -> str:
    if isinstance(value, dict) and depth < _DEEP:
        inside = ((name, item) for name, item in value.items() if item not in (None, {}, []))
        return ", ".join(f"{name}={_short(item, depth + 1)}" for name, item in inside)
    text = "none" if value is None else shown(value) if isinstance(value, dict | list) else str(value)
    return text[:_IDENTITY] if len(text) == 64 else text[:_WIDEST]
