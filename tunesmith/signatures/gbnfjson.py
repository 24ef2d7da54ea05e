"""GBNF rules for the JSON values of a safe schema with marks."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from tunesmith.signatures.bounds import HELD, MOST_KEY, OWN_ITEMS
from tunesmith.signatures.forms import FORMS, uri_rule
from tunesmith.signatures.gbnfchoice import choice_body, gbnf_literal
from tunesmith.signatures.gbnfdate import date_body
from tunesmith.signatures.gbnfnumber import number_rules
from tunesmith.signatures.gbnfpattern import pattern_rules

__all__ = ["form_body", "json_rules", "number_body"]

_OWN = 1000  # characters of a text whose pattern is only validated
_LISTED_OPTIONS = 40  # optional properties, up to which every subset is allowed
_DISTINCT = 6  # values of a set, up to which every order is allowed
_CODE = "([0-9a-ce-fA-CE-F] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2})"  # no lone surrogate
_EXPONENT = "([eE] [-+]? [0-9]{1,2})?"
_SPACE = r'(" " | [\x0A]{1,2} [ \x09]{0,20})?'  # llama.cpp's own limit, so that a reply always ends


def json_rules(schema: Mapping[str, Any], rule: str, *, avoid: str = "", spaced: bool = False) -> str:
    """Return rules for the JSON values of a safe schema; the first is named `rule`.

    Args:
        schema: a result of `marked_schema`.
        rule: name of the first rule and prefix of the others.
        avoid: characters that texts must escape.
        spaced: whether arrays and objects may contain white space, as models like to write it; else the value is one
            line.
    """
    return _Rules(rule, avoid, spaced=spaced).written(schema)


def number_body(schema: Mapping[str, Any], rule: str) -> tuple[str, list[str]]:
    """Return the body of a rule for the numbers of a marked node, and the further rules it uses."""
    held = dict(schema.get(HELD, {}))
    if schema.get("type") == "integer":
        held["integer"] = True
        for key, name in (("minimum", "low"), ("maximum", "high")):
            if key in schema:
                held[name] = str(schema[key])
    return number_rules(held, rule)


def form_body(held: Mapping[str, Any]) -> str | None:
    """Return the body of a rule for the texts of a form, or `None` if a grammar cannot express it."""
    if held["form"] == "uri":
        return uri_rule(held["schemes"])
    if held["form"] == "date" and ("low" in held or "high" in held):
        low, high = held.get("low", date.min.isoformat()), held.get("high", date.max.isoformat())
        return date_body(date.fromisoformat(low), date.fromisoformat(high))
    return FORMS.get(held["form"])


class _Rules:
    def __init__(self, rule: str, avoid: str, *, spaced: bool) -> None:
        self._rule, self._lines, self._count, self._avoid = rule, list[str](), 0, avoid
        self._names: dict[str, str] = {}
        self._space = f"{rule}-space" if spaced else ""
        self._comma = f'"," {self._space}' if spaced else '", "'
        self._colon = f'":" {self._space}' if spaced else '": "'
        escaped = "".join(f"\\x{ord(char):02X}" for char in avoid)
        self._char = f'[^"\\\\\\x7F\\x00-\\x1F{escaped}] | "\\\\" (["\\\\bfnrt/] | "u" {_CODE})'

    def written(self, schema: Mapping[str, Any]) -> str:
        body = self._body(schema)
        space = [f"{self._space} ::= {_SPACE}"] if self._space else []
        return "\n".join([f"{self._rule} ::= {body}", *self._lines, f"{self._rule}-char ::= {self._char}", *space])

    def _named(self, body: str) -> str:
        """Return the name of a rule with this body; equal bodies share one rule, since counts make them large."""
        if body not in self._names:
            self._count += 1
            self._names[body] = f"{self._rule}-{self._count}"
            self._lines.append(f"{self._names[body]} ::= {body}")
        return self._names[body]

    def _around(self, open_: str, inside: str, close: str) -> str:
        return " ".join(part for part in (f'"{open_}"', self._space, inside, self._space, f'"{close}"') if part)

    def _node(self, schema: Mapping[str, Any]) -> str:
        """Return the expression for a value inside another rule."""
        return self._named(self._body(schema))

    def _body(self, schema: Mapping[str, Any]) -> str:
        if "anyOf" in schema:
            return " | ".join(self._node(one) for one in schema["anyOf"])
        if "enum" in schema:
            return " | ".join(self._values(schema["enum"]))
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
        if not self._space or not ("[" in body or more):
            return body
        # If a fraction is not allowed, a small model that wants to write one adds digits up to the bound instead.
        if schema.get("type") == "integer":
            return f'({body}) ".0"?'
        return body if HELD in schema else f"({body}) {_EXPONENT}"

    def _string(self, schema: Mapping[str, Any]) -> str:
        held = schema.get(HELD, {})
        form = held.get("form", schema.get("format"))
        if "labels" in held:
            return choice_body([json.dumps(label, ensure_ascii=False) for label in held["labels"]])
        body = form_body({**held, "form": form})
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
            return self._around("[", f" {self._comma} ".join(self._node(one) for one in schema["prefixItems"]), "]")
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most == 0:
            return '"[]"'
        if schema.get(HELD, {}).get("distinct") and len(schema["items"].get("enum", range(99))) <= _DISTINCT:
            filled = self._around("[", f"({self._orders(self._values(schema['items']['enum']))})", "]")
            return filled if least else f'"[]" | {filled}'
        item = self._node(schema["items"])
        more = f"({self._comma} {item}){{{max(least - 1, 0)},{'' if most is None else most - 1}}}"
        filled = self._around("[", f"{item} {more}", "]")
        return filled if least else f'"[]" | {filled}'

    def _values(self, values: Sequence[Any]) -> list[str]:
        return [gbnf_literal(json.dumps(value, ensure_ascii=False)) for value in values]

    def _orders(self, values: Sequence[str]) -> str:
        """Return an expression for one or more distinct values in any order."""
        return " | ".join(f"{one} {self._others([other for other in values if other != one])}" for one in values)

    def _others(self, values: Sequence[str]) -> str:
        return self._named(f"({self._comma} ({self._orders(values)}))?") if values else '""'

    def _object(self, schema: Mapping[str, Any]) -> str:
        rest = schema.get("additionalProperties")
        if isinstance(rest, Mapping):
            return self._mapping(schema, rest)
        required = set(schema.get("required", ()))
        pairs = {
            name: f"{gbnf_literal(json.dumps(name, ensure_ascii=False))} {self._colon} {self._node(value)}"
            for name, value in schema.get("properties", {}).items()
        }
        must = [pair for name, pair in pairs.items() if name in required]
        may = [self._named(pair) for name, pair in pairs.items() if name not in required]
        return self._closed(must, may)

    def _mapping(self, schema: Mapping[str, Any], value: Mapping[str, Any]) -> str:
        held = schema.get(HELD, {})
        least, most = held.get("least", 0), held.get("most", schema.get(OWN_ITEMS))
        if most == 0:
            return '"{}"'
        pair = self._named(f"{self._key(held.get('keys'))} {self._colon} {self._node(value)}")
        filled = self._around("{", f"{pair} ({self._comma} {pair}){{{max(least - 1, 0)},{most - 1}}}", "}")
        return filled if least else f'"{{}}" | {filled}'

    def _key(self, schema: Mapping[str, Any] | None) -> str:
        """Return the expression for a key of a mapping, which is a text for any key type."""
        if schema is None:
            return rf'"\"" {self._rule}-char{{1,{MOST_KEY}}} "\""'
        if schema.get("type") == "string":
            return self._node(schema)
        self._count += 1
        body, more = number_body(schema, f"{self._rule}-{self._count}")
        self._lines += more
        return rf'"\"" ({body}) "\""'

    def _closed(self, must: Sequence[str], may: Sequence[str]) -> str:
        """Return an expression for an object with all required and any of the optional properties, in order."""
        if must:
            inside = f" {self._comma} ".join(must) + self._any_of(may)
            return self._around("{", inside, "}")
        if not may:
            return '"{}"'
        if len(may) > _LISTED_OPTIONS:
            return self._around("{", f" {self._comma} ".join(may), "}")
        return f'"{{}}" | {self._around("{", f"({self._first_of(may)})", "}")}'

    def _first_of(self, may: Sequence[str]) -> str:
        """Return an expression for one or more of the properties, in order, each at most once."""
        return " | ".join(may[at] + self._any_of(may[at + 1 :]) for at in range(len(may)))

    def _any_of(self, may: Sequence[str]) -> str:
        return "".join(f" ({self._comma} {one})?" for one in may)
