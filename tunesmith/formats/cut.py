"""What a reply that was cut at the length limit still says."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from tunesmith.errors import ParseError
from tunesmith.signatures import Signature, labels, output_types

__all__ = ["cut_error", "is_whole"]

_LENGTHS: Mapping[Any, int] = {date: 10, UUID: 36}  # types of which each text is as long as every other


def cut_error(text: str, name: str | None = None) -> ParseError:
    """Return the error for a reply that was cut before its end."""
    problem = "The reply was cut at the length limit. Raise `max_tokens`."
    return ParseError(problem, reason="truncated", raw=text, field=name)


def is_whole(signature: type[Signature], name: str, text: str) -> bool:
    """Return whether the plain text of a cut reply is complete all the same: a date, or a label none begins with."""
    said = text.strip().casefold()
    length = _LENGTHS.get(output_types(signature)[name])
    if length is not None:
        return len(said) == length
    found = [label.casefold() for label in labels(signature, name) or ()]
    return said in found and sum(label.startswith(said) for label in found) == 1
