"""Read a ledger without opening it for writing: a run may write it at the same time, and nothing of it is changed."""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.errors import LedgerError
from tunesmith.evaluation.ledger_entry import COLUMNS, DamagedRow, Entry, checked_columns, entry_of, row_of
from tunesmith.evaluation.ledger_file import folder_in_the_way
from tunesmith.evaluation.report import Row
from tunesmith.sqlite import connect

__all__ = ["LedgerCounts", "LedgerScores", "ScoredRow", "count_ledger", "read_entries", "read_rows", "read_scores"]

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM rows WHERE seq >= ?"
_FIRST = -(2**63)  # the lowest number that SQLite has


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """What a ledger holds.

    Attributes:
        rows: finished evaluations.
        damaged: rows that were dropped because of damage, or are damaged now.
        calls, tokens, seconds: of the rows, each call as often as a row needed it.
    """

    rows: int
    damaged: int
    calls: int
    tokens: int
    seconds: float


class ScoredRow(NamedTuple):
    """One scored evaluation.

    Attributes:
        candidate: key of the candidate.
        metric: fingerprint of the metric.
        row: the example.
    """

    candidate: str
    metric: str
    row: Row


@dataclass(frozen=True, slots=True)
class LedgerScores:
    """The scored evaluations of a ledger without their texts.

    Attributes:
        counts: what the whole ledger holds.
        scores: for each metric and candidate, example, score and whose fault it is that there is none; in the order of
            writing.
    """

    counts: LedgerCounts
    scores: Mapping[tuple[str, str], Sequence[tuple[str, float | None, str | None]]]


def read_entries(path: Path, candidate: str | None = None) -> list[Entry]:
    """Return the undamaged rows of the ledger at `path`, which may be written at the same time.

    Args:
        path: of the file.
        candidate: the key of the candidate whose rows are read; default all.

    Raises:
        LedgerError: it cannot be read.
    """
    found = []
    for values in _lines(path, candidate):
        try:
            found.append(entry_of(values))
        except DamagedRow:
            continue
    return found


def read_rows(path: Path, whole: Collection[str] | None = None) -> list[ScoredRow]:
    """Return the scored evaluations of the ledger at `path` in the order of writing; a run may be writing it.

    Args:
        path: of the file.
        whole: keys of the candidates whose rows have outputs, feedback and steps; default all. A row without them is
            read in a fifth of the time, and takes a tenth of the memory.

    Raises:
        LedgerError: it cannot be read.
    """
    found = list[ScoredRow]()
    known: dict[str, str] = {}  # one text for each key, which many rows have
    for values in _lines(path):
        try:
            row = _scored(values, whole, known)
        except DamagedRow:
            continue
        if row is not None:
            found.append(row)
    return found


def _scored(values: Sequence[Any], whole: Collection[str] | None, known: dict[str, str]) -> ScoredRow | None:
    """Return the row, `None` if it is no scored evaluation."""
    _, kind, _, candidate, _, metric, mode, *_ = values
    if (kind, mode) != ("row", "eval"):
        checked_columns(values)
        return None
    row = entry_of(values).row if whole is None or candidate in whole else row_of(checked_columns(values), known)
    return ScoredRow(known.setdefault(candidate, candidate), known.setdefault(metric, metric), row)


def count_ledger(path: Path) -> LedgerCounts:
    """Return what the ledger at `path` holds, which may be written at the same time.

    Raises:
        LedgerError: it cannot be read.
    """
    return read_scores(path).counts


def read_scores(path: Path) -> LedgerScores:
    """Return the scores in the ledger at `path`, and what it holds; it may be written at the same time.

    Raises:
        LedgerError: it cannot be read.
    """
    found: dict[tuple[str, str], list[tuple[str, float | None, str | None]]] = {}
    rows = damaged = all_calls = all_tokens = 0
    all_seconds = 0.0
    for values in _lines(path):
        try:
            checked_columns(values)
        except DamagedRow:
            damaged += 1
            continue
        _, kind, _, candidate, _, metric, mode, example, _, score, fault, _, calls, tokens, seconds, *_ = values
        if kind != "row":
            continue
        rows += 1
        all_calls += calls
        all_tokens += tokens
        all_seconds += seconds
        if mode == "eval":
            found.setdefault((metric, candidate), []).append((example, score, fault))
    counts = LedgerCounts(rows, damaged + _dropped(path), all_calls, all_tokens, all_seconds)
    return LedgerScores(counts, found)


def _dropped(path: Path) -> int:
    try:
        with closing(connect(path, readonly=True)) as connection:
            statement = "SELECT count(*) FROM dropped WHERE reason != 'it was scored again'"
            return int(connection.execute(statement).fetchone()[0])
    except (sqlite3.Error, OverflowError) as error:
        raise _refusal(path, error) from error


def _lines(path: Path, candidate: str | None = None) -> Iterator[Sequence[Any]]:
    """Yield the columns of each row in the order of writing, one at a time, so that memory does not grow with them."""
    statement, given = (_SELECT, ()) if candidate is None else (f"{_SELECT} AND candidate = ?", (candidate,))
    first = _FIRST
    for careful in (False, True):
        try:
            with closing(connect(path, readonly=True)) as connection:
                if not careful:  # twice as fast, and a text that is no UTF-8 is an error
                    connection.text_factory = str
                for values in connection.execute(f"{statement} ORDER BY seq", (first, *given)):
                    first = values[0] + 1
                    yield values
            return
        except (sqlite3.Error, OverflowError) as error:
            if careful:
                raise _refusal(path, error) from error


def _refusal(path: Path, error: Exception) -> LedgerError:
    advice = (
        folder_in_the_way(path) or "Run again what wrote it, such as `tunesmith compile`: what can be read is saved"
    )
    return LedgerError(f"The ledger {str(path)!r} cannot be read: {error}. {advice}.")
