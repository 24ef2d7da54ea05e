"""Read and replace an artifact's folder atomically.

A folder cannot be replaced by one rename, so there are two. The new folder is written and synced as `.<name>.new`. The
old one is renamed to `.<name>.old`, the new one gets its name, and the old one is deleted. After a crash before the
first rename, the old artifact is still in place. Between the two renames only `.<name>.old` exists: readers use it,
and the next save moves it back first. After the second rename the new artifact is in place, and the next save deletes
the leftovers.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunesmith.errors import ArtifactError, UsageError, shown

__all__ = ["LARGEST", "MANIFEST", "SIGNATURE", "STATE", "locate", "read_files", "replace_folder"]

MANIFEST = "manifest.json"
STATE = "state.json"
SIGNATURE = "signature.json"
LARGEST = {MANIFEST: 64 * 2**20, STATE: 64 * 2**20, SIGNATURE: 4096}
"""The files of an artifact, and how many bytes each may have: the folder has at most 128 MiB and 4 KiB."""

# Retries for a missing file: a concurrent save may have just replaced the folder.
_ATTEMPTS = 5


def locate(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of an artifact's folder.

    Raises:
        UsageError: the path is not a folder that can be replaced, such as `/` or `..`.
    """
    folder = Path(path).absolute()
    if folder.name in ("", "..") or "\0" in str(folder):
        raise UsageError(f"The path of an artifact must end in a folder name. Given: {shown(str(path))}.")
    return folder


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of the artifact's files, all from one version of the folder; `SIGNATURE` only if it is signed.

    Raises:
        ArtifactError: a file is missing, is not a regular file, is too large or cannot be read.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _read(folder)
        except FileNotFoundError as error:
            absent = error
    inside = folder / "artifact"
    if (inside / MANIFEST).is_file():
        raise ArtifactError(f"{str(folder)!r} is not an artifact, but contains one. Give {str(inside)!r}.") from absent
    if absent.filename in LARGEST:
        raise ArtifactError(
            f"The artifact {str(folder)!r} has no {absent.filename}. "
            "Restore the file, or remove the folder and compile again."
        ) from absent
    raise ArtifactError(f"There is no artifact at {str(folder)!r}. Give the folder that a compile wrote.") from absent


def _read(folder: Path) -> dict[str, bytes]:
    try:
        handle = _open_folder(folder)
        try:
            # Read through the open folder instead of by path, so that a concurrent rename cannot mix old and new files.
            found = {name: _read_file(handle, name) for name in (MANIFEST, STATE)}
            with suppress(FileNotFoundError):
                found[SIGNATURE] = _read_file(handle, SIGNATURE)
            return found
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
    limit = LARGEST[name]
    # Without O_NONBLOCK, opening a named pipe would wait for a writer.
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):  # before `open`, whose error for a folder names a number
            raise OSError(errno.EINVAL, "it is not a regular file", name)
        with open(handle, "rb", closefd=False) as file:
            # Check the size before and after reading, because the file may grow.
            raw = b"" if found.st_size > limit else file.read(limit + 1)
    finally:
        os.close(handle)
    if max(found.st_size, len(raw)) > limit:
        advice = "Keep fewer demos, and a corpus in a file of its own (`Corpus.save`)"
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes, and an artifact may not be. {advice}", name)
    return raw


def replace_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Replace `folder` atomically by a new folder whose files `fill` writes.

    Raises:
        UsageError: `folder` exists and is not an artifact; it is not touched.
        ArtifactError: the disk cannot be written; the old content is unchanged.
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
            "The old content is unchanged. Free some space or choose another folder, and save again."
        ) from error


def _swap(folder: Path, old: Path, new: Path, fill: Callable[[Path], None]) -> None:
    try:
        new.mkdir(mode=0o700)
        fill(new)
        for name in os.listdir(new):
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
    """Allow one save at a time in `parent`. The folder itself is locked, so that no lock file remains."""
    handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            # Some network file systems cannot lock folders. Then one of two concurrent saves to a name may fail.
            if error.errno not in (errno.ENOLCK, errno.EBADF, errno.ENOTSUP, errno.EINVAL):
                raise
        yield
    finally:
        os.close(handle)


def _check_ours(path: Path) -> None:
    if path.is_symlink():
        raise UsageError(f"{str(path)!r} is a link, and saving would replace it. Give the folder it points to.")
    if not path.exists():
        return
    if not path.is_dir():
        raise UsageError(f"{str(path)!r} is a file, but an artifact is a folder. Choose another name.")
    inside = sorted(os.listdir(path))
    if inside and MANIFEST not in inside and not _unfinished(path, inside):
        raise UsageError(
            f"{str(path)!r} is not an artifact: it has no {MANIFEST}. "
            "It was not changed; choose another name, or remove the folder."
        )
    foreign = [name for name in inside if name not in LARGEST]
    if foreign:
        raise UsageError(
            f"{str(path)!r} is an artifact with other files that would be lost: {', '.join(foreign[:5])}. "
            "Move them away, or choose another name."
        )


def _unfinished(path: Path, inside: list[str]) -> bool:
    return path.name.startswith(".") and path.name.endswith((".new", ".old")) and set(inside) <= set(LARGEST)


def _remove(folder: Path) -> None:
    """Delete a folder that contains only our files."""
    if folder.is_dir():
        # Delete the manifest first, so that a partly deleted folder does not look like an artifact.
        for name in LARGEST:
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
