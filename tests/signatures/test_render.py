"""Values as the text and JSON of a reply."""

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import dspy
import pytest
from pydantic import BaseModel, Field, field_serializer

from tests.each import each
from tests.signatures.strategies import Color, Level, Mixed, Tree, signature_of
from tunesmith.errors import FormatError, SignatureError
from tunesmith.signatures import (
    Signature,
    field_schema,
    is_plain,
    is_simple,
    labels,
    parse_text,
    render_json,
    render_text,
    validate_output,
)


class Named(BaseModel):
    full_name: str = Field(alias="fullName")
    price: Decimal = Decimal("0.5")


class Reversed(BaseModel):
    text: str

    @field_serializer("text")
    def _reversed(self, text: str) -> str:
        return text[::-1]


@dataclass
class Pair:
    left: int
    right: Color


class Point(NamedTuple):
    x: int
    y: int


class Opaque:
    pass


@each(
    ("kind", "plain", "found"),
    [
        (str, True, None),
        (int, True, None),
        (float, True, None),
        (date, True, None),
        (Decimal, True, None),
        (dspy.Reasoning, True, None),
        (bool, True, ("true", "false")),
        (Literal["b", "a"], True, ("b", "a")),
        (Literal["a", 1, False], True, ("a", "1", "false")),
        (Color, True, ("red", "deep blue")),
        (Level, True, ("1", "2")),
        (Mixed, True, ("name", "3", "true")),
        (Annotated[Literal["a"], "note"], True, ("a",)),
        (Literal["a", None], False, None),
        (Literal["1", 1], False, None),
        (Literal["true", True], False, None),
        (Literal["two\nlines"], False, None),
        (Literal[" a"], False, None),
        (Literal[""], False, None),
        (Literal["a\u2028b"], False, None),
        (list[str], False, None),
        (str | None, False, None),
        (Tree, False, None),
        (Any, False, None),
    ],
)
def test_plain_types_and_their_labels(kind: Any, plain: bool, found: tuple[str, ...] | None) -> None:
    signature = signature_of(kind)

    assert is_plain(signature, "o0") is plain
    if is_simple(signature, "o0"):
        assert field_schema(signature, "o0")  # no check is left out for these
    assert labels(signature, "o0") == found


@each(
    ("kind", "value", "text"),
    [
        (str, "two words", "two words"),
        (str, " a ", "a"),
        (int, -5, "-5"),
        (float, 0.5, "0.5"),
        (float, 3, "3.0"),
        (bool, False, "false"),
        (Literal[1, 2], 2, "2"),
        (Color, Color.RED, "red"),
        (Color, "red", "red"),
        (Mixed, Mixed.YES, "true"),
        (date, date(2024, 5, 1), "2024-05-01"),
        (date, "2024-05-01", "2024-05-01"),
        (Decimal, Decimal("1.10"), "1.1"),
        (list[str], ["é", 'a"'], '["é", "a\\""]'),
        (int | None, None, "null"),
        (Named, Named(fullName="Ada"), '{"fullName": "Ada", "price": 0.5}'),
        (dict[Color, int], {Color.RED: 1}, '{"red": 1}'),
        (set[int], {3, 1, 2}, "[1, 2, 3]"),
        (Pair, Pair(1, Color.RED), '{"left": 1, "right": "red"}'),
        (Point, Point(1, 2), "[1, 2]"),
        (tuple[int, ...], (1, 2), "[1, 2]"),
        (dspy.Reasoning, dspy.Reasoning(content="so"), "so"),
        (dspy.Reasoning, "so", "so"),
    ],
)
def test_a_value_is_written_as_a_reply_would_hold_it(kind: Any, value: Any, text: str) -> None:
    signature = signature_of(kind)

    assert render_text(signature, "o0", value) == text
    back = parse_text(signature, "o0", text, raw=text)
    assert render_text(signature, "o0", back) == text
    written = json.loads(json.dumps(render_json(signature, "o0", value)))
    assert validate_output(signature, "o0", written, raw="") == (value if kind is str else back)


@each(
    ("kind", "value"),
    [
        (str, 5),
        (str, None),
        (str, "\ud800"),
        (str, ["a"]),
        (int, "five"),
        (int, True),
        (int, 5.5),
        (float, float("nan")),
        (float, float("inf")),
        (bool, 1),
        (bool, "yes"),
        (Literal["a"], "b"),
        (Literal["a"], "A"),
        (Literal[1], True),
        (Color, Mixed.NAME),
        (Color, Level.LOW),
        (date, 5),
        (date, "tomorrow"),
        (list[int], "text"),
        (list[int], [True]),
        (list[str], [1]),
        (list[float], [float("inf")]),
        (list[str], ["\ud800"]),
        (Tree, {"children": []}),
        (Annotated[int, Field(le=3)], 4),
        (Annotated[str, Field(max_length=2)], "abc"),
        (Any, Opaque()),
        (Any, (1, 2)),
        (Any, {1: 2}),
    ],
)
def test_a_value_that_would_not_come_back_is_refused(kind: Any, value: Any) -> None:
    signature = signature_of(kind)

    for render in (render_text, render_json):
        with pytest.raises(FormatError, match="`o0`"):
            render(signature, "o0", value)


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_text_is_no_reply_but_a_json_value(value: str) -> None:
    signature = signature_of(str)

    with pytest.raises(FormatError, match="empty"):
        render_text(signature, "o0", value)
    assert render_json(signature, "o0", value) == value


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    for kind in (Any, list[Any]):
        with pytest.raises(FormatError):
            render_json(signature_of(kind), "o0", endless)


def test_a_serializer_of_the_users_does_not_change_what_is_read_back() -> None:
    assert render_json(signature_of(Reversed), "o0", Reversed(text="ab")) == {"text": "ab"}


@each(
    ("kind", "value", "text"),
    [
        (str, "", ""),
        (str, " as it is\n", " as it is\n"),
        (int, 3, "3"),
        (list[str], ["a"], '["a"]'),
        (Color, Color.RED, "red"),
        (list[Any], [("a", 1)], '[["a", 1]]'),
        (dspy.History, dspy.History(messages=[]), '{"messages": []}'),
    ],
)
def test_an_input_is_written_exactly(kind: Any, value: Any, text: str) -> None:
    assert render_text(signature_of(int, inputs=kind), "question", value) == text


def test_an_input_without_a_type_takes_any_value() -> None:
    signature = Signature("context, question -> answer")

    assert render_text(signature, "question", "What?") == "What?"
    assert render_text(signature, "context", ["a", {"b": 1}]) == '["a", {"b": 1}]'
    assert render_json(signature, "context", [1, 2]) == [1, 2]
    with pytest.raises(FormatError, match="`context`"):
        render_text(signature, "context", Opaque())


def test_an_unknown_field_is_the_callers_error() -> None:
    with pytest.raises(SignatureError, match="'gone'"):
        render_text(signature_of(int), "gone", 1)
