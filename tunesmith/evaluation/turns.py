"""Examples that several threads share: in order, and as many at once as the budget of calls surely pays for.

Which calls fit into a budget must not depend on which thread is faster. A run that goes on after an outage would else
make other calls at the end of its budget than it made before, and pay for both. So an example begins beside others only
if the budget has room for all of them to their end. If it has not, the example begins when it is alone. Then the calls
are those that one example after the other would make.
"""

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from tunesmith.lm import Meter

__all__ = ["Line", "Turns"]

T = TypeVar("T")


class Turns:
    """Says which examples may be on the way at once; one object for all that a meter counts.

    An example is taken to make as many calls as the longest so far. If a later one makes more, and that at the very end
    of the budget, time may decide which calls are made there; the budget itself is kept in any case.

    Args:
        meter: counts the calls and holds the budget.
        calls: what an example is taken to make before one has been seen.
    """

    def __init__(self, meter: Meter, calls: int = 1) -> None:
        self._meter, self._longest = meter, max(1, calls)
        self._open = 0  # runs of the program that examples under way may make
        self._spent = 0  # calls, those of examples under way left out
        self._changed = threading.Condition()

    def fits(self, runs: int = 1) -> bool:
        """Whether an example that may take so many runs of the program can begin now."""
        limit = self._meter.budget.calls
        if limit is None or self._open == 0:
            return True
        # Calls that were charged before are not charged again, so what is spent may be less than the sum of the rows.
        spent = min(self._spent, self._meter.charged.calls)
        return spent + (self._open + runs) * self._longest <= limit

    def begin(self, runs: int = 1) -> None:
        """Wait until an example that may take so many runs can begin; call `end` afterwards."""
        with self._changed:
            self._changed.wait_for(lambda: self.fits(runs))
            if self._open == 0:
                self._spent = self._meter.charged.calls
            self._open += runs

    def took(self, calls: int) -> None:
        """Note how many calls one run of the program has made, its score included."""
        with self._changed:
            self._longest = max(self._longest, calls)
            self._spent += calls

    def end(self, runs: int = 1) -> None:
        """Let others begin: an example is done, or has failed."""
        with self._changed:
            self._open -= runs
            self._changed.notify_all()


class Line(Generic[T]):
    """Items that threads take one after the other, until there is none or one of them failed.

    Args:
        items: what is to be done, in this order.
        turns: says when the next one may begin.
        runs: how many runs of the program each may take.
    """

    def __init__(self, items: Sequence[T], turns: Turns, runs: int = 1) -> None:
        self._items, self._turns, self._runs = items, turns, runs
        self._place, self._stopped = 0, False
        self._gate = threading.Lock()

    def run(self, worker: Callable[[], None], slots: int) -> None:
        """Let up to `slots` threads run `worker`, which calls `each`; end when all have ended.

        Raises: what a worker raised; the others finish what they have begun.
        """
        count = min(slots, len(self._items))
        if count <= 1:
            worker()
            return
        with ThreadPoolExecutor(count, thread_name_prefix="tunesmith") as pool:
            futures = [pool.submit(contextvars.copy_context().run, worker) for _ in range(count)]
            try:
                for future in futures:
                    future.result()
            finally:
                self.stop()

    def each(self, do: Callable[[T], None]) -> None:
        """Do this with the next item, and so on; other threads do the same with others."""
        while (item := self._next()) is not None:
            try:
                do(item[0])
            except BaseException:
                self.stop()
                raise
            finally:
                self._turns.end(self._runs)

    def stop(self) -> None:
        """Let no further item begin."""
        self._stopped = True

    def _next(self) -> tuple[T] | None:
        with self._gate:  # one thread waits at a time, so that items begin in order
            if self._stopped or self._place >= len(self._items):
                return None
            self._turns.begin(self._runs)
            if self._stopped:  # meanwhile
                self._turns.end(self._runs)
                return None
            self._place += 1
            return (self._items[self._place - 1],)
