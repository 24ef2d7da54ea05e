"""A line between a program that is running and whoever reads what it says."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

from tunesmith.errors import UsageError
from tunesmith.lm import StopSignal

__all__ = ["AsyncLine", "Left", "Line"]


class Left(StopSignal):
    """Ends a program whose reader has gone."""

    def __init__(self) -> None:
        super().__init__(UsageError("The stream was closed before the program had ended."))


class _Turn:
    """One thing that was said; who said it waits until the reader comes back for more."""

    def __init__(self, item: Any) -> None:
        self.item, self.over = item, threading.Event()


class Line:
    """Hands things from any number of threads to one reader, one at a time.

    A program goes on only when the reader wants more, as if it were a generator: so there is nothing to stop when the
    reader leaves, whatever the engine is doing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[_Turn] = set()
        self._closed = False
        self._read: _Turn | None = None
        self._queue: queue.SimpleQueue[_Turn] = queue.SimpleQueue()
        self._deliver: Callable[[_Turn], None] = self._queue.put

    def say(self, item: Any) -> None:
        """Hand `item` over and wait until it was read and more is wanted.

        Raises:
            Left: the reader has gone.
        """
        turn = _Turn(item)
        with self._lock:
            if self._closed:
                raise Left
            self._waiting.add(turn)
            self._deliver(turn)
        turn.over.wait()
        if self._closed:
            raise Left

    def leave(self, item: Any) -> None:
        """Hand `item` over and wait for nobody.

        Raises:
            Left: the reader has gone.
        """
        with self._lock:
            if self._closed:
                raise Left
            self._deliver(_Turn(item))

    def check(self) -> None:
        """Raise `Left` where the reader has gone."""
        if self._closed:
            raise Left

    def next(self) -> Any:
        """Return what is said next."""
        self._want_more()
        return self._take(self._queue.get())

    def close(self) -> bool:
        """Go: whoever waits is let go with `Left`, and so is whoever comes later. Returns whether somebody waited."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, set()
        for turn in waiting:
            turn.over.set()
        return bool(waiting)

    def _want_more(self) -> None:
        turn, self._read = self._read, None
        if turn is not None:
            with self._lock:
                self._waiting.discard(turn)
            turn.over.set()

    def _take(self, turn: _Turn) -> Any:
        self._read = turn
        return turn.item


class AsyncLine(Line):
    """A line whose reader is a coroutine of one event loop; made in the thread of that loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        said: asyncio.Queue[_Turn] = asyncio.Queue()
        self._said = said
        self._deliver = lambda turn: _put(loop, said, turn)

    def say(self, item: Any) -> None:
        """Hand `item` over; in the loop's own thread, where nobody may wait, without waiting.

        Raises:
            Left: the reader has gone.
        """
        if threading.get_ident() == self._thread:
            self.leave(item)
        else:
            super().say(item)

    async def anext(self) -> Any:
        """Return what is said next."""
        self._want_more()
        return self._take(await self._said.get())


def _put(loop: asyncio.AbstractEventLoop, said: "asyncio.Queue[_Turn]", turn: _Turn) -> None:
    try:
        loop.call_soon_threadsafe(said.put_nowait, turn)
    except RuntimeError as error:  # the loop was closed: there is no reader any more
        raise Left from error
