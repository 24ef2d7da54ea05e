"""Replies that were cut at the length limit."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from tunesmith.errors import ParseError
from tunesmith.signatures import Signature, labels, output_types

__all__ = ["cut_error", "is_whole"]

_LENGTHS: Mapping[Any, int] = {date: 10, UUID: 36}  # types with texts of one fixed length


def cut_error(text: str, name: str | None = None) -> ParseError:
    """Return the error for a reply that was cut before its end."""
    problem = "The reply was cut at the length limit. Raise `max_tokens`."
    return ParseError(problem, reason="truncated", raw=text, field=name)


def is_whole(signature: type[Signature], name: str, text: str) -> bool:
    """Return whether a cut reply still holds the complete value: a date, a UUID, or a label that begins no other."""
    value = text.strip().casefold()
    length = _LENGTHS.get(output_types(signature)[name])
    if length is not None:
        return len(value) == length
    known = [label.casefold() for label in labels(signature, name) or ()]
    return value in known and sum(label.startswith(value) for label in known) == 1
