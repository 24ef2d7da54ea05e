"""Waiting and repeating: which errors are worth another attempt, how long to wait before it, and how long in all.

`Policy` holds the numbers, the clock and the function that sleeps. Every place in this package that tries again names
its own numbers and says which errors pass; the loop is here. Calls are nested: a run waits for a pool, the pool for a
host, the host for its server. So the end of the outermost call is kept here too, and no part of it takes longer.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import tenacity
else:
    tenacity = lazy_module("tenacity")

__all__ = ["Policy", "ending", "is_sent_once", "is_time_limit", "sent_once", "sooner", "time_left"]

_T = TypeVar("_T")
_MOST_DOUBLINGS = 60
_YEAR = 366 * 86400.0  # a clock of the system holds no arbitrary number of seconds


def is_time_limit(value: object) -> bool:
    """Return whether `value` is a number of seconds that can be waited."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _YEAR


class Policy(NamedTuple):
    """How often a call is made, how long to wait between, and how long in all.

    Example::

        policy = Policy(attempts=4, pause=0.5)  # pauses of 0.5, 1 and 2 seconds
        policy.run(ask, lambda error, pause: pause if isinstance(error, ConnectionError) else None)

    Attributes:
        timeout: seconds that the call may take, all attempts together.
        attempts: how many at most.
        pause: seconds before the second attempt; doubled before each further one.
        longest: the longest pause, in seconds.
        clock: monotonic seconds.
        sleep: waits for seconds.
    """

    timeout: float = math.inf
    attempts: float = math.inf
    pause: float = 0.0
    longest: float = math.inf
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def deadline(self) -> float:
        """Return when a call that starts now has to be over; no later than the call that it is a part of."""
        return sooner(self.clock() + self.timeout)

    def pause_after(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""
        return float(min(self.longest, self.pause * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)))

    def run(
        self,
        call: Callable[[], _T],
        passes: Callable[[Exception, float], float | None],
        *,
        deadline: float | None = None,
        missed: Exception | None = None,
    ) -> _T:
        """Return what `call()` gives, called again after each error that passes.

        Args:
            call: makes one attempt.
            passes: gets an error and the usual pause after it; returns the seconds to wait, or `None` if another
                attempt is useless. It may raise what the caller is to get instead. It is not asked about the error of
                the last attempt, nor about what is not an `Exception`, such as Ctrl-C.
            deadline: on the clock, when the last attempt has to begin; default: that of a call that starts now.
            missed: the error of a first attempt that was made before.

        Raises:
            Exception: the error of the last attempt.
        """
        end = self.deadline() if deadline is None else deadline
        if missed is None:
            try:
                return call()
            except Exception as error:  # noqa: BLE001 - `passes` sorts them
                missed = error
        first, wait = [missed], 0.0

        def attempt() -> _T:
            if first:
                raise first.pop()
            return call()

        def goes_on(state: "tenacity.RetryCallState") -> bool:
            nonlocal wait
            error = None if state.outcome is None else state.outcome.exception()
            if not isinstance(error, Exception) or state.attempt_number >= self.attempts:
                return False
            found = passes(error, self.pause_after(state.attempt_number))
            wait = found or 0.0
            return found is not None and self.clock() + wait < end

        return tenacity.Retrying(retry=goes_on, wait=lambda _: wait, sleep=self.sleep, reraise=True)(attempt)


class _Call(NamedTuple):
    """What is known of the running call: when it has to be over, and whether it may be sent again once it hangs."""

    end: float | None = None
    once: bool = False


_OUTSIDE = _Call()
_CALL: ContextVar[_Call] = ContextVar("tunesmith_call", default=_OUTSIDE)


@contextlib.contextmanager
def ending(end: float | None, *, once: bool | None = None) -> Iterator[None]:
    """Let the calls inside the block, which are parts of one call, be over at `end` (monotonic seconds).

    Args:
        end: `None` or infinity for no end.
        once: whether the call may not be sent again once it hangs; default: as around the block.
    """
    token = _CALL.set(_Call(None if end == math.inf else end, is_sent_once() if once is None else once))
    try:
        yield
    finally:
        _CALL.reset(token)


def sent_once(end: float) -> contextlib.AbstractContextManager[None]:
    """Let the call inside the block be over at `end`; it is not sent again once it has waited in vain for a reply.

    The server may still be working on it: a second one would double its load at the worst moment.
    """
    return ending(sooner(end), once=True)


def is_sent_once() -> bool:
    """Return whether the running call may not be sent again once it hangs."""
    return _CALL.get().once


def sooner(end: float) -> float:
    """Return `end`, or the end of the call that the running one is a part of."""
    outer = _CALL.get().end
    return end if outer is None else min(end, outer)


def time_left(clock: Callable[[], float] = time.monotonic) -> float | None:
    """Return the seconds until the end of the running call, `None` if it has none."""
    end = _CALL.get().end
    return None if end is None else end - clock()
