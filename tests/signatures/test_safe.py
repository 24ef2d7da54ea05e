"""No schema that was seen to harm an engine is sent to one; the second opinion of these tests knows each of them."""

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.scale import scaled
from tests.signatures.safe_subset import is_safe
from tunesmith.signatures import server_schema

_TEXT = {"type": "string", "maxLength": 10}
_DEEP: dict[str, Any] = dict(_TEXT)
for _ in range(200):
    _DEEP = {"type": "array", "items": _DEEP, "maxItems": 1}


@each(
    "schema",
    [
        _TEXT,
        {"type": "string", "minLength": 3, "maxLength": 1000},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": "^[A-Z]{2}[0-9]{3}$"},
        {"type": "integer", "minimum": -5, "maximum": 5},
        {"type": "number"},
        {"enum": ["a", 1, None, True]},
        {"type": "string", "enum": ["a", "b"]},
        {"const": "a"},
        {"anyOf": [{"type": "null"}, _TEXT]},
        {"type": "array", "items": _TEXT, "maxItems": 3},
        {"type": "array", "prefixItems": [_TEXT], "minItems": 1, "maxItems": 1},
        {"type": "object", "properties": {"a": _TEXT}, "required": ["a"], "additionalProperties": False},
        {"type": "object", "additionalProperties": _TEXT},
    ],
)
def test_the_safe_subset_is_sent(schema: dict[str, Any]) -> None:
    assert is_safe(schema)
    assert server_schema(schema) == schema


@each(
    "schema",
    [
        {},
        [],
        None,
        True,
        "string",
        {"type": "foo"},
        {"type": ["string", "null"]},
        {"not": _TEXT},
        {"$ref": "#/$defs/A"},
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}]},
        {"type": "string"},
        {"type": "string", "maxLength": 4001},
        {"type": "string", "maxLength": True},
        {"type": "string", "minLength": 5, "maxLength": 2},
        {"type": "string", "pattern": "^(?=a)b$"},
        {"type": "string", "pattern": "^(?:a|b)$"},
        {"type": "string", "pattern": "^[(?:]$"},
        {"type": "string", "pattern": r"^\d{3}$"},
        {"type": "string", "pattern": "abc"},
        {"type": "string", "pattern": "^a*$"},
        {"type": "string", "pattern": "^.$"},
        {"type": "string", "pattern": "^[^a]$"},
        {"type": "string", "pattern": "^[a]{3000}$"},
        {"type": "string", "pattern": 3},
        {"type": "string", "pattern": "^[z-a]$"},
        {"type": "string", "pattern": "^[a]{3,1}$"},
        {"type": "string", "pattern": "^" + "[a]{100}" * 11 + "$"},
        {"type": "string", "pattern": '^["]$'},
        {"type": "string", "pattern": "^a$", "maxLength": 5},
        {"type": "string", "pattern": "^a$\n"},
        {"type": "string", "format": "email"},
        {"type": "string", "format": "date", "maxLength": 5},
        {"type": "number", "minimum": 0},
        {"type": "integer", "multipleOf": 2},
        {"type": "integer", "minimum": 0.5},
        {"type": "integer", "minimum": 10**20},
        {"type": "integer", "minimum": 3, "maximum": 1},
        {"type": "boolean", "x": 1},
        {"enum": []},
        {"enum": ["a"] * 201},
        {"enum": [[1]]},
        {"enum": ["a"], "minLength": 1},
        {"enum": [math.nan]},
        {"enum": ["\ud800"]},
        {"anyOf": []},
        {"anyOf": [{}]},
        {"oneOf": [_TEXT]},
        {"allOf": [_TEXT]},
        {"anyOf": [_TEXT], "type": "string"},
        {"type": "array", "items": _TEXT},
        {"type": "array", "maxItems": 3},
        {"type": "array", "items": _TEXT, "maxItems": 501},
        {"type": "array", "items": _TEXT, "maxItems": 3, "uniqueItems": True},
        {"type": "array", "prefixItems": [_TEXT], "maxItems": 1},
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": _TEXT}, "additionalProperties": True},
        {"type": "object", "properties": {"a": _TEXT}, "required": ["b"], "additionalProperties": False},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
        {"type": "object", "additionalProperties": _TEXT, "maxProperties": 3},
        {"type": "object", "additionalProperties": _TEXT, "patternProperties": {}},
        {"type": "string", "maxLength": 5, "title": "T"},
        {"type": "string", "maxLength": 5, "x-own-length": 5},
        _DEEP,
        {"type": "object", "properties": {f"f{at}": _TEXT for at in range(4000)}, "additionalProperties": False},
    ],
)
def test_nothing_else_is(schema: Any) -> None:
    assert not is_safe(schema)
    assert server_schema(schema) is None


_NODES = [
    _TEXT,
    {"type": "integer"},
    {"enum": ["a", True, None]},
    {"type": "null"},
    {"type": "string", "format": "time"},
]
_NODES += [{"type": "string", "pattern": "^[a-z]{1,5}$"}, {"type": "object", "properties": {}, "required": []}]
_KEYWORDS: dict[str, list[Any]] = {
    "type": ["string", "integer", "array", "object", "null", "foo", ["string", "null"], None],
    "maxLength": [0, 5, 1000, 4000, 4001, True, "5", -1, 2.0],
    "minLength": [0, 3, 1001, None],
    "maxItems": [0, 1, 500, 501, True],
    "minItems": [0, 1, 2],
    "minimum": [0, 1.5, -(10**16)],
    "maximum": [-1, 1],
    "pattern": ["^(?=a)b$", "^[a]{2}$", "a", 3],
    "format": ["date", "date-time", "email", []],
    "enum": [[], ["a"], ["a"] * 201, [[1]], [float("nan")], "ab"],
    "const": ["a", []],
    "required": [["a"], ["a", "a"], "a", [1]],
    "additionalProperties": [False, True, _TEXT],
    "items": [_TEXT, {}, False, [_TEXT]],
    "prefixItems": [[_TEXT], [], "ab"],
    "properties": [{"a": _TEXT}, {"pattern": _TEXT, "enum": _TEXT}, {1: _TEXT}, [], {"\ud800": _TEXT}],
    "anyOf": [[_TEXT], [], [{}], [_TEXT, _TEXT], "ab"],
    **{key: [_TEXT, "#", 1, [], None] for key in ("$ref", "not", "oneOf", "allOf", "uniqueItems", "title", "x-held")},
}
_foreign = st.recursive(
    st.sampled_from(_NODES),
    lambda inside: (
        st.fixed_dictionaries({}, optional={key: st.sampled_from(_KEYWORDS[key]) for key in _KEYWORDS})
        | st.fixed_dictionaries({"type": st.just("array"), "items": inside, "maxItems": st.sampled_from([0, 3, 501])})
        | st.fixed_dictionaries({"anyOf": st.lists(inside, max_size=3)})
        | st.builds(lambda node, key, data: {**node, key: data}, inside, st.sampled_from(list(_KEYWORDS)), inside)
    ),
    max_leaves=4,
)
_mutated = st.builds(
    lambda node, key, at: {**node, key: _KEYWORDS[key][at % len(_KEYWORDS[key])]},
    _foreign,
    st.sampled_from(list(_KEYWORDS)),
    st.integers(0, 50),
)


@settings(max_examples=scaled(2_000), deadline=None)
@given(_foreign | _mutated)
def test_what_is_sent_of_a_strangers_schema_is_safe(schema: Any) -> None:
    assert server_schema(schema) is None or is_safe(schema)


def test_a_server_gets_no_bound_that_its_runner_dies_of() -> None:
    long, short = {"type": "string", "maxLength": 1001}, {"type": "string", "maxLength": 1000}
    fields = {"maxLength": long, "b": {"type": "array", "items": long, "maxItems": 2}, "c": short}
    schema = {"type": "object", "properties": fields, "required": ["b"], "additionalProperties": False}

    sent = server_schema(schema)

    open_ended = {"type": "string"}
    wanted = {"maxLength": open_ended, "b": {"type": "array", "items": open_ended, "maxItems": 2}, "c": short}
    assert sent == schema | {"properties": wanted}
    assert server_schema({"anyOf": [long, {"enum": ["x"]}]}) == {"anyOf": [open_ended, {"enum": ["x"]}]}
