"""Write a file, or a line at the end of one, whole or not at all."""

import contextlib
import errno
import os
import stat
from io import FileIO
from pathlib import Path

__all__ = ["append_line", "left_beside", "write_atomically"]

_RANDOM = 6  # bytes in the name of a file that is being written


def left_beside(name: str) -> str:
    """Return the pattern of the names that killed processes leave while they write the file `name`; see `fnmatch`."""
    return f".{name}-{'[0-9a-f]' * 2 * _RANDOM}"


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader, or a crash, finds the old file or the new one.

    Who may read it is as of the old file, else as of any new file of this process. A pipe, a device, and what this
    process writes its output to, such as `/dev/stdout`, are not replaced: the text is written into them.

    Raises:
        OSError: it is a folder, or cannot be written; what was there is untouched.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    stream = _own_stream(path)
    if stream is not None or (path.exists() and not path.is_file()):
        with open(path if stream is None else stream, "w", encoding="utf-8", newline="\n", closefd=not stream) as file:
            file.write(text)
        return
    name = path.with_name(f".{path.name}-{os.urandom(_RANDOM).hex()}")
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            with contextlib.suppress(OSError):  # there is none, or it is another user's
                os.fchmod(handle, stat.S_IMODE(os.stat(path).st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        name.unlink(missing_ok=True)
        raise


def _own_stream(path: Path) -> int | None:
    """Return which of this process's own outputs `path` is: that is not opened a second time."""
    for stream in (1, 2):
        with contextlib.suppress(OSError):  # there is no such file, or the stream is closed
            if os.path.samestat(path.stat(), os.fstat(stream)):
                return stream
    return None


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
