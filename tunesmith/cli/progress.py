"""Live progress on stderr, with spent and remaining budget."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tunesmith.experiments import ProgressLine
from tunesmith.lm import Budget, Meter, StopSignal, metered

__all__ = ["say_nothing", "shown_progress", "sign_of_life", "Spending", "Tell"]

Tell = Callable[[str, int, int], None]

_DECAY = 0.98  # weight of the past per call, since demos make later calls slower than the first ones


@contextmanager
def shown_progress(
    *,
    quiet: bool,
    budget: Budget | None = None,
    expected_calls: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    silent: float = 2.0,
    waiting: str = "waiting for the first reply",
) -> Iterator[Tell]:
    """Yield a function that shows progress together with the calls made in the context.

    Without progress for a while it shows `waiting`, because loading a model and a long reply take time.

    Args:
        quiet: show nothing.
        budget: the budget of the run.
        expected_calls: the total of charged calls in the plan.
        clock: the current time in seconds.
        silent: seconds without progress before `waiting` is shown.
        waiting: the text to show.
    """
    meter = Meter()
    limits = Budget() if budget is None else budget
    spending = Spending(meter, limits, expected_calls=expected_calls, clock=clock)
    try:
        with metered(meter):
            if quiet:
                yield say_nothing
            else:
                with (
                    ProgressLine(note=spending.note, clock=clock) as line,
                    sign_of_life(line, silent, waiting) as tell,
                ):
                    yield spending.around(tell)
    except StopSignal as stop:
        raise stop.error from None


@contextmanager
def sign_of_life(line: ProgressLine, silent: float, waiting: str) -> Iterator[Tell]:
    """Yield a function that updates `line`; show `waiting` if it is not called for `silent` seconds."""
    heard, lock = threading.Event(), threading.Lock()

    def tell(text: str, done: int, total: int) -> None:
        heard.set()
        with lock:
            line.tell(text, done, total)

    def watch() -> None:
        if not heard.wait(silent):
            with lock:
                if not heard.is_set():
                    line.tell(waiting)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield tell
    finally:
        heard.set()


class Spending:
    """Describes the spent and the remaining budget, and estimates the remaining time.

    The estimate multiplies the remaining calls by the time per paid call so far. The remaining calls are those of the
    plan; without a plan, or beyond it, those of the budget (shown as "at most"); without either, those of the current
    step. Cached calls are faster. The first paid calls are ignored, because they wait for the model to load.

    Args:
        meter: counts the calls.
        budget: the budget of the run.
        expected_calls: the total of charged calls in the plan.
        clock: the current time in seconds.
    """

    def __init__(
        self,
        meter: Meter,
        budget: Budget,
        *,
        expected_calls: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._meter, self._budget, self._expected, self._clock = meter, budget, expected_calls, clock
        self._lock = threading.Lock()
        self._then, self._charged, self._paid = clock(), 0, 0  # at the last update
        self._loaded = False  # whether a paid call was answered
        self._seconds = self._calls = 0.0  # of paid calls since then
        self._part, self._before = "", 0  # the current step, and the charged calls before it
        self._done, self._to_do = 0, 0

    def around(self, tell: Tell) -> Tell:
        """Return `tell`, extended to measure the speed at every update."""

        def measured(text: str, done: int, total: int) -> None:
            self.see(text, done, total)
            tell(text, done, total)

        return measured

    def see(self, text: str, done: int, total: int) -> None:
        """Measure the speed; `done` of `total` parts of the step `text` are finished."""
        with self._lock:
            now, charged, paid = self._clock(), self._meter.charged.calls, self._meter.paid.calls
            more = paid - self._paid
            if more > 0 and self._loaded:  # cached replies do not count
                weight = _DECAY**more
                self._seconds = self._seconds * weight + now - self._then
                self._calls = self._calls * weight + more
            self._loaded = self._loaded or more > 0
            if text != self._part:
                self._part, self._before = text, self._charged
            self._done, self._to_do = done, max(0, total - done)
            self._then, self._charged, self._paid = now, charged, paid

    def note(self) -> str:
        """Return the description; empty before the first call."""
        charged, paid, limits = self._meter.charged, self._meter.paid, self._budget
        if charged.calls == 0:
            return ""
        words = [
            _spent(charged.calls, limits.calls, "calls charged"),
            f"{paid.calls:,} paid",
            _spent(charged.tokens, limits.tokens, "tokens"),
        ]
        if limits.seconds is not None:
            words.append(_spent_seconds(charged.seconds, limits.seconds))
        return ", ".join([*self._eta(), *words])

    def _eta(self) -> list[str]:
        with self._lock:
            calls, bound = self._calls_left()
            if not self._calls or calls <= 0:
                return []
            return [f"ETA {bound}{_duration(calls * self._seconds / self._calls)}"]

    def _calls_left(self) -> tuple[float, str]:
        """Return the remaining calls, and "at most " if they are a bound."""
        charged, limits = self._meter.charged, self._budget
        kinds = (
            (limits.calls, charged.calls),
            (limits.tokens, charged.tokens),
            (limits.seconds, charged.seconds),
        )
        rooms = [(limit - used) * charged.calls / used for limit, used in kinds if limit is not None and used > 0]
        room = min(rooms, default=math.inf)
        if self._expected is not None and charged.calls < self._expected:
            return min(room, self._expected - charged.calls), ""
        if room < math.inf:
            return room, "at most "
        each = (charged.calls - self._before) / self._done if self._done else 0.0
        return self._to_do * each, ""


def _spent(used: int, limit: int | None, unit: str) -> str:
    if limit is None:
        return f"{used:,} {unit}"
    return f"{used:,} of {limit:,} {unit} ({max(0, limit - used):,} left)"


def _spent_seconds(used: float, limit: float) -> str:
    """Return the seconds as whole numbers, or with decimals for a budget under ten seconds."""
    both = [f"{value:.3g}" if limit < 10 and value < 100 else f"{int(value):,}" for value in (used, limit)]
    left = max(0.0, limit - used)
    rest = f"{left:.3g}" if limit < 10 else f"{int(limit) - int(used):,}"
    return f"{both[0]} of {both[1]} s of the model ({rest} left)"


def _duration(seconds: float) -> str:
    """Return a number of seconds in words, rounded up: to ten seconds from one minute on, to minutes from ten on."""
    seconds = round(seconds, 3)
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    if seconds < 600:
        minutes, rest = divmod(10 * math.ceil(seconds / 10), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def say_nothing(text: str, done: int, total: int) -> None:
    """Be told of progress and show none."""
