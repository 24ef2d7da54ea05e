"""Closed sets: the labels of a Literal, an Enum or a bool, and their texts."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from tunesmith.signatures.atoms import is_encodable

__all__ = ["NO_CHOICES", "Choices", "by_text", "closed_set", "label_text", "resolved", "unwrapped"]


class Choices(NamedTuple):
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
    annotation, constrained = resolved(annotation), False
    while get_origin(annotation) is Annotated:
        annotation, constrained = resolved(get_args(annotation)[0]), True
    return annotation, constrained


def resolved(annotation: Any) -> Any:
    """Return the type behind a `NewType` or a type alias, and any other type unchanged."""
    while hasattr(annotation, "__supertype__") or type(annotation).__name__ == "TypeAliasType":
        annotation = annotation.__supertype__ if hasattr(annotation, "__supertype__") else annotation.__value__
    return annotation


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
    texts = [_line(value) for value, _ in pairs]
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


def label_text(value: Any) -> str | None:
    """Return the text that names a label, or `None` for a value that no text names."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    if isinstance(value, str):
        return str.__str__(value)
    return str(value) if isinstance(value, (float, Decimal)) else None


def by_text(named: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the label of each text, without the texts that name two labels."""
    found: dict[str, list[Any]] = {}
    for text, label in named:
        known = found.setdefault(text, [])
        if not any(label is one for one in known):
            known.append(label)
    return {text: known[0] for text, known in found.items() if len(known) == 1}


def _line(value: Any) -> str | None:
    """Return the text of a label if it is one line that nothing is stripped from."""
    text = label_text(value) if isinstance(value, (int, str)) else None
    if text is None or text != text.strip() or len(text.splitlines()) != 1 or not is_encodable(text):
        return None
    return text


def _tables(labels: list[tuple[Any, Any]]) -> Choices:
    texts = {str(_line(value)): typed for value, typed in labels}
    folded = by_text((text.casefold(), typed) for text, typed in texts.items())
    values = {(type(value), value): typed for value, typed in labels}
    return Choices(MappingProxyType(texts), MappingProxyType(folded), MappingProxyType(values))
