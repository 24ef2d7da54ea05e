"""Notes about a result, collected beside its values."""

import logging
from contextvars import ContextVar

__all__ = ["note", "notes_watched"]

_LOG = logging.getLogger("tunesmith")
_NOTES: ContextVar[set[str] | None] = ContextVar("tunesmith_notes", default=None)


class notes_watched:  # noqa: N801 - used as a function in a `with`
    """Collect the notes of all calls in this context, as sentences."""

    __slots__ = ("_token",)

    def __enter__(self) -> set[str]:
        found: set[str] = set()
        self._token = _NOTES.set(found)
        return found

    def __exit__(self, *problem: object) -> None:
        _NOTES.reset(self._token)


def note(text: str, *, logged: bool = True) -> None:
    """Pass a note to `notes_watched`; outside of it, log the note if `logged`."""
    found = _NOTES.get()
    if found is not None:
        found.add(text)
    elif logged:
        _LOG.warning("%s", text)
