"""Which models are loaded, with which options, and who waits for them."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.protocol.backends import wait
from tests.protocol.models import FakeModel
from tests.protocol.options import FOREVER, LOAD_OPTIONS
from tests.protocol.outcomes import BUSY, Refusal

_LOOK = 0.01  # seconds between two looks at the clock and the client


class Slots:
    """As many at once as there are slots, the others first come, first served."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def one(self, gone: Callable[[], None]) -> Iterator[None]:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._free == 0 or self._waiting[0] is not ticket:
                    self._changed.wait(_LOOK)
                    gone()
                self._free -= 1
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()


class Runner:
    """One loaded model."""

    def __init__(self, model: FakeModel, key: tuple[Any, ...], num_ctx: int, slots: int) -> None:
        self.model, self.key, self.num_ctx = model, key, num_ctx
        self.slots = Slots(slots)
        self.users = 0
        self.keep_alive = 300.0
        self.expires = time.time() + 300


class Scheduler:
    """Loads models one after the other; a change of load options reloads when nobody uses the model.

    Attributes:
        loads: model name to how often it was loaded.
    """

    def __init__(self, *, slots: int, max_queue: int) -> None:
        self.loads: dict[str, int] = {}
        self._slots, self._max_queue = slots, max_queue
        self._runners: dict[str, Runner] = {}
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def runner(
        self,
        model: FakeModel,
        options: dict[str, Any],
        *,
        shift: bool | None,
        keep_alive: float | None,
        gone: Callable[[], None],
    ) -> Iterator[Runner]:
        """Hold the model, loaded with `options`.

        Raises:
            Refusal: 503, too many wait for a load.
        """
        key = (*(options.get(name) for name in LOAD_OPTIONS), shift)
        found = self._loaded(model, key) or self._load(model, key, options["num_ctx"], gone)
        if keep_alive is not None:
            found.keep_alive = keep_alive
        try:
            yield found
        finally:
            with self._changed:
                found.users -= 1
                found.expires = time.time() + min(found.keep_alive, 10**9)
                if found.keep_alive == 0 and found.users == 0 and self._runners.get(model.name) is found:
                    self._drop(model.name)
                self._changed.notify_all()

    def unload(self, name: str) -> None:
        """Forget the runner: it died, or was told to go."""
        with self._changed:
            self._drop(name)
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            for name in list(self._runners):
                self._drop(name)

    def loaded(self) -> list[Runner]:
        """Return what is loaded now, the one that stays longest first."""
        with self._changed:
            for name, runner in list(self._runners.items()):
                if runner.users == 0 and runner.expires < time.time():
                    self._drop(name)
            return sorted(self._runners.values(), key=lambda runner: -runner.expires)

    def _drop(self, name: str) -> None:
        runner = self._runners.pop(name, None)
        if runner is not None:
            runner.model.backend.forget()

    def _loaded(self, model: FakeModel, key: tuple[Any, ...]) -> Runner | None:
        with self._changed:
            runner = self._runners.get(model.name)
            if runner is None or runner.key != key or runner.model is not model:
                return None
            if runner.users == 0 and runner.expires < time.time():
                self._drop(model.name)
                return None
            runner.users += 1
            return runner

    def _load(self, model: FakeModel, key: tuple[Any, ...], num_ctx: int, gone: Callable[[], None]) -> Runner:
        ticket = object()
        with self._changed:
            if len(self._queue) >= self._max_queue:
                raise Refusal(503, BUSY)
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or self._in_use(model.name, key):
                    self._changed.wait(_LOOK)
                    gone()
            except BaseException:
                self._queue.remove(ticket)
                raise
        try:
            found = self._loaded(model, key)
            if found is None:
                wait(model.load_delay, gone)
                found = self._put(model, key, num_ctx)
            return found
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _in_use(self, name: str, key: tuple[Any, ...]) -> bool:
        runner = self._runners.get(name)
        return runner is not None and runner.key != key and runner.users > 0

    def _put(self, model: FakeModel, key: tuple[Any, ...], num_ctx: int) -> Runner:
        with self._changed:
            self._drop(model.name)
            runner = Runner(model, key, num_ctx, 1 if model.embeddings else self._slots)
            runner.users = 1
            self._runners[model.name] = runner
            self.loads[model.name] = self.loads.get(model.name, 0) + 1
            return runner


def expiry(runner: Runner) -> float:
    """Return in how many seconds the model goes, at most 292 years, as Go has it."""
    if runner.keep_alive == FOREVER:
        return 9_223_372_036.0
    return (time.time() + runner.keep_alive if runner.users else runner.expires) - time.time()
