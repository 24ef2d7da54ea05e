"""The mirror's own file, `study.db`: written without waiting for the disk, written anew where it is damaged."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.compilers.study import StoredStudy

__all__ = ["open_own_file"]

_SECONDS_LOCKED = 5.0  # a dashboard that reads
_FINAL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}


def open_own_file(path: Path, name: str, objectives: Sequence[str]) -> StoredStudy:
    """Return an empty study in the file at `path`, which holds nothing else.

    Raises:
        Exception: it cannot be written.
    """
    try:
        return _open(path, name, objectives)
    except Exception:  # noqa: BLE001 - a damaged file may raise anything; it is ours, and nobody reads it
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        return _open(path, name, objectives)


def _open(path: Path, name: str, objectives: Sequence[str]) -> StoredStudy:
    options = {"creator": lambda: _connect(path)}  # the URL names no file, so the path may hold any character
    return StoredStudy("sqlite:///study.db", name, objectives, alone=True, options=options)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_SECONDS_LOCKED, check_same_thread=False, factory=_Connection)
    with _refusals():
        connection.execute("PRAGMA journal_mode=WAL")  # a dashboard may read meanwhile
        connection.execute("PRAGMA synchronous=OFF")  # what a power cut damages is written anew
    return connection


class _Cursor(sqlite3.Cursor):
    def execute(self, *given: Any) -> "_Cursor":
        with _refusals():
            super().execute(*given)
        return self

    def executemany(self, *given: Any) -> "_Cursor":
        with _refusals():
            super().executemany(*given)
        return self


class _Connection(sqlite3.Connection):
    """A connection on which a full disk is an `OSError`: SQLite's own error makes Optuna try again for seconds."""

    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)

    def commit(self) -> None:
        with _refusals():
            super().commit()


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _FINAL:
            raise OSError(str(error)) from error
        raise
