"""Saved prefix states of the in-process engine: private files, bounded in size, gone after the process."""

import atexit
import os
import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import filelock
else:
    filelock = lazy_module("filelock")

__all__ = ["StateFolder"]

LIMIT = 512 * 1024 * 1024
_MARK = "tunesmith-states-"


class StateFolder:
    """A 0700 temporary folder of state files; the least recently used ones are dropped above `limit` bytes.

    The files hold prompts. They are removed at exit, and folders that a killed process left behind are removed
    when the next one starts: a folder whose lock can be taken has no owner any more.
    """

    def __init__(self, *, limit: int = LIMIT) -> None:
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_MARK))  # mkdtemp makes it 0700
        self._lock = filelock.FileLock(self.path / ".lock")
        self._lock.acquire()
        self._limit = limit
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._process = os.getpid()
        atexit.register(self.close)

    def has(self, name: str) -> bool:
        """Return whether the state is there, and count this as a use."""
        if name not in self._sizes:
            return False
        self._sizes.move_to_end(name)
        return True

    def add(self, name: str) -> None:
        """Count the file `name`, which the engine just wrote, and drop old ones above the limit."""
        try:
            self._sizes[name] = (self.path / name).stat().st_size
        except OSError:  # a full disk: the state is simply not there next time
            return
        while sum(self._sizes.values()) > self._limit and len(self._sizes) > 1:
            self.drop(next(iter(self._sizes)))

    def drop(self, name: str) -> None:
        """Remove one state."""
        self._sizes.pop(name, None)
        (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder; in a process that was forked, leave it to the one that made it."""
        if self._process != os.getpid():
            return
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)
        self._sizes.clear()


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_MARK}*"):
        if not folder.is_dir() or folder.is_symlink():
            continue
        mark = folder / ".lock"
        if not mark.exists():  # another process is between making the folder and locking it
            continue
        try:
            with filelock.FileLock(mark, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (filelock.Timeout, OSError):
            continue
