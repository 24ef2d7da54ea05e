"""The fields of nested types in words, for prompts: a model that is shown `list[Item]` alone has to guess them."""

import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, TypeAdapter
from typing_extensions import is_typeddict

from tunesmith.signatures.per_type import per_type
from tunesmith.signatures.signature import DSPY_TYPES, Signature, output_types

__all__ = ["shape_lines", "shape_words"]

_WORDS = {"string": "text", "integer": "int", "number": "float", "boolean": "bool"}
_LIMITS = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "minItems", "maxItems", "pattern"),
)


class _Shape(NamedTuple):
    """A type in words, and a line for each class with fields that it holds; no line for a type without one."""

    words: str
    lines: tuple[str, ...]


def shape_words(signature: type[Signature], name: str) -> str | None:
    """Return the type of an output that holds a class with fields, such as `list[Item]`; `None` for any other type."""
    found = _shape(output_types(signature)[name])
    return found.words if found.lines else None


def shape_lines(signature: type[Signature]) -> list[str]:
    """Return a line for each class with fields that the outputs hold, such as `Item is {"name": <text>}`.

    Keys, types, limits and descriptions are those of pydantic's JSON Schema, as in DSPy's chat format, which sends the
    schema itself.
    """
    lines = [line for kind in output_types(signature).values() for line in _shape(kind).lines]
    return list(dict.fromkeys(lines))


@per_type
def _shape(annotation: Any) -> _Shape:
    if not _has_fields(annotation):
        return _Shape("", ())
    try:
        schema = TypeAdapter(annotation).json_schema()
    except Exception:  # noqa: BLE001 - a user's type may raise anything; it is checked elsewhere
        return _Shape("", ())
    return _Words(schema).shape()


def _has_fields(annotation: Any) -> bool:
    if not isinstance(annotation, type) or get_args(annotation):
        return any(map(_has_fields, get_args(annotation)))
    own = issubclass(annotation, BaseModel) and not issubclass(annotation, DSPY_TYPES)
    return own or is_dataclass(annotation) or is_typeddict(annotation)


class _Words:
    """Writes a JSON Schema in words."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._known: Mapping[str, Any] = schema.get("$defs", {})
        titles = [node.get("title") for node in self._known.values()]
        self._names = {
            key: title if (title := node.get("title")) and titles.count(title) == 1 else key
            for key, node in self._known.items()
        }
        self._root = schema
        self._told: dict[str, Mapping[str, Any]] = {}  # classes by name, in the order in which they are named

    def shape(self) -> _Shape:
        if "properties" in self._root:
            words = str(self._root.get("title", "object"))
            self._told[words] = self._root
        else:
            words = self._kind(self._root)
        lines: list[str] = []
        while len(lines) < len(self._told):  # a line may name further classes
            lines.append(self._line(*list(self._told.items())[len(lines)]))
        return _Shape(words, tuple(lines))

    def _line(self, name: str, node: Mapping[str, Any]) -> str:
        fields = ", ".join(
            f"{json.dumps(key, ensure_ascii=False)}: <{self._kind(one)}{_about(one, ': {}')}>"
            for key, one in node["properties"].items()
        )
        return f"{name} is {{{fields}}}{_about(node, ' ({})')}"

    def _kind(self, node: Mapping[str, Any]) -> str:
        if "$ref" in node:
            return self._named(str(node["$ref"]).rpartition("/")[2])
        choices = node.get("enum", [node["const"]] if "const" in node else None)
        if choices is not None:
            texts = [json.dumps(choice, ensure_ascii=False) for choice in choices]
            return texts[0] if len(texts) == 1 else f"one of {', '.join(texts)}"
        either = node.get("anyOf", node.get("oneOf"))
        if either is not None:
            return " or ".join(dict.fromkeys(map(self._kind, either)))
        limits = [f"{name} {node[name]}" for name in _LIMITS if name in node]
        return ", ".join([self._plain(node), *limits])

    def _named(self, key: str) -> str:
        node = self._known[key]
        if "properties" not in node:
            return self._kind(node)
        self._told.setdefault(self._names[key], node)
        return self._names[key]

    def _plain(self, node: Mapping[str, Any]) -> str:
        kind = node.get("type")
        if kind == "array":
            inside = node.get("prefixItems") or ([node["items"]] if isinstance(node.get("items"), Mapping) else [])
            return f"list[{', '.join(map(self._kind, inside))}]" if inside else "list"
        if kind == "object":
            values = node.get("additionalProperties")
            return f"dict[str, {self._kind(values)}]" if isinstance(values, Mapping) else "object"
        return str(node.get("format") or _WORDS.get(str(kind), kind or "any JSON"))


def _about(node: Mapping[str, Any], form: str) -> str:
    """Return the description of a node in `form`, empty without one."""
    text = " ".join(str(node.get("description", "")).split())
    return form.format(text) if text else ""
