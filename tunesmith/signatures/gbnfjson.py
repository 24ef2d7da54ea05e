"""GBNF rules for one line of JSON, from a safe schema with its marks."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.signatures.bounds import HELD
from tunesmith.signatures.forms import FORMS, uri_rule
from tunesmith.signatures.gbnfnumber import number_rules
from tunesmith.signatures.gbnfpattern import pattern_rules

__all__ = ["gbnf_literal", "json_rules", "number_body"]

_MOST_KEYS = 60
_OWN = 1000  # characters of a text whose pattern only validation knows
_LISTED_OPTIONS = 40  # optional properties of which every subset is allowed
_CODE = "([0-9a-ce-fA-CE-F] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2})"  # no half of a surrogate pair


def json_rules(schema: Mapping[str, Any], rule: str, *, avoid: str = "") -> str:
    """Return rules, the first of them called `rule`, for JSON values of a safe schema on one line.

    Args:
        schema: as `marked_schema` returns it.
        rule: name of the first rule; the names of the others begin with it.
        avoid: characters that texts must not hold as they are.
    """
    return _Rules(rule, avoid).written(schema)


def number_body(schema: Mapping[str, Any], rule: str) -> tuple[str, list[str]]:
    """Return the body of a rule for the numbers of a node with its marks, and the further rules it needs."""
    held = dict(schema.get(HELD, {}))
    if schema.get("type") == "integer":
        held["integer"] = True
        for key, name in (("minimum", "low"), ("maximum", "high")):
            if key in schema:
                held[name] = str(schema[key])
    return number_rules(held, rule)


def gbnf_literal(text: str) -> str:
    """Return `text` as a literal of a grammar."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


class _Rules:
    def __init__(self, rule: str, avoid: str) -> None:
        self._rule, self._lines, self._count, self._avoid = rule, list[str](), 0, avoid
        escaped = "".join(f"\\x{ord(char):02X}" for char in avoid)
        self._char = f'[^"\\\\\\x7F\\x00-\\x1F{escaped}] | "\\\\" (["\\\\bfnrt/] | "u" {_CODE})'

    def written(self, schema: Mapping[str, Any]) -> str:
        body = self._body(schema)
        return "\n".join([f"{self._rule} ::= {body}", *self._lines, f"{self._rule}-char ::= {self._char}"])

    def _named(self, body: str) -> str:
        self._count += 1
        name = f"{self._rule}-{self._count}"
        self._lines.append(f"{name} ::= {body}")
        return name

    def _node(self, schema: Mapping[str, Any]) -> str:
        """Return what stands for a value inside of another rule."""
        return self._named(self._body(schema))

    def _body(self, schema: Mapping[str, Any]) -> str:
        if "anyOf" in schema:
            return " | ".join(self._node(one) for one in schema["anyOf"])
        if "enum" in schema:
            return " | ".join(gbnf_literal(json.dumps(value, ensure_ascii=False)) for value in schema["enum"])
        match schema.get("type"):
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(schema)
            case "boolean":
                return '"true" | "false"'
            case "array":
                return self._array(schema)
            case "object":
                return self._object(schema)
        return '"null"'

    def _number(self, schema: Mapping[str, Any]) -> str:
        self._count += 1
        body, more = number_body(schema, f"{self._rule}-{self._count}")
        self._lines += more
        return body

    def _string(self, schema: Mapping[str, Any]) -> str:
        held = schema.get(HELD, {})
        form = held.get("form", schema.get("format"))
        body = uri_rule(held["schemes"]) if form == "uri" else FORMS.get(form)
        if body is not None:
            return rf'"\"" ({body}) "\""'
        if "pattern" in held:
            self._count += 1
            found = pattern_rules(held, f"{self._rule}-{self._count}", json=True, avoid=self._avoid)
            if found is not None:
                self._lines += found[1]
                return rf'"\"" ({found[0]}) "\""'
        least = schema.get("minLength", held.get("least", 0))
        most = schema.get("maxLength", held.get("most") or max(_OWN, 2 * least))
        return rf'"\"" {self._rule}-char{{{least},{most}}} "\""'

    def _array(self, schema: Mapping[str, Any]) -> str:
        if "prefixItems" in schema:
            inside = ' ", " '.join(self._node(one) for one in schema["prefixItems"])
            return f'"[" {inside} "]"'
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most == 0:
            return '"[]"'
        item = self._node(schema["items"])
        more = f'(", " {item}){{{max(least - 1, 0)},{"" if most is None else most - 1}}}'
        filled = f'"[" {item} {more} "]"'
        return filled if least else f'"[]" | {filled}'

    def _object(self, schema: Mapping[str, Any]) -> str:
        rest = schema.get("additionalProperties")
        if isinstance(rest, Mapping):
            pair = self._named(rf'"\"" {self._rule}-char{{1,100}} "\": " {self._node(rest)}')
            return f'"{{}}" | "{{" {pair} (", " {pair}){{0,{_MOST_KEYS - 1}}} "}}"'
        required = set(schema.get("required", ()))
        pairs = {
            name: f"{gbnf_literal(json.dumps(name, ensure_ascii=False) + ': ')} {self._node(value)}"
            for name, value in schema.get("properties", {}).items()
        }
        must = [pair for name, pair in pairs.items() if name in required]
        may = [self._named(pair) for name, pair in pairs.items() if name not in required]
        return _closed(must, may)


def _closed(must: Sequence[str], may: Sequence[str]) -> str:
    """Return an object of all that it must hold, then of any of what it may hold, in order."""
    if must:
        inside = ' ", " '.join(must) + "".join(f' (", " {pair})?' for pair in may)
        return f'"{{" {inside} "}}"'
    if not may:
        return '"{}"'
    if len(may) > _LISTED_OPTIONS:
        inside = ' ", " '.join(may)
        return f'"{{" {inside} "}}"'
    starts = [may[at] + "".join(f' (", " {pair})?' for pair in may[at + 1 :]) for at in range(len(may))]
    return f'"{{}}" | "{{" ({" | ".join(starts)}) "}}"'
