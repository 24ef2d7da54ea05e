"""What has to be known about a result beside its values."""

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar

__all__ = ["note", "notes_watched"]

_LOG = logging.getLogger("tunesmith")
_NOTES: ContextVar[set[str] | None] = ContextVar("tunesmith_notes", default=None)


@contextlib.contextmanager
def notes_watched() -> Iterator[set[str]]:
    """Collect the notes of all calls in this context, in sentences."""
    found: set[str] = set()
    token = _NOTES.set(found)
    try:
        yield found
    finally:
        _NOTES.reset(token)


def note(text: str, *, logged: bool = True) -> None:
    """Keep a note for `notes_watched`; outside of it, log the note if it is to be."""
    found = _NOTES.get()
    if found is not None:
        found.add(text)
    elif logged:
        _LOG.warning("%s", text)
