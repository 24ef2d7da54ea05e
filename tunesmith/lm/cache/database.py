"""SQLite databases that may be damaged."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["DATABASE", "Database", "connection"]

DATABASE = "cache.db"
"""The file of a reply cache, in its folder."""
_TIMEOUT = 60  # seconds to wait for another process's lock


class Database(sqlite3.Connection):
    """A connection whose complaints are all `sqlite3.Error`.

    SQLite quotes what it cannot read, and where that is no text Python cannot say it: a statement on a file with a
    damaged schema then raises `UnicodeDecodeError`. Here it raises `sqlite3.DatabaseError` with the code of a
    damaged file.
    """

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute one statement.

        Raises:
            sqlite3.Error: it cannot be.
        """
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as error:
            damage = sqlite3.DatabaseError(error.object.decode(errors="replace"))
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage from error


@contextlib.contextmanager
def connection(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the database in `folder` for the time of a `with` block."""
    database = sqlite3.connect(folder / DATABASE, timeout=_TIMEOUT, isolation_level=None, factory=Database)
    database.text_factory = lambda raw: raw.decode(errors="replace")  # damaged text is to be listed
    try:
        yield database
    finally:
        database.close()
