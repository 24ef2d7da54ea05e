"""A signature in one line: what cannot be read, or would be read in part, is refused with what to write."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunesmith as ts
from tunesmith.errors import SignatureError

BAD = {
    "q => a": "exactly one `->` between inputs and outputs, not `=>`",
    "q → a": "not `→`",
    "q - > a": "not `- >`",
    "q": "exactly one `->`",
    "": "exactly one `->`",
    "q -> a -> b": "exactly one `->`",
    "q -> ": "no output after `->`",
    "q a -> b": "The inputs `q a` are not valid: commas separate names",
    "q -> a b": "The outputs `a b` are not valid",
    "q -> a: list[": "The outputs `a: list\\[` are not valid",
    "q -> class": "`class` is a Python keyword. A column of another name is given to a field by `columns`",
    "q: -> a": "The inputs `q:` are not valid",
    "q -> a: foo": "the type `foo` is unknown",
    "q -> a: list[Foo]": "the type `Foo` is unknown",
    "q -> a: int[3]": "not subscriptable",
    "q -> a: Optional": "pydantic does not know the type typing.Optional",
    "q -> a: 5": "Field types must be types",
    "q -> _a": "leading underscores",
    "q -> q": "`q` is an input and an output",
    # DSPy reads these and drops a part of them without a word.
    "q -> a, a": "`a` is an output twice",
    "q, q -> a": "`q` is an input twice",
    "q: str = 3 -> a": "must be only names and types",
    "q, *x -> a": "must be only names and types",
    "q, *, x -> a": "must be only names and types",
    "q, /, x -> a": "must be only names and types",
}
DOORS: list[Callable[[Any], Any]] = [ts.Predict, ts.ChainOfThought, ts.Signature]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("text", BAD)
def test_a_bad_text_is_refused_with_what_was_given_and_what_to_write(door: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(SignatureError, match=BAD[text]) as caught:
        door(text)
    assert repr(text) in str(caught.value)
    assert "class Ask(ts.Signature)" in str(caught.value)


@given(st.text(st.sampled_from("qa ->=:,[]|'*/\\\n3_é"), max_size=12))
def test_any_text_is_a_signature_or_a_signature_error(text: str) -> None:
    try:
        made = ts.Signature(text)
    except SignatureError:
        return
    assert made.output_fields


@pytest.mark.parametrize("instructions", [3, ["Do it."], b"Do it."])
def test_instructions_are_a_text(instructions: Any) -> None:
    with pytest.raises(SignatureError, match="instructions of a signature must be text"):
        ts.Signature("q -> a", instructions)


@pytest.mark.parametrize("fields", [{"q": 3}, {"q": (str, 3)}, {3: (str, ts.InputField())}, None, 3])
def test_fields_that_are_none_are_refused(fields: Any) -> None:
    with pytest.raises(SignatureError, match="is not a signature"):
        ts.Signature(fields)


class Strange:
    """A class that pydantic does not know."""


def test_what_is_neither_an_input_nor_an_output_is_named() -> None:
    with pytest.raises(SignatureError, match="`Ask`: `topic` is neither an input nor an output"):

        class Ask(ts.Signature):
            question: str = ts.InputField()
            topic: str

    with pytest.raises(SignatureError, match="`Ask`: `topic` is neither an input nor an output"):

        class Ask(ts.Signature):  # type: ignore[no-redef]
            topic: str = "all"
            answer: str = ts.OutputField()


def test_a_type_that_pydantic_does_not_know_is_named_in_a_class_too() -> None:
    with pytest.raises(SignatureError, match=r"`Ask` is not a signature: pydantic does not know the type .*Strange"):

        class Ask(ts.Signature):
            question: Strange = ts.InputField()
            answer: str = ts.OutputField()
