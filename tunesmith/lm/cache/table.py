"""The table that holds the rows of a reply cache: a diskcache that can neither pickle nor unpickle.

This is the only file that imports diskcache.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any

import diskcache

from tunesmith.errors import CacheError
from tunesmith.lm.cache.rows import DATABASE, inode, is_value_file, stored
from tunesmith.lm.folders import make_private
from tunesmith.sqlite import connect

__all__ = ["Rows"]

_INLINE = 32 * 1024  # bytes of a value kept in the database; a larger one gets a file
_TIMEOUT = 60  # seconds to wait for another process's lock
_SETTINGS = {
    **diskcache.DEFAULT_SETTINGS,
    "statistics": 0,
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**62,
    "sqlite_synchronous": 1,  # NORMAL: a power cut may lose the last replies, never the database
    "disk_min_file_size": _INLINE,
    # diskcache's 32 MB of pages and 64 MB mapped read random rows no faster, and all of it counts as ours.
    "sqlite_cache_size": 1024,  # pages of 4 KB
    "sqlite_mmap_size": 0,
}
_KNOWN = ", ".join(f"'{name}'" for name in (*_SETTINGS, "count", "size", "hits", "misses"))
_COLUMNS = "key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value"


class _Disk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Takes text keys and byte values, and gives out nothing: diskcache's own `Disk` unpickles (CVE-2025-69872)."""

    def __init__(self, directory: str, **_: object) -> None:
        super().__init__(directory, min_file_size=_INLINE)

    def put(self, key: object) -> tuple[str, bool]:
        if not isinstance(key, str):
            raise TypeError("a cache key is text")
        return key, True

    def store(self, value: object, read: object, key: object = None) -> Any:
        if not isinstance(value, bytes) or read:
            raise TypeError("a cache value is bytes")
        return super().store(value, read, key=key)

    def get(self, key: object, raw: object) -> object:
        raise TypeError("keys are read by SQL")

    def fetch(self, mode: object, filename: object, value: object, read: object) -> object:
        raise TypeError("values are read by `value_of`")

    def remove(self, file_path: object) -> None:
        if is_value_file(file_path):
            super().remove(file_path)


class Rows(diskcache.Cache):  # type: ignore[misc]  # diskcache has no types
    """The rows in `folder`, over one connection that any thread may use, one at a time.

    diskcache has a connection for each thread, which no other thread can close. But SQLite cannot take a connection
    through a fork, not even to close it there: all have to be closed before.

    Raises:
        CacheError: diskcache cannot use a folder of that name.
        sqlite3.Error, OSError: the folder cannot be used, or the database is damaged (`sqlite.is_damage`).
    """

    def __init__(self, folder: Path) -> None:
        self._connection: sqlite3.Connection | None = None
        self._folder = folder
        if os.path.expandvars(folder) != str(folder):
            raise CacheError("diskcache would replace the variable in the name of its folder")
        make_private(folder)
        try:
            super().__init__(str(folder), timeout=_TIMEOUT, disk=_Disk, **_SETTINGS)
            self.inode = inode(folder)
            self._con.execute(f"SELECT rowid, {_COLUMNS} FROM Cache WHERE key = ''").fetchall()
        except BaseException:
            self.close()
            raise

    def stored(self, key: str) -> bytes | None:
        """Return what is stored under `key`.

        Raises:
            DamagedRow: there is a row, and it cannot be used.
        """
        return stored(self._con, self._folder, key)

    def close(self) -> None:
        """Close the connection. The next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        self.close()

    @property
    def _con(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._folder / DATABASE)
            self._forget_unknown_settings()
            for name, value in sorted(_SETTINGS.items()):
                if name.startswith("sqlite_"):
                    self.reset(name, value, update=False)
        return self._connection

    def _forget_unknown_settings(self) -> None:
        """Delete stored settings that diskcache does not have: it makes a pragma or an attribute of each."""
        sql = self._sql_retry  # waits for a lock also if SQLite does not, as it may for a new file
        if sql("SELECT 1 FROM sqlite_master WHERE name = 'Settings'").fetchone():
            sql(f"DELETE FROM Settings WHERE key IS NULL OR key NOT IN ({_KNOWN})")
