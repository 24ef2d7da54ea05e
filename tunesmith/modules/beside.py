"""Where the files of saved corpora are, as seen from an artifact. Every load of a program needs this, few a corpus."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

__all__ = ["beside", "files_beside"]

_BESIDE: ContextVar[Path | None] = ContextVar("tunesmith_files_beside", default=None)


@contextmanager
def files_beside(folder: Path) -> Iterator[None]:
    """Name the files of saved corpora by their way from `folder`, and find them by it: they can move together."""
    token = _BESIDE.set(folder)
    try:
        yield
    finally:
        _BESIDE.reset(token)


def beside() -> Path | None:
    """Return the folder of `files_beside`, `None` outside of one."""
    return _BESIDE.get()
