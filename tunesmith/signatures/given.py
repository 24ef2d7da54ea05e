"""Values as people give them, in files and in examples: `7` for a text, "Good" for the label `good`."""

import json
import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from tunesmith.errors import SignatureError
from tunesmith.signatures.atoms import InvalidError, is_encodable
from tunesmith.signatures.codec import Codec, codec_of
from tunesmith.signatures.jsonable import to_json_value, without_numpy
from tunesmith.signatures.signature import Signature, field_type

__all__ = ["given_value"]

_NUMBERS = (int, float, Decimal)
_GENERIC = (list, set, frozenset, tuple, dict, Sequence, Set, Mapping, Iterable)
_COMPOSITE = frozenset(
    {
        *("dict_type", "list_type", "set_type", "frozen_set_type", "tuple_type", "iterable_type"),
        *("model_type", "model_attributes_type", "dataclass_type", "typed_dict_type", "mapping_type"),
    }
)


def given_value(signature: type[Signature], name: str, value: Any) -> Any:
    """Return the typed value of a field from what a person, a file or a data frame gives for it.

    What is of the type, or is its JSON form, is taken as it is. Anything else is converted where only one value can be
    meant: as pydantic converts by default; a number to the text that writes it; a text or number to the one label (or
    the one name of an Enum) that it equals but for case and outer white space; a text to the JSON that it holds, where
    a list, an object or a model is wanted. Never converted are truth values to numbers or texts, numbers to dates or
    times, bytes, NaN and infinity.

    Args:
        signature: whose field it is.
        name: an input or output field.
        value: what was given.

    Raises:
        InvalidError: no value of the type can be meant; the message is a sentence without a full stop.
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
            raise InvalidError("A value is wanted, not None")
        return value
    found = _as_it_is(codec, value)
    if found is not None:
        return found.value
    _refuse_odd(value)
    adapter = _lenient(field_type(signature.fields[name]))
    try:
        return _converted(adapter, value)
    except InvalidError:
        decoded = _decoded(codec, value)
        if decoded is None:
            raise
        return _converted(adapter, decoded)


@dataclass(frozen=True, slots=True)
class _Found:
    value: Any


def _as_it_is(codec: Codec, value: Any) -> _Found | None:
    """Return a value that is of the type already, or the JSON form of one."""
    try:
        if codec.kind == "json":
            return _Found(codec.adapter.validate_python(value, strict=True))
        return _Found(codec.from_python(value))
    except Exception:  # noqa: BLE001 - a user's validator may raise anything; the lenient reading decides
        return None


def _refuse_odd(value: Any) -> None:
    if isinstance(value, (bytes, bytearray)):
        raise InvalidError("Text is wanted, not bytes")
    if isinstance(value, float) and math.isnan(value):
        raise InvalidError("A value is wanted, not NaN, which pandas writes if there is none: give None")
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
    # A user's validator may raise anything; it is the value that failed it.
    except Exception as error:
        raise InvalidError(f"{type(error).__name__}: {error}") from error
    return typed


def _decoded(codec: Codec, value: Any) -> Any:
    """Return the value of JSON text where a value with parts is wanted, `None` where there is none."""
    if codec.kind != "json" or not isinstance(value, str):
        return None
    try:
        return json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _instance(kind: Any, value: Any) -> Any:
    """Return an input of a class that pydantic knows nothing of, such as a retriever."""
    try:
        return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        raise InvalidError(_why(error, value)) from error


def _refuse_truth_for_number(given: Any, typed: Any) -> None:
    """Refuse a truth value that was taken for a number or a text, at any depth."""
    if isinstance(given, dict) and isinstance(typed, dict):
        for name in given.keys() & typed.keys():
            _refuse_truth_for_number(given[name], typed[name])
    elif isinstance(given, list) and isinstance(typed, list):
        for one, other in zip(given, typed, strict=False):
            _refuse_truth_for_number(one, other)
    elif isinstance(given, bool) and isinstance(typed, (int, float)) and not isinstance(typed, bool):
        raise InvalidError("A number is wanted, not true or false")


def _why(error: ValidationError, value: Any) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    text = first["msg"].removeprefix("Value error, ")
    text = f"At `{where}`: {text}" if where else text
    if first["type"] in _COMPOSITE and isinstance(value, str):
        text += ". Write it as JSON"
    return text


# The lenient type --------------------------------------------------------------------------------------------


def _lenient(annotation: Any) -> TypeAdapter[Any]:
    """Return the validator of a type whose texts, numbers and labels are read as people write them."""
    try:
        return _adapter(annotation, repr(annotation))
    except TypeError:  # unhashable metadata
        return TypeAdapter(_rewritten(annotation))


@lru_cache(maxsize=1024)
def _adapter(annotation: Any, _text: str) -> TypeAdapter[Any]:
    return TypeAdapter(_rewritten(annotation))


def _rewritten(annotation: Any) -> Any:
    """Return the type with a reader before each text, number, date and label in it; models stay as they are."""
    while hasattr(annotation, "__supertype__") or type(annotation).__name__ == "TypeAliasType":
        annotation = annotation.__supertype__ if hasattr(annotation, "__supertype__") else annotation.__value__
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *metadata = args
        return _annotated(_rewritten(inner), metadata)
    if origin in (Union, types.UnionType):
        return Union[tuple(map(_rewritten, args))]  # noqa: UP007 - the parts are known at run time alone
    if origin in _GENERIC and args:
        return origin[tuple(map(_rewritten, args))]
    read = _reader(annotation)
    return annotation if read is None else Annotated[annotation, BeforeValidator(read)]


def _annotated(inner: Any, metadata: Sequence[Any]) -> Any:
    """Return `inner` with constraints, and with its reader before them."""
    readers: tuple[Any, ...] = ()
    if get_origin(inner) is Annotated:
        inner, *own = get_args(inner)
        readers = tuple(item for item in own if isinstance(item, BeforeValidator))
        metadata = [*[item for item in own if item not in readers], *metadata]
    for item in (*metadata, *readers):
        inner = Annotated[inner, item]
    return inner


def _reader(kind: Any) -> Callable[[Any], Any] | None:
    """Return what reads a value for a type without parts, `None` for other types."""
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
        raise ValueError("A number is wanted, not true or false")  # noqa: TRY004 - pydantic passes no TypeError on
    if isinstance(value, str):
        value = value.strip()
    number = float(value) if isinstance(value, float) or (isinstance(value, str) and _is_odd(value)) else 0.0
    if not math.isfinite(number):
        raise ValueError("A finite number is wanted")
    return value


def _is_odd(text: str) -> bool:
    return text.lstrip("+-").casefold() in ("nan", "inf", "infinity")


def _truth(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _moment(value: Any) -> Any:
    """Refuse what pydantic takes for seconds since 1970: `2024` would be a moment of that year's first day."""
    if isinstance(value, str):
        value = value.strip()
    digits = value.lstrip("+-").replace(".", "", 1).isdecimal() if isinstance(value, str) else False
    if digits or isinstance(value, _NUMBERS):
        raise ValueError("A date or time is written as in 2024-05-01 or 2024-05-01T12:30, not as a number")
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
    """Return what finds the one label that a value means; what is no label goes on to pydantic, which says so.

    Args:
        labels: each with further names that it goes by.
    """
    exact: dict[str, list[Any]] = {}
    loose: dict[str, list[Any]] = {}
    for label, names in labels:
        text = _label_text(label)
        if text is not None:
            exact.setdefault(text, []).append(label)
        for name in (*names, *(() if text is None else (text,))):
            known = loose.setdefault(name.strip().casefold(), [])
            if not any(label is one for one in known):
                known.append(label)

    def read(value: Any) -> Any:
        if any(value is label for label, _ in labels):
            return value
        text = _label_text(value)
        if text is None:
            return value
        found = exact.get(text) or loose.get(text.strip().casefold()) or []
        return found[0] if len(found) == 1 else value

    return read


def _label_text(value: Any) -> str | None:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, (str, *_NUMBERS)) else None
