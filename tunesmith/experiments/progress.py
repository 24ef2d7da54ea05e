"""Progress on the terminal: one live line with rich, also below a table, or plain lines if stderr is not a terminal.

Beside `cli` this is the only file that writes to the terminal.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

__all__ = ["ProgressLine"]

_PLAIN_EVERY = 5.0  # seconds between plain lines about steps
_REDRAWS = 10  # of the line alone, in a second
_REDRAWS_BELOW = 2  # of a table, which takes longer
_WIDE = 160  # columns of a terminal that has room for a bar and the time as well


class ProgressLine:
    """Shows how far a step is; use it with `with`, and pass `tell` as `progress=`.

    Args:
        stream: where to write; default stderr, so that results on stdout stay clean.
        note: gives a few words for the end of the line, such as what is spent and left, the most important first.
        clock: seconds now.
        above: what is shown above the line on a terminal of so many columns and lines; called at each redraw.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        note: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        above: Callable[[int, int], RenderableType] | None = None,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._note, self._clock, self._above = note, clock, above
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._last = ("", float("-inf"))
        self._lock = threading.Lock()

    def __enter__(self) -> "ProgressLine":
        if self._stream.isatty():
            console = Console(file=self._stream)
            wide = [BarColumn(bar_width=24), TimeElapsedColumn()] if console.width >= _WIDE else []
            self._live = _Below(
                self._above,
                SpinnerColumn(),
                TextColumn("{task.description}", table_column=Column(no_wrap=True)),
                MofNCompleteColumn(table_column=Column(no_wrap=True)),
                *wide,
                # What has no room is cut off here, at the end of the line.
                TextColumn("{task.fields[note]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
                console=console,
                transient=True,
                expand=True,
                refresh_per_second=_REDRAWS if self._above is None else _REDRAWS_BELOW,
            )
            self._live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Write a line of its own; on a terminal nothing, where what is above the line shows it."""
        with self._lock:
            if self._live is None:
                print(text, file=self._stream, flush=True)

    def tell(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show that `done` of `total` parts of `text` are finished."""
        with self._lock:  # evaluations call it from their threads
            note = "" if self._note is None else self._note()
            if self._live is not None:
                self._show(text, done, total, note)
            else:
                self._write(text, done, total, note)

    def _write(self, text: str, done: int, total: int, note: str) -> None:
        said, when = self._last
        now = self._clock()
        if now - when >= _PLAIN_EVERY or (text != said and not total):  # steps of a fast model would fill a log
            self._last = (text, now)
            count = f" {done}/{total}" if total else ""
            print(f"{text}{count}{f'  {note}' if note else ''}", file=self._stream, flush=True)

    def _show(self, text: str, done: int, total: int, note: str) -> None:
        live = self._live
        assert live is not None  # only called while it is shown
        if self._task is None:
            self._task = live.add_task(text, total=total or None, note=note)
        live.update(self._task, description=text, completed=done, total=total or None, note=note)


class _Below(Progress):
    """The line, below something else."""

    def __init__(
        self, above: Callable[[int, int], RenderableType] | None, *columns: Any, console: Console, **options: Any
    ) -> None:
        self._above, self._at = above, console  # rich draws once before it has set its own console
        super().__init__(*columns, console=console, **options)

    def get_renderables(self) -> Iterable[RenderableType]:
        if self._above is not None:
            yield self._above(self._at.width, self._at.height - 1)
        yield self.make_tasks_table(self.tasks)
