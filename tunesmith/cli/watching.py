"""What a compile shows while it goes on: a table of candidates, plain lines, or events."""

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tunesmith.cli.board import Board
from tunesmith.cli.output import emit
from tunesmith.cli.progress import Spending, Tell, say_nothing, sign_of_life
from tunesmith.compilers import Standing, Watch
from tunesmith.experiments import ProgressLine
from tunesmith.lm import Budget, Meter, StopSignal, metered

__all__ = ["shown_compile"]

_EVENT_EVERY = 1.0  # seconds between events about the same thing


@contextmanager
def shown_compile(
    *,
    quiet: bool,
    events: bool,
    budget: Budget | None = None,
    expected_calls: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[Tell, Watch]]:
    """Yield what shows the progress of a compile, and what shows how its candidates stand.

    On a terminal that is a table above the live line; elsewhere a line for each candidate that was evaluated on every
    example.

    Args:
        quiet: show nothing on stderr.
        events: write everything to stdout, too, as one JSON document per line.
        budget: as `shown_progress`.
        expected_calls: as `shown_progress`.
        clock: as `shown_progress`.
    """
    meter = Meter()
    spending = Spending(meter, Budget() if budget is None else budget, expected_calls=expected_calls, clock=clock)
    board = Board(lambda: ", ".join(filter(None, [spending.note(), _from_cache(meter)])))
    told = _Events(meter, clock) if events else None
    try:
        with metered(meter):
            if quiet:
                yield (say_nothing, _see_nothing) if told is None else (told.tell, told.watch)
                return
            note = None if sys.stderr.isatty() else spending.note
            with (
                ProgressLine(note=note, clock=clock, above=board.shown) as line,
                sign_of_life(line, 2.0, "waiting for the first reply") as tell,
            ):

                def watch(standing: Standing) -> None:
                    said = board.take(standing)
                    if said is not None:
                        line.say(said)
                    if told is not None:
                        told.watch(standing)

                def both(text: str, done: int, total: int) -> None:
                    tell(text, done, total)
                    if told is not None:
                        told.tell(text, done, total)

                yield spending.around(both), watch
    except StopSignal as stop:
        raise stop.error from None


class _Events:
    """Writes what happens to stdout, one JSON document per line."""

    def __init__(self, meter: Meter, clock: Callable[[], float]) -> None:
        self._meter, self._clock, self._lock = meter, clock, threading.Lock()
        self._last = ("", -math.inf)

    def tell(self, text: str, done: int, total: int) -> None:
        with self._lock:
            now, (said, when) = self._clock(), self._last
            if text == said and now - when < _EVENT_EVERY and done < total:
                return
            self._last = text, now
            charged, paid = self._meter.charged, self._meter.paid
            spent = {"charged_calls": charged.calls, "paid_calls": paid.calls, "charged_tokens": charged.tokens}
            emit({"event": "progress", "text": text, "done": done, "total": total, **spent}, indent=None)

    def watch(self, standing: Standing) -> None:
        if standing.report.rows:
            with self._lock:
                emit({"event": "candidate", **standing.to_json()}, indent=None)


def _from_cache(meter: Meter) -> str:
    charged, paid = meter.charged.calls, meter.paid.calls
    return f"{charged - paid:,} from the cache" if charged else ""


def _see_nothing(standing: Standing) -> None:
    pass
