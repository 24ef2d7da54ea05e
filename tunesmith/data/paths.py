"""Paths into nested values: `answers.text.0`."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel

from tunesmith.signatures import Example, without_numpy

__all__ = ["MISSING", "Missing", "at_path", "opened", "steps_of"]


class Missing(Enum):
    """The type of `MISSING`, a value for "absent", since `None` is a valid value."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
_BRACKETS = re.compile(r"\[(-?\d+)\]")


def at_path(value: Any, path: str) -> Any:
    """Return the value at `path` inside `value`, or `MISSING`.

    A name with dots wins over a path: `{"answers.text": "x"}`. A step is a field name or the index of an item:
    `messages.0` or `messages[0]` is the first, `messages.-1` the last. A field name on a list returns that field of
    every item. A text on the way is parsed as JSON.

    Example:
        >>> at_path({"answers": {"text": ["Paris"]}}, "answers.text.0")
        'Paris'
    """
    whole = _step(value, path)
    if whole is not MISSING:
        return whole
    for name in steps_of(path):
        value = _step(opened(value), name)
        if value is MISSING:
            return MISSING
    return value


def steps_of(path: str) -> list[str]:
    """Return the steps of a path: field names and indexes."""
    return _BRACKETS.sub(r".\1", path).split(".")


def _step(value: Any, name: str) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, (Mapping, Example)):
        return value.get(name, MISSING)
    value = without_numpy(value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        place = _place(name)
        if place is not None:
            return value[place] if -len(value) <= place < len(value) else MISSING
        found = [_step(item, name) for item in value]
        return found if found and MISSING not in found else MISSING
    if isinstance(value, BaseModel):
        return getattr(value, name, MISSING) if name in type(value).model_fields else MISSING
    if is_dataclass(value) and not isinstance(value, type):
        return getattr(value, name, MISSING) if name in {field.name for field in fields(value)} else MISSING
    return MISSING


def _place(name: str) -> int | None:
    digits = name.removeprefix("-")
    return int(name) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def opened(value: Any) -> Any:
    """Return the value of a JSON text, or any other value unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
