"""Strict parsers for numbers, dates and texts."""

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from tunesmith.lazy import lazy_pattern

__all__ = [
    "SCALARS",
    "InvalidError",
    "encodable",
    "is_encodable",
    "json_kind",
    "read_integer",
    "read_number",
    "real",
    "reason",
    "whole",
]

_MOST_SHOWN = 300
_INTEGER = lazy_pattern(r"[+-]?[0-9]{1,4000}", re.ASCII)
_NUMBER = lazy_pattern(r"[+-]?(?:[0-9]{1,4000}(?:\.[0-9]{0,4000})?|\.[0-9]{1,4000})(?:[eE][+-]?[0-9]{1,9})?", re.ASCII)
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|z|[+-][0-9]{2}:?[0-9]{2})?"

# Text forms of types that pydantic parses more loosely: it reads `1704067200` as a date.
SCALARS: Mapping[type, re.Pattern[str]] = {
    date: lazy_pattern(_DAY, re.ASCII),
    datetime: lazy_pattern(rf"{_DAY}[Tt ]{_CLOCK}", re.ASCII),
    time: lazy_pattern(_CLOCK, re.ASCII),
    UUID: lazy_pattern(r"[0-9a-fA-F-]{32,36}", re.ASCII),
    Decimal: _NUMBER,
}


class InvalidError(Exception):
    """A value is not of a field's type; the message names neither field nor value."""


def encodable(text: str) -> str:
    """Return `text`.

    Raises:
        InvalidError: it has a lone surrogate, which cannot be encoded as UTF-8.
    """
    if not is_encodable(text):
        raise InvalidError("holds a lone surrogate")
    return text


def is_encodable(text: str) -> bool:
    """Return whether `text` can be written as UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_integer(text: str) -> int:
    """Return the integer that `text` spells in ASCII digits.

    Raises:
        InvalidError: `text` is not an integer.
    """
    if _INTEGER.fullmatch(text) is None:
        raise InvalidError("must be an integer")
    return int(text)


def read_number(text: str) -> float:
    """Return the finite number that `text` spells.

    Raises:
        InvalidError: `text` is not a finite number.
    """
    if _NUMBER.fullmatch(text) is None:
        raise InvalidError("must be a number")
    return real(float(text))


def whole(value: Any) -> int:
    """Return a JSON value as an integer; `5.0` is 5, a boolean is not an integer.

    Raises:
        InvalidError: `value` is not an integer.
    """
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    raise InvalidError(f"must be an integer, not {json_kind(value)}")


def real(value: Any) -> float:
    """Return a JSON value as a finite number.

    Raises:
        InvalidError: `value` is not a finite number.
    """
    if type(value) not in (int, float, Decimal):
        raise InvalidError(f"must be a number, not {json_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidError("must be a finite number")
    return number


def json_kind(value: Any) -> str:
    """Return the kind of a JSON value, for a message."""
    names = {dict: "an object", list: "an array", bool: "a truth value", type(None): "null"}
    names |= {str: "text", int: "an integer", float: "a fraction", Decimal: "a fraction"}
    return names.get(type(value), f"a value of class {type(value).__name__}")


def reason(error: Exception) -> str:
    """Return the first problem of a failed validation as one line without a full stop."""
    if isinstance(error, ValidationError):
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        where = ".".join(str(part) for part in problems[0]["loc"])
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        text = f"{where}: {problems[0]['msg']}{more}" if where else f"{problems[0]['msg']}{more}"
    else:
        text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0].rstrip(".")
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 1]}…"
