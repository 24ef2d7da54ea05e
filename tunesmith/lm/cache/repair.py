"""What becomes of a reply cache whose database is damaged: it is set aside, and read for what it still holds."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith.lm.cache.codec import Damaged, decoded, read_value
from tunesmith.lm.cache.database import DATABASE, Database

__all__ = [
    "forget_settings",
    "is_damage",
    "probe",
    "remove",
    "salvage",
    "set_aside",
    "set_aside_already",
]

_MARK = "damaged-"
_COLUMNS = "key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value"


def is_damage(error: sqlite3.Error, *, opening: bool = False) -> bool:
    """Whether `error` means a file that is no database, or a damaged one; in opening also one with other tables."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or (opening and code == sqlite3.SQLITE_ERROR)


def probe(database: sqlite3.Connection) -> None:
    """Use every column once.

    Raises:
        sqlite3.Error: the table is not the one we make.
    """
    database.execute(f"SELECT rowid, {_COLUMNS} FROM Cache WHERE key = '' AND raw = 1").fetchall()


def set_aside(folder: Path) -> Path:
    """Give the database of `folder` another name beside it, so that a new one can begin; return its path.

    Raises:
        OSError: the folder cannot be written to.
    """
    name = folder / f"{_MARK}{time.time_ns()}-{os.getpid()}.db"
    # The log first: left alone beside a new database it would be taken for that one's.
    for ending in ("-wal", "-shm", "-journal", ""):
        with contextlib.suppress(FileNotFoundError):
            (folder / f"{DATABASE}{ending}").rename(f"{name}{ending}")
    return name


def set_aside_already(folder: Path) -> list[Path]:
    """Return the databases that were set aside in `folder`, the oldest first."""
    return sorted(folder.glob(f"{_MARK}*.db"))


def salvage(source: Path, database: sqlite3.Connection, folder: Path) -> int:
    """Copy the whole rows of the database `source` into another one; return how many were copied.

    A row that is there already is not replaced.
    """
    copied, marks = 0, ", ".join("?" * len(_COLUMNS.split(", ")))
    database.execute("BEGIN IMMEDIATE")
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(source, factory=Database)) as old:
        old.execute("PRAGMA writable_schema = ON")  # or SQLite would not read a file that was cut off
        for row in _readable(old):
            if _is_whole(folder, dict(zip(_COLUMNS.split(", "), row, strict=True))):
                found = database.execute(f"INSERT OR IGNORE INTO Cache ({_COLUMNS}) VALUES ({marks})", row)
                copied += found.rowcount
    database.execute("COMMIT")
    return copied


def remove(source: Path) -> None:
    """Remove a database that was set aside."""
    for ending in ("-wal", "-shm", "-journal", ""):
        Path(f"{source}{ending}").unlink(missing_ok=True)


def forget_settings(database: sqlite3.Connection, known: frozenset[str]) -> None:
    """Delete the stored settings that diskcache does not know: it would turn any into a pragma or an attribute."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'Settings'").fetchone():
        return
    if not {name for (name,) in database.execute("SELECT key FROM Settings")} <= known:
        marks = ", ".join("?" * len(known))
        database.execute(f"DELETE FROM Settings WHERE key IS NULL OR key NOT IN ({marks})", tuple(known))


def _readable(database: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that SQLite can read, going on behind each page that it cannot."""
    database.text_factory = lambda raw: raw.decode(errors="replace")
    last, step, top = 0, 1, None
    query = f"SELECT rowid AS number, {_COLUMNS} FROM Cache WHERE rowid > ? ORDER BY rowid"
    while top is None or last < top:
        try:
            for number, *row in database.execute(query, (last,)):
                if number > last:  # a damaged tree may lead backwards
                    last, step = number, 1
                    yield tuple(row)
            return
        except (sqlite3.DatabaseError, OverflowError):
            top = _highest(database) if top is None else top
            last, step = last + step, step * 2


def _highest(database: sqlite3.Connection) -> int:
    try:
        return int(database.execute("SELECT MAX(rowid) FROM Cache").fetchone()[0] or 0)
    except sqlite3.DatabaseError:
        return 2**40  # reached in 40 doublings


def _is_whole(folder: Path, row: dict[str, Any]) -> bool:
    if row["raw"] != 1 or not isinstance(row["key"], str) or row["expire_time"] is not None:
        return False
    stored = read_value(folder, row["mode"], row["filename"], row["value"])
    return not isinstance(decoded(row["key"], stored), Damaged)
