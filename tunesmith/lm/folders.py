"""Where tunesmith keeps what it may share between projects: weights and cached replies."""

import errno
import os
import sys
from pathlib import Path

from tunesmith.errors import UsageError, shown

__all__ = ["cache_dir", "home", "home_path", "make_private", "models_dir"]


_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})


def home() -> Path:
    """Return tunesmith's folder, `TUNESMITH_HOME`, and make it (0700) where it is missing.

    Without the variable it is `tunesmith` in the platform's user cache: `~/Library/Caches` on
    macOS, elsewhere `XDG_CACHE_HOME` (ignored unless absolute, as its specification says) or
    `~/.cache`. An empty variable counts as unset. A folder that exists keeps its mode.

    Raises:
        UsageError: the folder is a file, or cannot be made or entered.
    """
    return _private_folder(home_path())


def models_dir() -> Path:
    """Return `home()/models`, made (0700) where it is missing.

    Raises:
        UsageError: the folder is a file, or cannot be made or entered.
    """
    return _private_folder(home_path() / "models")


def cache_dir() -> Path:
    """Return `home()/cache`, made (0700) where it is missing and something can be written.

    On a disk that is read-only or full the reply cache goes without its folder, and says so at its first use.

    Raises:
        UsageError: the folder is a file, or cannot be made or entered.
    """
    return _private_folder(home_path() / "cache", unless=_UNWRITABLE)


def home_path() -> Path:
    """Return the absolute path of `home()` and touch nothing.

    Raises:
        UsageError: there is neither `TUNESMITH_HOME` nor a home folder of the user.
    """
    given = os.environ.get("TUNESMITH_HOME")
    try:
        if given is not None and given != "":
            return Path(given).expanduser().absolute()
        return _user_cache() / "tunesmith"
    except RuntimeError as error:  # pathlib's answer where the user has no home folder
        raise UsageError(
            f"The folder for models and cached replies is unknown: {error} "
            "Set TUNESMITH_HOME to a folder you may write to."
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
            "Set TUNESMITH_HOME to a folder you may write to."
        ) from error
    return folder


def make_private(folder: Path) -> None:
    """Make `folder` and its missing parents, each 0700; a folder that exists keeps its mode.

    Raises:
        OSError: it is a file, or cannot be made.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        # One by one, because `Path.mkdir(parents=True)` gives the mode to the last folder only.
        make_private(folder.parent)
    # `exist_ok` covers the race with another process, and still refuses a file of that name.
    folder.mkdir(mode=0o700, exist_ok=True)
