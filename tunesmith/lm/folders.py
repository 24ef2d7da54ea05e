"""The folders that projects share: weight files and cached replies."""

import errno
import os
import sys
from pathlib import Path

from tunesmith.errors import UsageError, shown

__all__ = ["cache_dir", "home", "home_path", "make_private", "models_dir"]


_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})


def home() -> Path:
    """Return tunesmith's folder, `TUNESMITH_HOME`, and create it (0700) if it is missing.

    The default is `tunesmith` in the platform's user cache: `~/Library/Caches` on macOS, elsewhere `XDG_CACHE_HOME`
    (ignored unless absolute, as its specification says) or `~/.cache`. An empty variable counts as unset. An existing
    folder keeps its mode.

    Raises:
        UsageError: the folder is a file, or cannot be created or entered.
    """
    return _private_folder(home_path())


def models_dir() -> Path:
    """Return `home()/models`, and create it (0700) if it is missing.

    Raises:
        UsageError: the folder is a file, or cannot be created or entered.
    """
    return _private_folder(home_path() / "models")


def cache_dir() -> Path:
    """Return `home()/cache`, and create it (0700) if it is missing and the disk is writable.

    On a full or read-only disk the reply cache works without its folder, and warns at its first use.

    Raises:
        UsageError: the folder is a file, or cannot be created or entered.
    """
    return _private_folder(home_path() / "cache", unless=_UNWRITABLE)


def home_path() -> Path:
    """Return the absolute path of `home()` without creating it.

    Raises:
        UsageError: `TUNESMITH_HOME` is unset and the user has no home folder.
    """
    given = os.environ.get("TUNESMITH_HOME")
    try:
        if given is not None and given != "":
            return Path(given).expanduser().absolute()
        return _user_cache() / "tunesmith"
    except RuntimeError as error:  # raised by pathlib if the user has no home folder
        raise UsageError(
            f"The folder for models and cached replies is unknown: {error} Set TUNESMITH_HOME to a writable folder."
        ) from error


def _user_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".cache"


def _private_folder(folder: Path, *, unless: frozenset[int] = frozenset()) -> Path:
    try:
        make_private(folder)
    except OSError as error:
        if error.errno in unless:
            return folder
        raise UsageError(
            f"The folder {shown(str(folder))} cannot be used: {error.strerror or error}. "
            "Set TUNESMITH_HOME to a writable folder."
        ) from error
    return folder


def make_private(folder: Path) -> None:
    """Create `folder` and its missing parents, each with mode 0700. An existing folder keeps its mode.

    Raises:
        OSError: it is a file, or cannot be created.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        # One by one, because `Path.mkdir(parents=True)` gives the mode to the last folder only.
        make_private(folder.parent)
    # `exist_ok` handles a race with another process; a file of that name is still an error.
    folder.mkdir(mode=0o700, exist_ok=True)
