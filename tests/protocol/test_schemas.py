"""What a schema does to a server, per version (a real 0.24 was measured; 0.32 and later are read and deduced)."""

import json
from typing import Any

import httpx
import ollama
import pytest

from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tests.protocol.conftest import Behind
from tests.protocol.instances import fits
from tests.protocol.outcomes import CRASHED

HELLO = [{"role": "user", "content": "hello"}]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 6},
        "when": {"type": "string", "format": "date"},
        "code": {"type": "string", "pattern": "^[A-Z]{2}(-|_)[0-9]+$"},
        "child": {"anyOf": [{"$ref": "#/$defs/P"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2},
    },
    "required": ["name", "when", "code"],
    "$defs": {"P": {"type": "object", "properties": {"name": {"type": "string"}}}},
}
FINE: list[Any] = [
    {},
    {"enum": ["a", 1, None]},
    {"const": {"a": 1}},
    {"type": "string", "maxLength": 1000},
    {"type": "array", "items": {"type": "string", "maxLength": 100}, "maxItems": 50},
    {"type": "string", "pattern": "^[A-Z]{2}[0-9]{3}$"},
    {"type": "string", "pattern": "^a\\.b\\(c\\)$"},
    {"type": "integer", "minimum": 3, "maximum": 9},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": ["string", "null"]},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "email"},
    {"$ref": "#/$defs/A", "$defs": {"A": {"type": "boolean"}}},
    {"allOf": [{"properties": {"a": {"const": 1}}}, {"$ref": "#/$defs/B"}], "$defs": {"B": {"properties": {"b": {}}}}},
    {"prefixItems": [{"type": "integer"}, {"type": "string"}]},
    {"type": "object", "additionalProperties": {"type": "integer"}},
    {"$defs": {"N": {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}}, "$ref": "#/$defs/N"},
]
INVALID: list[Any] = [
    {"type": "banana"},
    {"not": {"type": "string"}},
    {"$ref": "#/$defs/X"},
    {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    {"$schema": "https://json-schema.org/draft/2020-12/schema"},
    {"type": "string", "pattern": "[0-9]+"},
    {"properties": {"a": {"pattern": "^(a$"}}},
]
RUNNER: list[Any] = [
    {"type": "string", "pattern": "^\\d{3}$"},
    {"type": "string", "pattern": "^[\\w]+$"},
    {"type": "string", "maxLength": 3000},
    {"type": "array", "items": {"type": "integer"}, "maxItems": 2001},
    {"type": "string", "pattern": "^a{1,5000}$"},
]
SERVER: list[Any] = [{"pattern": "^(?=a)b$"}, {"properties": {"a": {"type": "string", "pattern": "^(?:a|b)$"}}}]


def ask(at: ProtocolServer, schema: Any) -> str:
    reply = ollama.Client(at.url, verify=False).chat(
        "m", HELLO, format=schema, options={"num_predict": 200, "temperature": 0}
    )
    return reply.message.content or ""


def server(version: str, behind: Behind | None = None) -> ProtocolServer:
    return ProtocolServer([FakeModel("m", "hello there") if behind is None else behind.model("m")], version)


@each("version", ["0.24.0", "0.32.15"])
@each("schema", [*FINE, PERSON], ids=json.dumps)
def test_a_good_schema_gets_a_value_that_fits(version: str, schema: Any) -> None:
    with server(version) as at:
        text = ask(at, schema)

    assert fits(json.loads(text), schema, schema)


def test_what_the_model_says_stays_where_it_fits() -> None:
    replies = ['{"a": 1, "b": "x"}', "yes", "3", "no such label"]
    schemas: list[Any] = [{"properties": {"a": {}, "b": {}}}, {"enum": ["yes"]}, {"type": "integer"}, {"enum": ["yes"]}]

    with ProtocolServer([FakeModel("m", replies)]) as at:
        found = [ask(at, schema) for schema in schemas]

    assert found == ['{"a": 1, "b": "x"}', '"yes"', "3", '"yes"']


def test_json_without_a_schema_is_an_object() -> None:
    with server("0.24.0") as at:
        assert json.loads(ask(at, "json")) == {"reply": "hello there"}


def test_a_model_may_ignore_the_format() -> None:
    with ProtocolServer([FakeModel("m", "hello there", obeys_format=False)]) as at:
        assert ask(at, {"enum": ["yes"]}) == "hello there"


@each("schema", INVALID, ids=json.dumps)
def test_an_invalid_schema_is_refused(behind: Behind, schema: Any) -> None:
    with server("0.24.0", behind) as old, pytest.raises(ollama.ResponseError) as before:
        ask(old, schema)
    with server("0.32.15", behind) as new, pytest.raises(ollama.ResponseError) as after:
        ask(new, schema)

    assert (before.value.status_code, before.value.error) == (500, "invalid JSON schema in format")
    assert after.value.status_code == 400
    assert json.loads(after.value.error)["error"]["code"] == 400


@each("schema", RUNNER, ids=json.dumps)
def test_a_schema_kills_the_old_runner_and_the_model_is_loaded_again(behind: Behind, schema: Any) -> None:
    with server("0.24.0", behind) as at:
        with pytest.raises(ollama.ResponseError) as caught:
            ask(at, schema)
        ask(at, {"enum": ["yes"]})

        assert (caught.value.status_code, caught.value.error) == (500, CRASHED)
        assert at.loads == {"m:latest": 2}
    with server("0.32.15", behind) as at, pytest.raises(ollama.ResponseError) as caught:
        ask(at, schema)
    assert caught.value.status_code == 400


@pytest.mark.parametrize("schema", SERVER, ids=json.dumps)
def test_a_schema_kills_the_old_server(behind: Behind, schema: Any) -> None:
    with server("0.24.0", behind) as at:
        with pytest.raises(httpx.TransportError):
            ask(at, schema)
        with pytest.raises(ConnectionError):
            ask(at, {"enum": ["yes"]})
        assert not at.is_running
    with server("0.32.15", behind) as at:
        assert ask(at, schema)


def test_an_empty_enum_is_refused_by_the_new_server_alone() -> None:
    with server("0.32.15") as at, pytest.raises(ollama.ResponseError) as caught:
        ask(at, {"enum": []})
    assert caught.value.status_code == 400
