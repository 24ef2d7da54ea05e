"""One run of a program for one request, which ends by its result, its deadline, or its client's leaving."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tunesmith.lm import Call, StopSignal
from tunesmith.serve.clock import after
from tunesmith.serve.problem import Refusal
from tunesmith.serve.workers import Workers

__all__ = ["Attempt", "Watch", "client_left", "too_late"]

Receive = Callable[[], Awaitable[Any]]


class Attempt:
    """A run in a worker's thread, waited for in the event loop.

    Args:
        workers: the threads.
        deadline: seconds from now until it ends with 504, the time in the queue included.
        draw: decides who answers, if there is a second program: a text such as the request's id.

    Attributes:
        calls: the model calls so far.
        end: why it ended before its result, `None` if it did not.
        draw: as given.
        arm: `canary` if the second program answers.
        times: when each call ended, in nanoseconds since 1970.
    """

    def __init__(self, workers: Workers, deadline: float, draw: str) -> None:
        self.calls: list[Call] = []
        self.times: list[int] = []
        self.end: Refusal | None = None
        self.draw, self.arm = draw, ""
        self._workers, self._deadline = workers, deadline
        self._loop = asyncio.get_running_loop()
        self._result: asyncio.Future[Any] = self._loop.create_future()

    def note(self, call: Call) -> None:
        """Keep a model call that has ended."""
        self.times.append(time.time_ns())
        self.calls.append(call)

    def check(self) -> None:
        """End the program if nobody waits for it any more; called between the pieces of a reply."""
        if self.end is not None:
            raise StopSignal(self.end)

    async def result(self, work: Callable[[], Any]) -> Any:
        """Return `work()`, run by a worker.

        Raises:
            Refusal: the time is over, or the attempt was stopped.
        """
        self._workers.submit(lambda: self._run(work))
        over = after(self._deadline, self._expire)
        try:
            return await self._result
        finally:
            over.cancel()
            if not self._result.done() or self._result.cancelled():
                self.end = self.end or client_left()

    def stop(self, reason: Refusal) -> None:
        """End the run now, in the loop's thread; its own thread follows at the next piece of a reply."""
        if not self._result.done():
            self.end = reason
            self._result.set_exception(reason)

    def _expire(self) -> None:
        self.stop(too_late(self._deadline))

    def tell(self, call: Callable[..., None], *values: Any) -> None:
        """Call `call(*values)` in the loop's thread, unless the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(call, *values)
        except RuntimeError:
            self.end = self.end or client_left()

    def _run(self, work: Callable[[], Any]) -> None:
        if self.end is not None:
            return
        try:
            found = work()
        except StopSignal as stop:
            self.tell(self._settle, None, stop.error)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self.tell(self._settle, None, error)
        else:
            self.tell(self._settle, found, None)

    def _settle(self, found: Any, error: BaseException | None) -> None:
        if self._result.done():
            return
        if error is None:
            self._result.set_result(found)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            self._result.set_exception(error)
        else:  # a future cannot hold it, or it would end the loop
            self._result.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))


class Watch:
    """Looks in a `with` block whether the client leaves, and then calls `leave` with the reason.

    Args:
        receive: of ASGI, after the whole body was read.
        leave: stops what is done for the client.
    """

    def __init__(self, receive: Receive, leave: Callable[[Refusal], None]) -> None:
        self._receive, self._leave = receive, leave
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> "Watch":
        # At the next tick: most replies of the cache are there before, and need nobody who looks for the client.
        self._timer = after(0, self._look)
        return self

    def __exit__(self, *problem: object) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _look(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave(client_left())


def too_late(seconds: float) -> Refusal:
    """Return the end of a request whose time is over."""
    return Refusal(504, "DeadlineExceeded", f"There was no answer within {seconds:g} seconds. Try again later.")


def client_left() -> Refusal:
    """Return the end of a request whose client has closed the connection; 499 is only for the log."""
    return Refusal(499, "ClientLeft", "The client closed the connection.")
