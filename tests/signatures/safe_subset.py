"""A second opinion on what may be sent: the JSON Schemas that no known server is harmed by.

It is written apart from the code that makes schemas and shares no number with it, so that one mistake does not pass
both. What each server does with the rest (crash, refuse, ignore, never end) was measured.
"""

import re
from typing import Any

_MOST_CHARACTERS = 1000
_MOST_DECLARED = 4000
_MOST_ITEMS = 500
_MOST_LABELS = 200
_MOST_NODES = 3000
_DEEPEST = 60
_MOST_INTEGER = 10**15

_KEYS = {
    "string": {"minLength", "maxLength"},
    "integer": {"minimum", "maximum"},
    "number": set(),
    "boolean": set(),
    "null": set(),
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties"},
}
_FORMATS = {"date", "date-time", "time", "uuid"}
_PLAIN = r"[A-Za-z0-9 _,:;/@#%&=~!<>'`-]"
_CLASS = r"\[(?!\])(?:[A-Z]-[A-Z]|[a-z]-[a-z]|[0-9]-[0-9]|[A-Za-z0-9 _,:;/@#%&=~!<>'`.$(){}*+?|])*-?\]"
_PATTERN = re.compile(rf"\^(?:{_PLAIN}|{_CLASS}(?:\?|\{{(?:[0-9]{{1,2}}|100)(?:,(?:[0-9]{{1,2}}|100))?\}})?)*\$")


def is_safe(schema: Any) -> bool:
    """Return whether `schema` may be sent to an engine.

    That is: only keywords that engines enforce or ignore without harm, no reference, every string and
    array bounded (at most 4,000 characters and 500 items), at most 200 labels in an enum, and a pattern only
    if it is anchored and made of literals, plain classes and bounded counts.
    """
    budget = [_MOST_NODES]
    try:
        return _node(schema, budget, 0)
    except (TypeError, ValueError, RecursionError):
        return False


def _node(schema: Any, budget: list[int], depth: int) -> bool:
    budget[0] -= 1
    if not isinstance(schema, dict) or not schema or budget[0] < 0 or depth > _DEEPEST:
        return False
    if "anyOf" in schema:
        options = schema["anyOf"]
        return (
            set(schema) == {"anyOf"}
            and isinstance(options, list)
            and len(options) > 0
            and all(_node(option, budget, depth + 1) for option in options)
        )
    if "enum" in schema or "const" in schema:
        return _labelled(schema)
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in _KEYS:
        return False
    given = set(schema) - {"type"}
    if kind == "string" and given & {"format", "pattern"}:
        return _shaped_string(schema, given)
    return given <= _KEYS[kind] and _within(kind, schema, budget, depth)


def _within(kind: str, schema: dict[str, Any], budget: list[int], depth: int) -> bool:
    match kind:
        case "string":
            return _bounded(schema, "minLength", "maxLength", _MOST_DECLARED)
        case "integer":
            return _integer(schema)
        case "array":
            return _array(schema, budget, depth)
        case "object":
            return _object(schema, budget, depth)
    return True


def _labelled(schema: dict[str, Any]) -> bool:
    if "enum" in schema:
        return set(schema) <= {"enum", "type"} and _labels(schema["enum"])
    return set(schema) <= {"const", "type"} and _labels([schema["const"]])


def _labels(labels: Any) -> bool:
    return (
        isinstance(labels, list)
        and 0 < len(labels) <= _MOST_LABELS
        and all(label is None or isinstance(label, (str, int, float)) for label in labels)
        and all(not isinstance(label, float) or abs(label) < float("inf") for label in labels)
        and all(not isinstance(label, str) or label.encode() is not None for label in labels)
    )


def _shaped_string(schema: dict[str, Any], given: set[str]) -> bool:
    if given == {"format"}:
        return schema["format"] in _FORMATS
    if given != {"pattern"}:
        return False
    pattern = schema["pattern"]
    if not isinstance(pattern, str) or len(pattern) > 2000 or _PATTERN.fullmatch(pattern) is None or "(?" in pattern:
        return False
    try:
        re.compile(pattern)
    except re.error:  # a range or a count the wrong way round
        return False
    counts = re.findall(r"\{([0-9]+)(?:,([0-9]+))?\}", re.sub(r"\[[^\]]*\]", "x", pattern))
    most = [int(high or low) for low, high in counts]
    return 0 not in most and sum(most) <= _MOST_CHARACTERS


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _bounded(schema: dict[str, Any], least: str, most: str, limit: int) -> bool:
    low, high = schema.get(least, 0), schema.get(most)
    if high is None or not _is_count(low) or not _is_count(high):
        return False
    return bool(low <= high <= limit)


def _integer(schema: dict[str, Any]) -> bool:
    bounds = [schema[key] for key in ("minimum", "maximum") if key in schema]
    if any(isinstance(b, bool) or not isinstance(b, int) or abs(b) > _MOST_INTEGER for b in bounds):
        return False
    return len(bounds) < 2 or bounds[0] <= bounds[1]


def _array(schema: dict[str, Any], budget: list[int], depth: int) -> bool:
    if not _bounded(schema, "minItems", "maxItems", _MOST_ITEMS):
        return False
    if "prefixItems" in schema:
        first = schema["prefixItems"]
        return (
            "items" not in schema
            and isinstance(first, list)
            and len(first) == schema["maxItems"] == schema.get("minItems")
            and all(_node(item, budget, depth + 1) for item in first)
        )
    return _node(schema.get("items"), budget, depth + 1)


def _object(schema: dict[str, Any], budget: list[int], depth: int) -> bool:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    rest = schema.get("additionalProperties")
    return (
        isinstance(properties, dict)
        and all(isinstance(name, str) and name.encode() is not None for name in properties)
        and isinstance(required, list)
        and all(name in properties for name in required)
        and len(set(required)) == len(required)
        and all(_node(value, budget, depth + 1) for value in properties.values())
        and (rest is False or _node(rest, budget, depth + 1))
    )
