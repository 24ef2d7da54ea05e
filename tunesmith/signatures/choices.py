"""Closed sets: the labels of a Literal, an Enum or a bool, and their texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin

from tunesmith.signatures.atoms import is_encodable

__all__ = ["NO_CHOICES", "Choices", "closed_set", "unwrapped"]


@dataclass(frozen=True, slots=True)
class Choices:
    """A closed set of values, each with one line of text.

    Attributes:
        texts: the typed value of each text, in order.
        folded: the same for case-folded texts that are unambiguous.
        values: the typed value of each JSON value; the key is its type and the value.
    """

    texts: Mapping[str, Any]
    folded: Mapping[str, Any]
    values: Mapping[tuple[type, Any], Any]


NO_CHOICES = Choices(MappingProxyType({}), MappingProxyType({}), MappingProxyType({}))


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


def closed_set(base: Any) -> Choices | None:
    """Return the choices of a type, or `NO_CHOICES` if it is not a closed set.

    `None` means a closed set that plain text cannot express: a label is not one line of text (`None`, a
    fraction, several lines, outer white space), or two labels have the same text.
    """
    if base is bool:
        return _tables([(True, True), (False, False)])
    if get_origin(base) is Literal:
        pairs = [(arg.value if isinstance(arg, Enum) else arg, arg) for arg in _choices(base)]
    elif isinstance(base, type) and issubclass(base, Enum):
        pairs = [(member.value, member) for member in base]
    else:
        return NO_CHOICES
    texts = [_label_text(value) for value, _ in pairs]
    plain = pairs and None not in texts and len(set(texts)) == len(texts)
    return _tables(pairs) if plain else None


def _choices(literal: Any) -> list[Any]:
    """Return the distinct values of a Literal, with nested Literals flattened."""
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
    return str.__str__(value) if is_encodable(value) else None


def _tables(labels: list[tuple[Any, Any]]) -> Choices:
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
    return Choices(MappingProxyType(texts), MappingProxyType(folded), MappingProxyType(values))
