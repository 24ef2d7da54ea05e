"""A power cut, simulated: the ledger's files as a disk would have them if everything that was not synced is gone.

The ledger's connection is opened through a SQLite VFS (of `apsw`, which brings its own SQLite) that records every write,
truncation, deletion and sync, in order. `Disk.at` then gives the files at any moment: what was synced, and of the rest
nothing or a random part. They are opened again by the product, with Python's own SQLite.

The VFS has no shared memory, so the recorded connection holds the file's lock (`locking_mode=EXCLUSIVE`); what WAL mode
writes and syncs is the same.
"""

import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

__all__ = ["Disk", "Recorded"]


@dataclass
class Disk:
    """What happened to the files of one folder, by name.

    Attributes:
        before: what was there, and synced, when the recording began.
        events: kind, name, and for a write its place and bytes, for a truncation its size.
    """

    before: dict[str, bytes] = field(default_factory=dict)
    events: list[tuple[Any, ...]] = field(default_factory=list)

    def at(self, moment: int, rng: random.Random | None = None) -> dict[str, bytes]:
        """Return the files after the first `moment` events and a power cut.

        Args:
            moment: how many events came before it.
            rng: keeps some of the writes that were not synced, in part; without it all are lost.
        """
        synced = {name: bytearray(data) for name, data in self.before.items()}
        pending: dict[str, list[tuple[Any, ...]]] = {}
        for event in self.events[:moment]:
            kind, name = event[:2]
            if kind == "sync":
                _apply(synced.setdefault(name, bytearray()), pending.pop(name, []))
            elif kind == "delete":
                synced.pop(name, None)
                pending.pop(name, None)
            else:
                pending.setdefault(name, []).append(event)
        if rng is not None:
            for name, events in pending.items():
                kept = [_torn(event, rng) for event in events if rng.random() < 0.5]
                _apply(synced.setdefault(name, bytearray()), kept)
        return {name: bytes(data) for name, data in synced.items()}


def _apply(data: bytearray, events: Iterable[tuple[Any, ...]]) -> None:
    for kind, _, *more in events:
        if kind == "truncate":
            del data[more[0] :]
        else:
            place, written = more
            data.extend(b"\0" * max(0, place + len(written) - len(data)))
            data[place : place + len(written)] = written


def _torn(event: tuple[Any, ...], rng: random.Random) -> tuple[Any, ...]:
    """Return a write of which only the first sectors came to the disk."""
    if event[0] != "write" or len(event[3]) <= 512:
        return event
    return (*event[:3], event[3][: 512 * rng.randrange(1, len(event[3]) // 512 + 1)])


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        super().__init__("recorded", base="")
        self._disk = disk

    def xOpen(self, name: Any, flags: list[int]) -> "_File":
        return _File(name, flags, self._disk)

    def xDelete(self, name: str, syncdir: bool) -> None:
        super().xDelete(name, syncdir)
        self._disk.events.append(("delete", Path(name).name))


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], disk: Disk) -> None:
        super().__init__("", name, flags)
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name)).name
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._disk.events.append(("write", self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._disk.events.append(("truncate", self._name, size))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._disk.events.append(("sync", self._name))


class Recorded:
    """A connection with the methods of `sqlite3.Connection` that the ledger uses; a file of its own per test."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._vfs = _Vfs(disk)
        disk.before = {path.name: path.read_bytes()}
        self._connection = apsw.Connection(str(path), vfs="recorded")
        self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, statement: str, values: Iterable[Any] = ()) -> Any:
        cursor = self._connection.cursor()
        cursor.execute(statement, tuple(values))
        return cursor

    def close(self) -> None:
        with suppress(apsw.Error):
            self._connection.close()
