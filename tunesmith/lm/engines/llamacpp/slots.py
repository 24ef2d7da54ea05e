"""The contexts of one weight file: one for a call that is alone, and as many as there are slots for calls that meet."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tunesmith.lm.engines.llamacpp.context import Context

__all__ = ["Slots"]


@dataclass(slots=True)
class _Place:
    """A context that is loaded when it is first needed, and its number of threads."""

    threads: int
    context: Context | None = None
    taken: bool = False


class Slots:
    """Hands out contexts, at most `count` at once.

    Two threads on one context wait for each other after every step of the computation, two contexts of one thread do
    not, so together they answer more calls. But one call alone is answered sooner by all threads. So a
    call that begins alone gets the context with all threads, which also reads prefixes, and a call that begins beside
    others gets a context with its share of them.

    Args:
        load: loads a context with so many threads.
        count: calls at once.
        threads: computing threads, of all of them together.
    """

    def __init__(self, load: Callable[[int], Context], *, count: int, threads: int) -> None:
        self._load, self._count = load, count
        self._wide = _Place(threads)
        self._narrow = [] if count == 1 else [_Place(max(1, threads // count)) for _ in range(count)]
        self._calls = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self) -> Iterator[Context]:
        """Give one call a context; it waits for its turn."""
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
        """Give a call that has `own` the context with all threads, if no other call has it."""
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
        """Unload all contexts, after the calls that are under way."""
        with self._changed:
            self._changed.wait_for(lambda: self._calls == 0)
            for place in (self._wide, *self._narrow):
                place.context = None

    def loaded(self) -> list[Context]:
        """Return the contexts that were loaded."""
        return [place.context for place in (self._wide, *self._narrow) if place.context is not None]

    def _loaded(self, place: _Place) -> Context:
        if place.context is None:  # only the call that has taken the place comes here
            place.context = self._load(place.threads)
        return place.context
