r"""The rows of a reply cache, in a diskcache that can neither pickle nor unpickle.

This is the only file that imports diskcache. A row is a text key and `<sha256 hex>\n<compact JSON>`: in the database
up to 32 KB, above that in a file beside it. The checksum covers the key as well, so a row that damage moved under
another key is a miss and never a wrong reply.
"""

import json
import os
import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any

import diskcache
from pydantic_core import from_json

from tunesmith.errors import CacheError
from tunesmith.lazy import lazy_pattern
from tunesmith.lm.folders import make_private
from tunesmith.sqlite import connect

__all__ = [
    "DATABASE",
    "DamagedRow",
    "Rows",
    "decoded",
    "encoded",
    "inode",
    "is_value_file",
    "value_of",
]

DATABASE = "cache.db"
"""The name of the database in its folder."""

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
_RAW, _FILE = 1, 2  # the two of diskcache's modes that hold plain bytes; the others are text and pickle
_COLUMNS = "key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value"
_SELECT = "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1"

_VALUE_FILE = lazy_pattern(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{28}\.val")
_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class DamagedRow(Exception):
    """A row that cannot be used. Its text says why, as the end of a sentence."""


def encoded(key: str, value: dict[str, Any]) -> bytes:
    """Return what is stored for `value` under `key`.

    NaN and infinities are written as Python's `json` writes them.

    Raises:
        TypeError: `value` is not JSON.
    """
    try:
        body = _encode_json(value).encode()
    except UnicodeEncodeError:  # a lone surrogate: a model may stop inside a character
        body = _encode_ascii(value).encode()
    return _checksum(key, body) + b"\n" + body


def decoded(key: str, stored: bytes) -> dict[str, Any]:
    """Return the value that `encoded` stored under `key`.

    Raises:
        DamagedRow: it is not what `encoded` returned.
    """
    body = stored[65:]
    if stored[64:65] != b"\n" or stored[:64] != _checksum(key, body):
        raise DamagedRow("its checksum does not match")
    try:
        value = _read_json(body)
    except (ValueError, RecursionError) as error:
        raise DamagedRow(f"it is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise DamagedRow("it is not a JSON object")
    return value


def value_of(folder: Path, mode: object, filename: object, value: object) -> bytes:
    """Return the stored bytes of a row, from the row itself or from its file in `folder`.

    Raises:
        DamagedRow: they cannot be read, or the row is not one of ours.
    """
    if mode == _RAW and isinstance(value, bytes):
        return value
    if mode != _FILE or not is_value_file(filename):
        raise DamagedRow("it is not stored as plain bytes")
    try:
        return (folder / str(filename)).read_bytes()
    except OSError as error:
        raise DamagedRow(f"its value file cannot be read ({error.strerror})") from None


def is_value_file(name: object) -> bool:
    """Return whether `name` is one that diskcache gives; any other one may point out of the folder."""
    return isinstance(name, str) and _VALUE_FILE.fullmatch(name) is not None


def inode(folder: Path) -> int | None:
    """Return what tells the database in `folder` from another one of that name; `None` if there is none."""
    try:
        return os.stat(f"{folder}/{DATABASE}").st_ino  # a third of the time of `Path`, at every `put`
    except OSError:
        return None


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

        This is what `get` of diskcache does without expiry and statistics, in a third of its time.

        Raises:
            DamagedRow: there is a row, and it cannot be used.
        """
        for attempt in (1, 2):  # another process may replace the row, and remove the file that it named
            row = self._con.execute(_SELECT, (key,)).fetchone()
            if row is None:
                return None
            try:
                return value_of(self._folder, *row)
            except DamagedRow:
                if attempt == 2:
                    raise
        return None

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


def _checksum(key: str, body: bytes) -> bytes:
    digest = sha256(key.encode() + b"\n")
    digest.update(body)
    return digest.hexdigest().encode()


def _read_json(body: bytes) -> Any:
    try:
        return from_json(body)  # several times as fast as Python's own
    except ValueError:
        return json.loads(body.decode())  # also reads a lone surrogate, deep nesting, and numbers of any length
