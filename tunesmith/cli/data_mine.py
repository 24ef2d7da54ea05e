"""`tunesmith data mine`: the hard examples of a run."""

import json
from pathlib import Path
from typing import Any

from tunesmith.cli.failures import DONE
from tunesmith.cli.output import emit, say, say_table
from tunesmith.data import check_targets, write_rows
from tunesmith.errors import counted
from tunesmith.evaluation import RunInfo, run_path
from tunesmith.experiments import HardExample, RunRecord, hard_examples, project_root

__all__ = ["run"]

_CELL = 50  # characters of a value in the table


def run(*, name: str, count: int, by: str, split: str, least: int, to: Path | None, force: bool, as_json: bool) -> int:
    """Show the hard examples of the run NAME, and write them."""
    if to is not None:
        check_targets([to], force=force)
    info = RunInfo.of(run_path(name, project_root()))
    found = hard_examples(RunRecord.of(info), by=by, split=split, count=count, least=least)
    if to is not None:
        write_rows(to, [_row(one, info.path.name, by, split) for one in found])
    if as_json:
        written = None if to is None else str(to)
        emit({"run": str(info.path), "split": split, "examples": [one.to_json() for one in found], "written": written})
        return DONE
    if not found:
        say(f"No {split} example is hard: " + ("all are right." if by == "wrong" else "all candidates agree."))
        return DONE
    rows: list[tuple[str, ...]] = [("example", "label", "answers", "score", "other answers", "failed", "candidates")]
    rows += [_cells(one) for one in found]
    say_table(rows, numbers=4)
    if to is not None:
        say(f"wrote {to}: {counted(len(found), 'row')}")
    return DONE


def _row(one: HardExample, run: str, by: str, split: str) -> dict[str, Any]:
    told = one.to_json()
    facts = {name: told[name] for name in ("candidates", "score", "failed", "disagreement", "answers")}
    return {**one.inputs, **one.labels, **one.rest, "provenance": {"run": run, "split": split, "by": by, **facts}}


def _cells(one: HardExample) -> tuple[str, ...]:
    answers = ", ".join(f"{_short(answer)} x {number}" for answer, number in list(one.answers.items())[:3])
    return (
        _fields(one.inputs),
        _fields(one.labels),
        answers,
        f"{one.score:.3f}",
        f"{one.disagreement:.0%}",
        str(one.failed),
        str(one.candidates),
    )


def _fields(values: Any) -> str:
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values.values()]
    return _short(" | ".join(texts))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"
