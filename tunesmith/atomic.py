"""Write a file, or a line at the end of one, whole or not at all."""

import os
import tempfile
from io import FileIO
from pathlib import Path

__all__ = ["append_line", "write_atomically"]


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader, or a crash, finds the old file or the new one.

    Raises:
        OSError: the folder cannot be written; what was there is untouched.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def append_line(file: FileIO, line: bytes) -> None:
    """Write `line` at the end of a file, on the disk when this returns.

    Args:
        file: open for reading and appending, without a buffer.
        line: without its end.

    Raises:
        OSError: the disk refuses; what was there is whole.
    """
    size, written = file.seek(0, os.SEEK_END), 0
    # A process that was killed left a part of a line, which would take this one with it.
    start = b"\n" if size and os.pread(file.fileno(), 1, size - 1) != b"\n" else b""
    text = start + line + b"\n"
    try:
        while written < len(text):  # a full disk takes a part, and then raises
            written += file.write(text[written:])
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size)  # or the next line would go on in the middle of this one
        raise
