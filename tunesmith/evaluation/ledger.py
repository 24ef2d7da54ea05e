"""Every scored evaluation of a run, in one SQLite file that survives any interruption.

A row is written when its evaluation is finished and never changed. From then on no end of the process can lose it. It
is also on the disk, and survives a power cut, before the run tells of it: at once if the last sync was 50 ms or more
ago, else with the next row that finishes after that, or at the end of the run.

A row carries its sha256 and its number in the order of writing. A flipped bit and a missing row are seen by them: such
a row is dropped, reported once, and evaluated again, at no LM call if the reply cache has the replies. A missing row is
not counted if it was written after the last sync before a kill, and no later row can be read.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunesmith.errors import LedgerError
from tunesmith.evaluation.ledger_columns import columns_of
from tunesmith.evaluation.ledger_entry import COLUMNS, DamagedRow, Entry, RowKey, entry_of, key_of
from tunesmith.evaluation.ledger_file import (
    DamagedFile,
    environment_error,
    open_file,
    refuse_network,
    salvage,
)
from tunesmith.evaluation.ledger_reader import read_entries

__all__ = ["Ledger"]

_log = logging.getLogger("tunesmith")
_INSERT = f"INSERT INTO rows ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
GROUP_SECONDS = 0.05
_FAR = 10_000  # rows that may be missing at the end
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM rows"


class Ledger:
    """The ledger at `path`, opened for writing; close it, or use it with `with`. Safe from many threads.

    Only the holder of the run's folder may write: `RunFolder` sees to that.

    Args:
        path: of the file; made if it is missing.
        private: keep outputs, traces, feedback and error texts out: keys, scores and charges stay.

    Attributes:
        damage: what was found damaged, in words; empty if all is well.

    Raises:
        LedgerError: the file cannot be used now, as on a full disk.
        UsageError: it would be on a network file system.
    """

    def __init__(self, path: Path, *, private: bool = False) -> None:
        self.path, self.private = path, private
        self.damage: tuple[str, ...] = ()
        self._gate, self._process = threading.RLock(), os.getpid()
        self._rows: dict[RowKey, int] = {}  # their numbers
        self._scored: dict[RowKey, list[RowKey]] | None = None  # by key without metric; made when first asked for
        self._last = 0  # the number of the last row
        self._waits, self._durable_at, self._synchronous = False, 0.0, ""
        refuse_network(path.parent)
        try:
            self._open()
        except DamagedFile as damage:
            aside = salvage(path, _is_whole)
            self._say(f"it is damaged ({damage}). What can be read was saved; the damaged file is {aside.name}")
            self._open()

    def _open(self) -> None:
        self._rows, self._scored, self._synchronous = {}, None, ""
        self._connection = open_file(self.path)
        try:
            self._load()
        except (sqlite3.Error, OverflowError) as error:
            self._connection.close()
            raise environment_error(self.path, error) or DamagedFile(str(error)) from error

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._rows)

    def close(self) -> None:
        """Let go of the file."""
        with self._gate:
            if self._waits and os.getpid() == self._process:
                with suppress(LedgerError):  # the rows are written; only a power cut could lose them
                    self.settle()
            self._connection.close()

    @property
    def waits(self) -> bool:
        """Whether a row is written that a power cut could still lose; `settle` ends that."""
        return self._waits

    def settle(self) -> None:
        """Return when every row is on the disk.

        Raises:
            LedgerError: the disk refuses.
        """
        with self._gate:
            if self._waits:
                self._change([], None)

    def get(self, key: RowKey) -> Entry | None:
        """Return the row of `key`; a row that turns out to be damaged is dropped, and `None` returned.

        Raises:
            LedgerError: the file cannot be read.
        """
        if key not in self._rows:  # nearly always
            return None
        with self._gate:
            seq = self._rows.get(key)
            if seq is None:
                return None
            try:
                values = self._use().execute(f"{_SELECT} WHERE seq = ?", (seq,)).fetchone()
                found = None if values is None else entry_of(values)
            except DamagedRow as damage:
                self._drop({seq: str(damage)})
                return None
            except sqlite3.Error as error:
                raise self._refusal(error) from error
            return found if found is not None and found.key == key else None

    def with_another_metric(self, key: RowKey) -> Entry | None:
        """Return the last whole row like `key` but for the metric."""
        with self._gate:
            if self._scored is None:
                self._scored = {}
                for known in self._rows:
                    self._scored.setdefault(known.without_metric, []).append(known)
            others = list(self._scored.get(key.without_metric, ()))
        for other in reversed(others):
            found = self.get(other) if other.metric != key.metric else None
            if found is not None and found.whole:
                return found
        return None

    def put(self, entry: Entry) -> Entry:
        """Write `entry`, unless there is a row of its key already; return what the ledger holds.

        It is on the disk when `waits` is false.

        Raises:
            LedgerError: the disk refuses; nothing was changed.
        """
        with self._gate:
            there = self.get(entry.key)
            if there is not None:
                return there
            if time.monotonic() - self._durable_at >= GROUP_SECONDS:
                return self._change([entry], None)[0]
            return self._append(entry)

    def replace(self, entry: Entry) -> Entry:
        """Write `entry` in place of the row of its key; see `put`."""
        with self._gate:
            return self._change([entry], self._rows.get(entry.key))[0]

    def copy(self, source: Path) -> int:
        """Take over every row of another run's ledger, all or none, and return how many; its stops are its own.

        Raises:
            LedgerError: the disk refuses, or the other ledger cannot be read.
        """
        return self.copy_entries([entry for entry in read_entries(source) if entry.key.kind == "row"])

    def copy_entries(self, entries: Sequence[Entry]) -> int:
        """Write all `entries` whose key is not here, or none if the disk refuses, and return how many."""
        with self._gate:
            new = {entry.key: entry for entry in entries if entry.key not in self._rows}
            return len(self._change(list(new.values()), None))

    def _use(self) -> sqlite3.Connection:
        if os.getpid() != self._process:
            raise LedgerError(
                f"The ledger {str(self.path)!r} was opened by another process. A run is evaluated by one process: "
                "start threads, or a run of its own."
            )
        return self._connection

    def _append(self, entry: Entry) -> Entry:
        """Write a row that a power cut can still lose: one statement, which is a transaction by itself.

        The counter stays behind until the next change, so that a row costs one page of the log.
        """
        seq = self._last + 1
        try:
            connection = self._synced_by("NORMAL")
            connection.execute(_INSERT, columns_of(entry, seq, private=self.private))
        except sqlite3.Error as error:
            raise self._refusal(error) from error
        self._last, self._waits = seq, True
        self._note(entry.key, seq)
        return entry.at(seq)

    def _change(self, entries: Sequence[Entry], instead: int | None) -> list[Entry]:
        """Write rows, with all before them, to the disk."""
        last = self._last + len(entries)
        numbered = [entry.at(seq) for seq, entry in enumerate(entries, start=self._last + 1)]
        with self._transaction() as connection:
            if instead is not None:
                self._forget(connection, instead, "it was scored again")
            for entry in numbered:
                connection.execute(_INSERT, columns_of(entry, entry.seq, private=self.private))
            if not entries:  # SQLite writes and syncs nothing for a value that stays the same
                connection.execute("UPDATE counter SET last = last + 1")
            connection.execute("UPDATE counter SET last = ?", (last,))
        self._last, self._waits, self._durable_at = last, False, time.monotonic()
        for entry in numbered:
            self._note(entry.key, entry.seq)
        return numbered

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for statements that come to the disk together, or not at all.

        Raises:
            LedgerError: the disk refuses.
        """
        connection = self._use()
        try:
            self._synced_by("FULL")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):  # the first error is the one to tell
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._refusal(error) from error
            raise

    def _synced_by(self, mode: str) -> sqlite3.Connection:
        """Return the connection; its next commit returns when it is on the disk (`FULL`) or written (`NORMAL`)."""
        connection = self._use()
        if mode != self._synchronous:
            connection.execute(f"PRAGMA synchronous={mode}")
            self._synchronous = mode
        return connection

    def _note(self, key: RowKey, seq: int) -> None:
        self._rows[key] = seq
        if self._scored is not None:
            others = self._scored.setdefault(key.without_metric, [])
            if key not in others:
                others.append(key)

    def _forget(self, connection: sqlite3.Connection, seq: int, reason: str) -> None:
        connection.execute("DELETE FROM rows WHERE seq = ?", (seq,))
        connection.execute("INSERT OR REPLACE INTO dropped VALUES (?, ?)", (seq, reason))

    def _drop(self, damaged: dict[int, str]) -> None:
        with self._transaction() as connection:
            for seq, reason in damaged.items():
                self._forget(connection, seq, reason)
        self._rows = {key: seq for key, seq in self._rows.items() if seq not in damaged}
        reasons = ", ".join(f"row {seq}: {reason}" for seq, reason in list(damaged.items())[:3])
        more = "" if len(damaged) <= 3 else f" and {len(damaged) - 3} more"
        self._say(f"{len(damaged)} rows were dropped and are evaluated again ({reasons}{more})")

    def _load(self) -> None:
        connection, present = self._connection, set()
        damaged: dict[int, str] = {}
        for values in connection.execute(f"{_SELECT} ORDER BY seq"):
            seq = int(values[0])
            try:
                self._note(key_of(values), seq)
            except DamagedRow as error:
                damaged[seq] = str(error)
            else:
                present.add(seq)
        counter = connection.execute("SELECT last FROM counter").fetchone()
        known = {seq for (seq,) in connection.execute("SELECT seq FROM dropped")}
        highest = max(present, default=0)
        last = counter[0] if counter is not None and isinstance(counter[0], int) else -1
        if not 0 <= last <= highest + 10 * len(present) + _FAR:  # damage sent it somewhere else
            self._say("its counter of rows was damaged")
            last = highest
            connection.execute("INSERT OR REPLACE INTO counter VALUES (1, ?)", (last,))
        self._last = last = max(last, highest)  # `_append` leaves the counter behind
        gone = (seq for seq in range(1, last + 1) if seq not in present and seq not in known and seq not in damaged)
        damaged |= dict.fromkeys(gone, "it is missing")
        if damaged:
            self._drop(damaged)

    def _say(self, text: str) -> None:
        self.damage = (*self.damage, text)
        _log.warning("The ledger %s: %s.", self.path, text)

    def _refusal(self, error: sqlite3.Error) -> LedgerError:
        return environment_error(self.path, error) or LedgerError(
            f"The ledger {str(self.path)!r} was damaged while it was in use: {error}. Run the same again: what can be "
            "read is saved, the rest is evaluated again from the reply cache."
        )


def _is_whole(values: Sequence[Any]) -> bool:
    try:
        entry_of(values)
    except DamagedRow:
        return False
    return True
