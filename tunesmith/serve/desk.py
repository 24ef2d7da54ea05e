"""What all endpoints of a service share: limits, workers, and the count of requests in flight."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from tunesmith.errors import TunesmithError, kind_of
from tunesmith.lm import LM
from tunesmith.serve.attempt import Attempt
from tunesmith.serve.limits import Limits
from tunesmith.serve.log import Log
from tunesmith.serve.metrics import Metrics
from tunesmith.serve.problem import Refusal, refusal_of
from tunesmith.serve.visit import Visit
from tunesmith.serve.workers import Workers

__all__ = ["Desk"]


class Desk:
    """Shared by all requests; used in the thread of the event loop.

    Args:
        limits: of the service.
        log: gets one event per request.
        shows_texts: whether the log has the texts of requests.
    """

    def __init__(self, limits: Limits, log: Log, *, shows_texts: bool = False) -> None:
        self.limits, self.log, self.shows_texts = limits, log, shows_texts
        self.metrics = Metrics(lambda: self.in_flight)
        self.in_flight = 0
        self.draining = False
        # One thread for each of a model's slots, as long as a program or a request has the model: a request that
        # began before a reload ends with the old one.
        self._workers: WeakKeyDictionary[LM, Workers] = WeakKeyDictionary()

    def attempt(self, lm: LM, draw: str) -> Attempt:
        """Return a new attempt to run a program on `lm`; `draw` is the attempt's."""
        workers = self._workers.get(lm)
        if workers is None:
            workers = self._workers[lm] = Workers(lm.slots)
        return Attempt(workers, self.limits.deadline, draw)

    def failed(self, error: Exception, visit: Visit) -> Refusal:
        """Return what a client is told of an error, and log what it is not told."""
        refusal = refusal_of(error)
        visit.error = refusal.kind
        if refusal is not error and refusal.message != str(error):
            known = isinstance(error, TunesmithError)
            trace = None if known else "".join(traceback.format_exception(error))
            self.log.write(
                "failure",
                level="error",
                id=visit.id,
                type=kind_of(error),
                message=str(error) if self.shows_texts or not known else None,
                trace=trace,
            )
        return refusal

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Count a request as in flight.

        Raises:
            Refusal: there are as many as the limit allows.
        """
        if self.in_flight >= self.limits.in_flight:
            raise Refusal(
                429,
                "TooManyRequests",
                f"{self.in_flight} requests are under way, which is the limit. Try again later.",
                headers={"Retry-After": "1"},
            )
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
