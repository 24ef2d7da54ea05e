"""A typed function declares a signature."""

import functools
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NewType, NotRequired, TypedDict

import dspy
import pytest
from pydantic import BaseModel, Field, RootModel

from tests.each import each
from tunesmith.errors import SignatureError
from tunesmith.signatures import (
    Signature,
    describe,
    field_description,
    input_types,
    output_schema,
    output_types,
    signature_from_function,
    validate_outputs,
)

Subject = NewType("Subject", str)


class Reply(BaseModel):
    label: Literal["a", "b"] = Field(description="which one")
    score: Annotated[float, Field(ge=0, le=1)]
    notes: list[str] = []
    made: dict[str, int] = Field(default_factory=dict)


@dataclass
class Pair:
    left: int
    right: Annotated[str, "the other one"] = "r"
    more: list[int] = field(default_factory=list)
    hidden: int = field(default=0, init=False)


class Row(TypedDict):
    name: str
    age: NotRequired[Annotated[int, Field(ge=0)]]


class Nothing(BaseModel):
    pass


def triage(subject: str, body: Annotated[str, "the mail"], urgent: bool = False) -> Reply:
    """Sort a mail.

    Be brief.
    """
    raise AssertionError("never called")


def test_parameters_are_inputs_and_model_fields_are_outputs() -> None:
    signature = signature_from_function(triage)

    assert issubclass(signature, Signature)
    assert signature.__name__ == "Triage"
    assert signature.instructions == "Sort a mail.\n\nBe brief."
    assert list(signature.input_fields) == ["subject", "body", "urgent"]
    assert list(output_types(signature)) == ["label", "score", "notes", "made"]
    assert signature.input_fields["urgent"].default is False
    assert field_description(signature.input_fields["body"]) == "the mail"
    assert field_description(signature.output_fields["label"]) == "which one"
    assert describe(signature)["fields"][4]["type"] == "float (ge=0, le=1)"
    assert validate_outputs(signature, {"label": "a", "score": 1}, raw="") == {
        "label": "a",
        "score": 1.0,
        "notes": [],
        "made": {},
    }


def test_a_dataclass_and_a_typed_dict_are_outputs_too() -> None:
    def pair(text: str) -> Pair: ...
    def row(text: str) -> Row: ...

    outputs = signature_from_function(pair).output_fields
    assert list(outputs) == ["left", "right", "more"]
    assert field_description(outputs["right"]) == "the other one"
    assert output_schema(signature_from_function(row))["properties"]["age"] == {"type": "integer", "minimum": 0}


@each(
    "kind",
    [str, int, list[Reply], Reply | None, Literal["a"], dict[str, int], RootModel[int], Subject],
)
def test_any_other_return_type_is_one_result(kind: Any) -> None:
    def function(text: str) -> kind: ...

    signature = signature_from_function(function)

    assert list(signature.output_fields) == ["result"]
    assert output_schema(signature)["required"] == ["result"]


def test_methods_async_and_callable_objects_give_signatures() -> None:
    class Holder:
        def method(self, text: str) -> int:
            """Count."""
            return 0

        async def __call__(self, text: Subject) -> Annotated[int, "how many"]:
            return 0

    async def later(text: str, *, other: int) -> str:
        return ""

    assert signature_from_function(Holder().method).instructions == "Count."
    called = signature_from_function(Holder())
    assert input_types(called) == {"text": str}
    assert field_description(called.output_fields["result"]) == "how many"
    assert list(input_types(signature_from_function(later))) == ["text", "other"]


def test_without_a_docstring_dspy_writes_the_instruction() -> None:
    def function(text: str) -> int: ...

    assert signature_from_function(function).instructions == "Given the fields `text`, produce the fields `result`."


def test_a_field_may_have_the_name_of_a_method() -> None:
    def function(schema: str, copy: str) -> Annotated[str, "json"]: ...

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signature = signature_from_function(function)
    assert list(signature.fields) == ["schema", "copy", "result"]


def test_it_runs_in_dspy() -> None:
    assert list(dspy.ChainOfThought(signature_from_function(triage)).predict.signature.output_fields)[0] == "reasoning"


def untyped(text) -> int: ...  # type: ignore[no-untyped-def]
def no_return(text: str): ...  # type: ignore[no-untyped-def]
def returns_none(text: str) -> None: ...
def starred(*texts: str) -> int: ...
def keywords(**texts: str) -> int: ...
def positional(text: str, /) -> int: ...
def no_inputs() -> int: ...
def clash(label: str) -> Reply: ...
def result_clash(result: str) -> int: ...
def no_outputs(text: str) -> Nothing: ...
def unknown_input(text: "Gone") -> int: ...  # type: ignore[name-defined]  # noqa: F821
def unknown_output(text: str) -> "Gone": ...  # type: ignore[name-defined]  # noqa: F821
def broken(text: "1 +") -> int: ...  # type: ignore[syntax]  # noqa: F722
def opaque_input(text: Callable[..., int], other: object, third: "Opaque") -> int: ...
def opaque_output(text: str) -> "Opaque": ...
def generates(text: str) -> Generator[int, None, None]: ...
def private(_text: str) -> int: ...
def reserved(model_config: str) -> int: ...
def taken(instructions: str) -> int: ...
def returns_signature(text: str) -> Signature: ...
def returns_prediction(text: str) -> dspy.Prediction: ...
def wrong_constraint(text: str) -> Annotated[int, Field(pattern="(")]: ...


class Opaque:
    pass


@each(
    ("given", "words"),
    [
        (untyped, "`text`.*no type"),
        (no_return, "no return type"),
        (returns_none, "no return type"),
        (starred, "any number"),
        (keywords, "any keyword"),
        (positional, "positional-only"),
        (no_inputs, "no parameters"),
        (clash, "`label` is an input and an output"),
        (result_clash, "`result` is an input and an output"),
        (no_outputs, "no fields"),
        (unknown_input, "Gone"),
        (unknown_output, "Gone"),
        (broken, "cannot be read"),
        (opaque_input, "Opaque"),
        (opaque_output, "Opaque"),
        (private, "`_text`"),
        (reserved, "`model_config`"),
        (taken, "`instructions`"),
        (returns_signature, "returns a signature"),
        (returns_prediction, "Prediction"),
        (wrong_constraint, "makes no signature"),
        (lambda text: text, "no type"),
        (functools.partial(clash), "partial"),
        (len, "len"),
        (Reply, "derived from a function"),
        (None, "derived from a function"),
        ("question -> answer", "derived from a function"),
        (3, "derived from a function"),
    ],
)
def test_a_function_that_declares_no_signature_is_refused(given: Any, words: str) -> None:
    with pytest.raises(SignatureError, match=words):
        signature_from_function(given)


def test_a_generator_is_refused_when_it_is_asked_for() -> None:
    with pytest.raises(SignatureError):
        output_schema(signature_from_function(generates))
