"""Identical work that is under way is done once."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tunesmith.errors import ModelUnavailable
from tunesmith.lm.cache.keylocks import KeyLocks

__all__ = ["FolderFlight", "SingleFlight"]

_T = TypeVar("_T")


class SingleFlight:
    """The first caller of a key does the work; callers that come meanwhile wait and get its result.

    If the first caller fails, by any exception, a waiting one takes its place with its own function; the exception
    goes to its own caller only. But a waiter that has seen two calls fail because the server is away
    (`ModelUnavailable`), the second of which began after it came, raises that error instead of trying again: each call
    may last as long as its deadline, and the last caller would wait for all of them. The result is shared, so it must
    not be changed. A function that asks for its own key runs at once.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight] = {}

    def run(self, key: str, function: Callable[[], _T]) -> _T:
        """Return `function()`, or what another thread's function for `key` returns meanwhile."""
        if self._pid != os.getpid():
            self._start()  # the threads that would finish these flights are not in this process
        own, waited = _Flight(), False
        while True:
            with self._lock:
                flight = self._flights.setdefault(key, own)
            if flight is own:
                return self._lead(key, own, function)
            if flight.thread == own.thread:
                return function()
            flight.done.wait()
            if flight.result is not None:
                return flight.result[0]
            if flight.absence is not None and waited:
                raise flight.absence
            waited = True

    def _lead(self, key: str, flight: "_Flight", function: Callable[[], _T]) -> _T:
        try:
            result = function()
            flight.result = (result,)
            return result
        except ModelUnavailable as error:
            flight.absence = error
            raise
        finally:
            with self._lock:
                self._flights.pop(key, None)  # absent where `function` forked, in the child
            flight.done.set()


class FolderFlight:
    """Single flight among all threads of all processes that share a folder.

    Threads share a result, as in `SingleFlight`. Another process waits until the first one is done, or dead, and then
    runs its own function, which therefore looks first whether the result has been stored meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self._threads = SingleFlight()
        self._locks = KeyLocks(folder / "flight.lock")

    def run(self, key: str, function: Callable[[], _T]) -> _T:
        """Return `function()`, or what another thread's function for `key` returns meanwhile."""
        return self._threads.run(key, lambda: self._locks.run(key, function))

    def close(self) -> None:
        """Let go of the folder while nothing is under way. The next use opens it again."""
        self._locks.close()


class _Flight:
    """One call under way. `result` is a tuple of one, and stays `None` where the call failed."""

    __slots__ = ("absence", "done", "result", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.done = threading.Event()
        self.result: tuple[Any] | None = None
        self.absence: ModelUnavailable | None = None
