"""`tunesmith runs gc`: remove what no longer serves."""

import datetime
import time
from collections.abc import Sequence

from tunesmith.cli.amounts import age
from tunesmith.cli.failures import DONE, ERROR
from tunesmith.cli.output import agreed, bytes_text, emit, note, say, table
from tunesmith.errors import UsageError
from tunesmith.evaluation import Removable, removable
from tunesmith.experiments import project_root

__all__ = ["run"]


def run(*, older_than: str | None, keep: int | None, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Show what no longer serves with its size, and remove it if that is confirmed."""
    oldest = None if older_than is None else age(older_than, "--older-than")
    found = removable(project_root() / "runs", now=time.time(), older_than=oldest, keep=keep)
    size = sum(one.bytes for one in found)
    if not as_json and found:
        rows = [("what", "path", "size", "last written")]
        rows += [(one.why, str(one.path), bytes_text(one.bytes), _day(one.changed)) for one in found]
        (say if dry_run or yes else note)(table(rows, numbers=2))  # a question and what it is about go the same way
    question = f"Remove these {len(found)}, {bytes_text(size)} in all?"
    removed = bool(found) and not dry_run and (yes or agreed(question))
    freed, problems = _remove(found) if removed else (0, [])
    if as_json:
        listed = [{"path": str(one.path), "what": one.why, "bytes": one.bytes} for one in found]
        emit({"found": listed, "bytes": size, "removed": removed, "freed": freed, "problems": problems})
    elif not found:
        say("there is nothing to remove")
    else:
        say(f"{bytes_text(freed)} freed" if removed else f"nothing was removed; it would free {bytes_text(size)}")
    for text in problems:
        note(f"error: {text}")
    return ERROR if problems else DONE


def _remove(found: Sequence[Removable]) -> tuple[int, list[str]]:
    """Return how many bytes were freed, and what could not be removed; that stops nothing else."""
    freed, problems = 0, []
    for one in found:
        try:
            freed += one.bytes if one.remove() else 0
        except UsageError as error:
            problems.append(str(error))
    return freed, problems


def _day(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")
