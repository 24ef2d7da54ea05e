"""What is read from a signature."""

import hashlib
import json
from enum import Enum
from typing import Annotated, Any, Literal

import dspy
import pytest
from pydantic import BaseModel, Field, TypeAdapter

from tests.each import each
from tests.signatures.strategies import Color, signature_of
from tunesmith.errors import SignatureError
from tunesmith.signatures import (
    InputField,
    OutputField,
    Signature,
    describe,
    field_description,
    fingerprint,
    input_types,
    output_types,
)


class Review(BaseModel):
    stars: int


class Rate(Signature):
    """Rate the text."""

    text: str = InputField(desc="what was said")
    context: list[str] = InputField()
    stars: int = OutputField(desc="1 to 5", ge=1, le=5)
    label: Literal["a", "b"] | None = OutputField(desc="${label}")


def test_types_come_in_order_with_their_constraints() -> None:
    assert list(input_types(Rate).items()) == [("text", str), ("context", list[str])]
    outputs = output_types(Rate)
    assert list(outputs) == ["stars", "label"]
    assert outputs["stars"].__origin__ is int
    assert [str(item) for item in outputs["stars"].__metadata__] == ["Ge(ge=1)", "Le(le=5)"]
    assert outputs["label"] == Literal["a", "b"] | None


def test_a_signature_is_described_in_json() -> None:
    described = describe(Rate)

    assert json.loads(json.dumps(described)) == described
    assert described == {
        "name": "Rate",
        "instructions": "Rate the text.",
        "fields": [
            {"name": "text", "role": "input", "type": "str", "desc": "what was said"},
            {"name": "context", "role": "input", "type": "list[str]", "desc": None},
            {"name": "stars", "role": "output", "type": "int (ge=1, le=5)", "desc": "1 to 5"},
            {"name": "label", "role": "output", "type": "Literal['a', 'b'] | None", "desc": None},
        ],
    }


@each(
    ("kind", "text"),
    [
        (dict[str, list[int]], "dict[str, list[int]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Review, "Review"),
        (Color, "Color"),
        (Literal[Color.RED], "Literal[Color.RED]"),
        (Any, "Any"),
        (Annotated[str, Field(max_length=3, pattern="^a$"), "words"], "str (max_length=3, pattern='^a$')"),
        (list[Annotated[int, Field(gt=0)]], "list[int (gt=0)]"),
        (dspy.Image, "Image"),
    ],
)
def test_types_are_described_as_a_person_writes_them(kind: Any, text: str) -> None:
    assert describe(signature_of(kind))["fields"][1]["type"] == text


def test_a_default_description_is_none() -> None:
    fields = Signature("question -> answer").fields
    assert [field_description(info) for info in fields.values()] == [None, None]
    assert field_description(OutputField(description="pydantic's own")) == "pydantic's own"
    assert field_description(OutputField(desc=" ")) is None


def test_the_fingerprint_of_a_plain_type_is_that_of_its_json_schema() -> None:
    """Artifacts hold fingerprints, so that of a type may never change."""
    for kind in (str, int, float, bool):
        fields = [["text", "output", TypeAdapter(kind).json_schema(), None]]
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        only = dspy.Signature({"text": (kind, dspy.OutputField())}, "Write.")
        assert fingerprint(only) == hashlib.sha256(text.encode()).hexdigest()


def test_the_fingerprint_is_of_the_fields_and_not_of_the_instruction() -> None:
    assert fingerprint(Rate) == fingerprint(Rate.with_instructions("Other words."))
    assert len(fingerprint(Rate)) == 64


def _made(**changes: Any) -> type[Signature]:
    fields: dict[str, Any] = {
        "question": (str, InputField()),
        "answer": (Literal["a", "b"], OutputField(desc="x")),
        "more": (int, OutputField()),
    }
    fields |= changes
    return Signature(fields, "Answer.")


@each(
    "other",
    [
        _made(answer=(Literal["b", "a"], OutputField(desc="x"))),
        _made(answer=(Literal["a", "b"], OutputField(desc="y"))),
        _made(answer=(str, OutputField(desc="x"))),
        _made(more=(int, OutputField(ge=0))),
        _made(more=(float, OutputField())),
        _made(more=(int, InputField())),
        _made(question=(int, InputField())),
        _made(extra=(int, OutputField())),
        Signature({"question": (str, InputField()), "more": (int, OutputField())}, "Answer."),
        Signature(dict(reversed(_made().fields.items())), "Answer."),
    ],
)
def test_another_field_type_order_or_description_is_another_fingerprint(other: type[Signature]) -> None:
    assert fingerprint(_made()) == fingerprint(_made())
    assert fingerprint(other) != fingerprint(_made())


def test_the_content_of_a_model_counts_and_its_name_does_not() -> None:
    def model(kind: Any) -> Any:
        return type("Reply", (BaseModel,), {"__annotations__": {"a": kind}})

    assert fingerprint(signature_of(model(int))) == fingerprint(signature_of(model(int)))
    assert fingerprint(signature_of(model(int))) != fingerprint(signature_of(model(str)))


@each("kind", [dspy.Image, dspy.Tool, dspy.History, Color, dict[str, Any], type[int], Enum])
def test_inputs_of_any_type_have_a_fingerprint(kind: Any) -> None:
    assert len(fingerprint(signature_of(int, inputs=kind))) == 64


@each("read", [describe, fingerprint, input_types, output_types])
@each("given", [None, "question -> answer", int, Review, dspy.Predict("a -> b")])
def test_what_is_no_signature_is_refused(read: Any, given: Any) -> None:
    with pytest.raises(SignatureError, match="not a signature"):
        read(given)
