"""Progress on the terminal: one live line with rich, or plain lines if stderr is not a terminal.

Beside `cli` this is the only file that writes to the terminal.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

__all__ = ["ProgressLine"]

_PLAIN_EVERY = 5.0  # seconds between plain lines about the same thing
_WIDE = 160  # columns of a terminal that has room for a bar and the time as well


class ProgressLine:
    """Shows how far a step is; use it with `with`, and pass `tell` as `progress=`.

    Args:
        stream: where to write; default stderr, so that results on stdout stay clean.
        note: gives a few words for the end of the line, such as what is spent and left, the most important first.
        clock: seconds now.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        note: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._note, self._clock = note, clock
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._last = ("", float("-inf"))
        self._lock = threading.Lock()

    def __enter__(self) -> "ProgressLine":
        if self._stream.isatty():
            console = Console(file=self._stream)
            wide = [BarColumn(bar_width=24), TimeElapsedColumn()] if console.width >= _WIDE else []
            self._live = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", table_column=Column(no_wrap=True)),
                MofNCompleteColumn(table_column=Column(no_wrap=True)),
                *wide,
                # What has no room is cut off here, at the end of the line.
                TextColumn("{task.fields[note]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
                console=console,
                transient=True,
                expand=True,
            )
            self._live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self._live is not None:
            self._live.stop()

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
        if text != said or now - when >= _PLAIN_EVERY:
            self._last = (text, now)
            count = f" {done}/{total}" if total else ""
            print(f"{text}{count}{f'  {note}' if note else ''}", file=self._stream, flush=True)

    def _show(self, text: str, done: int, total: int, note: str) -> None:
        live = self._live
        assert live is not None  # only called while it is shown
        if self._task is None:
            self._task = live.add_task(text, total=total or None, note=note)
        live.update(self._task, description=text, completed=done, total=total or None, note=note)
