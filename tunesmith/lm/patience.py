"""How long a run waits: for a server that went away, and for one call that hangs.

The absence of a server is not a wrong answer: the run pauses, and goes on with the same request when the server comes
back. A call that hangs is given up and not sent again, since the server may still be working on it.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tunesmith.errors import ContextOverflow, ModelUnavailable, RequestRefused
from tunesmith.lazy import lazy_module
from tunesmith.lm.engine import Resend, resend_of, unavailable

if TYPE_CHECKING:
    from tunesmith.lm import waiting
else:
    waiting = lazy_module("tunesmith.lm.waiting")  # a call outside a run does not wait

__all__ = ["Patience", "Watch"]

_LOG = logging.getLogger("tunesmith")
_KEPT = 200  # latencies of the latest calls of a kind
_T = TypeVar("_T")


class Patience(NamedTuple):
    """How long a run waits for its model.

    Attributes:
        seconds: how long an outage may last before the run stops; 0 for none.
        pause: seconds before the first look for a server that went away; doubled before each further one.
        longest: the longest of these pauses, in seconds.
        calls: after so many calls of a kind were answered, one of that kind has a deadline.
        factor: the deadline, as a multiple of the 95th percentile of their latencies.
        floor: the shortest deadline in seconds: a server that has to load its model first is not hanging.
        clock: monotonic seconds.
        sleep: waits.
    """

    seconds: float = 120.0
    pause: float = 1.0
    longest: float = 10.0
    calls: int = 20
    factor: float = 10.0
    floor: float = 120.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Watch:
    """What is known of one model's server, for all threads that call it.

    Only a server that has answered before is waited for: one that never did may be the wrong host. While it is away
    one thread looks for it and the others wait for that one.

    Args:
        patience: how long.
        look: called before the first request to a server that came back; raises `ModelUnavailable` while it is away,
            `ModelMissing` if it came back with another model.
    """

    def __init__(self, patience: Patience, look: Callable[[], None] | None = None) -> None:
        self._policy, self._look = patience, look
        self._answered = False
        self._returns = 0  # how often the server came back
        self._since: float | None = None  # when it was first missed
        self._search = threading.Lock()  # held by the thread that looks for it
        self._lock = threading.Lock()
        self._latencies: dict[Hashable, deque[float]] = {}

    def through(
        self, call: Callable[[], _T], *, kind: Hashable, known: bool, left: Callable[[], float | None] = lambda: None
    ) -> _T:
        """Return what `call()` gives, waiting while the server is away.

        Args:
            call: sends one request.
            kind: calls of one kind take about as long as each other.
            known: whether the server is known to have answered before.
            left: seconds that the run has left, `None` for any number.

        Raises:
            ModelUnavailable: the server stayed away, or the call hung.
            Exception: any other error of `call`.
        """
        broken = 0
        while True:
            seen = self._returns
            try:
                return self._timed(call, kind, self._p95(kind))
            except ModelUnavailable as error:
                broken += self._passes(error, broken, known=known)
                missed = error
            with self._search:
                if self._returns == seen:  # no other thread has found it meanwhile
                    return self._found(call, kind, missed, broken, left())

    def _found(
        self, call: Callable[[], _T], kind: Hashable, missed: ModelUnavailable, broken: int, left: float | None
    ) -> _T:
        """Look for the server until it answers `call`."""
        own = self._policy
        patience = own.seconds if left is None else min(own.seconds, left)
        if self._since is None:
            self._since = own.clock()
            if patience > 0:
                _LOG.warning("The server does not answer; trying again for %.0f s. %s", patience, missed)
        since, looks = self._since, 0

        def attempt() -> _T:
            nonlocal looks
            looks += 1
            if self._look is not None:
                self._look()
            return self._timed(call, kind, None)  # it may have to load its model first

        def passes(error: Exception, pause: float) -> float | None:
            nonlocal broken
            if not isinstance(error, ModelUnavailable):
                return None
            if looks:  # the first one is `missed`, which passes
                broken += self._passes(error, broken, known=True)
            waited = own.clock() - since
            if waited < patience:
                return min(pause, patience - waited)
            raise unavailable(
                f"{error} The run has waited {waited:.0f} s for it; `patience=` and TUNESMITH_PATIENCE set how many "
                "seconds it waits.",
                resend=Resend.NEVER,
            ) from error

        policy = waiting.Policy(pause=own.pause, longest=own.longest, clock=own.clock, sleep=own.sleep)
        try:
            found = policy.run(attempt, passes, deadline=math.inf, missed=missed)
        except (ContextOverflow, RequestRefused):
            self._back(since)
            raise
        self._back(since)
        return found

    def _back(self, since: float) -> None:
        self._since = None
        self._returns += 1
        _LOG.warning("The server answers again after %.0f s.", self._policy.clock() - since)

    def _passes(self, error: ModelUnavailable, broken: int, *, known: bool) -> int:
        """Return how many connections broke over the request by `error`; raise it if waiting does not help."""
        resend = resend_of(error)
        broke = resend is Resend.ONCE
        if not (known or self._answered) or self._policy.seconds <= 0 or resend is Resend.NEVER or (broke and broken):
            raise error
        return int(broke)

    # One call -----------------------------------------------------------------------------------------------

    def _timed(self, call: Callable[[], _T], kind: Hashable, p95: float | None) -> _T:
        """Return what `call()` gives, sent once; with the 95th percentile of its kind, before its deadline."""
        policy, start = self._policy, self._policy.clock()
        limit = math.inf if p95 is None else max(policy.floor, policy.factor * p95)
        try:
            with waiting.sent_once(start + limit):
                found = call()
        except ModelUnavailable as error:
            if p95 is None or resend_of(error) is not Resend.NEVER or policy.clock() - start < limit:
                raise
            raise unavailable(
                f"{error} It was given up after {limit:.0f} s, since 95 of 100 calls of its kind took at most "
                f"{p95:.1f} s. The same command sends it again.",
                resend=Resend.NEVER,
            ) from error
        with self._lock:
            self._latencies.setdefault(kind, deque(maxlen=_KEPT)).append(policy.clock() - start)
        self._answered, self._since = True, None
        return found

    def _p95(self, kind: Hashable) -> float | None:
        """Return the 95th percentile of the seconds that calls of a kind took, `None` while too few were seen."""
        with self._lock:
            seen = sorted(self._latencies.get(kind, ()))
        return None if len(seen) < max(1, self._policy.calls) else seen[math.ceil(0.95 * len(seen)) - 1]
