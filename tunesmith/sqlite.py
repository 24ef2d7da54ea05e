"""SQLite files that may be damaged: each complaint is an `sqlite3.Error`, and a damaged file is set aside."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

__all__ = ["Database", "set_aside"]


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
    for ending in ("-wal", "-shm", "-journal", ""):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{ending}", f"{aside}{ending}")
    return aside
