"""SQLite files that may be damaged: how they are opened, what an error means, and how a damaged one is set aside."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

__all__ = ["Database", "beside", "connect", "is_damage", "is_refusal", "set_aside"]

_LOCK_SECONDS = 60  # to wait for the lock of another process
_REFUSALS = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
_SHORT_READ = 522  # an I/O error that a truncated file causes


class Database(sqlite3.Connection):
    """A connection that raises `sqlite3.Error` and nothing else.

    SQLite quotes what it cannot read. If that is not text, Python raises `UnicodeDecodeError` from a statement on a
    file with a damaged schema. Here it is an `sqlite3.DatabaseError` with the code of a damaged file.
    """

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute one statement.

        Raises:
            sqlite3.Error: SQLite refuses it.
        """
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as error:
            damage = sqlite3.DatabaseError(error.object.decode(errors="replace"))
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage from error


def connect(path: Path, *, readonly: bool = False) -> Database:
    """Return a connection to the database at `path`, which any thread may use.

    It begins no transaction by itself. Text that is damaged is read as well as it can be.

    Raises:
        sqlite3.Error: there is no such file, with `readonly`, or it cannot be opened.
    """
    address = f"{path.absolute().as_uri()}?mode={'ro' if readonly else 'rwc'}"
    database = sqlite3.connect(
        address, uri=True, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False, factory=Database
    )
    database.text_factory = lambda raw: raw.decode(errors="replace")
    return database


def is_damage(error: Exception, *, in_schema: bool = False) -> bool:
    """Return whether SQLite says that the file is damaged; with `in_schema`, also if tables or columns are missing."""
    code = getattr(error, "sqlite_errorcode", 0)
    damaged = code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or code == _SHORT_READ
    return damaged or (in_schema and code & 0xFF == sqlite3.SQLITE_ERROR)


def is_refusal(error: Exception) -> bool:
    """Return whether SQLite says that the machine refuses: a lock, a right, or no room."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _REFUSALS and code != _SHORT_READ


def beside(path: Path) -> list[Path]:
    """Return the files that SQLite keeps beside the database at `path`, if it needs them."""
    return [Path(f"{path}{ending}") for ending in ("-wal", "-shm", "-journal")]


def set_aside(path: Path) -> Path:
    """Rename the database at `path` and what SQLite keeps beside it, so that a new one can begin.

    Returns:
        Its new name, `NAME.damaged-1` or the next free number.

    Raises:
        OSError: the folder cannot be written to.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    # The log first: SQLite would read a log that is left alone into the new database.
    for old, new in zip((*beside(path), path), (*beside(aside), aside), strict=True):
        with contextlib.suppress(FileNotFoundError):
            os.replace(old, new)
    return aside
