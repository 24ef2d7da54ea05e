"""The candidates of a compile that goes on, as a table on the terminal, with the best prompt so far."""

import math
import threading
from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from tunesmith.compilers import Standing
from tunesmith.evaluation import Interval
from tunesmith.modules import Candidate

__all__ = ["Board"]

_MOST = 16  # candidates in the table
_PROMPT_LINES = 6
_OTHER_LINES = 5  # of the terminal: header, rest, spent and prompt's title, with the line below
_WIDE = 100  # columns of a terminal with room for where a candidate comes from


class Board:
    """Keeps how candidates stand, the best first. Any thread may tell it.

    Args:
        note: what is spent and left, in words.
    """

    def __init__(self, note: Callable[[], str] = str) -> None:
        self._note, self._lock = note, threading.Lock()
        self._found: dict[int, Standing] = {}
        self._now: int | None = None
        self._said: set[int] = set()
        self._intervals: dict[tuple[int, int], Interval] = {}
        self._changes = 0
        self._table: tuple[tuple[int, int, int], RenderableType] | None = None

    def take(self, standing: Standing) -> str | None:
        """Take how a candidate stands; return a line about it when it is evaluated on every example, once."""
        with self._lock:
            self._found[standing.number], self._now = standing, standing.number
            self._changes += 1
            if not standing.is_whole or standing.number in self._said:
                return None
            self._said.add(standing.number)
            origin = f" ({standing.origin})" if standing.number else ""
            return f"{standing.name}{origin}: {standing.report}"

    @property
    def order(self) -> list[Standing]:
        """The candidates, the best first: those evaluated on every example, then those on more examples."""
        with self._lock:
            return sorted(self._found.values(), key=_rank)

    def shown(self, width: int, height: int) -> RenderableType:
        """Return what is shown on a terminal of this size."""
        shape = width, height, self._changes  # what is taken while it is drawn is a further change
        if self._table is None or self._table[0] != shape:
            self._table = shape, self._drawn(width, height)
        note = Text(self._note(), no_wrap=True, overflow="ellipsis", style="dim")
        return Group(self._table[1], note)

    def _drawn(self, width: int, height: int) -> RenderableType:
        order = self.order
        if not order:
            return Text("")
        best = order[0] if order[0].is_whole else None  # what the compile would return now
        prompt = [] if best is None else _prompt(best)
        prompt = prompt[: max(0, min(len(prompt), height - _OTHER_LINES - 4))]
        room = max(1, min(_MOST, height - _OTHER_LINES - len(prompt)))
        shown = order[:room]
        running = next((one for one in order if one.number == self._now), None)
        if running is not None and running not in shown:
            shown = [*shown[:-1], running]
        parts: list[RenderableType] = [self._as_table(shown, best, wide=width >= _WIDE)]
        if len(order) > len(shown):
            parts.append(Text(f"  and {len(order) - len(shown)} more", style="dim"))
        return Group(*parts, *prompt)

    def _as_table(self, shown: list[Standing], best: Standing | None, *, wide: bool) -> Table:
        names = ["score", "95 %", "examples", "calls", "tokens", "cached"]
        columns = [Column("candidate", no_wrap=True), *(Column(name, justify="right", no_wrap=True) for name in names)]
        if wide:
            columns.append(Column("from", ratio=1, no_wrap=True, overflow="ellipsis"))
        table = Table(*columns, box=None, pad_edge=False, expand=wide, header_style="dim")
        for one in shown:
            mark = "*" if one is best else ">" if one.number == self._now else " "
            rows = one.report.rows
            score, between = self._score(one)
            cells = [f"{mark} {one.name}", score, between, f"{len(rows)}/{one.size}", *_sums(one)]
            texts = [Text(cell) for cell in (*cells, *([one.origin] if wide and one.number else [""] if wide else []))]
            table.add_row(*texts, style="bold" if one is best else "")
        return table

    def _score(self, one: Standing) -> tuple[str, str]:
        key = one.number, len(one.report.rows)
        if key not in self._intervals:
            self._intervals[key] = one.report.interval
        found = self._intervals[key]
        if found.mean is None:
            return "", ""
        between = "" if found.low is None or found.high is None else f"{found.low:.3f}-{found.high:.3f}"
        return f"{found.mean:.3f}", between


def _rank(one: Standing) -> tuple[bool, int, float, int]:
    mean, rows = one.report.mean, len(one.report.rows)
    # Scores on a few examples do not lead: those that were dropped early were lucky or not on them alone.
    return not one.is_whole, 0 if one.is_whole else -rows, math.inf if mean is None else -mean, one.number


def _sums(one: Standing) -> tuple[str, str, str]:
    rows = one.report.rows
    calls, tokens = sum(row.calls for row in rows), sum(row.tokens for row in rows)
    return f"{calls:,}", f"{tokens:,}", f"{sum(row.cached for row in rows):,}"


def _prompt(best: Standing) -> list[RenderableType]:
    """Return the title and the first lines of the best prompt so far."""
    return [
        Text(f"Best prompt so far: {best.name}, {_chosen(best.candidate)}", no_wrap=True, overflow="ellipsis"),
        *(Text(f"  {line}", no_wrap=True, overflow="ellipsis", style="dim") for line in _instructions(best.candidate)),
    ]


def _chosen(candidate: Candidate) -> str:
    parts = candidate.parts.items()
    words = [f"{len(part.demos)} demos, format {part.format or 'of the adapter'}" for _, part in parts]
    return "; ".join(
        word if len(words) == 1 else f"{path}: {word}" for (path, _), word in zip(parts, words, strict=True)
    )


def _instructions(candidate: Candidate) -> list[str]:
    many, lines = len(candidate.parts) > 1, list[str]()
    for path, part in candidate.parts.items():
        lines += [f"{path}: {line}" if many else line for line in part.instruction.splitlines() if line.strip()]
    return lines[:_PROMPT_LINES]
