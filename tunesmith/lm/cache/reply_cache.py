"""LM replies on disk. The only file that imports diskcache.

A row is a text key and the bytes of `stored.encoded`: in the database up to 32 KB, above that in a
file beside it. Nothing is pickled, unpickled, evicted or culled: diskcache's own `Disk` unpickles
what it finds (CVE-2025-69872), and its defaults evict at 1 GiB.

diskcache's `retry=True` is not used: for a write it retries every error for ever, that of a folder
that cannot be written to included. `_patiently` retries instead.

SQLite keeps its locks per process and cannot take a connection through a fork, not even to close it
there. So all threads share one connection behind one gate (they would hand the interpreter lock
around in any case), and a fork passes the gate alone, after the connections have been closed; parent
and child open new ones on their next use.
"""

import contextlib
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import diskcache

from tunesmith.errors import CacheError, UsageError, shown
from tunesmith.lazy import lazy_module
from tunesmith.lm.cache import repair
from tunesmith.lm.cache.codec import Damaged, decoded, encoded, is_value_file, read_value
from tunesmith.lm.cache.database import DATABASE, Database, connection
from tunesmith.lm.cache.flight import FolderFlight
from tunesmith.lm.cache.tally import Tally
from tunesmith.lm.folders import make_private

if TYPE_CHECKING:
    from tunesmith.lm.cache import upkeep
    from tunesmith.lm.cache.upkeep import CacheStats, VerifyReport
else:
    upkeep = lazy_module("tunesmith.lm.cache.upkeep")  # a run reads and writes, and looks after nothing

__all__ = ["ReplyCache"]

_log = logging.getLogger("tunesmith")
_T = TypeVar("_T")

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
_SETTING_NAMES = frozenset(_SETTINGS) | {"count", "size", "hits", "misses"}

_SELECT = "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1"

_gate = threading.RLock()
_live: "weakref.WeakSet[ReplyCache]" = weakref.WeakSet()
_flights: "weakref.WeakValueDictionary[str, FolderFlight]" = weakref.WeakValueDictionary()


class _PlainDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Text keys and byte values, raw; any other row is read as `Damaged`, and none is unpickled."""

    def __init__(self, directory: str, **_: object) -> None:
        super().__init__(directory, min_file_size=_INLINE)
        self._folder = Path(directory)

    def put(self, key: object) -> tuple[str, bool]:
        if not isinstance(key, str):
            raise TypeError(f"A cache key is text, not {shown(key)}.")
        return key, True

    def get(self, key: object, raw: object) -> object:
        return key if raw == 1 and isinstance(key, str) else Damaged("its key is not text")

    def filename(self, key: object = None, value: object = None) -> tuple[str, str]:
        name, path = super().filename(key, value)
        with contextlib.suppress(OSError):  # writing the file will say what is wrong
            make_private(Path(path).parent)
        return name, path

    def store(self, value: object, read: object, key: object = None) -> Any:
        if not isinstance(value, bytes) or read:
            raise TypeError(f"A cache value is bytes, not {shown(value)}.")
        return super().store(value, read, key=key)

    def fetch(self, mode: object, filename: object, value: object, read: object) -> object:
        if read:
            raise TypeError("A cache value is read as bytes, not as a file.")
        return read_value(self._folder, mode, filename, value)

    def remove(self, file_path: object) -> None:
        if is_value_file(file_path):
            super().remove(file_path)


class _SharedCache(diskcache.Cache):  # type: ignore[misc]  # diskcache has no types
    """A cache with one connection, where diskcache has one for each thread that no other can close."""

    def __init__(self, folder: Path) -> None:
        try:
            super().__init__(str(folder), timeout=_TIMEOUT, disk=_PlainDisk, **_SETTINGS)
        finally:
            self.close()
        shared = sqlite3.connect(
            folder / DATABASE,
            timeout=_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            factory=Database,
        )
        self.inode = _inode(folder)
        self._local = SimpleNamespace(pid=os.getpid(), con=shared)
        for name, value in _SETTINGS.items():
            if name.startswith("sqlite_"):
                self.reset(name, value, update=False)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # `__init__` may have failed at once
            self.close()  # SQLite's connection is part of a cycle and would live on


class ReplyCache:
    """Replies by key in one folder (0700), shared by threads, processes and forks.

    Opened by its first use. A damaged row is a miss, counted in `corrupt`, warned of once, and
    replaced by the next `put`. A damaged database is set aside with one warning, and a new one takes
    its place with the rows that can still be read. With `on_error="degrade"` a folder that cannot be used costs one
    warning: `get` misses and `put` counts `lost_writes`; a folder that cannot be written to is not
    read either. With `on_error="raise"` both raise `CacheError`. The methods for people (`keys`,
    `stats`, `verify`, `prune`, `clear`, `len()`) raise it always.

    Args:
        folder: where the rows are; made when it is first needed.
        on_error: what `get` and `put` do when the folder cannot be used.

    Attributes:
        flight: lets one of all threads and processes that use the folder do what they all would do at once. Reading
            and writing do not need it: it is for whoever pays for what is stored.
        corrupt: damaged rows that this object met.
        lost_writes: replies that this object could not store.
    """

    def __init__(self, folder: Path, *, on_error: Literal["degrade", "raise"] = "degrade") -> None:
        self.folder = Path(folder).absolute()
        self.on_error = on_error
        self.corrupt = 0
        self.lost_writes = 0
        self._warned: set[str] = set()
        self._damaged: set[str] = set()  # keys of damaged rows that were met and not replaced yet
        self._cache: _SharedCache | None = None
        self._failure: str | None = None
        self._corrupt, self._lost = Tally(self.folder / "corrupt.count"), Tally(self.folder / "lost.count")
        with _gate:
            _live.add(self)
            self.flight = _flights.setdefault(os.path.realpath(self.folder), FolderFlight(self.folder))

    def get(self, key: str) -> dict[str, Any] | None:
        """Return a fresh copy of the value of `key`, or `None`.

        Raises:
            CacheError: with `on_error="raise"`, the folder cannot be used.
        """
        with _gate:
            cache = self._opened()
            if cache is None:
                return None
            try:
                stored = self._stored(cache, key)
                if isinstance(stored, Damaged):
                    # Another process may have replaced the row, and removed the file it named.
                    stored = self._stored(cache, key)
            except Exception:  # noqa: BLE001 - a damaged database leads diskcache anywhere
                stored = _read_again(cache, key)
        if stored is None:
            return None
        value = decoded(key, stored)
        if isinstance(value, Damaged):
            self._meet_damage(key, value.reason)
            return None
        return value

    def _stored(self, cache: diskcache.Cache, key: str) -> object:
        # What `cache.get` does, but for the expiry and statistics that we never use: a third of its time.
        row = cache._con.execute(_SELECT, (key,)).fetchone()
        return None if row is None else read_value(self.folder, *row)

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Store `value`, replacing what is there.

        NaN and infinities are kept, as Python's `json` writes them.

        Raises:
            TypeError: `value` is not JSON.
            CacheError: with `on_error="raise"`, the value could not be stored.
        """
        blob = encoded(key, value)
        with _gate:
            cache = self._opened(losing=True)
            if cache is None:
                return
            try:
                self._store(cache, key, blob)
                self._damaged.discard(key)
            except Exception as error:  # noqa: BLE001 - see `get`; the reply matters, its row does not
                self._refuse(f"A reply could not be stored: {_cause(error)}", losing=True)
            except BaseException:
                self.close()  # or an interrupt inside a transaction would leave it open for ever
                raise

    def _store(self, cache: _SharedCache, key: str, blob: bytes) -> None:
        try:
            _patiently(cache.set, key, blob)
        except sqlite3.DatabaseError as error:
            if not repair.is_damage(error):
                raise
            self._cache = self._renewed(cache.inode, str(error))
            _patiently(self._cache.set, key, blob)

    def __len__(self) -> int:
        return self.stats().rows

    def keys(self) -> list[str]:
        """Return the keys of all rows, damaged ones included, in the order in which they were stored.

        Raises:
            CacheError: the folder cannot be used.
        """
        with self._database() as database:
            return upkeep.keys(database)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def close(self) -> None:
        """Let go of the folder. The next use opens it again, also after a failure."""
        with _gate:
            if self._cache is not None:
                self._cache.close()
            self._cache = self._failure = None
            self.flight.close()

    def stats(self) -> "CacheStats":
        """Count what is there, without reading the values.

        Raises:
            CacheError: the folder cannot be used.
        """
        with self._database() as database:
            rows, size, oldest, newest = upkeep.count(database)
        corrupt, lost = max(self._corrupt.count(), self.corrupt), max(self._lost.count(), self.lost_writes)
        return upkeep.CacheStats(rows, size, corrupt, lost, oldest, newest)

    def verify(self) -> "VerifyReport":
        """Read and check every row and the database; change nothing.

        Raises:
            CacheError: the folder cannot be used.
        """
        with self._database() as database:
            return upkeep.verify(database, self.folder)

    def prune(
        self,
        *,
        older_than: float | None = None,
        max_bytes: int | None = None,
        corrupt: bool = False,
    ) -> int:
        """Remove rows and return how many. Each argument removes on its own; none removes nothing.

        Args:
            older_than: rows stored more than this many seconds ago.
            max_bytes: the oldest rows, until keys and values take at most this much.
            corrupt: damaged rows, value files that belong to no row, and databases that were set aside. A damaged
                database is replaced by a new one with the rows that can still be read.

        Raises:
            UsageError: a negative number.
            CacheError: the folder cannot be used.
        """
        for name, number in (("older_than", older_than), ("max_bytes", max_bytes)):
            if number is not None and not number >= 0:
                raise UsageError(f"`{name}` must be a number from 0 on. Given: {number}.")
        folder, removed = self.folder, 0
        if corrupt:
            self._renew_if_broken()
        with self._database() as database:
            if corrupt:
                for source in repair.set_aside_already(folder):
                    repair.salvage(source, database, folder)
                    repair.remove(source)
                removed += upkeep.delete(database, folder, upkeep.damaged_rows(database, folder))
                upkeep.remove_orphans(database, folder)
                self._corrupt.reset()
            if older_than is not None:
                old = upkeep.rows_before(database, time.time() - older_than)
                removed += upkeep.delete(database, folder, old)
            if max_bytes is not None:
                removed += upkeep.delete(database, folder, upkeep.rows_beyond(database, max_bytes))
        return removed

    def clear(self) -> int:
        """Remove every row and return how many there were.

        Raises:
            CacheError: the folder cannot be used.
        """
        with self._database() as database:
            for source in repair.set_aside_already(self.folder):
                repair.remove(source)
            removed = upkeep.delete(database, self.folder, upkeep.every_row(database))
            upkeep.remove_orphans(database, self.folder)
            self._corrupt.reset()
            self._lost.reset()
        return removed

    def _renew_if_broken(self) -> None:
        with _gate:
            with self._database() as database:
                damage, inode = upkeep.damage(database), _inode(self.folder)
            if damage:
                self._cache = self._renewed(inode, damage[0])

    def _opened(self, *, losing: bool = False) -> _SharedCache | None:
        """Return the open cache; `losing` says that a reply is lost without it."""
        if losing and self._cache is not None and self._cache.inode != _inode(self.folder):
            self.close()  # it was removed or set aside: what is written there is lost
        self._try_to_open()
        if self._failure is not None:
            self._refuse(self._failure, losing=losing)
        return self._cache

    def _try_to_open(self) -> None:
        if self._cache is not None or self._failure is not None:
            return
        try:
            self._cache = self._open()
        except Exception as error:  # noqa: BLE001 - see `get`
            self._failure = f"The reply cache cannot be opened: {_cause(error)}"
        else:
            self._corrupt.begin()
            self._lost.begin()

    def _open(self) -> _SharedCache:
        inode = _inode(self.folder)
        try:
            return _patiently(_open, self.folder)
        except sqlite3.DatabaseError as error:
            if not repair.is_damage(error, opening=True):
                raise
            return self._renewed(inode, str(error))

    def _renewed(self, inode: int | None, damage: str) -> _SharedCache:
        """Return a new cache in place of the damaged one with this inode number."""
        if self._cache is not None:
            self._cache.close()
            self._cache = None

        def renewed() -> _SharedCache:
            if _inode(self.folder) != inode:  # another process was faster
                return _patiently(_open, self.folder)
            aside = repair.set_aside(self.folder)
            self._warn_once(
                "damaged",
                f"The reply cache in {self.folder} is damaged ({damage}). Its rows are copied to a new one, as far as "
                f"they can be read; the old one is kept as {aside.name} until `tunesmith cache prune --corrupt`.",
            )
            cache = _patiently(_open, self.folder)
            with connection(self.folder) as database:
                repair.salvage(aside, database, self.folder)
            return cache

        return self.flight.run("the damaged database", renewed)

    def _refuse(self, problem: str, *, losing: bool) -> None:
        if losing:
            self.lost_writes += 1
            self._lost.add()
        problem = _advice(self.folder, problem)
        if self.on_error == "raise":
            raise CacheError(problem)
        self._warn_once("unusable", f"{problem} Going on without it.")

    def _meet_damage(self, key: str, reason: str) -> None:
        with _gate:
            if key in self._damaged:  # who asks looks twice: before it waits for others, and after
                return
            self._damaged.add(key)
            self.corrupt += 1
        self._corrupt.add()
        self._warn_once(
            "corrupt",
            f"The reply cache in {self.folder} holds a damaged row, {shown(key, 80)}: {reason}. "
            "Such requests are sent again; `tunesmith cache verify` lists the rows.",
        )

    def _warn_once(self, kind: str, text: str) -> None:
        with _gate:
            if kind in self._warned:
                return
            self._warned.add(kind)
        _log.warning("%s", text)

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with _gate:
            try:
                self._try_to_open()
                # diskcache writes when it opens; a full disk can still be read, and perhaps pruned.
                if self._failure is not None and _inode(self.folder) is None:
                    raise CacheError(_advice(self.folder, self._failure))
                with connection(self.folder) as database:
                    yield database
            except (sqlite3.Error, OSError) as error:
                problem = f"The reply cache cannot be used: {_cause(error)}"
                raise CacheError(_advice(self.folder, problem)) from error


def _inode(folder: Path) -> int | None:
    try:
        return os.stat(f"{folder}/{DATABASE}").st_ino  # a third of what `Path` needs, at every `put`
    except OSError:
        return None


def _before_fork() -> None:
    _gate.acquire()
    for cache in _live:
        cache.close()


os.register_at_fork(before=_before_fork, after_in_parent=_gate.release, after_in_child=_gate.release)


def _read_again(cache: _SharedCache, key: str) -> object:
    try:
        return _patiently(cache.get, key)
    except Exception as error:  # noqa: BLE001 - see `get`
        return Damaged(f"it cannot be read ({error})")


def _open(folder: Path) -> _SharedCache:
    if os.path.expandvars(folder) != str(folder):
        raise CacheError("diskcache would replace the variable in the name of its folder")
    make_private(folder)
    if (folder / DATABASE).exists():
        with connection(folder) as database:
            repair.forget_settings(database, _SETTING_NAMES)
    cache = _SharedCache(folder)
    repair.probe(cache._con)
    return cache


def _patiently(action: Callable[..., _T], *args: object) -> _T:
    """Do `action` again, up to 10 times in about a second, while the database is locked.

    SQLite itself waits `_TIMEOUT` for a lock, but gives up at once in a few cases, such as several
    processes that open a fresh database. diskcache's `Timeout` hides its cause: taken for a lock.
    """
    start = time.monotonic()
    for attempt in range(10):
        try:
            return action(*args)
        except (sqlite3.OperationalError, diskcache.Timeout) as error:
            if not _is_lock(error) or time.monotonic() - start > _TIMEOUT:
                raise
        time.sleep(0.001 * 2**attempt)
    return action(*args)


def _is_lock(error: Exception) -> bool:
    if isinstance(error, diskcache.Timeout):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _cause(error: Exception) -> str:
    if isinstance(error, diskcache.Timeout):
        return "the database is locked or cannot be written to."
    return f"{str(error).rstrip('.') or type(error).__name__}."


def _advice(folder: Path, problem: str) -> str:
    return (
        f"{problem} Folder: {folder}. Check that it can be written to and that its disk has room; "
        "deleting the folder costs nothing but the replies in it."
    )
