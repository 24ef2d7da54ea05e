"""What can be removed beside the runs that serve: old runs, runs set aside, and files of processes that were killed."""

import contextlib
import fnmatch
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunesmith.atomic import left_beside
from tunesmith.errors import UsageError, brief
from tunesmith.evaluation.run_info import RunInfo, is_removed, runs_in

__all__ = ["Removable", "removable"]

OLD, ASIDE, TEMPORARY = "old run", "run set aside", "temporary file"
# The last two are a ledger that was being made or repaired.
_TEMPORARY = (left_beside("*.json"), left_beside("report.html"), ".run.db.new", "run.db.repair*")
_HOUR = 3600.0  # a file that is younger may be one that is being written


@dataclass(frozen=True, slots=True)
class Removable:
    """One folder or file that no longer serves.

    Attributes:
        path: of it.
        why: `old run`, `run set aside` or `temporary file`.
        bytes: what it takes on the disk.
        changed: when it was last written, in seconds since 1970.
    """

    path: Path
    why: str
    bytes: int
    changed: float

    def __repr__(self) -> str:
        return brief(self, str(self.path), self.why, bytes=self.bytes)

    def remove(self) -> bool:
        """Delete it; return whether it was still there.

        Raises:
            UsageError: it is a run that a process holds now or has written to since, or it cannot be deleted.
        """
        if self.why != TEMPORARY:
            return self._remove_run()
        if not os.path.lexists(self.path):
            return False
        try:
            if is_removed(self.path):
                shutil.rmtree(self.path, onerror=_unless_gone)
            else:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{str(self.path)!r} cannot be deleted: {error.strerror}.") from error
        return True

    def _remove_run(self) -> bool:
        try:
            info = RunInfo.of(self.path)
        except UsageError:
            return False
        if info.changed != self.changed:
            raise UsageError(f"The run {str(self.path)!r} was written to just now, so it stays.")
        try:
            info.remove()
        except UsageError:
            if os.path.lexists(self.path):
                raise
            return False
        return True


def removable(
    folder: Path, *, now: float, older_than: float | None = None, keep: int | None = None
) -> tuple[Removable, ...]:
    """Return what can be removed of the runs in `folder`; nothing is removed.

    Always runs that `--new` has set aside, and temporary files of runs that no process holds. Finished runs only if an
    age or a number is given; with both, a run goes if both say so. Never a run that is held, not finished or damaged, a
    link, one with files of yours in its folder, or a folder that is not a run.

    Args:
        folder: of the runs.
        now: the time, in seconds since 1970.
        older_than: seconds since a finished run was last written.
        keep: how many of the newest finished runs stay.
    """
    found = list[Removable]()
    free = [info for info in runs_in(folder) if info.state != "running" and not info.path.is_symlink()]
    aside = [info for info in free if info.is_aside and info.problem is None]
    found += [_run(info, ASIDE) for info in aside if not info.foreign]
    done = sorted((info for info in free if info.state == "done" and info not in aside), key=lambda one: -one.changed)
    if older_than is not None or keep is not None:
        old = [info for info in done[keep or 0 :] if older_than is None or info.changed < now - older_than]
        found += [_run(info, OLD) for info in old if not info.foreign]
    going = {one.path for one in found}
    for info in free:
        if info.path not in going:
            found += _temporary(info.path, now)
    if folder.is_dir():
        rest = [path for path in sorted(folder.iterdir()) if is_removed(path)]
        found += [Removable(path, TEMPORARY, _size(path), now) for path in rest]
    return tuple(found)


def _run(info: RunInfo, why: str) -> Removable:
    return Removable(info.path, why, _size(info.path), info.changed)


def _size(folder: Path) -> int:
    size = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process is removing it
            size += 0 if file.is_dir() else file.lstat().st_size
    return size


def _temporary(run: Path, now: float) -> Iterator[Removable]:
    with contextlib.suppress(FileNotFoundError):
        for file in sorted(run.iterdir()):
            if file.is_file() and any(fnmatch.fnmatchcase(file.name, pattern) for pattern in _TEMPORARY):
                about = file.lstat()
                if about.st_mtime < now - _HOUR:
                    yield Removable(file, TEMPORARY, about.st_size, about.st_mtime)


def _unless_gone(_: object, path: str, problem: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(problem[1], FileNotFoundError):  # another process is at it, too
        raise problem[1]
