"""Convert Python values to JSON values, in the form that their type reads back."""

import dataclasses
import json
import operator
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from tunesmith.signatures.signature import TEXT_TYPES, Example

__all__ = [
    "NameTwiceError",
    "canonical_text",
    "confuses_types",
    "in_one_order",
    "to_json_value",
    "unique_object",
    "without_numpy",
]


class NameTwiceError(ValueError):
    """A JSON object has the same name twice, so that one of the two values would be lost."""


def unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. It is the `object_pairs_hook` of each reader of JSON that people write.

    Raises:
        NameTwiceError: two values have the same name.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise NameTwiceError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return found


def to_json_value(value: Any) -> Any:
    """Return `value` as a JSON value.

    Models use the names that validation reads. Sets are sorted. A `Decimal` becomes a number if that loses
    nothing, as in the schema. Everything else follows pydantic.

    Raises:
        ValueError, TypeError: `value` has no JSON form (pydantic's serialization error is a ValueError).
        RecursionError: `value` contains itself.
    """
    if value is None or isinstance(value, (bool, str, int, float)):
        return _atom(value)
    if isinstance(value, Enum):
        return to_json_value(value.value)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        return {_key(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, BaseModel):
        return _model(value)
    if isinstance(value, Example):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: to_json_value(getattr(value, name)) for name in names}
    if isinstance(value, Set):
        return sorted((to_json_value(item) for item in value), key=canonical_text)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [to_json_value(item) for item in value]
    return to_jsonable_python(value)


def without_numpy(value: Any) -> Any:
    """Return a numpy scalar or array as a Python value, and any other value unchanged.

    It does not import numpy: a numpy value exists only if numpy is imported already.
    """
    numpy = sys.modules.get("numpy")
    # While another thread imports numpy, the module exists without these attributes.
    scalar, array = getattr(numpy, "generic", None), getattr(numpy, "ndarray", None)
    if scalar is None or array is None or not isinstance(value, (scalar, array)):
        return value
    return value.tolist()


def in_one_order(value: Any) -> Any:
    """Return `value` with its sets as sorted lists, since the order of a set of texts differs between processes.

    A value without sets is returned unchanged.
    """
    if isinstance(value, Set):
        return sorted((to_jsonable_python(in_one_order(item)) for item in value), key=canonical_text)
    if isinstance(value, Mapping):
        ordered: Any = {key: in_one_order(item) for key, item in value.items()}
        return value if all(ordered[key] is item for key, item in value.items()) else ordered
    if isinstance(value, (list, tuple)):
        ordered = [in_one_order(item) for item in value]
        return value if all(map(operator.is_, ordered, value)) else ordered
    if isinstance(value, BaseModel) and not isinstance(value, TEXT_TYPES):
        fields = value.model_dump()
        ordered = in_one_order(fields)
        return value if ordered is fields else ordered
    return value


def canonical_text(value: Any) -> str:
    """Return the JSON text of a JSON value; equal values have equal texts.

    Raises:
        ValueError: a number has no JSON form.
    """
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False)


def confuses_types(value: Any, back: Any) -> bool:
    """Return whether validation confused booleans with numbers, or numbers with texts.

    Args:
        value: the JSON value before validation.
        back: the JSON value after validation.
    """
    if isinstance(value, dict) and isinstance(back, dict):
        return any(confuses_types(item, back[key]) for key, item in value.items() if key in back)
    if isinstance(value, list) and isinstance(back, list):
        if len(value) == len(back):
            return any(map(confuses_types, value, back))
        return _has_bool(value) != _has_bool(back)  # a set
    if isinstance(value, bool) or isinstance(back, bool):
        return isinstance(value, (int, float)) and type(value) is not type(back)
    return isinstance(value, (int, float)) and isinstance(back, str)


def _has_bool(values: Iterable[Any]) -> bool:
    return any(isinstance(value, bool) for value in values)


def _atom(value: Any) -> Any:
    """Return text and numbers as their exact types; an `IntEnum` or a numpy text is a subclass."""
    if isinstance(value, Enum):
        return to_json_value(value.value)
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if type(value) is int else int(value)
    number = float(value)
    if number - number != 0:
        raise ValueError(f"{number} is not JSON number")
    return number


def _number(value: Decimal) -> Any:
    if value.is_finite():
        if value == value.to_integral_value() and abs(value) < 10**15:
            whole = int(value)
            return whole if str(whole) == str(value) else _exact(value)
        return _exact(value)
    raise ValueError(f"{value} is not JSON number")


def _exact(value: Decimal) -> Any:
    number = float(value)
    return number if Decimal(str(number)) == value else str(value)


def _key(key: Any) -> str:
    if type(key) is str:
        return key
    if isinstance(key, Enum):
        return _key(key.value)
    return next(iter(to_jsonable_python({key: None})))


def _model(value: BaseModel) -> Any:
    kind = type(value)
    if issubclass(kind, TEXT_TYPES):
        return to_jsonable_python(getattr(value, "content", None) or getattr(value, "code", ""))
    if "root" in kind.model_fields:
        return to_json_value(value.__dict__["root"])
    out = {
        _read_name(kind, name, info): to_json_value(getattr(value, name)) for name, info in kind.model_fields.items()
    }
    return out | {name: to_json_value(item) for name, item in (value.model_extra or {}).items()}


def _read_name(kind: type[BaseModel], name: str, info: FieldInfo) -> str:
    """Return the name under which validation reads a field."""
    if kind.model_config.get("validate_by_alias") is False:
        return name
    alias = info.validation_alias
    return alias if isinstance(alias, str) else name
