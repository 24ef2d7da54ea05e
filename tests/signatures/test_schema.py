"""What is asked for, and what is left to local checks."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, Optional
from uuid import UUID

import dspy
import pytest
from pydantic import BaseModel, Field, RootModel, WithJsonSchema
from typing_extensions import TypedDict

from tests.each import each
from tests.signatures.safe_subset import is_safe
from tests.signatures.strategies import Color, Level, Mixed, Tree, signature_of
from tunesmith.errors import SignatureError
from tunesmith.signatures import Signature, field_schema, left_out, output_schema

_TEXT = {"type": "string", "maxLength": 1000}
_LISTED = {"type": "string", "maxLength": 136}
_INTEGER = {"type": "integer"}


class Point(NamedTuple):
    x: int
    y: int


class Row(TypedDict, total=False):
    a: int
    b: str


class Person(BaseModel):
    """A docstring that is not sent."""

    name: str = Field(title="Full name", description="not sent", examples=["Ada"])
    age: Annotated[int, Field(ge=0, lt=150)] = 3


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Node(BaseModel):
    value: int
    next: Optional["Node"]


class Endless(BaseModel):
    itself: "Endless"


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_PERSON = _closed({"name": _TEXT, "age": _INTEGER | {"minimum": 0, "maximum": 149}}, ["name"])
_PET = {"anyOf": [_closed({"kind": {"enum": [kind]}}, ["kind"]) for kind in ("cat", "dog")]}

CASES: list[tuple[Any, dict[str, Any]]] = [
    (str, _TEXT),
    (int, _INTEGER),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (Literal["a", "b"], {"enum": ["a", "b"]}),
    (Literal["a"], {"enum": ["a"]}),
    (Literal["a", 1, True, None], {"enum": ["a", 1, True, None]}),
    (Color, {"enum": ["red", "deep blue"]}),
    (Level, {"enum": [1, 2]}),
    (Mixed, {"enum": ["name", 3, True]}),
    (list[str], {"type": "array", "items": _LISTED, "maxItems": 11}),
    (list[int], {"type": "array", "items": _INTEGER, "maxItems": 61}),
    (list[list[int]], {"type": "array", "items": {"type": "array", "items": _INTEGER, "maxItems": 61}, "maxItems": 11}),
    (set[int], {"type": "array", "items": _INTEGER, "maxItems": 61}),
    (frozenset[str], {"type": "array", "items": _LISTED, "maxItems": 11}),
    (dict[str, int], {"type": "object", "additionalProperties": _INTEGER}),
    (dict[Color, int], _closed({"red": _INTEGER, "deep blue": _INTEGER}, [])),
    (tuple[int, str], {"type": "array", "prefixItems": [_INTEGER, _TEXT], "minItems": 2, "maxItems": 2}),
    (tuple[int, ...], {"type": "array", "items": _INTEGER, "maxItems": 61}),
    (tuple[()], {"type": "array", "items": {"type": "null"}, "maxItems": 0}),
    (Point, {"type": "array", "prefixItems": [_INTEGER, _INTEGER], "minItems": 2, "maxItems": 2}),
    (Row, _closed({"a": _INTEGER, "b": _TEXT}, [])),
    (int | None, {"anyOf": [_INTEGER, {"type": "null"}]}),
    (int | str, {"anyOf": [_INTEGER, _TEXT]}),
    (date, {"type": "string", "format": "date"}),
    (UUID, {"type": "string", "format": "uuid"}),
    (Decimal, {"type": "number"}),
    (Person, _PERSON),
    (Cat | Dog, _PET),
    (Annotated[Cat | Dog, Field(discriminator="kind")], _PET),
    (RootModel[int], _INTEGER),
    (dspy.Reasoning, _TEXT),
    (dspy.Code["python"], _TEXT),
    (Annotated[str, Field(min_length=2, max_length=9)], {"type": "string", "minLength": 2, "maxLength": 9}),
    (Annotated[str, Field(max_length=3000)], {"type": "string", "maxLength": 3000}),
    (Annotated[str, Field(max_length=9000)], _TEXT),
    (Annotated[str, Field(min_length=600)], {"type": "string", "minLength": 600, "maxLength": 1000}),
    (Annotated[str, Field(pattern=r"^[A-Z]{2}\d{3}$")], {"type": "string", "pattern": "^[A-Z]{2}[0-9]{3}$"}),
    (Annotated[str, Field(pattern="a+")], _TEXT),
    (Annotated[str, WithJsonSchema({"type": "string", "pattern": "^(?=a)b$"})], _TEXT),
    (Annotated[str, WithJsonSchema({"not": {"type": "string"}, "type": "string"})], _TEXT),
    (Annotated[int, Field(gt=0, le=10)], {"type": "integer", "minimum": 1, "maximum": 10}),
    (Annotated[int, Field(ge=-(10**30))], _INTEGER),
    (Annotated[float, Field(ge=0, le=1)], {"type": "number"}),
    (Annotated[list[str], Field(min_length=1, max_length=3)],
     {"type": "array", "items": {"type": "string", "maxLength": 136}, "minItems": 1, "maxItems": 3}),
    (Annotated[list[str], Field(max_length=50)],
     {"type": "array", "items": {"type": "string", "maxLength": 100}, "maxItems": 50}),
    (Annotated[list[int], Field(min_length=40)],
     {"type": "array", "items": _INTEGER, "minItems": 40, "maxItems": 81}),
    (Annotated[list[int], Field(max_length=9999)], {"type": "array", "items": _INTEGER, "maxItems": 500}),
]  # fmt: skip


@each(("kind", "expected"), CASES, ids=[f"{at}" for at in range(len(CASES))])
def test_a_type_is_asked_for_by_the_safe_subset(kind: Any, expected: dict[str, Any]) -> None:
    schema = field_schema(signature_of(kind), "o0")

    if expected.get("maxItems") == 3:  # few items leave each of them more room
        expected = expected | {"items": {"type": "string", "maxLength": 499}}
    assert schema == expected
    assert is_safe(schema)


@pytest.mark.parametrize(("kind", "form"), [(datetime, "date-time"), (time, "time")])
def test_a_time_is_asked_for_with_or_without_a_zone(kind: Any, form: str) -> None:
    local, zoned = field_schema(signature_of(kind), "o0")["anyOf"]

    assert zoned == {"type": "string", "format": form}
    assert re.match(local["pattern"], "2024-05-01T10:20:30" if form == "date-time" else "10:20:30")


def test_the_whole_schema_holds_every_output_in_order() -> None:
    schema = output_schema(signature_of(int, str))

    assert schema == _closed({"o0": _INTEGER, "o1": _TEXT}, ["o0", "o1"])
    assert list(schema["properties"]) == ["o0", "o1"]


def test_chain_of_thought_has_its_reasoning_first() -> None:
    program = dspy.ChainOfThought("question -> answer: int")

    schema = output_schema(program.predict.signature)

    assert schema["properties"] == {"reasoning": _TEXT, "answer": _INTEGER}


def test_constraints_of_the_field_itself_are_sent() -> None:
    class Rate(Signature):
        """Rate."""

        text: str = dspy.InputField()
        stars: int = dspy.OutputField(ge=1, le=5)

    assert field_schema(Rate, "stars") == {"type": "integer", "minimum": 1, "maximum": 5}
    assert field_schema(Rate.with_instructions("Other."), "stars")["maximum"] == 5


def test_a_recursive_type_is_asked_for_three_levels_deep() -> None:
    schema = field_schema(signature_of(Node), "o0")
    text = str(schema)

    assert text.count("'value'") == 6  # three levels, each as property and as required
    assert "$" not in text
    children = field_schema(signature_of(Tree), "o0")
    for _ in range(2):
        children = children["properties"]["children"]["items"]
    assert children["properties"]["children"]["maxItems"] == 0
    assert any("3 levels" in line for line in left_out(signature_of(Tree)))


def test_a_list_that_the_user_left_open_stays_under_the_bound() -> None:
    for kind in (list[str], list[Person], dict[str, list[str]], list[Any]):
        for length, items in _products(field_schema(signature_of(kind), "o0"), 1):
            assert length * items < 1500 or items == 1


def _products(schema: dict[str, Any], items: int) -> Iterator[tuple[int, int]]:
    if "maxLength" in schema:
        yield schema["maxLength"], items
    inside = [*schema.get("anyOf", []), *schema.get("properties", {}).values()]
    for one in [*inside, schema.get("additionalProperties"), schema.get("items")]:
        if isinstance(one, dict) and not (items > 1 and one.get("type") in ("array", "object")):
            yield from _products(one, items * schema.get("maxItems", 1))


def test_left_out_names_what_engines_do_not_enforce() -> None:
    lines = left_out(
        signature_of(
            Annotated[float, Field(ge=0, le=1)],
            Annotated[str, Field(pattern="a+")],
            Annotated[int, Field(multiple_of=5)],
            set[int],
            Literal[tuple(str(number) for number in range(300))],
            list[Annotated[float, Field(gt=0)]],
        )
    )

    assert lines[0] == "o0: number range is not enforced by servers; checked locally"
    assert lines[1].startswith("o1: the pattern 'a+' is not sent")
    assert lines[2].startswith("o2: a multiple")
    assert lines[3].startswith("o3: distinct items")
    assert lines[4].startswith("o4: a choice among more than 200")
    assert lines[5].startswith("o5[]: number range")
    assert left_out(signature_of(str, int, Person)) == []


@each(
    "own",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/Nowhere"},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"allOf": [{"$ref": "#"}, {"type": "integer"}]},
        {"type": "array", "items": {"$ref": "#"}},
    ],
)
def test_a_reference_that_servers_refuse_is_left_out_and_said(own: dict[str, Any]) -> None:
    signature = signature_of(Annotated[Any, WithJsonSchema(own)])
    schema = output_schema(signature)
    assert is_safe(schema)
    assert "$ref" not in json.dumps(schema)
    assert any("the reference '#" in line and line.endswith("checked locally") for line in left_out(signature))


def test_a_group_in_a_pattern_is_left_out_and_said() -> None:
    signature = signature_of(Annotated[str, Field(pattern="^(?:a|b)$")])
    assert "pattern" not in output_schema(signature)["properties"]["o0"]
    assert any("(?:a|b)" in line for line in left_out(signature))


def test_a_large_choice_becomes_its_plain_type() -> None:
    many = [f"label {number}" for number in range(201)]

    assert field_schema(signature_of(Literal[tuple(many)]), "o0") == {"type": "string", "maxLength": 9}
    assert field_schema(signature_of(Literal[tuple(many[:200])]), "o0") == {"enum": many[:200]}
    assert field_schema(signature_of(Literal[tuple(range(300))]), "o0") == {"type": "integer"}


def test_labels_keep_their_order_whatever_was_asked_before() -> None:
    assert field_schema(signature_of(Literal["b", "a"]), "o0") == {"enum": ["b", "a"]}
    assert field_schema(signature_of(Literal["a", "b"]), "o0") == {"enum": ["a", "b"]}
    assert field_schema(signature_of(Literal[1, 0]), "o0") == {"enum": [1, 0]}
    assert field_schema(signature_of(Literal[True, False]), "o0") == {"enum": [True, False]}


def test_a_schema_is_the_callers_own() -> None:
    signature = signature_of(Person)
    field_schema(signature, "o0")["properties"].clear()

    assert field_schema(signature, "o0") == _PERSON


class Empty(Enum):
    pass


class Shade(Enum):
    RED = (1, 0, 0)


class Nan(Enum):
    NAN = float("nan")


MALFORMED: list[Any] = [
    Empty, Shade, Nan, Endless, dspy.Image, dspy.Tool, dspy.History, dspy.ToolCalls, list[dspy.Image], dspy.Audio,
    Callable[[], int], list[Callable[..., int]], type[int], Literal[b"x"],
    Annotated[str, Field(min_length=5, max_length=2)], Annotated[str, Field(min_length=2000)],
    Annotated[list[int], Field(min_length=700)], Annotated[list[int], Field(min_length=3, max_length=1)],
    Annotated[int, Field(gt=1, lt=2)], Annotated[int, Field(ge=5, le=1)],
    Annotated[str, WithJsonSchema({"type": "foo"})],
    Annotated[str, WithJsonSchema({"enum": []})], Annotated[str, WithJsonSchema({"anyOf": []})],
    Annotated[str, WithJsonSchema({"type": "string", "maxLength": "x"})], Annotated[int, Field(max_length=3)],
    Annotated[str, Field(ge=0)], Annotated[bool, Field(max_length=2)], Color | dspy.Image,
]  # fmt: skip


@each("kind", MALFORMED, ids=[f"{at}" for at in range(len(MALFORMED))])
def test_a_type_that_cannot_be_asked_for_is_refused_by_name(kind: Any) -> None:
    signature = signature_of(kind)

    for attempt in (
        lambda: output_schema(signature),
        lambda: field_schema(signature, "o0"),
        lambda: left_out(signature),
    ):
        with pytest.raises(SignatureError, match="`o0`"):
            attempt()


@each("given", [None, "question -> answer", int, BaseModel, 3, dspy.Predict("a -> b")])
def test_what_is_no_signature_is_refused(given: Any) -> None:
    with pytest.raises(SignatureError, match="not a signature"):
        output_schema(given)


def test_a_signature_without_outputs_and_an_unknown_field_are_refused() -> None:
    with pytest.raises(SignatureError, match="no output"):
        output_schema(signature_of())
    with pytest.raises(SignatureError, match="no output field 'question'"):
        field_schema(signature_of(int), "question")
