"""LM replies on disk, shared by threads, processes and forks. Only `prune` and `clear` delete any."""

import contextlib
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tunesmith.errors import CacheError, UsageError, shown
from tunesmith.lazy import lazy_module
from tunesmith.lm.cache.rows import DATABASE, DamagedRow, decoded, encoded, inode, stored
from tunesmith.sqlite import connect, is_damage, set_aside

if TYPE_CHECKING:
    from tunesmith.lm.cache import flight, table, upkeep
    from tunesmith.lm.cache.flight import Flight
    from tunesmith.lm.cache.table import Rows
    from tunesmith.lm.cache.upkeep import CacheStats, VerifyReport
else:
    flight = lazy_module("tunesmith.lm.cache.flight")  # reading needs none
    table = lazy_module("tunesmith.lm.cache.table")  # a process that only reads needs no diskcache
    upkeep = lazy_module("tunesmith.lm.cache.upkeep")  # a run reads and writes, and looks after nothing

__all__ = ["ReplyCache"]

_log = logging.getLogger("tunesmith")
_T = TypeVar("_T")

# Threads would take turns at Python's lock in any case. A fork takes this one and closes every database first.
_gate = threading.RLock()
_live: "weakref.WeakSet[ReplyCache]" = weakref.WeakSet()
_flights: "weakref.WeakValueDictionary[str, Flight]" = weakref.WeakValueDictionary()


class ReplyCache:
    """Replies by key in one folder (0700), shared by threads, processes and forks.

    Opened by its first use. A damaged row is a miss, counted in `corrupt`, and replaced by the next `put`. A damaged
    database is set aside, and a new one takes its place. A folder that cannot be used, or a full disk, costs no run:
    `get` misses and `put` counts `lost_writes`; a folder that cannot be written to is not read either. Each of the
    three is said once, in a warning. The methods for people (`stats`, `verify`, `prune`, `clear`) raise `CacheError`.

    Example:
        >>> cache = ReplyCache(Path("replies"))
        >>> cache.put("key", {"text": "yes"})
        >>> cache.get("key")
        {'text': 'yes'}

    Args:
        folder: where the rows are; made when it is first needed.

    Attributes:
        lost_writes: replies that this object could not store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute()
        self.lost_writes = 0
        self._damaged: set[str] = set()  # keys
        self._warned: set[str] = set()
        self._rows: Rows | None = None
        self._reading: sqlite3.Connection | None = None  # until the first reply is written
        self._failure: str | None = None  # why the folder cannot be used
        self._flight: Flight | None = None
        with _gate:
            _live.add(self)

    @property
    def flight(self) -> "Flight":
        """Lets one of all threads and processes that use the folder do what they all would do at once.

        Reading and writing do not need it, paying for what is stored does.
        """
        with _gate:
            if self._flight is None:
                self._flight = _flights.setdefault(os.path.realpath(self.folder), flight.Flight(self.folder))
            return self._flight

    @property
    def corrupt(self) -> int:
        """How many damaged rows this object met."""
        return len(self._damaged)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return a fresh copy of the value of `key`, or `None`."""
        try:
            with _gate:
                found = self._stored(key)
            return None if found is None else decoded(key, found)
        except DamagedRow as damage:
            with _gate:
                self._damaged.add(key)
            self._warn_once(
                "row",
                f"The reply cache in {self.folder} holds a damaged row, {shown(key, 80)}: {damage}. "
                "Such requests are sent again; `tunesmith cache verify` lists the rows.",
            )
            return None

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Store `value`, replacing what is there.

        NaN and infinities are kept, as Python's `json` writes them.

        Raises:
            TypeError: `value` is not JSON.
        """
        blob = encoded(key, value)
        with _gate:
            if self._rows is not None and self._rows.inode != inode(self.folder):
                self.close()  # the file was removed or set aside: what is written to it is lost
            if not self._on_rows(lambda rows: rows.set(key, blob)):
                self.lost_writes += 1

    def close(self) -> None:
        """Let go of the folder. The next use opens it again, also after a failure."""
        with _gate:
            self._let_go()
            self._failure = None
            if self._flight is not None:
                self._flight.close()

    def stats(self) -> "CacheStats":
        """Count what is there, without reading the values.

        Raises:
            CacheError: the folder cannot be used.
        """
        with self._database() as database:
            return upkeep.count(database)

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
            corrupt: damaged rows, value files that belong to no row, databases that were set aside, and the database
                itself, with all that is in it, if that is damaged.

        Raises:
            UsageError: a negative number.
            CacheError: the folder cannot be used.
        """
        for name, number in (("older_than", older_than), ("max_bytes", max_bytes)):
            if number is not None and not number >= 0:
                raise UsageError(f"`{name}` must be a number from 0 on. Given: {number}.")
        removed = self._prune_damage() if corrupt else 0
        with self._database() as database:
            if older_than is not None:
                removed += upkeep.delete(database, self.folder, upkeep.OLDER_THAN, time.time() - older_than)
            if max_bytes is not None:
                removed += upkeep.delete(database, self.folder, upkeep.OVER_SIZE, max_bytes)
        return removed

    def clear(self) -> int:
        """Remove every row and return how many there were.

        Raises:
            CacheError: the folder cannot be used.
        """
        return self.prune(corrupt=True, max_bytes=0)

    def _prune_damage(self) -> int:
        with self._database() as database:
            seen = inode(self.folder)
            removed, problem = upkeep.delete_damaged(database, self.folder)
            database.close()
            if problem is not None:
                self._renew(seen)
            upkeep.delete_set_aside(self.folder)
        return removed

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Open the database without diskcache, which writes when it opens, and without replacing a damaged one."""
        with _gate:
            if inode(self.folder) is None:
                self._try_to_open()
            if self._failure is not None and inode(self.folder) is None:
                raise CacheError(_advice(self.folder, self._failure))
            try:
                with contextlib.closing(connect(self.folder / DATABASE)) as database:
                    yield database
            except (sqlite3.Error, OSError) as error:
                raise CacheError(_advice(self.folder, _cause(error))) from error

    def _stored(self, key: str) -> bytes | None:
        """Return what is stored under `key`.

        Until the first `put` this reads without diskcache, which takes several milliseconds to import and to open, and
        writes when it opens. What fails is tried again with it, which warns, or replaces a damaged database.

        Raises:
            DamagedRow: there is a row, and it cannot be used.
        """
        if self._rows is None and self._failure is None:
            try:
                if self._reading is None and inode(self.folder) is not None and os.access(self.folder, os.W_OK):
                    self._reading = connect(self.folder / DATABASE)
                if self._reading is not None:
                    return stored(self._reading, self.folder, key)
            except sqlite3.Error:
                pass
        return self._on_rows(lambda rows: rows.stored(key))

    def _on_rows(self, use: "Callable[[Rows], _T]") -> _T | None:
        """Return what `use(rows)` returns, or warn and return `None` if the folder cannot be used.

        Raises:
            DamagedRow: `use` raises it.
        """
        self._try_to_open()
        if self._rows is None:
            self._warn_unusable(self._failure or "")
            return None
        try:
            try:
                return use(self._rows)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._replace(self._rows.inode, error)
                return use(self._rows)  # the new ones
        except DamagedRow:
            raise
        except Exception as error:  # noqa: BLE001 - the reply matters, its row does not
            self._warn_unusable(_cause(error))
            return None
        except BaseException:
            self.close()  # or an interrupt inside a transaction would leave it open for ever
            raise

    def _try_to_open(self) -> None:
        if self._rows is not None or self._failure is not None:
            return
        self._let_go()
        seen = inode(self.folder)
        try:
            try:
                self._rows = table.Rows(self.folder)
            except sqlite3.DatabaseError as error:
                if not is_damage(error, in_schema=True):
                    raise
                self._replace(seen, error)
        except Exception as error:  # noqa: BLE001 - see `_on_rows`
            self._failure = _cause(error)

    def _let_go(self) -> None:
        for held in (self._rows, self._reading):
            if held is not None:
                held.close()
        self._rows = self._reading = None

    def _replace(self, seen: int | None, damage: Exception) -> None:
        self._renew(seen)
        self._warn_once(
            "database",
            f"The reply cache in {self.folder} is damaged ({damage}). A new one takes its place; the damaged file is "
            f"kept beside it, as `{DATABASE}.damaged-1` or a higher number, until `tunesmith cache prune --corrupt`.",
        )

    def _renew(self, seen: int | None) -> None:
        """Set aside the damaged database, whose inode number is `seen`, and begin a new one."""
        self._let_go()

        def renewed() -> "Rows":
            if inode(self.folder) == seen:  # or another process was faster
                set_aside(self.folder / DATABASE)
            return table.Rows(self.folder)

        self._rows = self.flight.run("the damaged database", renewed)

    def _warn_unusable(self, cause: str) -> None:
        self._warn_once("folder", f"{_advice(self.folder, cause)} Going on without it.")

    def _warn_once(self, kind: str, text: str) -> None:
        with _gate:
            if kind in self._warned:
                return
            self._warned.add(kind)
        _log.warning("%s", text)


def _before_fork() -> None:
    _gate.acquire()
    for cache in _live:
        cache.close()


os.register_at_fork(before=_before_fork, after_in_parent=_gate.release, after_in_child=_gate.release)


def _cause(error: Exception) -> str:
    # diskcache hides the cause of its `Timeout`, which may have no text.
    return str(error).rstrip(".") or "the database is locked or cannot be written to"


def _advice(folder: Path, cause: str) -> str:
    return (
        f"The reply cache cannot be used: {cause}. Folder: {folder}. Check that it can be written to and that its disk "
        "has room; `tunesmith cache prune --corrupt` removes what is damaged, and deleting the folder costs nothing "
        "but the replies in it."
    )
