"""One lock per key among all processes that use a folder."""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

__all__ = ["KeyLocks"]

_T = TypeVar("_T")

PATIENCE = 600.0  # seconds; a holder that is alive and still not done is taken for stopped
_SHORTEST, _LONGEST = 0.0005, 0.05  # seconds between two attempts


class KeyLocks:
    """Locks by key between processes, let go of by the system when their holder dies.

    A key is one byte of `path`, at the offset that 62 bits of its hash give. The byte is locked and never written:
    the file stays empty, no key leaves a file of its own behind, and no key waits for another one. Taking one costs two
    system calls and was measured at 6 microseconds, where a `filelock` per key costs 200 and more.

    POSIX gives these locks to processes. So threads of one process must agree among themselves who asks for a key
    (`SingleFlight` does that), and there must be one object per process and file, because a process that closes a file
    loses all its locks on it. A forked child holds none.

    A lock here saves a call that is made twice, and nothing depends on it: where the file cannot be opened or the
    file system has no locks, and when the holder has not let go after ten minutes, the work goes on without it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._gate = threading.Lock()
        self._held: set[int] = set()

    def run(self, key: str, function: Callable[[], _T]) -> _T:
        """Return `function()`, called with the lock of `key` held; one that this process holds already is kept."""
        if self._pid != os.getpid():
            self._start()
        place = int.from_bytes(sha256(key.encode("utf-8", "surrogatepass")).digest()[:8]) >> 2
        file = self._reserved(place)
        if file is None:
            return function()
        try:
            _wait(file, place)
            return function()
        finally:
            with contextlib.suppress(OSError):
                fcntl.lockf(file, fcntl.LOCK_UN, 1, place)
            with self._gate:
                self._held.discard(place)

    def _reserved(self, place: int) -> int | None:
        """Return the file in which to lock `place`, kept open until then; `None` where there is nothing to lock."""
        with self._gate:
            if place in self._held:
                return None
            if self._file is None:
                try:
                    self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                except OSError:
                    return None
            self._held.add(place)
            return self._file

    def close(self) -> None:
        """Close the file, unless a lock is held or waited for. The next use opens it again."""
        if self._pid != os.getpid():
            self._start()
        with self._gate:
            if self._file is not None and not self._held:
                os.close(self._file)
                self._file = None

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            if self._file is not None:
                os.close(self._file)


def _wait(file: int, place: int) -> None:
    """Lock byte `place`; return without it where it cannot be had.

    Asking again and again, where the system could wait: it takes two processes whose threads wait for different keys
    of each other for a deadlock, and Python could not be interrupted. The pause is a twentieth of the time waited, so
    a follower comes at most 5 % (and 50 ms) late.
    """
    start = time.monotonic()
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            return
        except (BlockingIOError, PermissionError):  # somebody holds it; which of the two is the system's choice
            pass
        except OSError:
            return
        waited = time.monotonic() - start
        if waited > PATIENCE:
            return
        time.sleep(min(_LONGEST, max(_SHORTEST, waited / 20)))
