"""Examples that several threads share: in order, and as many at once as the budget surely pays for.

Which calls fit into a budget must not depend on which thread is faster. A run that goes on after an outage would else
make other calls at the end of its budget than it made before, and pay for both. So an example begins beside others only
if the budget has room for all of them to their end. If it has not, the example begins when it is alone. Then the calls
are those that one example after the other would make. Only what the clock ends (`wall_seconds`) depends on time.
"""

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from tunesmith.evaluation.report import Row
from tunesmith.lm import Meter

__all__ = ["Line", "Turns"]

T = TypeVar("T")


class Turns:
    """Says which examples may be on the way at once; one object for all that a meter counts.

    An example is taken to cost as much as the dearest so far, in calls, tokens, seconds and dollars. If a later one
    costs more, and that at the very end of the budget, time may decide which calls are made there.

    Args:
        meter: counts the calls and holds the budget.
        calls: what an example is taken to make before one has been seen.

    Attributes:
        limited: whether an example may have to wait: without a limit nothing is counted here.
    """

    def __init__(self, meter: Meter, calls: int = 1) -> None:
        self.limited = meter.limited
        self._meter = meter
        self._dearest = {"calls": float(max(1, calls)), "tokens": 0.0, "seconds": 0.0}  # of one run of the program
        self._spent = dict.fromkeys(self._dearest, 0.0)  # what examples under way cost left out
        self._open = 0  # runs of the program that examples under way may make
        self._changed = threading.Condition()

    def fits(self, runs: int = 1) -> bool:
        """Whether an example that may take so many runs of the program can begin now."""
        if self._open == 0 or not self.limited:
            return True
        limits, charged = self._meter.budget, self._meter.charged
        usd = None if limits.usd is None or not charged.usd else limits.usd * charged.tokens / charged.usd
        kinds = (
            ("calls", limits.calls, charged.calls),
            ("tokens", limits.tokens, charged.tokens),
            ("tokens", usd, charged.tokens),  # dollars follow the tokens
            ("seconds", limits.seconds, charged.seconds),
        )
        return all(
            # What was charged before is not charged again, so what is spent may be less than the sum of the rows.
            limit is None or min(self._spent[name], spent) + (self._open + runs) * self._dearest[name] <= limit
            for name, limit, spent in kinds
        )

    def begin(self, runs: int = 1) -> None:
        """Wait until an example that may take so many runs can begin; call `end` afterwards."""
        if not self.limited:
            return
        with self._changed:
            self._changed.wait_for(lambda: self.fits(runs))
            if self._open == 0:
                charged = self._meter.charged
                self._spent = {name: float(getattr(charged, name)) for name in self._spent}
            self._open += runs

    def took(self, row: Row) -> None:
        """Note what one run of the program has cost, its score included."""
        if not self.limited:
            return
        with self._changed:
            for name in self._spent:
                cost = float(getattr(row, name))
                self._dearest[name] = max(self._dearest[name], cost)
                self._spent[name] += cost

    def end(self, runs: int = 1) -> None:
        """Let others begin: an example is done, or has failed."""
        if not self.limited:
            return
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
        self._left, self._turns, self._runs = deque(items), turns, runs
        self._stopped = False
        self._gate = threading.Lock()

    def run(self, worker: Callable[[], None], slots: int) -> None:
        """Let up to `slots` threads run `worker`, which calls `each`; end when all have ended.

        Raises: what a worker raised; the others finish what they have begun.
        """
        count = min(slots, len(self._left))
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
        if not self._turns.limited:
            return self._taken()
        with self._gate:  # one thread waits at a time, so that items begin in order
            if self._stopped or not self._left:
                return None
            self._turns.begin(self._runs)
            taken = self._taken()
            if taken is None:  # it was stopped meanwhile
                self._turns.end(self._runs)
            return taken

    def _taken(self) -> tuple[T] | None:
        try:
            return None if self._stopped else (self._left.popleft(),)
        except IndexError:
            return None
