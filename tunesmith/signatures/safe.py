"""Select the part of a schema that is safe to send to a server."""

import json
from collections.abc import Callable
from typing import Any

from tunesmith.signatures.bounds import MOST_CHARACTERS, UnsupportedError, without_marks
from tunesmith.signatures.reduce import Reducer
from tunesmith.signatures.scalars import ZONE

__all__ = ["server_schema", "wide_integers"]

_DEEPEST = 120
_WIDEST = 2**63 - 2  # llama.cpp takes one more for "no bound"


def server_schema(schema: Any) -> dict[str, Any] | None:
    """Return the part of `schema` that is safe to send to a server, or `None`.

    A schema is safe only if `Reducer` could have built it. So a schema of a user or of DSPy's adapters is sent only if
    it has no keyword that crashes a server or allows an endless reply.

    A text bound above 1,000 characters is dropped, because one server's runner crashes at 3,000. `max_tokens` ends
    such a text, and its length is checked in the reply.
    """
    return _changed(schema, _without_long_bounds) if _is_reduced(schema) else None


def wide_integers(schema: Any) -> Any:
    """Return a schema in which every integer has both bounds; the default is 64 bits.

    llama.cpp cuts an unbounded integer at 16 digits. Do not send this schema to llama.cpp before October 2025 or to
    other servers, which accept only bounds of 32 bits.
    """
    return _changed(schema, _with_both_bounds)


def _is_reduced(schema: Any) -> bool:
    try:
        plain = _changed(schema, _only_labels)
        again = without_marks(Reducer({}).reduce(_changed(plain, _zoned)))
        return _levels(schema) <= _DEEPEST and _exact(again) == _exact(plain)
    except (UnsupportedError, AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return False  # not a schema


def _exact(schema: Any) -> bytes:
    """Return the JSON of a schema, in which `1` is not `True`."""
    return json.dumps(schema, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _levels(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_levels, inside), default=0)


def _changed(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return a schema with `change` made to each schema inside of it, and then to itself."""
    if isinstance(schema, list):
        return [_changed(one, change) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if _has_labels(schema):
        return change(schema)
    return change(
        {
            key: {name: _changed(inside, change) for name, inside in value.items()}
            if key == "properties" and isinstance(value, dict)  # a property may have the name of a keyword
            else _changed(value, change)
            for key, value in schema.items()
        }
    )


def _has_labels(node: dict[str, Any]) -> bool:
    return "enum" in node or "const" in node


def _only_labels(node: dict[str, Any]) -> dict[str, Any]:
    """Return the one form of a choice: the type of its labels says nothing more."""
    if not _has_labels(node) or node.keys() - {"type"} not in ({"enum"}, {"const"}):
        return node
    return {"enum": node["enum"] if "enum" in node else [node["const"]]}


def _zoned(node: dict[str, Any]) -> dict[str, Any]:
    """Return a time as it was reduced: one without a zone is the other half of an `anyOf`."""
    return {**node, ZONE: "aware"} if "format" in node else node


def _without_long_bounds(node: dict[str, Any]) -> dict[str, Any]:
    if node.get("type") != "string" or node.get("maxLength", 0) <= MOST_CHARACTERS:
        return node
    return {key: value for key, value in node.items() if key != "maxLength"}


def _with_both_bounds(node: dict[str, Any]) -> dict[str, Any]:
    if node.get("type") != "integer" or _has_labels(node):
        return node
    return {**node, "minimum": node.get("minimum", -_WIDEST), "maximum": node.get("maximum", _WIDEST)}
