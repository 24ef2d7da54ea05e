"""Look after a reply cache: count, check and remove its rows.

diskcache cannot check a row, remove by age, or reach a row whose key it cannot read. So this works on its table
(`Cache`) by SQL.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import shown
from tunesmith.lm.cache.rows import DamagedRow, decoded, is_value_file, value_of
from tunesmith.sqlite import is_damage

__all__ = [
    "OLDER_THAN",
    "OVER_SIZE",
    "CacheStats",
    "VerifyReport",
    "count",
    "delete",
    "delete_damaged",
    "delete_set_aside",
    "verify",
]

_ORPHAN_AGE = 600  # seconds; a younger value file may still wait for its row
_BYTES = "COALESCE(LENGTH(key), 0) + COALESCE(LENGTH(value), 0) + size"

OLDER_THAN = "store_time < ?"
"""Rows stored before a moment, in POSIX seconds."""
OVER_SIZE = f"""rowid IN (SELECT rowid FROM (
    SELECT rowid, TOTAL({_BYTES}) OVER (ORDER BY store_time DESC, rowid DESC) AS bytes FROM Cache
) WHERE bytes > ?)"""
"""The oldest rows, without which the others fit into a number of bytes."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache holds.

    Attributes:
        rows: number of replies.
        bytes: of keys and values; the files on disk are a little larger.
        oldest: when the oldest reply was stored, in POSIX seconds; `None` for an empty cache.
        newest: the same of the newest.
    """

    rows: int
    bytes: int
    oldest: float | None
    newest: float | None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of every row found.

    Attributes:
        rows: number of rows read.
        bad: the damaged ones, each with its key, as `repr` if it is not text, and what is wrong with it.
        damage: what SQLite says is wrong with the database itself, and which databases were set aside.
        orphans: value files that belong to no row, left by a process that was killed. They do no harm.
    """

    rows: int
    bad: tuple[tuple[str, str], ...]
    damage: tuple[str, ...]
    orphans: int

    @property
    def ok(self) -> bool:
        """Whether every reply can be read."""
        return not self.bad and not self.damage


def count(database: sqlite3.Connection) -> CacheStats:
    """Count the rows, without reading a value."""
    query = f"SELECT COUNT(*), TOTAL({_BYTES}), MIN(store_time), MAX(store_time) FROM Cache"
    rows, size, oldest, newest = database.execute(query).fetchone()
    return CacheStats(rows, int(size), oldest, newest)


def verify(database: sqlite3.Connection, folder: Path) -> VerifyReport:
    """Read and check every row, and the database; change nothing."""
    bad, rows, orphans = [], 0, 0
    damage = [f"{path.name} was set aside" for path in _set_aside(folder)]
    try:
        damage += _problems(database)
        for _, key, reason in _examined(database, folder):
            rows += 1
            if reason is not None:
                bad.append((key if isinstance(key, str) else shown(key), reason))
        orphans = len(_orphans(database, folder))
    except sqlite3.DatabaseError as error:
        damage.append(f"{rows} rows were read, the others cannot be: {error}")
    return VerifyReport(rows, tuple(bad), tuple(damage), orphans)


def delete(database: sqlite3.Connection, folder: Path, which: str, *values: object) -> int:
    """Delete the rows that fulfil `which`, an SQL condition, and their files; return how many there were."""
    database.execute("BEGIN IMMEDIATE")
    files = database.execute(f"SELECT filename FROM Cache WHERE {which}", values).fetchall()
    database.execute(f"DELETE FROM Cache WHERE {which}", values)
    database.execute("COMMIT")
    for (name,) in files:
        if is_value_file(name):
            _remove(folder / name)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # gives the room back now
    return len(files)


def delete_damaged(database: sqlite3.Connection, folder: Path) -> tuple[int, str | None]:
    """Delete damaged rows and files that belong to no row.

    Returns:
        How many rows, and what is wrong with the database itself, if anything is.
    """
    removed = 0
    try:
        bad = {number for number, _, reason in _examined(database, folder) if reason is not None}
        database.create_function("is_bad", 1, bad.__contains__)
        removed = delete(database, folder, "is_bad(rowid)")
        for path in _orphans(database, folder):
            _remove(path)
        return removed, next(iter(_problems(database)), None)
    except sqlite3.DatabaseError as error:
        if not is_damage(error, in_schema=True):
            raise
        return removed, str(error)


def delete_set_aside(folder: Path) -> None:
    """Delete the databases that were set aside."""
    for path in folder.glob("*damaged-*"):
        path.unlink(missing_ok=True)


def _set_aside(folder: Path) -> list[Path]:
    """Return the databases that were set aside; older versions named them `damaged-NUMBER.db`."""
    named = folder.glob("*damaged-*")
    return sorted(path for path in named if not path.name.endswith(("-wal", "-shm", "-journal")))


def _problems(database: sqlite3.Connection) -> list[str]:
    return [text for (text,) in database.execute("PRAGMA integrity_check") if text != "ok"]


def _examined(database: sqlite3.Connection, folder: Path) -> Iterator[tuple[int, object, str | None]]:
    """Yield the number, the key and what is wrong of every row."""
    query = "SELECT rowid, key, raw, expire_time, mode, filename, value FROM Cache ORDER BY rowid"
    for number, key, raw, expires, *stored in database.execute(query):
        reason = None
        if raw != 1 or not isinstance(key, str):
            reason = "its key is not text"
        elif expires is not None:
            reason = "it has a time of expiry"
        else:
            try:
                decoded(key, value_of(folder, *stored))
            except DamagedRow as damage:
                reason = str(damage)
        yield number, key, reason


def _orphans(database: sqlite3.Connection, folder: Path) -> list[Path]:
    known = {name for (name,) in database.execute("SELECT filename FROM Cache")}
    latest = time.time() - _ORPHAN_AGE
    return [
        path
        for path in folder.glob("??/??/*.val")
        if path.relative_to(folder).as_posix() not in known and path.stat().st_mtime < latest
    ]


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # another process may have been faster
        path.unlink()
        path.parent.rmdir()
        path.parent.parent.rmdir()
