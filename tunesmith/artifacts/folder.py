"""An artifact's folder: read as one, replaced as one.

A folder cannot be replaced by one rename, so there are two: the old folder goes to `.<name>.old` beside it, then the
new one, complete and synced as `.<name>.new`, takes its name; last, the old one is deleted. After a crash before the
first rename the old artifact is there. Between the two, only `.<name>.old` is: readers take that one, and the next save
moves it back first. After the second the new one is there, and the next save deletes what is left.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith.errors import ArtifactError, UsageError, shown

__all__ = ["MANIFEST", "STATE", "locate", "read_files", "replace_folder"]

MANIFEST = "manifest.json"
STATE = "state.json"
_FILES = (MANIFEST, STATE)
_LIMIT = 64 * 2**20

# How often to look again where a file is missing: a save may just have replaced the folder under our hands.
_ATTEMPTS = 5


def locate(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of an artifact's folder.

    Raises:
        UsageError: it names no folder that could be replaced, such as `/` or `..`.
    """
    folder = Path(path).absolute()
    if folder.name in ("", "..") or "\0" in str(folder):
        raise UsageError(f"An artifact is a folder with a name of its own. Given: {shown(str(path))}.")
    return folder


def read_files(folder: Path, names: tuple[str, ...] = _FILES) -> dict[str, bytes]:
    """Return the bytes of the artifact's files, all from one and the same folder.

    Raises:
        ArtifactError: a file is missing, is not a plain file, is too large or cannot be read.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _read(folder, names)
        except FileNotFoundError as error:
            absent = error
    inside = folder / "artifact"
    if (inside / MANIFEST).is_file():
        raise ArtifactError(f"{str(folder)!r} is no artifact, but holds one. Give {str(inside)!r}.") from absent
    if absent.filename in _FILES:
        raise ArtifactError(
            f"The artifact {str(folder)!r} has no {absent.filename}. Restore the file, or compile again."
        ) from absent
    raise ArtifactError(f"There is no artifact at {str(folder)!r}. Give the folder that a compile wrote.") from absent


def _read(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    try:
        handle = _open_folder(folder)
        try:
            # Through the open folder, not by path: a save that renames it meanwhile cannot mix old and new.
            return {name: _read_file(handle, name) for name in names}
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except OSError as error:
        link = error.errno == errno.ELOOP
        reason = "it is a link" if link else error.strerror or str(error)
        raise ArtifactError(
            f"{shown(str(error.filename or folder))} of the artifact {str(folder)!r} cannot be read: {reason}."
        ) from error


def _open_folder(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return os.open(_aside(folder), os.O_RDONLY | os.O_DIRECTORY)


def _read_file(folder: int, name: str) -> bytes:
    # Without O_NONBLOCK a named pipe would wait for a writer for ever.
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a plain file", name)
        # What is too large already is not read at all; a file may also grow meanwhile.
        raw = b"" if found.st_size > _LIMIT else file.read(_LIMIT + 1)
    if max(found.st_size, len(raw)) > _LIMIT:
        raise OSError(errno.EFBIG, f"it is larger than {_LIMIT} bytes", name)
    return raw


def replace_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write the files of a new folder, and put it in the place of `folder`, whole or not at all.

    Raises:
        UsageError: what is there is no artifact; it is not touched.
        ArtifactError: the disk refuses; what was there before is still there.
    """
    old, new = _aside(folder), folder.with_name(f".{folder.name}.new")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(folder.parent):
            if old.exists() and not folder.exists():
                os.rename(old, folder)
            for path in (folder, old, new):
                _check_ours(path)
            _remove(old)
            _remove(new)
            _swap(folder, old, new, fill)
            _sync(folder.parent)
            _remove(old)
    except OSError as error:
        raise ArtifactError(
            f"The artifact {str(folder)!r} could not be written: {error.strerror or error}. "
            "What was there before is untouched; make room or choose another folder, and save again."
        ) from error


def _swap(folder: Path, old: Path, new: Path, fill: Callable[[Path], None]) -> None:
    try:
        new.mkdir(mode=0o700)
        fill(new)
        for name in _FILES:
            _sync(new / name)
        _sync(new)
        if folder.exists():
            os.rename(folder, old)
        os.rename(new, folder)
    except BaseException:
        if old.exists() and not folder.exists():
            os.rename(old, folder)
        _remove(new)
        raise


@contextmanager
def _locked(parent: Path) -> Iterator[None]:
    """One save at a time in `parent`. The folder itself is locked, so that no lock file stays behind."""
    handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            # Some network file systems lock no folders. Then two saves at once to one name may make one of them fail.
            if error.errno not in (errno.ENOLCK, errno.EBADF, errno.ENOTSUP, errno.EINVAL):
                raise
        yield
    finally:
        os.close(handle)


def _check_ours(path: Path) -> None:
    if path.is_symlink():
        raise UsageError(
            f"{str(path)!r} is a link, and an artifact replaces the folder itself. Give the folder it points to."
        )
    if not path.exists():
        return
    if not path.is_dir():
        raise UsageError(f"{str(path)!r} is a file. An artifact is a folder; choose another name.")
    inside = sorted(os.listdir(path))
    if inside and MANIFEST not in inside and not _unfinished(path, inside):
        raise UsageError(
            f"{str(path)!r} is a folder that is no artifact: it has no {MANIFEST}. It is left as it is; "
            "choose another name."
        )
    foreign = [name for name in inside if name not in _FILES]
    if foreign:
        raise UsageError(
            f"{str(path)!r} is an artifact, but holds files that would be lost: {', '.join(foreign[:5])}. "
            "Move them away, or choose another name."
        )


def _unfinished(path: Path, inside: list[str]) -> bool:
    return path.name.startswith(".") and path.name.endswith((".new", ".old")) and inside == [STATE]


def _remove(folder: Path) -> None:
    """Delete a folder that holds our files only."""
    if folder.is_dir():
        # The manifest first: a folder half deleted must not look like an artifact.
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
