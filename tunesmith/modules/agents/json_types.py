"""Python types from a JSON Schema, for the arguments of a tool that another program describes."""

import functools
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field

from tunesmith.modules.agents.tool import arguments_type, typed_dict

__all__ = ["arguments_of_schema"]

_SCALARS: Mapping[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "null": type(None)}
_DEEPEST = 8


def arguments_of_schema(schema: Mapping[str, Any]) -> Any:
    """Return a `TypedDict` of the arguments that a schema of an object describes.

    Types, choices, lists, objects, unions and references become types. What else the schema demands is left to the
    program that wrote it.
    """
    definitions = {f"#/{key}/{name}": one for key in ("$defs", "definitions") for name, one in _object(schema, key)}
    types = {name: _described(one, definitions, 0) for name, one in _object(schema, "properties")}
    return arguments_type(types, _needed(schema))


def _described(schema: Any, definitions: Mapping[str, Any], depth: int) -> Any:
    kind = _type(schema, definitions, depth)
    text = schema.get("description") if isinstance(schema, Mapping) else None
    return Annotated[kind, Field(description=text)] if isinstance(text, str) else kind


def _type(schema: Any, definitions: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return Any
    for read in (_referred, _chosen, _united):
        found = read(schema, definitions, depth + 1)
        if found is not None:
            return found
    match schema.get("type"):
        case "array":
            return list[_type(schema.get("items"), definitions, depth + 1)]  # type: ignore[misc]
        case "object":
            return _mapping(schema, definitions, depth + 1)
        case kind:
            return _SCALARS.get(kind, Any) if isinstance(kind, str) else Any


def _referred(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Any:
    return _type(definitions.get(str(schema["$ref"])), definitions, depth) if "$ref" in schema else None


def _chosen(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Any:
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if not isinstance(choices, list) or not choices:
        return None
    simple = all(isinstance(one, str | int | None) for one in choices)
    return Literal[tuple(choices)] if simple else Any


def _united(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Any:
    options = schema.get("anyOf", schema.get("oneOf", schema.get("allOf")))
    if isinstance(schema.get("type"), list):
        options = [{**schema, "type": one} for one in schema["type"]]
    if not isinstance(options, list) or not options:
        return None
    if "allOf" in schema and len(options) > 1:
        return Any
    kinds = [_type(one, definitions, depth) for one in options]
    return Any if Any in kinds else functools.reduce(operator.or_, kinds)


def _mapping(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Any:
    needed = _needed(schema)
    types = {name: _described(one, definitions, depth) for name, one in _object(schema, "properties")}
    if not types:
        return dict[str, _type(schema.get("additionalProperties"), definitions, depth)]  # type: ignore[misc]
    absent: Any = NotRequired
    fields = {name: kind if name in needed else absent[kind] for name, kind in types.items()}
    made = typed_dict(str(schema.get("title", "object")), fields)
    made.__pydantic_config__ = ConfigDict(
        extra="forbid" if schema.get("additionalProperties") is False else "allow", coerce_numbers_to_str=True
    )
    return made


def _needed(schema: Mapping[str, Any]) -> set[str]:
    needed = schema.get("required")
    return set(map(str, needed)) if isinstance(needed, list) else set()


def _object(schema: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    inside = schema.get(key)
    return list(inside.items()) if isinstance(inside, Mapping) else []
