"""The mirror of a search: a database that `optuna-dashboard` opens, written by a thread of its own and never read.

Nothing depends on it. What cannot be written is lost with one warning, and the next run of the same writes it anew.
"""

import json
import logging
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.compilers._study import Database, StoredStudy
from tunesmith.errors import UsageError, masked, shown
from tunesmith.evaluation import Report, RunFolder
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    from tunesmith.compilers._study import FrozenTrial

__all__ = ["check_mirror", "Mirror", "mirrored", "MirrorPlace", "STUDY_FILE"]

STUDY_FILE = "study.db"
_NAME_FILE = "mirror.json"
_LEDGER_FILE = "run.db"
_SECONDS_TO_OPEN = 30.0
_SECONDS_FOR_A_SERVER = 60.0  # without progress
_SECONDS_FOR_A_DISK = 600.0  # it does not hang, but the machine may be busy
_SECONDS_WHEN_STOPPED = 1.0
_MOST = 60_000  # bytes of one attribute: a TEXT column of MySQL holds 65,535

_SECONDS_LOCKED = 5.0  # a dashboard that reads
_FINAL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}

_log = logging.getLogger("tunesmith")
_Work = Callable[[Any], None]  # on the study
_left_behind: dict[str, threading.Thread] = {}  # writers that may still be at a last write, by the database's name
MirrorPlace = str | bool | None
"""Where a search is mirrored: an Optuna URL; `None` for `study.db` beside the ledger, if there is a run; `False` for
nowhere."""


class Mirror:
    """Writes trials to a database, in order and in the background. No method but the constructor fails or waits.

    Args:
        opened: opens the database; called by the thread that writes.
        shown_as: what a warning calls the database.
        wait: whether to wait until it is open.
        patience: seconds without progress after which `close` gives up.
        private: whether the text of candidates, whose demos are examples, is left out.

    Raises:
        UsageError: `wait`, and it cannot be opened.
    """

    def __init__(
        self,
        opened: Callable[[], Database],
        shown_as: str,
        *,
        wait: bool,
        patience: float = _SECONDS_FOR_A_SERVER,
        private: bool = False,
    ) -> None:
        self._opened, self._shown_as, self._private, self._patience = opened, shown_as, private, patience
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._is_open, self._error, self._warned = threading.Event(), "", False
        self._progress, self._left = time.monotonic(), False
        before = _left_behind.pop(shown_as, None)
        self._thread = threading.Thread(target=self._run, args=(before,), name="tunesmith-mirror", daemon=True)
        self._thread.start()
        if not wait:
            return
        in_time = self._is_open.wait(_SECONDS_TO_OPEN)
        if self._error or not in_time:
            self._warned = True  # the error below says it, and no compile goes on
            self._leave(0.0)
            reason = self._error or f"it does not answer within {_SECONDS_TO_OPEN:.0f} seconds"
            raise UsageError(
                f"The search cannot be mirrored to {shown(shown_as)}: {reason}. Give a URL as Optuna takes it, such as "
                "'sqlite:///study.db' or 'postgresql+psycopg://user:password@host/name', with the driver installed, or "
                "leave it out."
            )

    def add(
        self,
        candidate: Candidate,
        origin: str,
        report: Report,
        values: Sequence[float] | None,
        *,
        seen: int = 0,
        told: "FrozenTrial | None" = None,
    ) -> None:
        """Add a candidate that was compared.

        Args:
            candidate: what was tried.
            origin: where it came from, in words.
            report: how it did on the examples it was seen on.
            values: as `StoredStudy.add`.
            seen: as `StoredStudy.add`.
            told: as `StoredStudy.add`.
        """
        shown = _attributes(candidate, origin, report, private=self._private)
        self._put(lambda study: study.add(values, shown, seen=seen, told=told))

    def note(self, name: str, value: Any) -> None:
        """Set an attribute of the whole study."""
        self._put(lambda study: study.note(name, _cut(value)))

    def close(self) -> None:
        """Write what is left; give up if nothing gets done for too long."""
        self._leave(self._patience)
        if self._left:
            self._error = self._error or f"nothing was written for {self._patience:.0f} seconds"
        self._warn()

    def stop(self) -> None:
        """Write what can be written at once: the run was stopped, and its mirror is written anew when it goes on."""
        self._leave(_SECONDS_WHEN_STOPPED)

    def _leave(self, patience: float) -> None:
        self._put(None)
        while self._thread.is_alive() and time.monotonic() - self._progress < patience:
            self._thread.join(0.05)
        self._left = self._thread.is_alive()
        if self._left:
            _left_behind[self._shown_as] = self._thread

    def _put(self, work: _Work | None) -> None:
        self._warn()
        if self._work.empty():  # it had nothing to do, however long ago it last did something
            self._progress = time.monotonic()
        if not self._error:
            self._work.put(work)

    def _warn(self) -> None:
        if self._error and not self._warned:
            self._warned = True
            _log.warning(
                "The search is no longer mirrored to %s: %s. The compile goes on; run it again to write the mirror "
                "anew.",
                self._shown_as,
                self._error,
            )

    def _run(self, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()  # its last write must not end in the new study, which may have the number of the old one
        study: Database | None = None
        try:
            study = self._opened()
            self._is_open.set()
            while (work := self._work.get()) is not None and not self._left:
                work(study)
                self._progress = time.monotonic()
        except Exception as error:  # noqa: BLE001 - whatever a database raises, the compile goes on
            self._error = _reason(error)
            self._is_open.set()
        finally:
            if study is not None:
                with suppress(Exception):
                    study.close()


def check_mirror(place: MirrorPlace, run: Path) -> None:
    """Check that a search can be mirrored to a database of the user's, before the run has a folder.

    Args:
        place: where.
        run: what will be the run's folder.

    Raises:
        UsageError: `place` is not a URL, is the run's ledger, or cannot be opened.
    """
    if place is not None and place is not False:
        url = _url(place, run)
        Mirror(lambda: Database(url), masked(url), wait=True).stop()


@contextmanager
def mirrored(
    place: MirrorPlace,
    objectives: Sequence[str],
    *,
    folder: RunFolder | None = None,
    about: Mapping[str, Any],
    private: bool = False,
) -> Iterator[Mirror | None]:
    """Give the mirror of a search, `None` if there is to be none, and write it to the end.

    Args:
        place: where.
        objectives: of the search.
        folder: of the run.
        about: attributes of the study.
        private: as `Mirror`.

    Raises:
        UsageError: `place` is not a URL, is the run's ledger, or cannot be opened.
    """
    mirror = _open(place, objectives, folder, private=private)
    if mirror is None:
        yield None
        return
    for name, value in about.items():
        mirror.note(name, value)
    try:
        yield mirror
    except BaseException:
        mirror.stop()
        raise
    mirror.close()


def _open(place: MirrorPlace, objectives: Sequence[str], folder: RunFolder | None, *, private: bool) -> Mirror | None:
    if place is False or (place is None and folder is None):
        return None
    if place is None and folder is not None:
        file, name = folder.path.absolute() / STUDY_FILE, folder.path.resolve().name
        return Mirror(
            lambda: _open_own_file(file, name, objectives),
            str(folder.path / STUDY_FILE),
            wait=False,
            patience=_SECONDS_FOR_A_DISK,
            private=private,
        )
    url = _url(place, None if folder is None else folder.path)
    name = f"tunesmith-{secrets.token_hex(4)}" if folder is None else _name(folder)
    return Mirror(lambda: StoredStudy(url, name, objectives), masked(url), wait=True, private=private)


def _url(place: MirrorPlace, run: Path | None) -> str:
    if not isinstance(place, str) or "://" not in place:
        raise UsageError(
            f"A mirror is a URL as Optuna takes it, such as 'sqlite:///study.db', or `False` for none. "
            f"Given: {shown(place)}."
        )
    if run is not None and _file_of(place) == (run / _LEDGER_FILE).resolve():
        raise UsageError(f"The mirror cannot be the run's ledger. Given: {shown(place)}. Name another file.")
    return place


def _name(folder: RunFolder) -> str:
    """Return the name of the run's own study, the same each time: others may use the database as well."""
    known = folder.read(_NAME_FILE)
    if isinstance(known, dict) and isinstance(known.get("study"), str):
        return str(known["study"])
    name = f"{folder.path.resolve().name}-{secrets.token_hex(4)}"
    folder.write(_NAME_FILE, {"study": name})
    return name


def _file_of(url: str) -> Path | None:
    scheme, _, path = url.partition(":///")
    return Path(path.partition("?")[0]).resolve() if scheme.startswith("sqlite") and path else None


def _reason(error: BaseException) -> str:
    """Return what the innermost error says; SQLAlchemy's and Optuna's around it speak of sessions and commits."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


def _attributes(candidate: Candidate, origin: str, report: Report, *, private: bool) -> dict[str, Any]:
    interval, rows = report.interval, report.rows
    return {
        "origin": origin,
        **({} if private else {"candidate": _cut(_text(candidate))}),
        "key": candidate.key,
        "score": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "examples": report.n,
        "errors": report.errors,
        "calls": sum(row.calls for row in rows),
        "tokens": sum(row.tokens for row in rows),
        "seconds": round(sum(row.seconds for row in rows), 3),
    }


def _text(candidate: Candidate) -> str:
    """Return everything that a candidate sets, in words."""
    lines = []
    for path, part in candidate.parts.items():
        lines += [f"[{path}]", f"format: {part.format or 'the caller’s adapter'}", f"instruction: {part.instruction}"]
        for number, demo in enumerate(part.demos, 1):
            sides = demo.to_json()
            fields = [f"{name}: {value}" for side in ("inputs", "outputs") for name, value in sides[side].items()]
            lines.append(f"demo {number}: " + " | ".join(fields))
    lines += [f"sampling {name}: {value}" for name, value in candidate.sampling.items()]
    for path, values in candidate.settings.items():
        lines += [f"setting {path}.{name}: {value}" for name, value in values.items()]
    return "\n".join(lines)


def _cut(value: Any) -> Any:
    if not isinstance(value, str) or len(json.dumps(value)) <= _MOST:
        return value
    least, most = 0, len(value)
    while least < most:  # the longest beginning that fits as JSON
        middle = (least + most + 1) // 2
        least, most = (middle, most) if len(json.dumps(value[:middle])) < _MOST - 10 else (least, middle - 1)
    return value[:least] + "…"


def _open_own_file(path: Path, name: str, objectives: Sequence[str]) -> StoredStudy:
    """Return an empty study in the file at `path`, which holds nothing else.

    Raises:
        Exception: it cannot be written.
    """
    try:
        return _open_file(path, name, objectives)
    except Exception:  # noqa: BLE001 - a damaged file may raise anything; it is ours and never read
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        return _open_file(path, name, objectives)


def _open_file(path: Path, name: str, objectives: Sequence[str]) -> StoredStudy:
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
