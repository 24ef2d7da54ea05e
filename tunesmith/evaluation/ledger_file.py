"""The ledger's file: where it may be, how it is opened, what is saved from a damaged one.

SQLite in WAL mode: others can read while a run writes. SQLite's locks and its shared memory do not work on network file
systems.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

from tunesmith.errors import LedgerError, UsageError
from tunesmith.evaluation.ledger_entry import COLUMNS
from tunesmith.sqlite import beside, connect, is_refusal, set_aside

__all__ = [
    "DamagedFile",
    "environment_error",
    "folder_in_the_way",
    "open_file",
    "refuse_network",
    "salvage",
]

SCHEMA = 1
_APPLICATION = 0x74736C67  # "tslg"
_NAMES = ", ".join(COLUMNS)
_TABLES = (
    """CREATE TABLE rows (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, program TEXT NOT NULL, candidate TEXT NOT NULL,
        lm TEXT NOT NULL, metric TEXT NOT NULL, mode TEXT NOT NULL, example TEXT NOT NULL, rollout INTEGER NOT NULL,
        score REAL, fault TEXT, error TEXT, calls INTEGER NOT NULL, tokens INTEGER NOT NULL, seconds REAL NOT NULL,
        cached INTEGER NOT NULL, time REAL NOT NULL, body TEXT NOT NULL, sha256 TEXT NOT NULL)""",
    "CREATE TABLE dropped (seq INTEGER PRIMARY KEY, reason TEXT NOT NULL)",
    "CREATE TABLE counter (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL)",
    "INSERT INTO counter VALUES (1, 0)",
)

_NETWORK = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs"),
    *("lustre", "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2", "smb3", "smbfs", "vboxsf"),
}
_MOUNTS = Path("/proc/self/mounts")
_READ_ONE_BY_ONE = 1_000_000
_GAP = 1_000  # so many numbers in a row without a row are taken for the end


class DamagedFile(Exception):
    """The file is not a ledger any more, or not all of it."""


def refuse_network(folder: Path, mounts: Path = _MOUNTS) -> None:
    """Raise `UsageError` if `folder` is on a network file system, as far as the system's table of mounts says."""
    kind = _file_system(folder, mounts)
    if kind in _NETWORK:
        raise UsageError(
            f"The run folder {str(folder)!r} is on a network file system ({kind}). SQLite's locks do not hold there, "
            "and a ledger can be lost. Name a folder of a local disk, as in `--run /var/tmp/first`; the artifact may "
            "be copied anywhere afterwards."
        )


def _file_system(folder: Path, mounts: Path) -> str | None:
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # another kind of system: unknown
        return None
    here, best, kind = os.path.realpath(folder), "", None
    for line in lines:
        _, place, found, *_ = [*line.split(" "), "", ""]
        point = place.replace("\\040", " ").rstrip("/")
        if (here == point or here.startswith(f"{point}/")) and len(point) >= len(best):
            best, kind = point, found
    return kind


def environment_error(path: Path, error: Exception) -> LedgerError | None:
    """Return what to tell the user if the machine refused; `None` if the file itself is damaged."""
    if isinstance(error, sqlite3.Error) and not is_refusal(error):
        return None
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_READONLY and os.access(path, os.W_OK):
        return None  # a header that says so
    advice = "Make room, or let this user write there"
    in_the_way = folder_in_the_way(path)
    if in_the_way is not None:
        advice = in_the_way
    elif code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        advice = "Let the other process end"
    return LedgerError(
        f"The ledger {str(path)!r} cannot be written: {str(error).rstrip('.')}. Every finished evaluation is safe. "
        f"{advice}, then run the same again: it goes on where it stopped."
    )


def folder_in_the_way(path: Path) -> str | None:
    """Return what to do about a folder that is in the place of a file of the ledger; `None` without one."""
    folder = next((name for name in (path, *beside(path), _fresh(path)) if name.is_dir()), None)
    return None if folder is None else f"{folder.name} is a folder and has to be a file: rename or remove that folder"


def _fresh(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def open_file(path: Path) -> sqlite3.Connection:
    """Return a connection to the ledger at `path`, which is made if it is missing, and checked if it is not.

    Raises:
        DamagedFile: it is damaged; `salvage` saves what can be read.
        LedgerError: the machine refuses, or a newer version wrote it.
    """
    if not path.exists():
        _create(path)
    try:
        connection = connect(path)
    except sqlite3.Error as error:
        raise environment_error(path, error) or DamagedFile(str(error)) from error
    try:
        _prepare(connection, path)
    except (sqlite3.Error, OverflowError) as error:
        connection.close()
        raise environment_error(path, error) or DamagedFile(str(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    _configure(connection)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
        raise DamagedFile("its header is not a ledger's")
    if version > SCHEMA and _columns(connection) != _whole_columns():
        raise LedgerError(
            f"The ledger {str(path)!r} was written by a newer version of tunesmith (schema {version}, known is "
            f"{SCHEMA}). Upgrade tunesmith, or choose another `run=` name."
        )
    if version != SCHEMA:  # none of another version was ever written
        raise DamagedFile(f"its header says schema {version}, and it is not")
    if _columns(connection) != _whole_columns():
        raise DamagedFile("its tables are not a ledger's")
    problems = connection.execute("PRAGMA integrity_check(1)").fetchall()
    if problems != [("ok",)]:
        raise DamagedFile(str(problems[0][0]))


def _columns(connection: sqlite3.Connection) -> list[Any]:
    return [connection.execute(f"PRAGMA table_info({table})").fetchall() for table in ("rows", "dropped", "counter")]


@cache
def _whole_columns() -> list[Any]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in _TABLES:
            connection.execute(statement)
        return _columns(connection)


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA cell_size_check=ON")


def _create(path: Path) -> None:
    """Make an empty ledger, whole or not at all: a file without tables is a damaged one."""
    fresh = _fresh(path)
    try:
        for left in (fresh, *beside(fresh), *beside(path)):
            left.unlink(missing_ok=True)  # a log of another file would be taken for this one's
        with closing(connect(fresh)) as connection:
            _configure(connection)
            connection.execute("BEGIN IMMEDIATE")
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={_APPLICATION}")
            connection.execute(f"PRAGMA user_version={SCHEMA}")
            connection.execute("COMMIT")
        os.replace(fresh, path)
    except (sqlite3.Error, OSError) as error:
        raise environment_error(path, error) or DamagedFile(str(error)) from error


def salvage(path: Path, is_whole: Callable[[Sequence[Any]], bool]) -> Path:
    """Put a new ledger in place of the damaged one, with every row that can be read and `is_whole`.

    Returns:
        The name that the damaged one has now.

    Raises:
        LedgerError: the machine refuses.
    """
    aside, fresh = set_aside(path), path.with_name(f"{path.name}.repair")
    for left in (fresh, *beside(fresh)):
        left.unlink(missing_ok=True)
    try:
        with closing(open_file(fresh)) as new:
            read = {values[0]: values for values in _readable(aside) if isinstance(values[0], int)}
            rows = {seq: values for seq, values in read.items() if is_whole(values)}
            last = max([*rows, _counted(aside)])
            last = max([last, *(seq for seq in read if seq <= last + _GAP)])  # a number may itself be damaged
            new.execute("BEGIN IMMEDIATE")
            marks = ", ".join("?" * len(COLUMNS))
            for seq in sorted(rows):
                new.execute(f"INSERT OR IGNORE INTO rows ({_NAMES}) VALUES ({marks})", rows[seq])
            new.execute("UPDATE counter SET last = ?", (last,))
            new.execute("COMMIT")
        os.replace(fresh, path)
    except (sqlite3.Error, OSError) as error:
        found = environment_error(path, error)
        if found is None:
            raise
        raise found from error
    return aside


def _counted(path: Path) -> int:
    """Return the counter, which is behind after a kill."""
    return _number(path, "SELECT last FROM counter")


def _number(path: Path, statement: str) -> int:
    """Return the number of a row; 0 if it cannot be read, or cannot be true."""
    with suppress(sqlite3.Error, OverflowError), closing(connect(path)) as old:
        found = old.execute(statement).fetchone()
        if found is not None and isinstance(found[0], int) and 0 <= found[0] < _READ_ONE_BY_ONE:
            return found[0]
    return 0


def _readable(path: Path) -> Iterator[Sequence[Any]]:
    """Yield the rows that can be read: in order up to the first damaged page, then one by one.

    Rows may be above the counter, and the page of the last rows may be damaged: reading ends after `_GAP` numbers in a
    row without a row.
    """
    seq = 0
    with closing(connect(path)) as old:
        try:
            for values in old.execute(f"SELECT {_NAMES} FROM rows NOT INDEXED ORDER BY seq"):
                seq = values[0] if isinstance(values[0], int) else seq
                yield values
            return
        except (sqlite3.Error, OverflowError):
            pass
        last = max(seq, _counted(path), _number(path, "SELECT seq FROM rows ORDER BY seq DESC LIMIT 1"))
        while seq < last + _GAP:
            seq += 1
            with suppress(sqlite3.Error, OverflowError):
                for values in old.execute(f"SELECT {_NAMES} FROM rows WHERE seq = ?", (seq,)).fetchall():
                    last = max(last, seq)
                    yield values
