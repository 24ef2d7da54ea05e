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
    refused,
)
from tunesmith.lm.model import LM
from tunesmith.lm.scope import current_scope
from tunesmith.lm.stack import BESIDE, AsyncFacade, Stack, SyncFacade, in_pieces
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

    def _complete(self, request: Request) -> Response:
        return self.engine.complete(request)  # it goes in pieces by itself


class _StreamedEngine:
    """An engine for one request, which passes on each piece of text."""

    def __init__(self, inner: Engine, tell: Callable[[str], None]) -> None:
        self.identity, self.capabilities = inner.identity, inner.capabilities
        self.stream, self.embed, self.close = inner.stream, inner.embed, inner.close
        self._inner, self._tell, self._told = inner, tell, False

    def complete(self, request: Request) -> Response:
        """Answer `request`, piece by piece if a stream can carry the reply."""
        _check_end()
        return in_pieces(self._inner, request, self._pass_on)

    def tell_whole(self, response: Response) -> None:
        """Pass on the whole text, if nothing was passed on before."""
        if not self._told and response.text:
            self._tell(response.text)

    def _pass_on(self, delta: Any) -> None:
        _check_end()
        if delta.type == "text":
            self._told = True
            self._tell(delta.text)
        elif delta.type == "thinking":
            self._tell("")  # the reader may have gone
        else:
            raise refused(f"A streamed reply holds text only. The engine sent a piece of type {delta.type!r}.")


def _check_end() -> None:
    """Raise a `StopSignal` if the caller has gone, or a budget of time ended while a reply was being written."""
    scope = current_scope()
    if scope.check is not None:
        scope.check()
    for meter in scope.meters:
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
