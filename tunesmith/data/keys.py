"""Content keys: canonical JSON and its sha256."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from tunesmith.errors import DataError, shown
from tunesmith.signatures import Example, in_one_order, to_json_value, without_numpy

__all__ = ["canonical_json", "content_key", "example_key", "fields_of", "input_fields_of", "inputs_key"]

_FORMS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (Enum, lambda value: value.value),
    (BaseModel, lambda value: to_jsonable_python(in_one_order(value), by_alias=False)),
    (Example, lambda value: dict(value.items())),
    ((date, datetime, time), lambda value: value.isoformat()),
    ((Decimal, UUID, timedelta), str),
    (PurePath, lambda value: value.as_posix()),
    ((bytes, bytearray), lambda value: {"base64": base64.b64encode(value).decode("ascii")}),
    ((set, frozenset), lambda value: sorted(map(canonical_json, value))),
)

_TEXT = {str}
_SCALARS = {str, int, float, bool, type(None)}  # types that JSON has
_as_is, _escaped = (
    json.JSONEncoder(sort_keys=True, ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":")).encode
    for ascii_only in (False, True)
)


def canonical_json(value: object, *, escaped: bool = False) -> str:
    r"""Return the one JSON text of `value`: sorted names, no spaces, UTF-8 safe.

    `escaped` writes non-ASCII characters as `\uXXXX`. The keys of replies, candidates, programs and artifacts use that
    form. Changing it would invalidate every cache and every stored artifact.

    Enums become their value, dates their ISO text, URLs their text, pydantic models and dataclasses
    their fields, tuples lists, so that a typed value equals the JSON it was read from. `1`, `1.0`,
    `true` and `"1"` are four different values.

    Raises:
        ValueError: NaN, infinity, a lone surrogate, or an integer that is too long to write.
        TypeError: a value has no JSON form.
        RecursionError: the value is nested too deeply.
    """
    plain = type(value) is dict and set(map(type, value)) <= _TEXT and set(map(type, value.values())) <= _SCALARS
    text = (_escaped if escaped else _as_is)(value if plain else _plain(value))
    text.encode("utf-8")  # raises for a lone surrogate, which no request can carry
    return text


def content_key(value: object, *, escaped: bool = False) -> str:
    """Return the sha256 (64 hexadecimal digits) of the canonical JSON of `value`; `escaped` as in `canonical_json`.

    Raises:
        DataError: `value` has no JSON form.
    """
    return hashlib.sha256(_canonical(value, escaped=escaped).encode("utf-8")).hexdigest()


def example_key(example: Example) -> str:
    """Return the content key of an example: the sha256 of all its fields.

    Inputs, labels and extra columns count. Their order, the choice of inputs and DSPy's own `dspy_`
    fields do not.

    Raises:
        DataError: a field has no JSON form.
    """
    return content_key(fields_of(example))


def inputs_key(example: Example) -> str:
    """Return the content key of the inputs, or of all fields if no inputs are set."""
    return content_key(input_fields_of(example))


def fields_of(example: Example) -> dict[str, Any]:
    """Return the fields of an example without DSPy's own, three times as fast as `dict(example.items())`."""
    store = example._store
    if "dspy_" not in " ".join(store):
        return dict(store)
    return {name: value for name, value in store.items() if not name.startswith("dspy_")}


def input_fields_of(example: Example) -> dict[str, Any]:
    """Return the inputs of an example, or all fields if no inputs are set, without another `Example`."""
    fields, wanted = fields_of(example), example._input_keys
    return fields if wanted is None else {name: value for name, value in fields.items() if name in wanted}


def _canonical(value: object, *, escaped: bool) -> str:
    try:
        return canonical_json(value, escaped=escaped)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"A value has no canonical JSON form ({type(error).__name__}: {error}). "
            f"Given: {shown(value)}. Use text, finite numbers, lists, mappings, dates, enums or "
            "pydantic models."
        ) from error


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Mapping):
        return _plain_mapping(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    for kinds, form in _FORMS:
        if isinstance(value, kinds):
            return _plain(form(value))
    bare = without_numpy(value)
    if bare is not value:
        return _plain(bare)
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (Iterator, SecretStr, SecretBytes)):  # read once; hidden text
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return _plain(to_json_value(value))  # URLs, addresses, dataclasses and other types that pydantic knows


def _plain_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    named = {name if type(name) is str else _name(name): _plain(item) for name, item in value.items()}
    if len(named) != len(value):
        raise ValueError(f"two names of a mapping have the same text: {shown(list(value))}")
    return named


def _name(name: object) -> str:
    plain = _plain(name)
    return plain if isinstance(plain, str) else canonical_json(plain)
