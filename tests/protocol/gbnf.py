"""A schema as the grammar that Ollama 0.24 makes of it, so that the embedded model writes the same white space.

After llama.cpp's `json-schema-to-grammar`: white space between tokens is nothing, a blank, or one or two line ends with
at most 20 blanks, also after the last token; required properties come before the others; only named properties.
An integer range of more than 1,000 numbers is not enforced here.
"""

import json
import re
from typing import Any

_SPACE = 'space ::= | " " | "\\n"{1,2} [ \\t]{0,20}'
_CLOCK = (
    '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{3})? '
    '("Z" | [+-] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])'
)
_DAY = '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [1-2] [0-9] | "3" [0-1])'
_PRIMITIVES = {
    "boolean": '("true" | "false") space',
    "number": '"-"? integral ("." [0-9]{1,16})? ([eE] [-+]? integral)? space',
    "integer": '"-"? integral space',
    "integral": "[0] | [1-9] [0-9]{0,15}",
    "value": "object | array | string | number | boolean | null",
    "object": '"{" space (string ":" space value ("," space string ":" space value)*)? "}" space',
    "array": '"[" space (value ("," space value)*)? "]" space',
    "char": '[^"\\\\\\x7F\\x00-\\x1F] | [\\\\] (["\\\\bfnrt] | "u" [0-9a-fA-F]{4})',
    "string": '"\\"" char* "\\"" space',
    "null": '"null" space',
    "uuid": '"\\"" [0-9a-fA-F]{8} ("-" [0-9a-fA-F]{4}){3} "-" [0-9a-fA-F]{12} "\\"" space',
    "date": f'"\\"" {_DAY} "\\"" space',
    "time": f'"\\"" {_CLOCK} "\\"" space',
    "date-time": f'"\\"" {_DAY} "T" {_CLOCK} "\\"" space',
}
_ANY_JSON = """root ::= object
value ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? ws "}"
array ::= "[" ws (value ("," ws value)*)? ws "]"
string ::= "\\"" ([^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\\""
number ::= ("-"? ([0-9] | [1-9] [0-9]*)) ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
ws ::= ([ \\t\\n] ws)?"""
_MOST_NUMBERS = 1000


def grammar(wanted: Any, *, leading: bool = False) -> str:
    """Return GBNF for `"json"` or for a schema that the server has accepted.

    Args:
        wanted: the format.
        leading: whether white space may stand first, as on the native path of the newer servers.
    """
    found = _ANY_JSON if wanted == "json" else _Converter(wanted).text()
    if not leading:
        return found
    space = "ws" if wanted == "json" else "space"
    return found.replace("root ::= ", f"root ::= {space} value-alone\nvalue-alone ::= ", 1)


class _Converter:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._rules: dict[str, str] = {}
        self._references: dict[str, str] = {}

    def text(self) -> str:
        rules = {"root": self._visit(self._root), **self._rules, **_PRIMITIVES}
        return "\n".join([*(f"{name} ::= {rule}" for name, rule in rules.items()), _SPACE])

    def _named(self, rule: str) -> str:
        name = f"r{len(self._rules)}"
        self._rules[name] = rule
        return name

    def _visit(self, schema: Any) -> str:
        kind = schema.get("type")
        if "$ref" in schema:
            return self._reference(schema["$ref"])
        if "oneOf" in schema or "anyOf" in schema:
            return self._union(schema.get("oneOf", schema.get("anyOf")))
        if isinstance(kind, list):
            return self._union([{**schema, "type": one} for one in kind])
        if "const" in schema or "enum" in schema:
            values = [schema["const"]] if "const" in schema else schema["enum"]
            return "(" + " | ".join(_literal(json.dumps(value, ensure_ascii=False)) for value in values) + ") space"
        if kind in (None, "object") and (
            "properties" in schema or schema.get("additionalProperties", True) is not True
        ):
            return self._object(schema)
        if "allOf" in schema:
            return self._all(schema["allOf"])
        if kind in (None, "array") and ("items" in schema or "prefixItems" in schema):
            return self._array(schema)
        return self._scalar(schema, kind)

    def _scalar(self, schema: dict[str, Any], kind: Any) -> str:
        if kind in (None, "string"):
            if "pattern" in schema:
                return f'"\\"" ({_pattern(schema["pattern"][1:-1])}) "\\"" space'
            if schema.get("format") in ("uuid", "date", "time", "date-time"):
                return str(schema["format"])
        if kind == "string" and ("minLength" in schema or "maxLength" in schema):
            return f'"\\"" char{_times(schema.get("minLength", 0), schema.get("maxLength"))} "\\"" space'
        if kind == "integer" and "minimum" in schema and "maximum" in schema:
            numbers = range(int(schema["minimum"]), int(schema["maximum"]) + 1)
            if len(numbers) <= _MOST_NUMBERS:
                return "(" + " | ".join(f'"{number}"' for number in numbers) + ") space"
        return kind or "object"

    def _union(self, parts: list[Any]) -> str:
        return "(" + " | ".join(self._visit(part) for part in parts) + ")"

    def _reference(self, reference: str) -> str:
        if reference not in self._references:
            name = f"ref{len(self._references)}"
            self._references[reference] = name
            target: Any = self._root
            for part in reference.removeprefix("#/").split("/"):
                target = target[int(part)] if isinstance(target, list) else target[part]
            self._rules[name] = self._visit(target)
        return self._references[reference]

    def _object(self, schema: dict[str, Any]) -> str:
        required = [name for name in schema.get("properties", {}) if name in schema.get("required", [])]
        pairs = {
            name: self._named(f'{_literal(json.dumps(name, ensure_ascii=False))} space ":" space {self._visit(part)}')
            for name, part in schema.get("properties", {}).items()
        }
        more = schema.get("additionalProperties", False)
        if more is not False:
            value = "value" if more is True else self._visit(more)
            pairs["*"] = self._named(f'string ":" space {value}')
        optional = [name for name in pairs if name not in required]
        body = ' "," space '.join(pairs[name] for name in required)
        if optional:
            found = " | ".join(self._rest(optional[at:], pairs) for at in range(len(optional)))
            body += f' ("," space ({found}))?' if required else f" ({found})?"
        return f'"{{" space {body} "}}" space'

    def _rest(self, names: list[str], pairs: dict[str, str]) -> str:
        """Return one optional property and, after it, any of the later ones."""
        rule = pairs[names[0]]
        if names[0] == "*":
            rule += f' ("," space {pairs["*"]})*'
        for name in names[1:]:
            rule += f' ("," space {pairs[name]}){"*" if name == "*" else "?"}'
        return rule

    def _all(self, parts: list[Any]) -> str:
        merged: dict[str, Any] = {"properties": {}, "required": []}
        for part in parts:
            target: Any = part
            while "$ref" in target:
                found: Any = self._root
                for step in target["$ref"].removeprefix("#/").split("/"):
                    found = found[step]
                target = found
            if "enum" in target:
                return self._visit(target)
            merged["properties"] |= target.get("properties", {})
            merged["required"] += list(target.get("properties", {}))
        return self._object(merged)

    def _array(self, schema: dict[str, Any]) -> str:
        items = schema.get("items", schema.get("prefixItems"))
        if isinstance(items, list):
            return '"[" space ' + ' "," space '.join(self._visit(part) for part in items) + ' "]" space'
        item = self._named(self._visit(items))
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most == 0:
            return '"[" space "]" space'
        more = f'("," space {item}){_times(max(0, least - 1), None if most is None else most - 1)}'
        body = f"{item} {more}"
        return f'"[" space {body if least else f"({body})?"} "]" space'


def _times(least: int, most: int | None) -> str:
    if most is None:
        return "*" if least == 0 else f"{{{least},}}"
    return f"{{{least},{most}}}"


def _literal(text: str) -> str:
    escaped = re.sub(
        r'[\n\r"\\]', lambda found: {"\n": "\\n", "\r": "\\r"}.get(found.group(), "\\" + found.group()), text
    )
    return f'"{escaped}"'


def _pattern(body: str) -> str:
    """Return the rule of a pattern made of literals, classes, groups and counts."""
    if "(?" in body:
        return "char*"  # the newer servers read look-around as: any string
    out, at = [], 0
    atom = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|.", re.DOTALL)
    while at < len(body):
        found = atom.match(body, at)
        assert found is not None
        part, at = found.group(), found.end()
        if part in "()|*+?" or part[0] in "[{":
            glued = part in "*+?" or part[0] == "{"
            out.append(part if glued else f" {part} ")
        else:
            out.append("[^\\x0A\\x0D]" if part == "." else f" {_literal(part.removeprefix(chr(92)))} ")
    return "".join(out)
