"""Threads that run programs, as many as the model takes requests at once."""

import contextvars
import queue
import threading
import weakref
from collections.abc import Callable

__all__ = ["Workers"]


class Workers:
    """A fixed number of threads; work waits in order until one is free.

    They are daemons: a process that is told to stop does not wait for a model that hangs. They end once all work is
    done and nobody has this object any more.

    Args:
        count: of threads; each is started when it is first needed.
    """

    def __init__(self, count: int) -> None:
        self._count, self._crew = count, _Crew()
        # The threads know only the crew, so they do not keep this object alive.
        weakref.finalize(self, self._crew.dismiss).atexit = False

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work`, which must not raise, in the caller's context as soon as a thread is free."""
        context = contextvars.copy_context()
        self._crew.submit(lambda: context.run(work), self._count)


class _Crew:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._started = self._busy = 0

    def submit(self, work: Callable[[], None], most: int) -> None:
        with self._lock:
            self._busy += 1
            if self._busy > self._started and self._started < most:
                self._started += 1
                threading.Thread(target=self._loop, daemon=True, name=f"tunesmith-worker-{self._started}").start()
        self._queue.put(work)

    def dismiss(self) -> None:
        for _ in range(self._started):
            self._queue.put(None)

    def _loop(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
            del work  # or it would keep its program and its model until the next
            with self._lock:
                self._busy -= 1
