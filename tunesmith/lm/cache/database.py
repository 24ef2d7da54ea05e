"""SQLite databases that may be damaged."""

import sqlite3
from typing import Any

__all__ = ["Database"]


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
