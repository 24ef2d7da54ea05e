"""`tunesmith runs`: list, show, resume and remove runs."""

import datetime
import itertools
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tunesmith.cli.failures import DONE
from tunesmith.cli.output import agreed, emit, heading, note, say, say_table
from tunesmith.errors import LedgerError, UsageError, shown
from tunesmith.evaluation import LedgerCounts, RunInfo, count_ledger, run_path, runs_in
from tunesmith.experiments import PROJECT_FILE, Outlined, RunOutline, project_root

__all__ = ["ls", "resume", "rm", "show"]

_RESUMED = {"compile": "--run", "demo": "--run", "experiment": "--only"}  # verbs, and their option that names the run
_DEEP, _WIDEST = 3, 200  # depth and characters of a shown part of an identity
_DIFFERENCE = 70
_IDENTITY = 12  # shown digits of a fingerprint


def ls(*, as_json: bool) -> int:
    """List the runs of this project."""
    found = runs_in(project_root() / "runs")
    if as_json:
        emit({"runs": [_summary(info, _counts(info)) for info in found]})
    elif not found:
        say("There are no runs in this project. `tunesmith compile` and `tunesmith demo` create one.")
    else:
        rows = [("run", "state", "verdict", "evaluations", "last written")]
        for info in found:
            summary = _summary(info, _counts(info))
            count = "?" if summary["ledger"] is None else f"{summary['ledger']['rows']:,}"
            rows.append((summary["run"], summary["state"], summary["verdict"] or "", count, summary["changed"]))
        say_table(rows, numbers=2)
    return DONE


def show(*, name: str, as_json: bool) -> int:
    """Show one run: its description, its evaluations, and how to resume it."""
    info = _found(name)
    outline = RunOutline.of(info)
    summary = {
        **_summary(info, outline.counts),
        "identity": info.identity,
        "candidates": _candidates(outline),
        "result": info.result,
    }
    if as_json:
        emit(summary)
        return DONE
    say(f"{summary['path']}: {summary['state']}, last written {summary['changed']}")
    if info.problem is not None:
        say(f"Nothing says what it is a run of: {info.problem}. Put that file back, or start another run from what")
        say(f"this one has evaluated: the command that made it, with --run {info.path.name} --fork NAME.")
    if info.arguments is not None:
        say(f"started by: tunesmith {shlex.join(info.arguments)}")
    counts = summary["ledger"]
    if counts is not None:
        say(f"{counts['rows']:,} evaluations, {counts['calls']:,} calls, {counts['tokens']:,} tokens")
        say("A reply that several evaluations share counts for each here, and is charged once.")
        if counts["damaged"]:
            say(f"{counts['damaged']:,} rows were damaged; they are evaluated again")
    _say_about(info)
    if summary["candidates"]:
        heading("Candidates")
        say_table(_candidate_rows(summary["candidates"]), numbers=5)
    if info.identity:
        heading("Identity: a command that differs in any of this makes another run")
        say_table([("part", "identity"), *((part, _short(value)) for part, value in sorted(info.identity.items()))])
    if info.state == "stopped" and info.arguments is not None:
        say()
        ended = _ended_budget(info, summary)
        if ended is None:
            say(f"Go on:  tunesmith runs resume {name}")
        else:
            say(f"Its budget of {ended} is used up. Raise it: the command above with --fork NAME starts from this run.")
    return DONE


def resume(*, name: str, as_json: bool, quiet: bool) -> int:
    """Resume a run with the command that started it. Finished evaluations are not paid again."""
    info = _found(name)
    arguments, folder = _command_of(info)
    if as_json:
        arguments.append("--json")
    if quiet:
        arguments.append("--quiet")
    note(f"tunesmith {shlex.join(arguments)}", quiet=quiet)
    os.chdir(folder)
    code = click.get_current_context().find_root().command.main(arguments, "tunesmith", standalone_mode=False)
    return code if isinstance(code, int) else DONE


def rm(*, name: str, yes: bool, as_json: bool) -> int:
    """Remove a run's folder with its artifact. Its replies stay in the cache."""
    info = _found(name)
    removed = yes or agreed(f"Remove {info.path} with everything in it?")
    if removed:
        info.remove()
    if as_json:
        emit({"removed": str(info.path) if removed else None})
    else:
        say(f"{info.path} was removed" if removed else "nothing was removed")
    return DONE


def _found(name: str) -> RunInfo:
    return RunInfo.of(run_path(name, project_root()))


def _summary(info: RunInfo, counts: LedgerCounts | None) -> dict[str, Any]:
    moment = datetime.datetime.fromtimestamp(info.changed, datetime.UTC)
    return {
        "run": info.path.name,
        "path": str(info.path),
        "state": info.state,
        "changed": moment.isoformat(timespec="seconds"),
        "verdict": info.verdict,
        "problem": info.problem,
        "command": info.command,
        "ledger": None
        if counts is None
        else {
            "rows": counts.rows,
            "damaged": counts.damaged,
            "calls": counts.calls,
            "tokens": counts.tokens,
            "seconds": round(counts.seconds, 2),
        },
    }


def _counts(info: RunInfo) -> LedgerCounts | None:
    try:
        return None if info.ledger is None else count_ledger(info.ledger)
    except LedgerError:  # resuming the run repairs it, so listing runs must not fail
        return None


def _candidates(outline: RunOutline) -> list[dict[str, Any]]:
    """Return the candidates with their means: the result first, then the program as given, then the others."""
    split = "validation" if outline.has_splits else "all"
    return [_described(one, split) for one in outline.candidates]


def _described(one: Outlined, split: str) -> dict[str, Any]:
    return {
        "candidate": one.key,
        "name": one.name or None,
        "differs": one.differs or None,
        "given": one.given,
        "chosen": one.chosen,
        "rows": one.validation.rows + one.test.rows,
        "errors": one.validation.errors + one.test.errors,
        "mean": one.validation.mean,
        "n": one.validation.n,
        "test": {"mean": one.test.mean, "n": one.test.n} if one.test.rows else None,
        "split": split,
    }


def _say_about(info: RunInfo) -> None:
    """Describe the run with names from its notes, and say which of its files are lost."""
    if info.lost is not None:
        say(info.lost)
    about = info.notes.get("about")
    if isinstance(about, dict):
        for name in ("program", "metric", "model", "examples"):
            say(f"{name}: {_shown_text(about.get(name))}")


def _candidate_rows(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    split = found[0]["split"]
    rows: list[tuple[str, ...]] = [("candidate", "what differs", f"on {split}", "n", "on test", "n", "errors")]
    for one in found:
        name = one["name"] or one["candidate"][:_IDENTITY]
        name += ", returned" if one["chosen"] else ""
        differs = "" if one["given"] else _shown_text(one["differs"])
        test = one["test"] or {"mean": None, "n": ""}
        rows.append((name, differs, _mean(one), str(one["n"]), _mean(test), str(test["n"]), str(one["errors"])))
    return rows


def _shown_text(value: Any) -> str:
    """Return a text of a run's file, shortened for a table."""
    text = value if isinstance(value, str) else "unknown"
    return text if len(text) <= _DIFFERENCE else f"{text[: _DIFFERENCE - 1]}…"


def _mean(one: dict[str, Any]) -> str:
    return "" if one["mean"] is None else f"{one['mean']:.3f}"


def _ended_budget(info: RunInfo, summary: dict[str, Any]) -> str | None:
    """Return the limit that ended a run before the program as given was scored, so that it cannot be resumed.

    If another candidate was evaluated, the run can be resumed: a budget that ends later only ends the search.
    """
    if any(found["candidate"] != info.identity.get("candidate") for found in summary["candidates"]):
        return None
    limits, spent = info.budget, summary["ledger"] or {}
    reached = (name for name in ("calls", "tokens", "seconds") if name in limits and spent.get(name, 0) >= limits[name])
    name = next(reached, None)
    return None if name is None else f"{limits[name]} {name}"


def _command_of(info: RunInfo) -> tuple[list[str], Path]:
    """Return the arguments of the command that started the run, and its folder.

    Raises:
        UsageError: the run was not started from the command line, or it was moved away from its project.
    """
    if info.problem is not None:
        raise UsageError(
            f"The run {str(info.path)!r} cannot go on: {info.problem}. Put that file back, or start another run from "
            f"what it has evaluated: the command that made it, with --run {info.path.name} --fork NAME."
        )
    arguments, folder = info.arguments, (info.command or {}).get("folder")
    if arguments is None:
        raise UsageError(
            f"The run {str(info.path)!r} was not started from the command line. Resume it with the same `ts.compile`."
        )
    if not arguments or arguments[0] not in _RESUMED:
        raise UsageError(f"The run {str(info.path)!r} has no command that can be resumed. Given: {shown(arguments)}.")
    # If the project was moved or copied since, it is the folder above `runs`, and the stored one is another's.
    for begun_in in (folder, info.path.resolve().parent.parent):
        if isinstance(begun_in, str | Path) and _makes(info.path, arguments, Path(begun_in)):
            return list(arguments), Path(begun_in)
    raise UsageError(
        f"The command of the run {str(info.path)!r} was run in {shown(folder)}, and would not find the run from there. "
        f"Change to the project's folder and run: tunesmith {shlex.join(arguments)}"
    )


def _makes(run: Path, arguments: Sequence[str], folder: Path) -> bool:
    """Return whether a stored command goes on with `run` if it is run in `folder`.

    A path is taken from that folder, as is the name of a demo's run. The name of a compile's run is taken from the
    project.
    """
    name = dict(itertools.pairwise(arguments)).get(_RESUMED[arguments[0]])
    if name is None or not folder.is_dir():
        return False
    roots = (folder, *folder.parents) if arguments[0] != "demo" else ()
    root = next((root for root in roots if (root / PROJECT_FILE).is_file()), folder)
    return (folder / run_path(name, root)).resolve() == run.resolve()


def _short(value: Any, depth: int = 0) -> str:
    if isinstance(value, dict) and depth < _DEEP:
        inside = ((name, item) for name, item in value.items() if item not in (None, {}, []))
        return ", ".join(f"{name}={_short(item, depth + 1)}" for name, item in inside)
    if isinstance(value, list) and depth < _DEEP:
        items = [_short(item, depth + 1) for item in value]
        return ", ".join(items) if set(items) != {"none"} else "none"
    text = "none" if value is None else shown(value) if isinstance(value, dict | list) else str(value)
    return text[:_IDENTITY] if len(text) == 64 else text[:_WIDEST]
