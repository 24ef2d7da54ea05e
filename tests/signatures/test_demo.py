"""Demos are checked, frozen, and equal by content."""

import copy
import dataclasses
import enum
import json
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import dspy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Base64Bytes, Base64Str, BaseModel, TypeAdapter

from tests.each import each
from tests.scale import scaled
from tests.signatures.strategies import Color, Typed, signature_of, typed_values
from tunesmith.errors import DataError, SignatureError
from tunesmith.signatures import Demo, InputField, OutputField, Signature, field_schema


class Item(BaseModel):
    name: str
    price: Decimal = Decimal("0.5")


class Task(Signature):
    """Do it."""

    text: str = InputField()
    day: date = InputField()
    reasoning: str = OutputField()
    label: Literal["a", "b"] = OutputField()
    tags: list[str] = OutputField()
    item: Item = OutputField()


_ROW = {
    "item": {"name": "x"},
    "tags": ["t", "u"],
    "label": "a",
    "day": "2024-05-01",
    "text": "hello",
    "id": 7,
}


def test_values_become_typed_in_the_order_of_the_signature() -> None:
    demo = Demo.of(Task, _ROW)

    assert list(demo.inputs.items()) == [("text", "hello"), ("day", date(2024, 5, 1))]
    assert list(demo.outputs) == ["label", "tags", "item"]
    assert demo.outputs["item"] == Item(name="x")
    assert not demo.augmented


def test_an_example_a_prediction_a_row_and_a_demo_give_the_same_demo() -> None:
    demo = Demo.of(Task, _ROW)

    assert Demo.of(Task, dspy.Example(**_ROW).with_inputs("text", "day")) == demo
    assert Demo.of(Task, dspy.Prediction(**_ROW)) == demo
    assert Demo.of(Task, demo) == demo
    assert Demo.of(Task, dict(reversed(_ROW.items()))).key == demo.key
    assert len({demo, Demo.of(Task, _ROW)}) == 1


def test_json_gives_the_demo_back() -> None:
    demo = Demo.of(Task, _ROW | {"augmented": True})
    data = json.loads(json.dumps(demo.to_json()))

    assert data == {
        "inputs": {"text": "hello", "day": "2024-05-01"},
        "outputs": {"label": "a", "tags": ["t", "u"], "item": {"name": "x", "price": 0.5}},
        "augmented": True,
    }
    assert list(data["outputs"]) == ["label", "tags", "item"]
    assert Demo.from_json(Task, data) == demo
    assert len(demo.key) == 64


def test_the_key_is_the_same_in_every_process() -> None:
    demo = Demo.of(Signature("question -> answer"), {"question": "1+1?", "answer": "2"})

    assert demo.key == "3b9e5bc96a20b0630345fb3a46c4df3883197dc7c5995235e9b94a810da90838"


def test_other_content_is_another_demo() -> None:
    demo = Demo.of(Task, _ROW)

    assert Demo.of(Task, _ROW | {"text": "hi"}) != demo
    assert Demo.of(Task, _ROW | {"augmented": True}) != demo
    assert demo != "demo"


def test_nothing_in_a_demo_can_be_changed() -> None:
    given = {**_ROW, "tags": ["t"]}
    demo = Demo.of(Task, given)
    key = demo.key

    given["tags"].append("more")
    demo.outputs["tags"].append("more")
    demo.outputs["item"].name = "other"
    demo.to_json()["outputs"].clear()
    with pytest.raises(TypeError):
        demo.inputs["text"] = "other"  # type: ignore[index]
    with pytest.raises(AttributeError):
        demo.augmented = True  # type: ignore[misc]

    assert demo.outputs["tags"] == ["t"]
    assert demo.outputs["item"] == Item(name="x")
    assert demo.key == key == Demo.of(Task, demo).key
    assert copy.deepcopy(demo) is demo


def test_a_demo_becomes_an_example_of_typed_values() -> None:
    example = Demo.of(Task, _ROW | {"augmented": True}).as_example()

    assert example.inputs().toDict() == {"text": "hello", "day": date(2024, 5, 1)}
    assert example.item == Item(name="x")
    assert example.augmented is True
    assert "augmented" not in Demo.of(Task, _ROW).as_example()
    assert Demo.of(Task, example) == Demo.of(Task, _ROW | {"augmented": True})


def test_fields_may_have_any_name() -> None:
    class Odd(Signature):
        """Odd."""

        base: str = InputField()
        augmented: bool = OutputField()
        items: int = OutputField()

    demo = Demo.of(Odd, {"base": "b", "augmented": True, "items": 3})

    assert demo.as_example().toDict() == {"base": "b", "augmented": True, "items": 3}
    assert not demo.augmented
    assert Demo.from_json(Odd, demo.to_json()) == demo


def test_a_demo_may_lack_fields_but_not_every_output() -> None:
    assert list(Demo.of(Task, {"label": "b"}).outputs) == ["label"]
    for empty in ({}, {"text": "x"}):
        with pytest.raises(DataError, match="reasoning, label, tags, item"):
            Demo.of(Task, empty)
    with pytest.raises(DataError, match="at least one output"):
        Demo({"text": "x"}, {})


@each(
    ("name", "value"),
    [
        ("text", True),
        ("text", None),
        ("text", "\ud800"),
        ("day", "tomorrow"),
        ("day", 5),
        ("label", "c"),
        ("label", None),
        ("tags", "t"),
        ("tags", [True]),
        ("item", {"price": 1}),
        ("item", object()),
    ],
)
def test_a_value_that_does_not_fit_is_named(name: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"`{name}`") as caught:
        Demo.of(Task, {**_ROW, name: value})
    assert repr(value) in str(caught.value)


@each("given", [None, 3, "text", ["label"]])
def test_what_is_no_example_is_refused(given: Any) -> None:
    with pytest.raises(DataError):
        Demo.of(Task, given)


@each(
    "data",
    [
        None,
        [],
        {},
        {"inputs": {}},
        {"inputs": 3, "outputs": {"label": "a"}},
        {"inputs": {}, "outputs": {}},
        {"inputs": {"gone": 1}, "outputs": {"label": "a"}},
        {"inputs": {"label": "a"}, "outputs": {"label": "a"}},
        {"inputs": {}, "outputs": {"label": "c"}},
    ],
)
def test_json_of_another_shape_is_refused(data: Any) -> None:
    with pytest.raises(DataError):
        Demo.from_json(Task, data)


def test_an_input_of_a_dspy_type_is_kept() -> None:
    signature = signature_of(int, inputs=dspy.Image)
    demo = Demo.of(signature, {"question": dspy.Image(url="https://a.b/c.png"), "o0": 3})

    assert demo.to_json()["inputs"] == {"question": {"url": "https://a.b/c.png"}}
    assert Demo.from_json(signature, demo.to_json()) == demo


def test_a_demo_made_of_values_alone_is_frozen_and_equal_too() -> None:
    demo = Demo({"text": "x"}, {"tags": ["t"], "color": Color.RED})

    demo.outputs["tags"].append("more")

    assert demo.to_json()["outputs"] == {"tags": ["t"], "color": "red"}
    assert demo == Demo({"text": "x"}, {"tags": ["t"], "color": Color.RED})
    with pytest.raises(DataError, match="`tags`"):
        Demo({}, {"tags": float("nan")})


@settings(max_examples=scaled(1_000), deadline=None, suppress_health_check=list(HealthCheck))
@given(typed_values, st.data())
def test_every_demo_comes_back_from_its_json(typed: Typed, data: st.DataObject) -> None:
    kind, strategy = typed
    signature = signature_of(kind, inputs=kind)
    value = TypeAdapter(kind).validate_python(data.draw(strategy))
    demo = Demo.of(signature, {"question": value, "o0": value})

    back = Demo.from_json(signature, json.loads(json.dumps(demo.to_json())))

    assert back == demo
    assert back.outputs["o0"] == demo.outputs["o0"]


class Letter(BaseModel):
    text: Base64Str


@dataclasses.dataclass
class Note:
    text: Base64Str


@each("kind", [Base64Str, Base64Bytes, list[Base64Str], dict[str, Base64Str], Base64Str | None])
def test_a_type_that_decodes_what_it_reads_is_refused_before_a_call(kind: Any) -> None:
    with pytest.raises(SignatureError, match="Declare `str`, or put it into a model"):
        field_schema(signature_of(kind), "o0")


@each(("kind", "value"), [(Letter, Letter(text="aGVsbG8=")), (Letter, {"text": "aGVsbG8="}), (Note, Note("hello"))])
def test_a_model_may_hold_a_text_that_is_decoded(kind: Any, value: Any) -> None:
    demo = Demo.of(signature_of(kind), {"o0": value})

    assert demo.outputs["o0"].text == "hello"
    assert demo.to_json()["outputs"] == {"o0": {"text": "aGVsbG8="}}


class Right(enum.IntFlag):
    READ = 4
    WRITE = 2


class Shade(enum.Flag):
    LIGHT = 1
    DARK = 2


@each(("kind", "value"), [(Right, Right.READ | Right.WRITE), (Right, 6), (Right, Right(0)), (Shade, Shade(3))])
def test_a_combination_of_flags_is_refused_with_the_type_to_declare(kind: Any, value: Any) -> None:
    with pytest.raises(DataError, match="Declare a list of an Enum"):
        Demo.of(signature_of(kind), {"o0": value})


def test_one_flag_is_a_label() -> None:
    assert Demo.of(signature_of(Right), {"o0": Right.READ}).to_json()["outputs"] == {"o0": 4}
