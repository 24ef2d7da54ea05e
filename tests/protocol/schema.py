"""What a server makes of a schema in `format`, and replies that fit one.

The rules of 0.24 were measured on a real server and read in the llama.cpp that it holds
(`common/json-schema-to-grammar.cpp`, `src/llama-grammar.cpp`); those of 0.32 and later were read and deduced, not measured.
"""

import json
import re
from typing import Any

from tests.protocol.outcomes import Crash, Death, Refusal

_TYPES = {"boolean", "number", "integer", "string", "array", "object", "null"}
_PRIMITIVES = {*_TYPES, "decimal-part", "integral-part", "value", "uuid", "char"}
_FORMATS = ("date", "time", "date-time", "uuid")
_MOST = 2000  # repetitions in a grammar
_PLAIN_ESCAPES = frozenset("^$.[]()|{}*+?")  # the converter takes the backslash away
_GRAMMAR_ESCAPES = frozenset('xuUtrn\\"[]')


class _Invalid(Exception):
    pass


class _Unparsable(Exception):
    pass


class _Fatal(Exception):
    pass


def check_format(version: tuple[int, ...], wanted: Any) -> Any:
    """Return `wanted` as the engine takes it: `None`, `"json"` or a schema.

    Raises:
        Refusal: it is neither, or a schema that is not understood.
        Crash: 0.24, a grammar that kills the runner.
        Death: 0.24, a pattern that kills the server.
    """
    if wanted is None or wanted == "":
        return None
    if wanted == "json":
        return "json"
    if not isinstance(wanted, dict):
        given = json.dumps(json.dumps(wanted, separators=(",", ":")))
        raise Refusal(500, f'invalid format: {given}; expected "json" or a valid JSON Schema object')
    new = version >= (0, 30)
    try:
        _visit(wanted, wanted, new, ())
    except _Fatal:
        raise Death from None
    except _Invalid as error:
        if new:
            raise nested(400, f"JSON schema conversion failed:\n{error}", "invalid_request_error") from None
        raise Refusal(500, "invalid JSON schema in format") from None
    except _Unparsable:
        if new:
            raise nested(400, "failed to parse grammar", "invalid_request_error") from None
        raise Crash from None
    return wanted


def nested(code: int, message: str, kind: str, **more: Any) -> Refusal:
    """Return an error of llama-server as Ollama passes it on: its JSON as a string."""
    error = {"code": code, "message": message, "type": kind, **more}
    return Refusal(code, json.dumps({"error": error}, separators=(",", ":")))


def _visit(schema: Any, root: dict[str, Any], new: bool, path: tuple[str, ...]) -> None:
    """Walk as the converter does, in its order of cases."""
    if not isinstance(schema, dict):
        raise _Invalid(f"Unrecognized schema: {json.dumps(schema)}")
    kind = schema.get("type")
    if "$ref" in schema:
        _visit_reference(schema["$ref"], root, new, path)
    elif "oneOf" in schema or "anyOf" in schema:
        for part in schema["oneOf"] if "oneOf" in schema else schema["anyOf"]:
            _visit(part, root, new, path)
    elif isinstance(kind, list):
        for one in kind:
            _visit({**schema, "type": one}, root, new, path)
    elif "const" in schema:
        return
    elif "enum" in schema:
        if new and not schema["enum"]:
            raise _Invalid(f"Unrecognized schema: {json.dumps(schema)}")
    elif kind in (None, "object") and ("properties" in schema or schema.get("additionalProperties", True) is not True):
        for part in schema.get("properties", {}).values():
            _visit(part, root, new, path)
    elif kind in (None, "object", "string") and "allOf" in schema:
        _visit_all(schema["allOf"], root, new, path)
    elif kind in (None, "array") and ("items" in schema or "prefixItems" in schema):
        items = schema.get("items", schema.get("prefixItems"))
        for part in items if isinstance(items, list) else [items]:
            _visit(part, root, new, path)
        _count(schema.get("minItems"), schema.get("maxItems"))
    elif kind in (None, "string") and "pattern" in schema:
        _pattern(schema["pattern"], new)
    elif kind in (None, "string") and schema.get("format") in _FORMATS:
        return
    elif kind == "string":
        _count(schema.get("minLength"), schema.get("maxLength"))
    elif schema and kind != "object" and kind not in _PRIMITIVES:
        raise _Invalid(f"Unrecognized schema: {json.dumps(schema, separators=(',', ':'))}")


def _visit_all(parts: list[Any], root: dict[str, Any], new: bool, path: tuple[str, ...]) -> None:
    for part in parts:
        for one in part.get("anyOf", [part]):
            for value in one.get("properties", {}).values():
                _visit(value, root, new, path)
            if "$ref" in one:
                _visit_reference(one["$ref"], root, new, path)


def _visit_reference(reference: str, root: dict[str, Any], new: bool, path: tuple[str, ...]) -> None:
    found = resolved(reference, root)
    if reference not in path:
        _visit(found, root, new, (*path, reference))


def resolved(reference: str, root: dict[str, Any]) -> Any:
    """Return what a `$ref` inside the schema points to."""
    if not reference.startswith("#/"):
        raise _Invalid(f"Unsupported ref: {reference}")
    target: Any = root
    for part in reference.removeprefix("#/").split("/"):
        if isinstance(target, dict) and part in target:
            target = target[part]
        elif isinstance(target, list) and part.isdigit() and int(part) < len(target):
            target = target[int(part)]
        else:
            raise _Invalid(f"Error resolving ref {reference}: {part} not in {json.dumps(target)}")
    return target


def _count(*numbers: Any) -> None:
    if any(isinstance(number, int) and number > _MOST for number in numbers):
        raise _Unparsable


def _pattern(pattern: str, new: bool) -> None:
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise _Invalid("Pattern must start with '^' and end with '$'")
    body = pattern[1:-1]
    if re.search(r"(?<!\\)\(\?", body):
        if new:
            return  # read as: any string
        raise _Fatal  # the converter takes `?` for a quantifier of nothing
    if re.match(r"[*+?{]", body) or re.search(r"(?<!\\)[(|][*+?{]", body):
        raise _Unparsable if new else _Fatal
    _balance(body)
    for found in re.finditer(r"(?<!\\)\{([^}]*)\}", body):
        numbers = found.group(1).split(",")
        if len(numbers) > 2 or not all(number.strip().isdigit() or number == "" for number in numbers):
            raise _Invalid("Invalid number in curly brackets")
        _count(*(int(number) for number in numbers if number))
    _escapes(body)


def _balance(body: str) -> None:
    bare = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "", body)
    if bare.count("(") != bare.count(")"):
        raise _Invalid("Unbalanced parentheses")
    if "[" in bare:
        raise _Invalid("Unbalanced square brackets")
    if bare.count("{") != bare.count("}"):
        raise _Invalid("Unbalanced curly brackets")


def _escapes(body: str) -> None:
    inside, at = False, 0
    while at < len(body):
        char = body[at]
        if char == "\\" and at + 1 < len(body):
            known = _GRAMMAR_ESCAPES if inside else _GRAMMAR_ESCAPES | _PLAIN_ESCAPES
            if body[at + 1] not in known:
                raise _Unparsable
            at += 1
        elif char in "[]":
            inside = char == "["
        at += 1
