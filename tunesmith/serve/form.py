"""The fields of a form on a page, made from a type."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

__all__ = ["Field", "form_fields"]


class Field(TypedDict):
    """A field of a form; `kind` is `text`, `date`, `number`, `boolean`, `choice` or `json`."""

    name: str
    description: str
    kind: str
    choices: list[Any]
    required: bool
    nullable: bool


def form_fields(kind: Any) -> list[Field]:
    """Return the fields of a typed dictionary; none if it has no JSON schema."""
    try:
        schema = TypeAdapter(kind).json_schema()
    except Exception:  # noqa: BLE001 - of outputs only: a user's type may have no schema
        return []
    needed = schema.get("required", [])
    found = []
    for name, given in schema.get("properties", {}).items():
        one, nullable = _present(given, schema.get("$defs", {}))
        choices = one.get("enum", [one["const"]] if "const" in one else [])
        found.append(
            Field(
                name=name,
                description=str(given.get("description", one.get("description", ""))),
                kind="choice" if choices else _kind(one),
                choices=list(choices),
                required=name in needed,
                nullable=nullable,
            )
        )
    return found


def _kind(schema: Mapping[str, Any]) -> str:
    if schema.get("format") == "date":
        return "date"
    kinds = {"string": "text", "integer": "number", "number": "number", "boolean": "boolean"}
    return kinds.get(str(schema.get("type")), "json")


def _present(schema: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return the schema of a value that is there, and whether there may be none (null)."""
    kinds = [_resolved(kind, known) for kind in schema.get("anyOf", ())]
    present = [kind for kind in kinds if kind.get("type") != "null"]
    if len(present) == 1 and len(kinds) == 2:
        return present[0], True
    return _resolved(schema, known), False


def _resolved(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema that a reference names."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return known.get(name, schema) if name else schema
