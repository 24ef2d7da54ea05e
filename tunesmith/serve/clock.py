"""Timers that cost little to set and to cancel, because nearly all are cancelled: one tick looks at all of them."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Timer", "after"]

_TICK = 0.02  # seconds that a timer may be late


class Timer:
    """Calls a function later, in the thread of the event loop.

    Attributes:
        over: whether it was called.
    """

    __slots__ = ("_call", "_timers", "at", "over")

    def __init__(self, timers: "dict[Timer, None]", at: float, call: Callable[[], Any]) -> None:
        self._timers, self.at, self._call, self.over = timers, at, call, False
        timers[self] = None

    def cancel(self) -> None:
        """Do not call it, if it was not yet."""
        self._timers.pop(self, None)

    def ring(self) -> None:
        """Call it now."""
        if self._timers.pop(self, self) is None:  # one that rang before may have cancelled it
            self.over = True
            self._call()


def after(seconds: float, call: Callable[[], Any]) -> Timer:
    """Return a timer of the running event loop, which comes up to 20 ms late."""
    loop = asyncio.get_running_loop()
    clock: _Clock | None = getattr(_HERE, "clock", None)
    if clock is None or clock.loop is not loop:
        clock = _HERE.clock = _Clock(loop)
    return clock.after(seconds, call)


_HERE = threading.local()


class _Clock:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._timers: dict[Timer, None] = {}
        self._ticking = False

    def after(self, seconds: float, call: Callable[[], Any]) -> Timer:
        if not self._ticking:
            self._ticking = True
            self.loop.call_later(_TICK, self._tick)
        return Timer(self._timers, time.monotonic() + seconds, call)

    def _tick(self) -> None:
        now = time.monotonic()
        for timer in [timer for timer in self._timers if timer.at <= now]:
            timer.ring()
        self._ticking = bool(self._timers)
        if self._ticking:
            self.loop.call_later(_TICK, self._tick)
