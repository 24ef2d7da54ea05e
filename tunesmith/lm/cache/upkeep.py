"""Look after a reply cache: count, check and remove its rows.

diskcache cannot look at a row without reading it, remove by age, or reach a row whose key it cannot
read, so this works on its table (`Cache` in `cache.db`) through SQLite. Nothing here unpickles.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import shown
from tunesmith.lm.cache.codec import Damaged, decoded, is_value_file, read_value
from tunesmith.lm.cache.repair import set_aside_already

__all__ = [
    "BadRow",
    "CacheStats",
    "VerifyReport",
    "count",
    "damage",
    "damaged_rows",
    "delete",
    "every_row",
    "keys",
    "remove_orphans",
    "rows_before",
    "rows_beyond",
    "verify",
]

_ORPHAN_AGE = 600  # seconds; a younger value file may still wait for its row
_BYTES = "LENGTH(key) + COALESCE(LENGTH(value), 0) + size"


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache holds.

    Attributes:
        rows: number of replies.
        bytes: of keys and values; the files on disk are a little larger.
        corrupt: damaged rows that any process met since they were last pruned.
        lost_writes: replies that any process could not store since the cache was last cleared, as far as that could
            be written down: a full disk has room for the count, a folder that may not be written to has not.
        oldest: when the oldest reply was stored, in POSIX seconds; `None` for an empty cache.
        newest: the same of the newest.
    """

    rows: int
    bytes: int
    corrupt: int
    lost_writes: int
    oldest: float | None
    newest: float | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """One damaged row.

    Attributes:
        number: its row number in the database.
        key: its key, as `repr` where it is not text.
        reason: what is wrong.
    """

    number: int
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of every row found.

    Attributes:
        rows: number of rows read.
        bad: the damaged ones.
        damage: what SQLite says is wrong with the database itself.
        orphans: value files that belong to no row, left by a process that was killed.
    """

    rows: int
    bad: tuple[BadRow, ...]
    damage: tuple[str, ...]
    orphans: int

    @property
    def ok(self) -> bool:
        """Whether every reply can be read; orphans harm nobody."""
        return not self.bad and not self.damage


def count(database: sqlite3.Connection) -> tuple[int, int, float | None, float | None]:
    """Return rows, bytes, and when the oldest and the newest were stored; reads no value."""
    rows, size, oldest, newest = database.execute(
        f"SELECT COUNT(*), COALESCE(SUM({_BYTES}), 0), MIN(store_time), MAX(store_time) FROM Cache"
    ).fetchone()
    return rows, int(size), oldest, newest


def verify(database: sqlite3.Connection, folder: Path) -> VerifyReport:
    """Read and check every row, and the database; change nothing."""
    bad, rows, orphans = [], 0, 0
    problems = damage(database)
    problems += [f"it was set aside as {path.name}" for path in set_aside_already(folder)]
    try:
        for number, key, reason in _examined(database, folder):
            rows += 1
            if reason is not None:
                bad.append(BadRow(number, key if isinstance(key, str) else shown(key), reason))
        orphans = len(_orphans(database, folder))
    except sqlite3.DatabaseError as error:
        problems.append(f"{rows} rows were read, the others cannot be: {error}")
    return VerifyReport(rows, tuple(bad), tuple(problems), orphans)


def damage(database: sqlite3.Connection) -> list[str]:
    """Return what SQLite says is wrong with the database itself, not with what is stored in it."""
    try:
        return [text for (text,) in database.execute("PRAGMA integrity_check") if text != "ok"]
    except sqlite3.DatabaseError as error:
        return [str(error)]


def keys(database: sqlite3.Connection) -> list[str]:
    """Return the text keys of all rows; reads no value."""
    query = "SELECT key FROM Cache WHERE raw = 1 AND typeof(key) = 'text' ORDER BY rowid"
    return [key for (key,) in database.execute(query)]


def every_row(database: sqlite3.Connection) -> list[int]:
    """Return the numbers of all rows."""
    return [number for (number,) in database.execute("SELECT rowid FROM Cache")]


def damaged_rows(database: sqlite3.Connection, folder: Path) -> list[int]:
    """Return the numbers of the rows that `verify` would list."""
    return [number for number, _, reason in _examined(database, folder) if reason is not None]


def rows_before(database: sqlite3.Connection, moment: float) -> list[int]:
    """Return the numbers of the rows stored before `moment` (POSIX seconds)."""
    query = "SELECT rowid FROM Cache WHERE store_time < ?"
    return [number for (number,) in database.execute(query, (moment,))]


def rows_beyond(database: sqlite3.Connection, max_bytes: int) -> list[int]:
    """Return the numbers of the oldest rows, without which the others fit into `max_bytes`."""
    query = f"SELECT rowid, {_BYTES} FROM Cache ORDER BY store_time DESC, rowid DESC"
    total, numbers = 0, []
    for number, size in database.execute(query):
        total += size
        if total > max_bytes:
            numbers.append(number)
    return numbers


def delete(database: sqlite3.Connection, folder: Path, numbers: Iterable[int]) -> int:
    """Delete rows by number, with their files; return how many there were."""
    removed: list[object] = []
    database.execute("BEGIN IMMEDIATE")
    for number in numbers:
        query = "SELECT filename FROM Cache WHERE rowid = ?"
        removed += [name for (name,) in database.execute(query, (number,))]
        database.execute("DELETE FROM Cache WHERE rowid = ?", (number,))
    database.execute("COMMIT")
    for name in removed:
        if is_value_file(name):
            _remove(folder / str(name))
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # gives the room back now
    return len(removed)


def remove_orphans(database: sqlite3.Connection, folder: Path) -> None:
    """Remove the value files that belong to no row and are too old to get one."""
    for path in _orphans(database, folder):
        _remove(path)


def _examined(database: sqlite3.Connection, folder: Path) -> Iterator[tuple[int, object, str | None]]:
    """Yield number, key and what is wrong of every row."""
    query = "SELECT rowid, key, raw, expire_time, mode, filename, value FROM Cache ORDER BY rowid"
    for number, key, raw, expires, mode, filename, value in database.execute(query):
        if raw != 1 or not isinstance(key, str):
            yield number, key, "its key is not text"
        elif expires is not None:
            yield number, key, "it has a time of expiry"
        else:
            found = decoded(key, read_value(folder, mode, filename, value))
            yield number, key, found.reason if isinstance(found, Damaged) else None


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
