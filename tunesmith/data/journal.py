"""A file of JSON lines that is only added to, by one process at a time; each line is on the disk when it was added."""

import errno
import fcntl
import json
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
        entries: what it held when it was opened. A last line without an end is dropped: the process that wrote it was
            killed before it could say that it was written.

    Raises:
        UsageError: another process has it open.
        DataError: it cannot be read or written, or a line is not a JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._lock()
            self.entries = self._read()
        except BaseException:
            self._file.close()
            raise

    def add(self, entry: Mapping[str, Any]) -> None:
        """Write an entry at the end.

        Raises:
            DataError: the disk refuses; what was there is whole.
        """
        try:
            append_line(self._file, json.dumps(entry, ensure_ascii=False).encode())
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Give it free."""
        self._file.close()

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

    def _read(self) -> list[dict[str, Any]]:
        try:
            self._file.seek(0)
            whole, end, _ = self._file.readall().rpartition(b"\n")
            self._file.truncate(len(whole) + len(end))
        except OSError as error:
            raise self._refused(error) from error
        return [self._entry(number, line) for number, line in enumerate(whole.split(b"\n"), 1) if line.strip()]

    def _entry(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            found = json.loads(line.decode())
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise DataError(f"`{self.path}`, line {number}: this is not a JSON object. Mend the line, or remove it.")
        return found

    def _refused(self, error: OSError) -> DataError:
        return DataError(f"`{self.path}` cannot be written: {error.strerror}. {refusal_advice(self.path, error)}.")
