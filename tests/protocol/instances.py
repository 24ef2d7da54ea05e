"""Values that fit a schema: telling them and making them, as far as a server's grammar goes."""

import json
import re
from typing import Any

from tests.protocol.schema import resolved

_FORMATS = {
    "date": ("2026-01-31", r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"),
    "time": ("12:00:00Z", r"([01]\d|2[0-3])(:[0-5]\d){2}(\.\d{3})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"),
    "date-time": ("2026-01-31T12:00:00Z", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:\d\d)"),
    "uuid": ("00000000-0000-4000-8000-000000000000", r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
}


def shaped(text: str, wanted: Any) -> str:
    """Return `text` if it is JSON that fits `wanted`, it as a JSON string where that fits, else an instance."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    else:
        if isinstance(value, dict) if wanted == "json" else fits(value, wanted, wanted):
            return text
    if wanted == "json":
        return json.dumps({"reply": text}, ensure_ascii=False)
    if fits(text, wanted, wanted):
        return json.dumps(text, ensure_ascii=False)
    return json.dumps(instance(wanted, wanted), ensure_ascii=False)


def fits(value: Any, schema: Any, root: Any) -> bool:
    """Return whether the grammar of `schema` allows `value`; what no server enforces is not looked at."""
    if "$ref" in schema:
        return fits(value, resolved(schema["$ref"], root), root)
    for word in ("oneOf", "anyOf"):
        if word in schema:
            return any(fits(value, part, root) for part in schema[word])
    if isinstance(schema.get("type"), list):
        return any(fits(value, {**schema, "type": kind}, root) for kind in schema["type"])
    if "allOf" in schema and not all(fits(value, part, root) for part in schema["allOf"]):
        return False
    if "const" in schema:
        return _same(value, schema["const"])
    if "enum" in schema:
        return any(_same(value, label) for label in schema["enum"])
    if not _is(value, schema.get("type")):
        return False
    if isinstance(value, str):
        return _string_fits(value, schema)
    if isinstance(value, dict):
        return _object_fits(value, schema, root)
    if isinstance(value, list):
        return _array_fits(value, schema, root)
    if schema.get("type") == "integer":
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


def _same(left: Any, right: Any) -> bool:
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _is(value: Any, kind: Any) -> bool:
    if kind in ("integer", "number"):
        right = int if kind == "integer" else (int, float)
        return isinstance(value, right) and not isinstance(value, bool)
    types: dict[Any, type] = {
        "boolean": bool,
        "string": str,
        "array": list,
        "object": dict,
        "null": type(None),
        None: object,
    }
    return isinstance(value, types[kind])


def _string_fits(text: str, schema: dict[str, Any]) -> bool:
    form = _FORMATS.get(schema.get("format", ""))
    if form is not None and re.fullmatch(form[1], text) is None:
        return False
    pattern = schema.get("pattern")
    if pattern is not None and "(?" not in pattern and re.fullmatch(pattern[1:-1], text) is None:
        return False
    return schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))


def _object_fits(value: dict[str, Any], schema: dict[str, Any], root: Any) -> bool:
    known = schema.get("properties", {})
    if any(name not in value for name in schema.get("required", [])):
        return False
    more = schema.get("additionalProperties", not known)
    for name, item in value.items():
        part = known.get(name, more)
        if part is False or (isinstance(part, dict) and not fits(item, part, root)):
            return False
    return True


def _array_fits(value: list[Any], schema: dict[str, Any], root: Any) -> bool:
    items = schema.get("items", schema.get("prefixItems", {}))
    if isinstance(items, list):
        return len(items) == len(value) and all(fits(v, part, root) for v, part in zip(value, items, strict=True))
    count_fits = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
    return count_fits and all(fits(item, items, root) for item in value)


def instance(schema: Any, root: Any, depth: int = 0) -> Any:
    """Return the simplest value that fits."""
    if "$ref" in schema:
        return instance(resolved(schema["$ref"], root), root, depth + 1)
    for word in ("oneOf", "anyOf", "allOf"):
        if word in schema:
            parts = schema[word]
            if word == "allOf":
                return instance(_merged(parts, root), root, depth)
            return instance(parts[-1] if depth > 8 else parts[0], root, depth + 1)
    for word, value in (("const", lambda: schema["const"]), ("enum", lambda: schema["enum"][0])):
        if word in schema:
            return value()
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        names = schema.get("required", []) if depth > 8 else schema.get("properties", {})
        return {name: instance(schema["properties"][name], root, depth + 1) for name in names}
    if kind == "array" or "items" in schema or "prefixItems" in schema:
        items = schema.get("items", schema.get("prefixItems", {}))
        if isinstance(items, list):
            return [instance(part, root, depth + 1) for part in items]
        return [instance(items, root, depth + 1)] * schema.get("minItems", 0)
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 0), min(0, schema.get("maximum", 0)))
    if kind in ("boolean", "null"):
        return True if kind == "boolean" else None
    if kind == "string" or "pattern" in schema or "format" in schema:
        return _string(schema)
    return {}


def _merged(parts: list[Any], root: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for part in parts:
        found = resolved(part["$ref"], root) if "$ref" in part else part
        if "properties" not in found:
            return found
        merged["properties"] |= found["properties"]
        merged["required"] += found.get("required", [])
    return merged


def _string(schema: dict[str, Any]) -> str:
    form = _FORMATS.get(schema.get("format", ""))
    if form is not None:
        return form[0]
    if "pattern" in schema:
        return _sample(schema["pattern"][1:-1])
    return ("text" + "x" * schema.get("minLength", 0))[
        : max(schema.get("minLength", 0), min(4, schema.get("maxLength", 4)))
    ]


def _sample(pattern: str) -> str:
    """Return a text for a pattern of literals, classes and counts; groups take their first branch."""
    text, at = "", 0
    atom = re.compile(r"(\\.|\[(?:\\.|[^\]\\])*\]|\((?:\\.|[^()\\])*\)|.)(\{(\d+)(?:,\d*)?\}|[*+?])?", re.DOTALL)
    while at < len(pattern):
        found = atom.match(pattern, at)
        assert found is not None
        whole, count, least = found.group(1), found.group(2), found.group(3)
        if whole == "|":
            break
        times = int(least) if least else (0 if count in ("*", "?") else 1)
        text += _one(whole) * times
        at = found.end()
    return text


def _one(atom: str) -> str:
    if atom.startswith("("):
        return _sample(atom[1:-1])
    if atom.startswith("["):
        allowed = re.compile(atom)
        return next(chr(code) for code in (*range(48, 123), *range(32, 127)) if allowed.fullmatch(chr(code)))
    return atom[1:] if atom.startswith("\\") else ("a" if atom == "." else atom)
