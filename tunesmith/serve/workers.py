"""Threads that run programs, as many as the model takes requests at once."""

import contextvars
import queue
import threading
from collections.abc import Callable

__all__ = ["Workers"]


class Workers:
    """A fixed number of threads; work waits in order until one is free.

    They are daemons: a process that is told to stop does not wait for a model that hangs.

    Args:
        count: of threads; each is started when it is first needed.
    """

    def __init__(self, count: int) -> None:
        self._count, self._lock = count, threading.Lock()
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._started = self._busy = 0

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work`, which must not raise, in the caller's context as soon as a thread is free."""
        with self._lock:
            self._busy += 1
            if self._busy > self._started and self._started < self._count:
                self._started += 1
                threading.Thread(target=self._loop, daemon=True, name=f"tunesmith-worker-{self._started}").start()
        context = contextvars.copy_context()
        self._queue.put(lambda: context.run(work))

    def close(self) -> None:
        """End the threads once all work is done."""
        for _ in range(self._count):
            self._queue.put(None)

    def _loop(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
            with self._lock:
                self._busy -= 1
