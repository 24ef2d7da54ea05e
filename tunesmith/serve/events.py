"""Server-sent events of a running program."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from tunesmith.modules import FieldDelta
from tunesmith.serve.attempt import Attempt, Watch, client_left
from tunesmith.serve.web import Response

__all__ = ["EventResponse", "Feed", "event"]

_PING = 15.0  # seconds without an event until a comment keeps proxies from closing the connection


def event(data: Any, name: str | None = None) -> bytes:
    """Return one event; `data` is written as JSON, a text as it is."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {text}\n\n".encode()


class Feed:
    """The deltas of an attempt, read in the event loop while a worker runs the program.

    Args:
        attempt: not started yet.
        run: runs the program with what it tells its deltas to.
    """

    def __init__(self, attempt: Attempt, run: Callable[[Callable[[FieldDelta], None]], Any]) -> None:
        self._deltas: asyncio.Queue[FieldDelta | None] = asyncio.Queue()
        put = self._deltas.put_nowait
        work = attempt.result(lambda: run(lambda delta: attempt.tell(put, delta)))
        self._job = asyncio.get_running_loop().create_task(work)
        self._job.add_done_callback(self._ended)
        self._first: list[FieldDelta | None] = []

    def _ended(self, job: asyncio.Task[Any]) -> None:
        if not job.cancelled():
            job.exception()  # or asyncio reports one that nobody reads because the client has left
        self._deltas.put_nowait(None)

    async def begin(self) -> None:
        """Wait for the first delta or the end; raises what the program raises before it has written anything."""
        self._first = [await self._deltas.get()]
        if self._first == [None]:
            await self._job

    async def deltas(self) -> AsyncIterator[list[FieldDelta]]:
        """Yield the deltas that have come since the last ones; an empty list after a long time without any."""
        found = self._first
        while None not in found:
            yield found  # type: ignore[misc]  # no `None` is among them
            found = await self._next()
        if found[:-1]:
            yield found[:-1]  # type: ignore[misc]  # `None` is the last

    async def _next(self) -> list[FieldDelta | None]:
        try:
            async with asyncio.timeout(_PING):
                found = [await self._deltas.get()]
        except TimeoutError:
            return []
        while not self._deltas.empty():
            found.append(self._deltas.get_nowait())
        return found

    async def prediction(self) -> Any:
        """Return what the program returned, or raise what it raised."""
        return await self._job


class EventResponse(Response):
    """Sends events while they come.

    Starlette's own response for streams reads the client's leaving too, and takes twice the time per event.

    Args:
        events: yields what is sent.
        attempt: stopped if the client leaves.
        done: called at the end.
    """

    def __init__(self, events: AsyncIterator[bytes], attempt: Attempt, done: Callable[[], None]) -> None:
        super().__init__(media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events, self._attempt, self._done = events, attempt, done

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as an ASGI app."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            with Watch(receive, self._attempt.stop):
                async for data in self._events:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._attempt.stop(client_left())
            self._done()
