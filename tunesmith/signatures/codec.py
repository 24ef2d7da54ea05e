"""The codec of one field: write its values as text and JSON, and read them back."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum, Flag
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from tunesmith.errors import SignatureError
from tunesmith.lazy import lazy_module
from tunesmith.signatures.atoms import (
    SCALARS,
    InvalidError,
    encodable,
    json_kind,
    read_integer,
    read_number,
    real,
    reason,
    whole,
)
from tunesmith.signatures.choices import NO_CHOICES, Choices, closed_set, unwrapped
from tunesmith.signatures.jsonable import confuses_types, to_json_value
from tunesmith.signatures.per_type import per_type
from tunesmith.signatures.signature import (
    TEXT_TYPES,
    Signature,
    checked,
    field_type,
    is_untyped,
    type_text,
)

if TYPE_CHECKING:
    from tunesmith.signatures import bounds, schema
    from tunesmith.signatures.bounds import Filled, Node
else:
    bounds = lazy_module("tunesmith.signatures.bounds")  # texts and labels need neither bounds nor a schema
    schema = lazy_module("tunesmith.signatures.schema")

__all__ = ["Codec", "codec_of"]

Kind = Literal["text", "int", "float", "label", "scalar", "wrapped", "json", "any"]


class Codec(NamedTuple):
    """Converts one field between typed values, text and JSON.

    Attributes:
        kind: `text` (str), `int`, `float`, `label` (a closed set), `scalar` (dates, UUID, Decimal), `wrapped`
            (dspy's text types), `json` (all others), `any` (an input without a declared type).
        base: the type without its constraints.
        adapter: pydantic's validator of the type with its constraints.
        constrained: whether the type has constraints, so that a value of the base type may still be invalid.
        choices: the labels; empty for other kinds.
        make_schema: returns `schema`, made when it is first asked for: most inputs need none.
    """

    kind: Kind
    base: Any
    adapter: TypeAdapter[Any]
    constrained: bool
    choices: Choices
    make_schema: "Callable[[], Node | None]"

    @property
    def schema(self) -> "Node | None":
        """The safe schema with marks on our own bounds; `None` for a type that has none."""
        return self.make_schema()

    def from_text(self, text: str) -> Any:
        """Return the typed value of a plain text without outer white space, for kinds other than `json`.

        Raises:
            InvalidError: the text is not a value of the type.
        """
        match self.kind:
            case "label":
                value = self._label(text)
            case "int":
                value = read_integer(text)
            case "float":
                value = read_number(text)
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
            InvalidError: the value is not of the type.
        """
        kind = self.kind
        if kind == "json":
            return self._structure(value)
        if kind == "label" and not isinstance(value, str):
            typed = self._member(value)
        elif kind == "any":
            return value
        elif isinstance(value, str):
            # Text stays unchanged; a number or date in quotes is read without them.
            return self.from_text(value if kind in ("text", "wrapped") else value.strip())
        elif kind == "int":
            typed = whole(value)
        elif kind == "float":
            typed = real(value)
        elif kind == "scalar":
            return self._scalar(value)
        else:
            raise InvalidError(f"must be text, not {json_kind(value)}")
        return self.validated(typed) if self.constrained else typed

    def from_python(self, value: Any) -> Any:
        """Return the typed value of a Python value: a value of the type, or its JSON form.

        Raises:
            InvalidError: the value is neither.
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
        """Return `value` as pydantic validates it.

        Raises:
            InvalidError: pydantic, or a user's validator, rejects it.
        """
        try:
            return self.adapter.validate_python(value)
        # A user's validator may raise anything; each means that the value is invalid.
        except Exception as error:
            raise InvalidError(reason(error)) from error

    def filled(self, value: Any) -> "Filled":
        """Return whether a JSON value is exactly as long as one of our own bounds, so that it was probably cut."""
        return bounds.Filled.NO if self.schema is None else bounds.filled(self.schema, value)

    def _label(self, text: str) -> Any:
        value = self.choices.texts.get(text)
        if value is None:
            value = self.choices.folded.get(text.casefold())
        if value is None:
            raise InvalidError(self._one_of())
        return value

    def _member(self, value: Any) -> Any:
        try:
            return self.choices.values[type(value), value]
        except (KeyError, TypeError):
            raise InvalidError(self._one_of()) from None

    def _choice(self, value: Any) -> Any:
        if isinstance(self.base, type) and issubclass(self.base, Enum):
            member = value if isinstance(value, self.base) else None
        else:
            member = value if isinstance(value, Enum) else None
        if member is not None:
            # A Literal of members and an Enum both hold the members themselves.
            if not any(member is allowed for allowed in self.choices.texts.values()):
                raise InvalidError(self._one_of(member))
            typed = member
        elif type(value) is str and value in self.choices.texts:
            typed = self.choices.texts[value]
        else:
            typed = self._member(value)
        return self.validated(typed) if self.constrained else typed

    def _one_of(self, value: Any = None) -> str:
        if isinstance(value, Flag):
            return "is a combination of flags, and a label is one flag. Declare a list of an Enum or a Literal"
        names = list(self.choices.texts)
        listed = ", ".join(repr(name) for name in names[:12])
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        return f"must be one of {listed}{more}"

    def _scalar(self, value: Any) -> Any:
        if isinstance(value, str):
            if SCALARS[self.base].fullmatch(value) is None:
                raise InvalidError(f"must be a {self.base.__name__}")
        elif self.base is not Decimal or isinstance(value, bool):
            raise InvalidError(f"must be a {self.base.__name__} as text, not {json_kind(value)}")
        return self.validated(value)

    def _structure(self, value: Any) -> Any:
        try:
            text = json.dumps(value, allow_nan=False, default=float)  # pydantic reads a JSON number as a float
            return self._from_json_text(text, value)
        except (RecursionError, TypeError, ValueError, OverflowError) as error:
            raise InvalidError(f"cannot be read as JSON ({reason(error)})") from error

    def _from_json_text(self, text: str, value: Any) -> Any:
        adapter = self.adapter
        try:
            typed = adapter.validate_json(text, strict=True)
            doubtful = "true" in text or "false" in text
        except Exception:  # noqa: BLE001 - the lax validation decides
            try:
                typed, doubtful = adapter.validate_json(text), True
            # A user's validator may raise anything; each means that the value is invalid.
            except Exception as error:
                raise InvalidError(reason(error)) from error
        if doubtful and confuses_types(value, to_json_value(typed)):
            raise InvalidError("confuses a boolean with a number, or a number with a text")
        return typed

    def _python(self, value: Any) -> Any:
        plain = _thawed(value)
        try:
            return self.adapter.validate_python(plain, strict=True)
        except Exception:  # noqa: BLE001 - the lax validation decides
            typed = self.validated(plain)
        try:
            if confuses_types(to_json_value(plain), to_json_value(typed)):
                raise InvalidError("confuses a boolean with a number, or a number with a text")
        except (RecursionError, TypeError, ValueError, OverflowError) as error:
            raise InvalidError(f"cannot be written as JSON ({reason(error)})") from error
        return typed


_CODECS: "WeakKeyDictionary[type[Signature], dict[str, Codec]]" = WeakKeyDictionary()


def codec_of(signature: type[Signature], name: str) -> Codec:
    """Return the codec of a field, cached per signature class.

    Raises:
        SignatureError: the signature lacks the field, or pydantic cannot validate its type.
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
        codec = _of_type(annotation)
    # pydantic raises several types of error here, and a user's type may run code.
    except Exception as error:
        raise SignatureError(
            f"Field `{name}` of type `{type_text(annotation)}` cannot be validated: "
            f"{reason(error)}. Use a plain type, a Literal, an Enum or a pydantic model."
        ) from error
    return codec._replace(kind="any") if untyped and is_untyped(info) else codec


@per_type
def _of_type(annotation: Any) -> Codec:
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    base, constrained = unwrapped(annotation)
    choices = closed_set(base)
    if choices is None:
        kind: Kind = "json"
    else:
        kind = "label" if choices.texts else _kind(base)
    return Codec(kind, base, adapter, constrained, choices or NO_CHOICES, cache(partial(_schema, annotation)))


def _schema(annotation: Any) -> "Node | None":
    try:
        return schema.type_schema(annotation).marked
    except bounds.UnsupportedError:
        return None


def _kind(base: Any) -> Kind:
    if base is str:
        return "text"
    if base is int:
        return "int"
    if base is float:
        return "float"
    if isinstance(base, type):
        if base in SCALARS:
            return "scalar"
        if issubclass(base, TEXT_TYPES):
            return "wrapped"
    return "json"


def _thawed(value: Any) -> Any:
    """Return read-only mappings as dicts, which pydantic models need."""
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_thawed, value))
    return value
