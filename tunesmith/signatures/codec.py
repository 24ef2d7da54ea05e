"""What is known about one field: how its values are written as text and as JSON, and read back."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin
from uuid import UUID
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tunesmith.errors import SignatureError, shown
from tunesmith.signatures.bounds import Node, UnsupportedError, fills_own_bound
from tunesmith.signatures.jsonable import confuses_types, to_json_value
from tunesmith.signatures.schema import type_schema
from tunesmith.signatures.signature import (
    TEXT_TYPES,
    Signature,
    checked,
    field_type,
    is_untyped,
    type_text,
)

__all__ = ["Codec", "InvalidError", "codec_of", "encodable", "unwrapped"]

Kind = Literal["text", "int", "float", "label", "scalar", "wrapped", "json", "any"]

_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,4000}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?", re.ASCII)
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|z|[+-][0-9]{2}:?[0-9]{2})?"
# pydantic would also read `1704067200` as a date.
_SCALARS: Mapping[type, re.Pattern[str]] = {
    date: re.compile(_DAY, re.ASCII),
    datetime: re.compile(rf"{_DAY}[Tt ]{_CLOCK}", re.ASCII),
    time: re.compile(_CLOCK, re.ASCII),
    UUID: re.compile(r"[0-9a-fA-F-]{32,36}", re.ASCII),
    Decimal: _NUMBER,
}
_NO_LABELS: Mapping[Any, Any] = MappingProxyType({})


class InvalidError(Exception):
    """A value that is not of a field's type. The message has no field name and no value."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One field's way between typed values, text and JSON.

    Attributes:
        kind: `text` (str), `int`, `float`, `label` (a closed set), `scalar` (dates, UUID, Decimal), `wrapped`
            (dspy's own text types), `json` (all others), `any` (an input without a declared type).
        base: the type without its constraints.
        adapter: pydantic's validator of the type with its constraints.
        constrained: whether the type has constraints, so that a right base value may still be wrong.
        texts: the value of each label's text; empty for other kinds.
        folded: the same for case-folded texts, where they are unambiguous.
        values: the value of each label by type and JSON value.
        schema: the safe schema with marks on our own bounds, `None` where there is none.
    """

    kind: Kind
    base: Any
    adapter: TypeAdapter[Any]
    constrained: bool
    texts: Mapping[str, Any]
    folded: Mapping[str, Any]
    values: Mapping[tuple[type, Any], Any]
    schema: Node | None

    def from_text(self, text: str) -> Any:
        """Return the typed value of a plain text without outer white space, for kinds other than `json`.

        Raises:
            InvalidError: it is no such text.
        """
        match self.kind:
            case "label":
                value = self._label(text)
            case "int":
                value = _integer(text)
            case "float":
                value = _number(text)
            case "scalar":
                return self._scalar(text)
            case _:
                value = encodable(text)
                if self.kind == "wrapped":
                    return self.validated(value)
        return self.validated(value) if self.constrained else value

    def from_json(self, value: Any) -> Any:
        """Return the typed value of a JSON value.

        Raises:
            InvalidError: it is not of the type.
        """
        kind = self.kind
        if kind == "json":
            return self._structure(value)
        if kind == "label" and not isinstance(value, str):
            typed = self._member(value)
        elif kind == "any":
            return value
        elif isinstance(value, str):
            # Text is kept as it is; a number or date in quotes is read as if it stood bare.
            return self.from_text(value if kind in ("text", "wrapped") else value.strip())
        elif kind == "int":
            typed = _whole(value)
        elif kind == "float":
            typed = _real(value)
        elif kind == "scalar":
            return self._scalar(value)
        else:
            raise InvalidError(f"must be text, not {_json_kind(value)}")
        return self.validated(typed) if self.constrained else typed

    def from_python(self, value: Any) -> Any:
        """Return the typed value of a python value: one of the type, or its JSON form.

        Raises:
            InvalidError: it is neither.
        """
        kind = self.kind
        if kind == "any":
            return value
        if kind == "label":
            return self._choice(value)
        if kind == "scalar" and isinstance(value, self.base):
            return self.validated(value)
        if kind == "wrapped" and isinstance(value, TEXT_TYPES):
            return self.validated(value)
        if kind == "json":
            return self._python(value)
        if isinstance(value, Enum) and isinstance(value, (str, int, float)):
            value = value.value
        return self.from_json(value)

    def validated(self, value: Any) -> Any:
        """Return what pydantic makes of `value`.

        Raises:
            InvalidError: pydantic, or a validator of the user's, refuses it.
        """
        try:
            return self.adapter.validate_python(value)
        # A user's validator may raise anything; it is the value that failed it.
        except Exception as error:
            raise InvalidError(_reason(error)) from error

    def fills_own_bound(self, value: Any) -> bool:
        """Return whether a JSON value is exactly as long as a bound that is ours, and so was likely cut."""
        return self.schema is not None and fills_own_bound(self.schema, value)

    def _label(self, text: str) -> Any:
        value = self.texts.get(text)
        if value is None:
            value = self.folded.get(text.casefold())
        if value is None:
            raise InvalidError(self._one_of())
        return value

    def _member(self, value: Any) -> Any:
        try:
            return self.values[type(value), value]
        except (KeyError, TypeError):
            raise InvalidError(self._one_of()) from None

    def _choice(self, value: Any) -> Any:
        if isinstance(self.base, type) and issubclass(self.base, Enum):
            member = value if isinstance(value, self.base) else None
        else:
            member = value if isinstance(value, Enum) else None
        if member is not None:
            # A Literal of members, and an Enum, hold the members themselves.
            if not any(member is allowed for allowed in self.texts.values()):
                raise InvalidError(self._one_of())
            typed = member
        elif type(value) is str and value in self.texts:
            typed = self.texts[value]
        else:
            typed = self._member(value)
        return self.validated(typed) if self.constrained else typed

    def _one_of(self) -> str:
        names = list(self.texts)
        listed = ", ".join(repr(name) for name in names[:12])
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        return f"must be one of {listed}{more}"

    def _scalar(self, value: Any) -> Any:
        if isinstance(value, str):
            if _SCALARS[self.base].fullmatch(value) is None:
                raise InvalidError(f"must be a {self.base.__name__}")
        elif self.base is not Decimal or isinstance(value, bool):
            raise InvalidError(f"must be a {self.base.__name__} as text, not {_json_kind(value)}")
        return self.validated(value)

    def _structure(self, value: Any) -> Any:
        try:
            text = json.dumps(value, allow_nan=False)
            return self._from_json_text(text, value)
        except (RecursionError, TypeError, ValueError, OverflowError) as error:
            raise InvalidError(f"cannot be read as JSON ({_reason(error)})") from error

    def _from_json_text(self, text: str, value: Any) -> Any:
        adapter = self.adapter
        try:
            typed = adapter.validate_json(text, strict=True)
            doubtful = "true" in text or "false" in text
        except Exception:  # noqa: BLE001 - whatever it was, the lax reading decides
            try:
                typed, doubtful = adapter.validate_json(text), True
            # A user's validator may raise anything; it is the value that failed it.
            except Exception as error:
                raise InvalidError(_reason(error)) from error
        if doubtful and confuses_types(value, to_json_value(typed)):
            raise InvalidError("takes a truth value for a number, or a number for a text")
        return typed

    def _python(self, value: Any) -> Any:
        plain = _thawed(value)
        try:
            return self.adapter.validate_python(plain, strict=True)
        except Exception:  # noqa: BLE001 - whatever it was, the lax reading decides
            typed = self.validated(plain)
        try:
            if confuses_types(to_json_value(plain), to_json_value(typed)):
                raise InvalidError("takes a truth value for a number, or a number for a text")
        except (RecursionError, TypeError, ValueError, OverflowError) as error:
            raise InvalidError(f"cannot be written as JSON ({_reason(error)})") from error
        return typed


_CODECS: "WeakKeyDictionary[type[Signature], dict[str, Codec]]" = WeakKeyDictionary()


def codec_of(signature: type[Signature], name: str) -> Codec:
    """Return the codec of a field, made once for each signature class.

    Raises:
        SignatureError: there is no such field, or pydantic cannot validate its type.
    """
    try:
        return _CODECS[signature][name]
    except (KeyError, TypeError):
        fields: Mapping[str, FieldInfo] = checked(signature).fields
    if name not in fields:
        raise SignatureError(
            f"Signature `{signature.__name__}` has no field {name!r}. Its fields are: {', '.join(fields)}."
        )
    codec = _built(name, fields[name], untyped=name in signature.input_fields)
    _CODECS.setdefault(signature, {})[name] = codec
    return codec


def _built(name: str, info: FieldInfo, *, untyped: bool) -> Codec:
    annotation = field_type(info)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        adapter.rebuild()
    # pydantic has several kinds of errors here, and a type may bring code of its own.
    except Exception as error:
        raise SignatureError(
            f"Field `{name}` of type `{type_text(annotation)}` cannot be validated: "
            f"{_reason(error)}. Use a plain type, a Literal, an Enum or a pydantic model."
        ) from error
    base, constrained = unwrapped(annotation)
    labels = _labels(base)
    try:
        schema: Node | None = type_schema(annotation).marked
    except UnsupportedError:
        schema = None  # an input, or an output that only plain text can carry
    if untyped and is_untyped(info):
        kind: Kind = "any"
    else:
        kind = "json" if labels is None else "label" if labels else _kind(base)
    return Codec(kind, base, adapter, constrained, *_tables(labels), schema)


def unwrapped(annotation: Any) -> tuple[Any, bool]:
    """Return a type without `Annotated`, `NewType` and aliases, and whether it had constraints."""
    constrained = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, constrained = get_args(annotation)[0], True
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation, constrained


def _kind(base: Any) -> Kind:
    if base is str:
        return "text"
    if base is int:
        return "int"
    if base is float:
        return "float"
    if isinstance(base, type):
        if base in _SCALARS:
            return "scalar"
        if issubclass(base, TEXT_TYPES):
            return "wrapped"
    return "json"


def _labels(base: Any) -> list[tuple[Any, Any]] | None:
    """Return (JSON value, typed value) of a closed set, none for another type.

    `None` is a closed set that plain text cannot carry: a label that is not one line, or two that look alike.
    """
    if base is bool:
        return [(True, True), (False, False)]
    if get_origin(base) is Literal:
        pairs = [(arg.value if isinstance(arg, Enum) else arg, arg) for arg in _choices(base)]
    elif isinstance(base, type) and issubclass(base, Enum):
        pairs = [(member.value, member) for member in base]
        if not pairs:
            return None
    else:
        return []
    texts = [_label_text(value) for value, _ in pairs]
    return pairs if None not in texts and len(set(texts)) == len(texts) else None


def _choices(literal: Any) -> list[Any]:
    """Return the values of a Literal, nested ones joined, each once."""
    found: dict[tuple[type, Any], Any] = {}
    for arg in get_args(literal):
        inner = unwrapped(arg)[0]
        values = _choices(inner) if get_origin(inner) is Literal else [arg]
        for value in values:
            found.setdefault((type(value), value), value)
    return list(found.values())


def _label_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if not isinstance(value, str) or value != value.strip() or len(value.splitlines()) != 1:
        return None
    return str.__str__(value) if _is_encodable(value) else None


def _tables(labels: list[tuple[Any, Any]] | None) -> tuple[Mapping[Any, Any], ...]:
    if not labels:
        return _NO_LABELS, _NO_LABELS, _NO_LABELS
    texts = {str(_label_text(value)): typed for value, typed in labels}
    folded: dict[str, Any] = {}
    doubled: set[str] = set()
    for text, typed in texts.items():
        key = text.casefold()
        if key in folded:
            doubled.add(key)
        folded[key] = typed
    for key in doubled:
        del folded[key]
    values = {(type(value), value): typed for value, typed in labels}
    return MappingProxyType(texts), MappingProxyType(folded), MappingProxyType(values)


def encodable(text: str) -> str:
    """Return `text`.

    Raises:
        InvalidError: it holds half of a surrogate pair, which no file and no request can carry.
    """
    if not _is_encodable(text):
        raise InvalidError("holds half of a surrogate pair")
    return text


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise InvalidError("must be an integer")
    return int(text)


def _number(text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise InvalidError("must be a number")
    return _real(float(text))


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    raise InvalidError(f"must be an integer, not {_json_kind(value)}")


def _real(value: Any) -> float:
    if type(value) not in (int, float):
        raise InvalidError(f"must be a number, not {_json_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidError("must be a finite number")
    return number


def _json_kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", bool: "a truth value", type(None): "null"}
    names |= {str: "text", int: "an integer", float: "a fraction"}
    return names.get(type(value), f"a {type(value).__name__}")


def _thawed(value: Any) -> Any:
    """Return read-only mappings as dicts, which pydantic models read."""
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_thawed, value))
    return value


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        lines = str(error).strip().splitlines()
        return (lines[0] if lines else type(error).__name__).rstrip(".")
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"])
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return shown_text(f"{where}: {first['msg']}{more}" if where else f"{first['msg']}{more}")


def shown_text(text: str) -> str:
    """Return `text` cut to a length that fits a message."""
    return text if len(text) <= 300 else f"{text[:299]}…"


_ = shown
