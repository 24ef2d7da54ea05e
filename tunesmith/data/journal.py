"""A file of JSON lines that is only added to, by one process at a time; each line is on the disk when it was added."""

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.atomic import append_line
from tunesmith.errors import DataError, UsageError, refusal_advice

__all__ = ["Journal"]


class Journal:
    """A journal. It belongs to this process until it is closed.

    Attributes:
        path: the file; made if it is not there.
        entries: what it held when it was opened. A last line that is cut off is not among them, and is replaced by the
            first entry that is added: the process that wrote it was killed before it could say that it was written.

    Opening a file changes nothing in it, so that one that is no journal can be looked at and refused.

    Raises:
        UsageError: another process has it open.
        DataError: it cannot be read or written, or a line is not a JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()
        while not self._is_there():  # who had it before removed it while this process opened it
            self._file.close()
            self._open()
        try:
            self.entries, self._cut_at = self._read()
        except BaseException:
            self._file.close()
            raise

    def add(self, entry: Mapping[str, Any]) -> None:
        """Write an entry at the end.

        Raises:
            DataError: the disk refuses; what was there is whole.
        """
        try:
            if self._cut_at is not None:
                self._file.truncate(self._cut_at)
                self._cut_at = None
            append_line(self._file, json.dumps(entry, ensure_ascii=False).encode())
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Give it free."""
        self._file.close()

    def _open(self) -> None:
        try:
            self._file = self.path.open("ab+", buffering=0)
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._lock()
        except BaseException:
            self._file.close()
            raise

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except OSError:
            return False

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"`{self.path}` is open in another process. End that one first.") from error
        except OSError as error:
            if error.errno not in (
                errno.ENOLCK,
                errno.ENOTSUP,
                errno.EINVAL,
            ):  # some network file systems have no locks
                raise self._refused(error) from error

    def _read(self) -> tuple[list[dict[str, Any]], int | None]:
        """Return the entries, and where a last line begins that is cut off."""
        try:
            self._file.seek(0)
            text = self._file.readall()
        except OSError as error:
            raise self._refused(error) from error
        lines = text.split(b"\n")
        cut = bool(lines[:-1]) and lines[-1].startswith(b"{") and _json_object(lines[-1]) is None
        end = len(text) - len(lines[-1]) if cut else None
        whole = lines[:-1] if cut else lines
        return [self._entry(number, line) for number, line in enumerate(whole, 1) if line.strip()], end

    def _entry(self, number: int, line: bytes) -> dict[str, Any]:
        found = _json_object(line)
        if found is None:
            raise DataError(
                f"`{self.path}`, line {number}: this is not a JSON object. Mend the line or remove it, or name another "
                "file."
            )
        return found

    def _refused(self, error: OSError) -> DataError:
        return DataError(f"`{self.path}` cannot be written: {error.strerror}. {refusal_advice(self.path, error)}.")


def _json_object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
