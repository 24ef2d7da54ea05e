"""Several hosts that serve the same model, as one engine."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import httpx

from tunesmith.errors import ModelUnavailable, UsageError
from tunesmith.lm.engine import (
    Capabilities,
    Engine,
    Identity,
    Message,
    Request,
    Resend,
    Response,
    StreamEvent,
    StreamStartEvent,
    closed,
    resend_of,
    unavailable,
)
from tunesmith.lm.pool.hosts import Host, Hosts, placeless
from tunesmith.lm.waiting import Policy, ending, is_sent_once
from tunesmith.lm.wire import request_key

__all__ = ["PoolEngine"]

_T = TypeVar("_T")

_LOOKS = Policy(attempts=6, pause=0.5)  # at all hosts, while none lives
_ANY = Message.user(".")
_NOBODY = Identity("pool", "any")


class PoolEngine:
    """One model on several hosts.

    Requests that share their prefix (system text, all messages but the last, options) go to one host, which has read
    that prefix already. A new prefix goes to the host with the least to do. If a prefix's host is busy, another
    one helps out if it has a free slot and serves no other prefix of the last `hold` requests: reading a prefix there
    costs as much as several calls, and would push the other one out.

    A host that does not answer gets no requests until it answers a probe; then its prefixes come back to it. A request
    that it left behind goes to another host. Two broken connections end a request: it may be what stops the hosts. In a
    run no other host gets a request that hangs.

    Args:
        hosts: by address, what makes the engine of a host. It is called again after an outage, so that a host which
            comes back with another model is noticed.
        slots: requests that one host works on at once.
        hold: over how many requests a prefix keeps others from its host.
        timeout: seconds that a call may take on all hosts together, waiting for one included; `None` if only the
            engines of the hosts limit it. Of a stream, the time to find a host that begins it.
        clock: monotonic seconds.
        sleep: waits for seconds.

    Raises:
        UsageError: no hosts, or they serve different models, or it is not known which weights they serve.
        ModelUnavailable, ModelMissing: no host answers; one that answers has no such model.
    """

    def __init__(
        self,
        hosts: Mapping[str, Callable[[], Engine]],
        *,
        slots: int = 1,
        hold: int = 8,
        timeout: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not hosts:
            raise UsageError("A pool needs at least one host.")
        self._hosts, self._slots = Hosts(hosts, slots=slots, hold=hold, clock=clock), slots
        self._policy = _LOOKS._replace(timeout=math.inf if timeout is None else timeout, clock=clock, sleep=sleep)
        self.identity = placeless(self._hosts.start())
        self.capabilities = self._common()
        self.request_options: frozenset[str] | None = next(
            getattr(host.made, "request_options", None) for host in self._hosts.all if host.live
        )

    def complete(self, request: Request) -> Response:
        """Answer `request` on one of the hosts; see `Engine.complete`."""
        return self._somewhere(_prefix(request), lambda engine: engine.complete(request))

    @property
    def own_turns(self) -> Any:
        """What the hosts put into every prompt, `None` if they put nothing; see `tunesmith.lm.OwnTurns`."""
        return next((getattr(host.engine, "own_turns", None) for host in self._hosts.all if host.live), None)

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in order, from the host with the least to do."""
        return self._somewhere(None, lambda engine: engine.embed(texts))

    def stream(self, request: Request) -> Iterator[StreamEvent]:
        """Answer piece by piece; once a piece was given, no other host takes over."""
        visit = self._visit(_prefix(request))
        while True:
            with visit.host() as host, closed(host.engine.stream(request)) as events:
                for event in events:
                    if isinstance(event, StreamStartEvent):
                        start = event
                        continue
                    if not visit.over:
                        visit.over = True
                        yield start
                    yield event
                return

    @property
    def hosts(self) -> Sequence[Host]:
        """What is known of every host now."""
        return self._hosts.all

    def close(self) -> None:
        """Close every host's engine."""
        for host in self._hosts.all:
            if host.made is not None:
                host.made.close()

    def _somewhere(self, prefix: str | None, call: Callable[[Engine], _T]) -> _T:
        visit = self._visit(prefix)
        while True:
            with visit.host() as host, ending(visit.end):
                return call(host.engine)

    def _visit(self, prefix: str | None) -> "_Visit":
        return _Visit(self._hosts, prefix, self._policy)

    def _common(self) -> Capabilities:
        """Return what every host can do that answers now."""
        found = [host.engine.capabilities for host in self._hosts.all if host.live]
        return Capabilities(
            constraints=frozenset.intersection(*(each.constraints for each in found)),
            logprobs=min(each.logprobs for each in found),
            embeddings=all(each.embeddings for each in found),
            tools=all(each.tools for each in found),
            thinking=all(each.thinking for each in found),
            slots=self._slots * len(self._hosts.all),
            logprobs_after=all(each.logprobs_after for each in found),
            forced=all(each.forced for each in found),
            roots=next(roots for roots in ("object", "closed", "any") if any(e.roots == roots for e in found)),
        )


class _Visit:
    """The way of one request over the hosts.

    Attributes:
        over: whether a part of the reply was given out, so that no other host may start it again.
        end: when the call has to be over.
    """

    def __init__(self, hosts: Hosts, prefix: str | None, policy: Policy) -> None:
        self._hosts, self._prefix, self._policy = hosts, prefix, policy
        self.end, self.over = policy.deadline(), False
        self._tried: set[str] = set()
        self._broken = self._looks = 0

    @contextmanager
    def host(self) -> Iterator[Host]:
        """Give the next host to try. If it does not answer, the block ends without an error: try the next.

        Raises:
            ModelUnavailable: no host answers, for as long as is waited, or none may be tried any more.
        """
        host = self._next()
        try:
            yield host
        except ModelUnavailable as error:
            self._hosts.lost(host, error)
            self._tried.add(host.name)
            self._broken += not _never_sent(error)
            if self._broken > 1:
                raise unavailable(str(error), resend=Resend.NEVER) from error
            if self.over or self._policy.clock() >= self.end or (is_sent_once() and resend_of(error) is Resend.NEVER):
                raise
        finally:
            self._hosts.leave(host)

    def _next(self) -> Host:
        host = self._hosts.take(self._prefix, self._tried)
        if host is not None:
            return host
        return self._policy.run(self._look, self._pause, deadline=self.end, missed=self._hosts.no_host())

    def _look(self) -> Host:
        """Look at all hosts again, and take one that answers."""
        self._tried.clear()
        with ending(self.end):
            self._hosts.revive()
        host = self._hosts.take(self._prefix, self._tried)
        if host is None:
            raise self._hosts.no_host()
        return host

    def _pause(self, error: Exception, pause: float) -> float | None:
        """Return the seconds before the next look; all looks of one request count, also if hosts came between."""
        del pause
        self._looks += isinstance(error, ModelUnavailable)
        return self._policy.pause_after(self._looks) if self._looks < self._policy.attempts else None


def _never_sent(error: BaseException | None) -> bool:
    """Return whether the server cannot have read the request, because it took no connection."""
    while error is not None:
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, ConnectionRefusedError)):
            return True
        error = error.__cause__
    return False


def _prefix(request: Request) -> str:
    shared: Any = replace(request, messages=(*request.messages[:-1], _ANY))
    return request_key(_NOBODY, shared, 0)
