"""Identical work that is under way is done once, by one thread of one process."""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tunesmith.errors import ModelUnavailable
from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    from tunesmith.lm import waiting
else:
    waiting = lazy_module("tunesmith.lm.waiting")  # a usual call waits for no other process

__all__ = ["Flight"]

_T = TypeVar("_T")

PATIENCE = 600.0  # seconds; a process that holds a lock for longer is taken for stopped
_SHORTEST, _LONGEST = 0.0005, 0.05  # seconds between two attempts


class Flight:
    """Single flight among all threads of all processes that share a folder.

    **Threads.** The first caller of a key does the work; callers that come meanwhile wait and get its result. The
    result is shared, so do not change it. If the first caller fails, by any exception, a waiting one takes its place
    with its own function; the exception goes to its own caller only. But a waiter that has seen two calls fail because
    the server is away (`ModelUnavailable`), the second of which began after it came, raises that error: each call may
    last as long as its deadline, and the last caller would wait for all of them. A function that asks for its own key
    runs at once.

    **Processes.** Another process waits until the first one is done, or dead, and then runs its own function. So that
    function looks first if the result has been stored meanwhile. The lock of a key is one byte of `flight.lock`, at
    the offset that 62 bits of its hash give. The byte is never written, so the file stays empty, and no key waits for
    another one. A lock costs two system calls, and the system releases it when its holder dies. POSIX gives such locks
    to processes: a process that closes the file loses all of them, so make one object per process and folder. A forked
    child has none of its parent's.

    A lock only saves a call that would be made twice. If the file cannot be opened, or the file system has no locks,
    or a holder keeps its lock for ten minutes, the work goes on without it.

    Args:
        folder: where `flight.lock` is; it is made when it is first needed, the folder is not.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "flight.lock"
        self._file: int | None = None
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._gate = threading.Lock()
        self._calls: dict[str, _Call] = {}

    def run(self, key: str, function: Callable[[], _T]) -> _T:
        """Return `function()`, or what another thread's function for `key` returns meanwhile."""
        if self._pid != os.getpid():
            self._start()  # the threads that would finish these calls are not in this process
        own, waited = _Call(), False
        while True:
            with self._gate:
                call = self._calls.setdefault(key, own)
            if call is own:
                return self._lead(key, own, function)
            if call.thread == own.thread:
                return function()
            call.done.wait()
            if call.result is not None:
                return call.result[0]
            if call.absence is not None and waited:
                raise call.absence
            waited = True

    def close(self) -> None:
        """Close the lock file, unless a call is under way. The next call opens it again."""
        if self._pid != os.getpid():
            self._start()
        with self._gate:
            if self._file is not None and not self._calls:
                os.close(self._file)
                self._file = None

    def __del__(self) -> None:
        try:  # without `contextlib`, which may be gone at the end of a process, as `os` may
            if self._file is not None:
                os.close(self._file)
        except (AttributeError, OSError):
            pass

    def _lead(self, key: str, call: "_Call", function: Callable[[], _T]) -> _T:
        try:
            result = self._locked(key, function)
            call.result = (result,)
            return result
        except ModelUnavailable as error:
            call.absence = error
            raise
        finally:
            with self._gate:
                self._calls.pop(key, None)  # not there in a child that `function` forked
            call.done.set()

    def _locked(self, key: str, function: Callable[[], _T]) -> _T:
        file = self._opened()
        if file is None:
            return function()
        place = int.from_bytes(sha256(key.encode("utf-8", "surrogatepass")).digest()[:8]) >> 2
        try:
            _wait_for(file, place)
            return function()
        finally:
            with contextlib.suppress(OSError):
                fcntl.lockf(file, fcntl.LOCK_UN, 1, place)

    def _opened(self) -> int | None:
        with self._gate:
            if self._file is None:
                with contextlib.suppress(OSError):
                    self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            return self._file


class _Call:
    """One call under way. `result` is a tuple of one, and stays `None` if the call fails."""

    __slots__ = ("absence", "done", "result", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.done = threading.Event()
        self.result: tuple[Any] | None = None
        self.absence: ModelUnavailable | None = None


def _wait_for(file: int, place: int) -> None:
    """Lock byte `place`, or return without the lock if it cannot be had.

    This asks again and again, although the system could wait: the system takes two processes whose threads wait for
    different keys of each other for a deadlock, and Python could not be interrupted. The pause is a twentieth of the
    time waited, so a follower comes at most 5 % (and 50 ms) late.
    """
    start = time.monotonic()

    def lock() -> None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)

    def passes(error: Exception, _: float) -> float | None:
        if not isinstance(error, (BlockingIOError, PermissionError)):  # systems differ in which they raise
            return None
        return min(_LONGEST, max(_SHORTEST, (time.monotonic() - start) / 20))

    with contextlib.suppress(OSError):
        try:
            lock()
        except OSError as missed:  # seldom, so that the policy costs a usual call nothing
            waiting.Policy(timeout=PATIENCE).run(lock, passes, missed=missed)
