"""The door to dspy's signatures: names, types and fingerprints of their fields."""

import hashlib
import json
import re
import types
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin
from weakref import WeakKeyDictionary

import dspy.adapters.types as dspy_types
from annotated_types import BaseMetadata
from dspy import Example, InputField, OutputField, Prediction, Signature
from dspy.adapters.types.decision import Choice, Noul, Score
from dspy.signatures.signature import make_signature
from dspy.utils.constants import IS_TYPE_UNDEFINED
from pydantic import Field, TypeAdapter
from pydantic.fields import FieldInfo

from tunesmith.errors import SignatureError, shown
from tunesmith.signatures.per_type import per_type

__all__ = [
    "DSPY_TYPES",
    "NAMED_TYPES",
    "TEXT_TYPES",
    "Example",
    "InputField",
    "OutputField",
    "Signature",
    "FieldInfo",
    "FieldNames",
    "check_fields",
    "check_inputs",
    "check_names",
    "checked",
    "describe",
    "field_description",
    "field_names",
    "field_role",
    "field_type",
    "fingerprint",
    "input_types",
    "is_generated",
    "is_untyped",
    "output_types",
    "type_text",
]

# dspy types that hold plain text, and all dspy types: media, tools, histories and decisions, which
# dspy's own adapters turn into message parts.
TEXT_TYPES: tuple[type, ...] = (dspy_types.Reasoning, dspy_types.Code)
DECISION_TYPES: tuple[type, ...] = (Noul, Choice, Score)
DSPY_TYPES: tuple[type, ...] = (
    dspy_types.Type,
    dspy_types.History,
    dspy_types.ToolCallResults,
)
NAMED_TYPES: tuple[type, ...] = (dspy_types.Audio, dspy_types.File, dspy_types.History, dspy_types.Image)
"""The types of dspy that a signature of an artifact may name."""


# Names that a predictor's call or an example's constructor uses itself.
_CALL_NAMES = frozenset(
    {"base", "completions", "config", "demos", "instance", "lm", "new_signature", "self", "signature"}
)
# Names of methods of predictions and examples: reading such an output would give the method.
_METHODS = frozenset(name for name in dir(Prediction) if not name.startswith("_"))
# Names of attributes of a signature class.
_OF_THE_CLASS = frozenset(name for name, value in vars(type(Signature)).items() if isinstance(value, property))


def check_names(title: str, roles: Mapping[str, str]) -> None:
    """Check that DSPy does not use the names of the fields itself.

    Args:
        title: the signature's name, for the message.
        roles: `input` or `output` by name.

    Raises:
        SignatureError: DSPy uses a name itself.
    """
    for name, role in roles.items():
        taken = _OF_THE_CLASS | (_CALL_NAMES if role == "input" else _METHODS | {"base", "self"})
        if name in taken or (name.startswith("model_") and hasattr(Signature, name)):
            raise _taken(title, name, role)


def _taken(title: str, name: str, role: str) -> SignatureError:
    return SignatureError(
        f"`{title}`: an {role} cannot be named `{name}`, because DSPy uses that name itself. Choose another, such "
        f"as `the_{name}`."
    )


def check_fields(signature: type[Signature]) -> None:
    """Check the names of a signature's fields; see `check_names`."""
    check_names(checked(signature).__name__, {name: field_role(info) for name, info in signature.fields.items()})


def check_inputs(signature: type[Signature]) -> None:
    """Check the names of the inputs only: a DSPy program may read an output as `prediction["items"]`."""
    check_names(checked(signature).__name__, dict.fromkeys(signature.input_fields, "input"))


def checked(signature: object) -> type[Signature]:
    """Return `signature` if it is a signature class.

    Raises:
        SignatureError: it is not one.
    """
    if isinstance(signature, type) and issubclass(signature, Signature):
        return signature
    raise SignatureError(
        f"This is not a signature: {shown(signature)}. Give a subclass of `dspy.Signature`, "
        "such as `dspy.Signature('question -> answer')`."
    )


def is_generated(signature: type[Signature], instruction: str) -> bool:
    """Return whether DSPy wrote an instruction, as it does for a signature without one: it says no more than names.

    A module may have added fields after DSPy wrote it, so it need not name all of them.
    """
    fields: Mapping[str, FieldInfo] = checked(signature).fields
    named = [name for name in re.findall(r"`(\w+)`", instruction) if name in fields]
    if not named or not instruction.startswith("Given"):
        return False
    marks: dict[str, Any] = {"input": InputField, "output": OutputField}
    generated = make_signature({name: (str, marks[field_role(fields[name])]()) for name in named}, None)
    return bool(generated.instructions == instruction)


class FieldNames(NamedTuple):
    """The names of a signature's fields, in order.

    Attributes:
        inputs, outputs: of each side.
        given: the inputs as a set.
        plain: whether every input is text and no output is a decision, which needs DSPy's own code.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    given: frozenset[str]
    plain: bool


_NAMES: "WeakKeyDictionary[type[Signature], FieldNames]" = WeakKeyDictionary()


def field_names(signature: type[Signature]) -> FieldNames:
    """Return the names of the fields, cached per signature class, since DSPy collects them on every access.

    Raises:
        SignatureError: `signature` is not a signature class.
    """
    try:
        return _NAMES[signature]
    except (KeyError, TypeError):
        inputs, outputs = checked(signature).input_fields, signature.output_fields
    texts = all(info.annotation is str for info in inputs.values())
    free = not any(name in _CALL_NAMES or name in ("prediction", "_trace") for name in inputs)
    own = any(_is_decision(mark) for info in outputs.values() for mark in (info.annotation, *info.metadata))
    names = tuple(inputs)
    found = _NAMES[signature] = FieldNames(names, tuple(outputs), frozenset(names), texts and free and not own)
    return found


def _is_decision(annotation: Any) -> bool:
    """Return whether a type is or contains one of DSPy's decisions."""
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, DECISION_TYPES):
        return True
    return any(map(_is_decision, get_args(annotation)))


def input_types(signature: type[Signature]) -> dict[str, Any]:
    """Return the type of each input field by name, in order, like `output_types` for outputs."""
    fields: Mapping[str, FieldInfo] = checked(signature).input_fields
    return {name: field_type(info) for name, info in fields.items()}


def output_types(signature: type[Signature]) -> dict[str, Any]:
    """Return the type of each output field by name, in order.

    The type of a field with constraints (`ge`, `max_length`, `pattern`, ...) is `Annotated[type, *constraints]`.
    """
    fields: Mapping[str, FieldInfo] = checked(signature).output_fields
    return {name: field_type(info) for name, info in fields.items()}


def field_type(info: FieldInfo) -> Any:
    """Return the annotation of one field with its constraints."""
    metadata = list(info.metadata)
    if info.discriminator is not None:
        metadata.append(Field(discriminator=info.discriminator))
    return Annotated[info.annotation, *metadata] if metadata else info.annotation


def is_untyped(info: FieldInfo) -> bool:
    """Return whether a field was declared without a type; dspy makes it `str` and accepts any input for it."""
    extra = info.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get(IS_TYPE_UNDEFINED))


def field_description(info: FieldInfo) -> str | None:
    """Return the user's description of a field, or `None`.

    dspy fills a missing description with `${name}`, which counts as absent.
    """
    extra = info.json_schema_extra
    desc = extra.get("desc") if isinstance(extra, dict) else None
    if not isinstance(desc, str):
        desc = info.description
    if desc is None or not desc.strip() or (desc.startswith("${") and desc.endswith("}")):
        return None
    return desc


def describe(signature: type[Signature]) -> dict[str, Any]:
    """Return name, instructions and fields (name, role, type, desc) as JSON-able values."""
    fields = [
        {
            "name": name,
            "role": field_role(info),
            "type": type_text(field_type(info)),
            "desc": field_description(info),
        }
        for name, info in checked(signature).fields.items()
    ]
    return {"name": signature.__name__, "instructions": signature.instructions, "fields": fields}


def fingerprint(signature: type[Signature]) -> str:
    """Return the identity of a signature's fields as 64 hexadecimal digits.

    It is the sha256 of the canonical JSON of the fields in order: names, roles, types (as JSON Schema)
    and descriptions. The instruction is not included, because a compiler may change it.
    """
    fields = [
        [name, field_role(info), _type_identity(field_type(info)), field_description(info)]
        for name, info in checked(signature).fields.items()
    ]
    text = json.dumps(fields, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def type_text(annotation: Any) -> str:
    """Return a type as Python source, the same in every process."""
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "..."
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *metadata = args
        limits = ", ".join(text for item in metadata for text in _limits(item))
        return f"{type_text(inner)} ({limits})" if limits else type_text(inner)
    if origin is Literal:
        return f"Literal[{', '.join(_literal_text(arg) for arg in args)}]"
    if origin is Union or origin is types.UnionType:
        return " | ".join(type_text(arg) for arg in args)
    if origin is not None and args:
        inside = ", ".join(type_text(arg) for arg in args if not isinstance(arg, list))
        return f"{type_text(origin)}[{inside}]"
    name = getattr(annotation, "__name__", None)
    return name if isinstance(name, str) else str(annotation)


def field_role(info: FieldInfo) -> str:
    """Return `input` or `output`."""
    extra = info.json_schema_extra
    role = extra.get("__dspy_field_type") if isinstance(extra, dict) else None
    return "input" if role == "input" else "output"


def _limits(item: Any) -> list[str]:
    """Return `name=value` for each constraint in one piece of metadata; a validator gives none."""
    if isinstance(item, FieldInfo):
        return [text for inner in item.metadata for text in _limits(inner)]
    if not isinstance(item, BaseMetadata) and type(item).__name__ != "_PydanticGeneralMetadata":
        return []
    names = getattr(item, "__slots__", None) or vars(item)
    pairs = {name: getattr(item, name, None) for name in names if not name.startswith("_")}
    if not pairs:
        pairs = dict(vars(item)) if hasattr(item, "__dict__") else {}
    return [f"{name}={value!r}" for name, value in pairs.items() if isinstance(value, (bool, int, float, str))]


def _literal_text(value: object) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, Enum) else repr(value)


# What pydantic says of these. Every load compares identities, and it takes half a millisecond to ask for the first one.
_PLAIN: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


@per_type
def _type_identity(annotation: Any) -> Any:
    plain = next((name for kind, name in _PLAIN.items() if annotation is kind), None)
    if plain is not None:
        return {"type": plain}
    try:
        return _without_titles(TypeAdapter(annotation).json_schema())
    # An input may be of any class (a retriever, a tool), with its own schema code or none, so the name
    # stands for the type.
    except Exception:  # noqa: BLE001
        return type_text(annotation)


def _without_titles(schema: Any) -> Any:
    # A title repeats a class name, which does not change the fields.
    if isinstance(schema, dict):
        return {
            key: _without_titles(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_without_titles(item) for item in schema] if isinstance(schema, list) else schema
