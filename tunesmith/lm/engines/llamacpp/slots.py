"""The contexts of one weight file: one for a single call, and one per slot for concurrent calls."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tunesmith.lm.engines.llamacpp.context import Context

__all__ = ["Slots"]


@dataclass(slots=True)
class _Place:
    """A context that is loaded at first use, and its number of threads."""

    threads: int
    context: Context | None = None
    taken: bool = False


class Slots:
    """Assign contexts to calls, at most `count` at once.

    Two threads of one context wait for each other after every step, but two contexts with one thread each do not. So
    separate contexts answer more concurrent calls, while a single call is faster with all threads. A call that starts
    alone gets the context with all threads, which also processes prefixes. A call that starts beside others gets a
    context with its share of the threads.

    Args:
        load: loads a context with the given number of threads.
        count: number of concurrent calls.
        threads: computing threads of all calls together.
    """

    def __init__(self, load: Callable[[int], Context], *, count: int, threads: int) -> None:
        self._load, self._count = load, count
        self._wide = _Place(threads)
        self._narrow = [] if count == 1 else [_Place(max(1, threads // count)) for _ in range(count)]
        self._calls = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self) -> Iterator[Context]:
        """Assign a context to one call. Waits for a free slot."""
        with self._changed:
            self._changed.wait_for(lambda: self._calls < self._count)
            place = self._wide if self._calls == 0 else next(place for place in self._narrow if not place.taken)
            self._calls, place.taken = self._calls + 1, True
        try:
            yield self._loaded(place)
        finally:
            with self._changed:
                self._calls, place.taken = self._calls - 1, False
                self._changed.notify_all()

    @contextlib.contextmanager
    def reader(self, own: Context) -> Iterator[Context]:
        """Lend the context with all threads to a call that has `own`, unless another call uses it."""
        with self._changed:
            free = not self._wide.taken
            self._wide.taken = True
        try:
            yield self._loaded(self._wide) if free else own
        finally:
            if free:
                with self._changed:
                    self._wide.taken = False

    def close(self) -> None:
        """Unload all contexts, after the running calls have ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._calls == 0)
            for place in (self._wide, *self._narrow):
                place.context = None

    def loaded(self) -> list[Context]:
        """Return the loaded contexts."""
        return [place.context for place in (self._wide, *self._narrow) if place.context is not None]

    def _loaded(self, place: _Place) -> Context:
        if place.context is None:  # no race: only the call that has the place gets here
            place.context = self._load(place.threads)
        return place.context
