"""Convert values as people write them in files and examples: `7` for a text, "Good" for the label `good`."""

import json
import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json

from tunesmith.errors import SignatureError
from tunesmith.signatures.atoms import InvalidError, is_encodable
from tunesmith.signatures.choices import by_text, label_text, resolved
from tunesmith.signatures.codec import Codec, codec_of
from tunesmith.signatures.jsonable import NameTwiceError, to_json_value, unique_object, without_numpy
from tunesmith.signatures.per_type import per_type
from tunesmith.signatures.signature import Signature, field_type

__all__ = ["given_value", "takes_none"]

_NUMBERS = (int, float, Decimal)
_GENERIC = (list, set, frozenset, tuple, dict, Sequence, Set, Mapping, Iterable)
_COMPOSITE = frozenset(
    {
        *("dict_type", "list_type", "set_type", "frozen_set_type", "tuple_type", "iterable_type"),
        *("model_type", "model_attributes_type", "dataclass_type", "typed_dict_type", "mapping_type"),
    }
)


def given_value(signature: type[Signature], name: str, value: Any) -> Any:
    """Return the typed value of a field, converted from a value of a person, a file or a data frame.

    A value of the type, or its JSON form, needs no conversion. Any other value is converted only if the result is
    unambiguous: by pydantic's default rules; a number to its text; a text or number to the label (or name of an Enum
    member) that it equals, ignoring case and outer white space; a JSON text to a list, an object or a model. Booleans
    are never converted to numbers or texts, numbers never to dates or times; bytes, NaN and infinity are never
    converted.

    Args:
        signature: the signature of the field.
        name: an input or output field.
        value: the value to convert.

    Raises:
        InvalidError: the value cannot be converted; the message is a sentence without a full stop.
        SignatureError: there is no such field.
    """
    try:
        codec = codec_of(signature, name)
    except SignatureError:
        if name not in signature.fields:
            raise
        return _instance(field_type(signature.fields[name]), value)
    value = without_numpy(value)
    if codec.kind == "any":
        if value is None:
            raise InvalidError("The value must not be None")
        return value
    with suppress(Exception):  # a user's validator may raise anything; the conversion below decides
        return codec.adapter.validate_python(value, strict=True) if codec.kind == "json" else codec.from_python(value)
    _refuse_odd(value)
    adapter = _lenient(field_type(signature.fields[name]))
    try:
        return _converted(adapter, value)
    except InvalidError:
        decoded = _decoded(codec, value)
        if decoded is None:
            raise
        return _converted(adapter, decoded)


def takes_none(signature: type[Signature], name: str) -> bool:
    """Return whether `None` is a value of a field."""
    try:
        given_value(signature, name, None)
    except InvalidError:
        return False
    return True


def _refuse_odd(value: Any) -> None:
    if isinstance(value, (bytes, bytearray)):
        raise InvalidError("The value must be text, not bytes")
    if isinstance(value, float) and math.isnan(value):
        raise InvalidError("The value must not be NaN, which pandas writes for a missing value; use None")
    if isinstance(value, str) and not is_encodable(value):
        raise InvalidError("The text holds a lone surrogate")


def _converted(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        typed = adapter.validate_python(value)
        _refuse_truth_for_number(to_json_value(value), to_json_value(typed))
    except InvalidError:
        raise
    except ValidationError as error:
        raise InvalidError(_why(error, value)) from error
    except RecursionError as error:
        raise InvalidError("The value is nested too deeply") from error
    # A user's validator may raise anything; each means that the value is invalid.
    except Exception as error:
        raise InvalidError(f"{type(error).__name__}: {error}") from error
    return typed


def _decoded(codec: Codec, value: Any) -> Any:
    """Return the value of a JSON text if the type has parts, else `None`."""
    if codec.kind != "json" or not isinstance(value, str):
        return None
    try:
        found = from_json(value, allow_inf_nan=False)
    except ValueError:
        return None
    try:
        json.loads(value, object_pairs_hook=unique_object, parse_int=str)
    except NameTwiceError as error:
        raise InvalidError(f"In the JSON, {error}. Rename or remove one of the two") from error
    except RecursionError as error:
        raise InvalidError("The value is nested too deeply") from error
    return found


def _instance(kind: Any, value: Any) -> Any:
    """Return an input of a class that pydantic does not know, such as a retriever."""
    try:
        return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        raise InvalidError(_why(error, value)) from error


def _refuse_truth_for_number(given: Any, typed: Any) -> None:
    """Check that no boolean became a number or a text, at any depth."""
    if isinstance(given, dict) and isinstance(typed, dict):
        for name in given.keys() & typed.keys():
            _refuse_truth_for_number(given[name], typed[name])
    elif isinstance(given, list) and isinstance(typed, list):
        for one, other in zip(given, typed, strict=False):
            _refuse_truth_for_number(one, other)
    elif isinstance(given, bool) and isinstance(typed, (int, float)) and not isinstance(typed, bool):
        raise InvalidError("The value must be a number, not true or false")


def _why(error: ValidationError, value: Any) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    text = first["msg"].removeprefix("Value error, ")
    text = f"At `{where}`: {text}" if where else text
    if first["type"] in _COMPOSITE and isinstance(value, str):
        text += ". Write it as JSON"
    return text


# The lenient type --------------------------------------------------------------------------------------------


@per_type
def _lenient(annotation: Any) -> TypeAdapter[Any]:
    """Return the validator of a type that accepts texts, numbers and labels as people write them."""
    return TypeAdapter(_rewritten(annotation))


def _rewritten(annotation: Any) -> Any:
    """Return the type with a converter before each text, number, date and label in it; models stay unchanged."""
    annotation = resolved(annotation)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *metadata = args
        return _annotated(_rewritten(inner), metadata)
    if origin in (Union, types.UnionType):
        return Union[tuple(map(_rewritten, args))]  # noqa: UP007 - the parts are known only at run time
    if origin in _GENERIC and args:
        return origin[tuple(map(_rewritten, args))]
    read = _reader(annotation)
    return annotation if read is None else Annotated[annotation, BeforeValidator(read)]


def _annotated(inner: Any, metadata: Sequence[Any]) -> Any:
    """Return `inner` with its constraints, and a converter before them."""
    readers: tuple[Any, ...] = ()
    if get_origin(inner) is Annotated:
        inner, *own = get_args(inner)
        readers = tuple(item for item in own if isinstance(item, BeforeValidator))
        metadata = [*[item for item in own if item not in readers], *metadata]
    for item in (*metadata, *readers):
        inner = Annotated[inner, item]
    return inner


def _reader(kind: Any) -> Callable[[Any], Any] | None:
    """Return the converter for a type without parts, or `None`."""
    if get_origin(kind) is Literal:
        return _label_reader([(arg, ()) for arg in get_args(kind)])
    if not isinstance(kind, type):
        return None
    if issubclass(kind, Enum):
        return _label_reader([(member, (member.name,)) for member in kind])
    return next((read for base, read in _READERS.items() if kind is base), None)


def _text(value: Any) -> Any:
    _refuse_odd(value)
    if isinstance(value, Enum) and isinstance(value.value, (str, int, float)):
        value = value.value
    if isinstance(value, _NUMBERS) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("The value must be a number, not true or false")  # noqa: TRY004 - pydantic does not catch a TypeError
    if isinstance(value, str):
        value = value.strip()
    number = float(value) if isinstance(value, float) or (isinstance(value, str) and _is_odd(value)) else 0.0
    if not math.isfinite(number):
        raise ValueError("The value must be a finite number")
    return value


def _is_odd(text: str) -> bool:
    return text.lstrip("+-").casefold() in ("nan", "inf", "infinity")


def _truth(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _moment(value: Any) -> Any:
    """Reject a number, which pydantic would read as seconds since 1970."""
    if isinstance(value, str):
        value = value.strip()
    digits = value.lstrip("+-").replace(".", "", 1).isdecimal() if isinstance(value, str) else False
    if digits or isinstance(value, _NUMBERS):
        raise ValueError("A date or time must be written as in 2024-05-01 or 2024-05-01T12:30, not as a number")
    return value


_READERS: Mapping[type, Callable[[Any], Any]] = {
    str: _text,
    int: _number,
    float: _number,
    Decimal: _number,
    bool: _truth,
    date: _moment,
    datetime: _moment,
    time: _moment,
}


def _label_reader(labels: Sequence[tuple[Any, tuple[str, ...]]]) -> Callable[[Any], Any]:
    """Return a converter to the label that a value names; pydantic then rejects a value that names none.

    Args:
        labels: each with its further names.
    """
    texts = [(text, label) for label, _ in labels if (text := label_text(label)) is not None]
    names = [(name, label) for label, more in labels for name in more]
    exact = by_text(texts)
    loose = by_text((text.strip().casefold(), label) for text, label in (*texts, *names))

    def read(value: Any) -> Any:
        text = label_text(value)
        if text is None or any(value is label for label, _ in labels):
            return value
        return exact.get(text, loose.get(text.strip().casefold(), value))

    return read
