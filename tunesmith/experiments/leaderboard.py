"""Arms side by side, task by task, from a file of finished cells: the results of a benchmark."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import DataError, UsageError, brief, shown
from tunesmith.evaluation import Interval
from tunesmith.notebook import paragraphs_html, table_html

__all__ = ["Leaderboard", "Standing", "TaskBoard"]

_COLUMNS = ("task", "arm", "score", "low", "high", "n", "calls", "tokens", "seconds", "seeds", "difference",
            "calls_per_point")  # fmt: skip
_COSTS = ("calls", "tokens", "seconds")
_MOST = 2.0**63  # of a score or a cost: beyond it, and for NaN and infinity, there is no mean
_EXPECTED = 'A cell is {"cell": [task, arm, seed], "mean": ..., "low": ..., "high": ..., "n": ...}, or has "skipped".'


@dataclass(frozen=True, slots=True)
class Standing:
    """One arm on one task.

    Attributes:
        arm: its name.
        score: the mean over the seeds of the mean score, and of both ends of its 95 % interval; `n` examples in each.
        calls, tokens, seconds: of one compile, as the mean over the seeds; `None` if the file has none.
        seeds: how many cells there are.
        difference: of the mean score from that of the reference; `None` without a reference, or for it.
    """

    arm: str
    score: Interval
    calls: float | None
    tokens: float | None
    seconds: float | None
    seeds: int
    difference: float | None = None

    def __repr__(self) -> str:
        return brief(self, self.arm, str(self.score))

    @property
    def calls_per_point(self) -> float | None:
        """Calls for each hundredth of gain over the reference; `None` without a gain."""
        if self.calls is None or self.difference is None or self.difference <= 0:
            return None
        return self.calls / (100 * self.difference)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values, by the names of the columns."""
        score = self.score
        values = (self.arm, score.mean, score.low, score.high, score.n, self.calls, self.tokens, self.seconds)
        return dict(zip(_COLUMNS[1:], (*values, self.seeds, self.difference, self.calls_per_point), strict=True))


@dataclass(frozen=True, slots=True)
class TaskBoard:
    """The arms of one task, the best first."""

    task: str
    rows: tuple[Standing, ...]

    def __repr__(self) -> str:
        return brief(self, self.task, *(f"{row.arm} {row.score.mean:.3f}" for row in self.rows[:5]))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"task": self.task, "rows": [row.to_json() for row in self.rows]}


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """What a file of results says, task by task.

    A cell of the file is one compile, tested: `{"cell": [task, arm, seed], "mean": 0.8, "low": 0.7, "high": 0.9,
    "n": 100, "calls": 200, "tokens": 5000, "seconds": 30}`, or `{"cell": [...], "skipped": "why"}`. The file is a JSON
    object with the cells in `rows`; `cells` in it is how many were planned. The cells hold no scores of single
    examples, so no differences are paired.

    Attributes:
        tasks: in the order of the file.
        reference: the arm that the others are compared with, `None` without one.
        notes: what a reader has to know: cells that were left out, and how many there are of how many.

    Example:
        >>> from tunesmith.experiments import Leaderboard
        >>> rows = [
        ...     {"cell": ["mood", "as-given", 0], "mean": 0.5, "low": 0.4, "high": 0.6, "n": 100, "calls": 0},
        ...     {"cell": ["mood", "opro", 0], "mean": 0.75, "low": 0.65, "high": 0.85, "n": 100, "calls": 200},
        ... ]
        >>> found = Leaderboard.of(rows, reference="as-given")
        >>> [(row.arm, row.calls_per_point) for row in found.tasks[0].rows]
        [('opro', 8.0), ('as-given', None)]
    """

    tasks: tuple[TaskBoard, ...]
    reference: str | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: str | Path, *, reference: str | None = None) -> "Leaderboard":
        """Return what the file at `path` says.

        Raises:
            DataError: it cannot be read, or is not a file of results.
            UsageError: no cell is of the reference.
        """
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"The results {str(path)!r} cannot be read: {error}.") from error
        rows = found.get("rows") if isinstance(found, dict) else None
        if not isinstance(rows, list) or not rows:
            raise DataError(f"{str(path)!r} is not a file of results: it has no list `rows` of cells. {_EXPECTED}")
        planned = found.get("cells")
        try:
            return cls.of(rows, planned=planned if isinstance(planned, int) else None, reference=reference)
        except DataError as error:
            raise DataError(f"{str(path)!r} is not a file of results: {error}") from error

    @classmethod
    def of(
        cls, rows: Sequence[Mapping[str, Any]], *, planned: int | None = None, reference: str | None = None
    ) -> "Leaderboard":
        """Return what the cells `rows` say; see `Leaderboard`.

        Raises:
            DataError: one is not a cell.
            UsageError: none is of the reference.
        """
        arms: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
        notes = []
        for number, row in enumerate(rows, start=1):
            task, arm, seed = _place(number, row)
            mine = arms.setdefault(task, {})
            if "skipped" in row:
                notes.append(f"{task}, {arm}, seed {seed} was left out: {row['skipped']}")
            else:
                mine.setdefault(arm, []).append(row)
        if reference is not None and not any(reference in mine for mine in arms.values()):
            known = dict.fromkeys(arm for mine in arms.values() for arm in mine)
            raise UsageError(f"No cell is of the arm {reference!r}. There are {', '.join(known)}.")
        if planned is not None:
            notes.append(f"{len(rows)} of {planned} cells were run.")
        tasks = (TaskBoard(task, _standings(mine, reference)) for task, mine in arms.items())
        return cls(tuple(tasks), reference, tuple(notes))

    def __repr__(self) -> str:
        return brief(self, *(board.task for board in self.tasks), reference=self.reference)

    def __str__(self) -> str:
        return self.to_markdown()

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "reference": self.reference,
            "tasks": [board.to_json() for board in self.tasks],
            "notes": list(self.notes),
        }

    def to_csv(self) -> str:
        """Return a line per task and arm as CSV with a header."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for board in self.tasks:
            writer.writerows({"task": board.task, **row.to_json()} for row in board.rows)
        return text.getvalue()

    def to_markdown(self) -> str:
        """Return a table of Markdown for each task, and the notes below."""
        lines = []
        for board in self.tasks:
            head, *rows = self.cells(board)
            rule = [*["---"] * 2, *["--:"] * (len(head) - 2)]
            table = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (head, *rows)]
            lines += [f"**{board.task}**", "", table[0], "|" + "|".join(rule) + "|", *table[1:], ""]
        left, last = (self.notes[:-1], self.notes[-1:]) if self.notes else ((), ())
        return "\n".join([*lines, *(f"- {note}" for note in left), *(["", *last] if last else [])]).strip()

    def _repr_html_(self) -> str:
        tables = (paragraphs_html([board.task]) + table_html(self.cells(board)) for board in self.tasks)
        return "".join(tables) + paragraphs_html(self.notes)

    def cells(self, board: TaskBoard) -> list[list[str]]:
        """Return the table of a task for people: a header, and a line per arm."""
        head = ["arm", "score on test, 95 % interval", "n", *_COSTS, "seeds"]
        if self.reference is not None:
            head += [f"against {self.reference}", "calls per point"]
        return [head, *(list(self._line(row)) for row in board.rows)]

    def _line(self, row: Standing) -> Iterator[str]:
        yield row.arm
        yield f"{row.score.mean:.3f} [{row.score.low:.3f}, {row.score.high:.3f}]"
        yield str(row.score.n)
        for cost in (row.calls, row.tokens, row.seconds):
            yield "" if cost is None else f"{cost:,.0f}"
        yield str(row.seeds)
        if self.reference is not None:
            yield "" if row.difference is None else f"{row.difference:+.3f}"
            yield "" if row.calls_per_point is None else f"{row.calls_per_point:.1f}"


def _place(number: int, row: Any) -> tuple[str, str, Any]:
    """Return task, arm and seed of the cell that stands at `number`, which has all that a cell has."""
    cell = row.get("cell") if isinstance(row, Mapping) else None
    if not isinstance(cell, list | tuple) or len(cell) != 3 or not all(isinstance(name, str) for name in cell[:2]):
        raise DataError(f"row {number} is no cell. {_EXPECTED} Given: {shown(row)}.")
    if "skipped" not in row:
        wrong = [name for name in ("mean", "low", "high", "n") if not _is_number(row.get(name))]
        wrong += [name for name in _COSTS if row.get(name) is not None and not _is_number(row[name])]
        if wrong:
            raise DataError(f"row {number} has no number for `{wrong[0]}`. {_EXPECTED} Given: {shown(row)}.")
    return cell[0], cell[1], cell[2]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST


def _standings(arms: Mapping[str, list[Mapping[str, Any]]], reference: str | None) -> tuple[Standing, ...]:
    before = _mean(arms[reference], "mean") if reference is not None and reference in arms else None
    found = [_standing(arm, rows, None if arm == reference else before) for arm, rows in arms.items()]
    return tuple(sorted(found, key=lambda one: -(one.score.mean or 0.0)))


def _standing(arm: str, rows: list[Mapping[str, Any]], before: float | None) -> Standing:
    mean, low, high = (_mean(rows, name) or 0.0 for name in ("mean", "low", "high"))
    score = Interval(mean, low, high, min(int(row["n"]) for row in rows))
    calls, tokens, seconds = (_mean(rows, name) for name in _COSTS)
    return Standing(arm, score, calls, tokens, seconds, len(rows), None if before is None else mean - before)


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Return the mean over cells, `None` if one of them has no such number."""
    values = [row.get(name) for row in rows]
    return None if None in values else float(sum(value for value in values if value is not None)) / len(values)
