"""An LM whose replies are passed on while they are written."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tunesmith.errors import BudgetExceeded
from tunesmith.lm.call import StopSignal
from tunesmith.lm.engine import (
    Engine,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamEvent,
    closed,
    refused,
)
from tunesmith.lm.model import LM
from tunesmith.lm.scope import current_scope
from tunesmith.lm.stack import BESIDE, AsyncFacade, Stack, SyncFacade, streamed_response
from tunesmith.lm.wire import Prefix

__all__ = ["Hear", "listening"]

Hear = Callable[[], Callable[[str], None]]
"""Called once per request. It returns what gets each piece of the reply's text, in order, `""` for a thought."""


def listening(lm: LM, hear: Hear) -> LM:
    """Return a copy of `lm` whose replies are passed on while they are written.

    The copy has the same cache, meters, price and history, and sends the same requests. A reply from the cache comes in
    one piece, and so does one that is asked for with log-probabilities or tools, which streams cannot carry.

    The callback may take its time: the engine is asked for the next piece when it has returned. It ends the reply at
    once by raising a `StopSignal`, which closes the engine's stream. A stream does not wait for an identical request
    that is under way, because its reader may be the one that holds that request up.
    """
    stack = _ListeningStack(lm._stack, hear)
    return lm.over(stack, SyncFacade(stack), _AsyncFacade(stack))


class _ListeningStack(Stack):
    """A `Stack` that passes each reply on."""

    def __init__(self, inner: Stack, hear: Hear) -> None:
        super().__init__(inner.engine, cache=inner.cache, price=inner.price, findings=inner.findings)
        self._hear = hear

    def answer(self, request: Request, rollout: int, prefix: Prefix | None = None) -> tuple[Response, bool]:
        engine = _StreamedEngine(self.engine, self._hear())
        response, paid = _AloneStack(engine, cache=self.cache, price=self.price).answer(request, rollout, prefix)
        engine.tell_whole(response)
        return response, paid


class _AloneStack(Stack):
    """A `Stack` for one request, which does not wait for an identical one."""

    def _reply(self, key: str, request: Request) -> Any:
        return self._pay(key, request)


class _StreamedEngine:
    """An engine for one request, which passes on each piece of text."""

    def __init__(self, inner: Engine, tell: Callable[[str], None]) -> None:
        self.identity, self.capabilities = inner.identity, inner.capabilities
        self.stream, self.embed, self.close = inner.stream, inner.embed, inner.close
        self._inner, self._tell, self._told = inner, tell, False

    def complete(self, request: Request) -> Response:
        """Answer `request`, piece by piece if a stream can carry the reply."""
        if request.config.logprobs is not None or request.tools:
            return self._inner.complete(request)
        received = list[StreamEvent]()
        with closed(self._inner.stream(request)) as events:
            for event in events:
                received.append(event)
                if isinstance(event, StreamDeltaEvent):
                    self._pass_on(event.delta)
        if not any(isinstance(event, StreamEndEvent) for event in received):
            received.append(StreamEndEvent())  # an engine that just ends has come to its stop
        return streamed_response(received, request)

    def tell_whole(self, response: Response) -> None:
        """Pass on the whole text, if nothing was passed on before."""
        if not self._told and response.text:
            self._tell(response.text)

    def _pass_on(self, delta: Any) -> None:
        _check_clock()
        if delta.type == "text":
            self._told = True
            self._tell(delta.text)
        elif delta.type == "thinking":
            self._tell("")  # the reader may have gone
        else:
            raise refused(f"A streamed reply holds text only. The engine sent a piece of type {delta.type!r}.")


def _check_clock() -> None:
    """Raise a `StopSignal` if a budget of time on the clock ended while a reply was being written."""
    for meter in current_scope().meters:
        limit = meter.budget.wall_seconds
        if limit is not None and meter.room().wall_seconds == 0:
            raise StopSignal(
                BudgetExceeded(
                    f"The budget of {limit} wall_seconds is used up, in the middle of a reply. Raise it to go on; "
                    "what was paid for before is in the cache.",
                    spent=meter.charged.to_json(),
                )
            )


class _AsyncFacade(AsyncFacade):
    """Each reply has a thread of its own: one that waits for its reader must not use up a pool of threads."""

    async def complete(self, request: Request) -> Response:
        done: Future[Response] = Future()
        beside = BESIDE.get()
        whole, rollout = beside.whole(request)

        def work() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                response, _ = beside.stack(self.stack).answer(whole, rollout)
            except BaseException as error:  # noqa: BLE001 - handed to the coroutine, which raises it
                done.set_exception(error)
            else:
                done.set_result(response)

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(work,), daemon=True, name="tunesmith-stream").start()
        return await asyncio.wrap_future(done)
