"""What a model is told of the fields of nested types."""

import dataclasses
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import dspy
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import tunesmith as ts
from tests.each import each
from tunesmith.modules import bind
from tunesmith.signatures import shape_lines, shape_words


class Kind(Enum):
    NEW = "new"
    OLD = "old"


class Item(BaseModel):
    """A thing."""

    name: str = Field(alias="Name")
    price: float = Field(description="in\neuro", ge=0)
    kind: Kind | None = None


class Tree(BaseModel):
    day: date
    below: "list[Tree]" = []


@dataclasses.dataclass
class Order:
    items: list[Item]
    notes: dict[str, int]


class Cat(TypedDict):
    kind: Literal["cat"]


class Dog(TypedDict):
    kind: Literal["dog"]


ITEM = (
    'Item is {"Name": <text>, "price": <float, minimum 0: in euro>, "kind": <one of "new", "old" or null>} (A thing.)'
)


def of(kind: Any) -> type[dspy.Signature]:
    build: Any = dspy.Signature
    made: type[dspy.Signature] = build({"text": (str, dspy.InputField()), "found": (kind, dspy.OutputField())})
    return made


@each(
    "kind, words, lines",
    [
        (list[Item], "list[Item]", [ITEM]),
        (Item | None, "Item or null", [ITEM]),
        (Order, "Order", ['Order is {"items": <list[Item]>, "notes": <dict[str, int]>}', ITEM]),
        (Tree, "Tree", ['Tree is {"day": <date>, "below": <list[Tree]>}']),
        (
            list[Annotated[Cat | Dog, Field(discriminator="kind")]],
            "list[Cat or Dog]",
            ['Cat is {"kind": <"cat">}', 'Dog is {"kind": <"dog">}'],
        ),
    ],
)
def test_a_nested_type_is_told_with_its_fields(kind: Any, words: str, lines: list[str]) -> None:
    assert (shape_words(of(kind), "found"), shape_lines(of(kind))) == (words, lines)


@pytest.mark.parametrize("kind", [str, int, Kind, Literal["a", "b"], list[str], dict[str, int], date, dspy.Image])
def test_of_a_flat_type_nothing_more_is_told(kind: Any) -> None:
    assert (shape_words(of(kind), "found"), shape_lines(of(kind))) == (None, [])


def system_of(kind: Any, name: str) -> str:
    program = ts.Predict(of(kind).with_instructions("Read it."))
    bind(program, name)
    return str(ts.render(program, text="one lamp").messages[0]["content"])


def test_every_format_but_chat_tells_them_below_the_form_of_the_reply() -> None:
    assert system_of(list[Item], "bare") == f"Read it.\nReply with the JSON value only: list[Item]\n{ITEM}"
    assert system_of(list[Item], "json") == f'Read it.\nReply with one JSON object: {{"found": <list[Item]>}}\n{ITEM}'
    for name in ("lines", "markdown", "xml"):
        assert "{JSON of list[Item]}" in system_of(list[Item], name)
        assert system_of(list[Item], name).endswith(ITEM)


def test_the_prompts_of_flat_types_are_as_they_were() -> None:
    assert system_of(list[str], "bare") == "Read it.\nReply with the JSON value only."
    assert system_of(list[str], "json") == 'Read it.\nReply with one JSON object: {"found": <list[str]>}'
    assert system_of(list[str], "lines") == "Read it.\nReply in this form:\nFound: {JSON of list[str]}"
