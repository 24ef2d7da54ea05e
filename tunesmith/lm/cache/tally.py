"""Counts that outlive a process."""

import contextlib
import os
from pathlib import Path

__all__ = ["Tally"]


class Tally:
    """How often something happened, in any process: the bytes of a file behind its first one.

    Appending a byte needs no lock. The first byte is written while there is room, so that the others, up to the end
    of the file's first block, can be written on a full disk as well. What cannot be written is not counted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self) -> None:
        """Make the file where it is missing; the folder has to be there."""
        if not self._path.exists():
            self._append(b"\n")

    def add(self) -> None:
        """Count one."""
        self._append(b".")

    def count(self) -> int:
        """Return how many were counted."""
        try:
            return max(0, self._path.stat().st_size - 1)
        except OSError:
            return 0

    def reset(self) -> None:
        """Begin at 0 again."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        self.begin()

    def _append(self, text: bytes) -> None:
        with contextlib.suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(file, text)
            finally:
                os.close(file)
