"""Grammars of plain-text replies."""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from tests.signatures.strategies import Color, Tree, signature_of
from tunesmith.signatures import grammar


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (bool, 'root ::= "true" | "false"'),
        (Literal["a b", "c"], 'root ::= "a b" | "c"'),
        (Literal[1, "x", True], 'root ::= "1" | "x" | "true"'),
        (Color, 'root ::= "red" | "deep blue"'),
        (Literal['say "hi"', "back\\slash"], r'root ::= "say \"hi\"" | "back\\slash"'),
        (Literal["é", "日本", "[x]"], 'root ::= "é" | "日本" | "[x]"'),
        (
            Literal["tab\there", "\x7f", "a\u200b", "\U000e0001"],
            r'root ::= "tab\x09here" | "\x7F" | "a\u200B" | "\U000E0001"',
        ),
        (int, 'root ::= "-"? ("0" | [1-9] [0-9]{0,15})'),
        (Annotated[int, Field(ge=0)], 'root ::= ("0" | [1-9] [0-9]{0,15})'),
        (Annotated[int, Field(ge=1, le=3)], 'root ::= "1" | "2" | "3"'),
        (Annotated[int, Field(gt=-2, lt=1)], 'root ::= "-1" | "0"'),
        (Annotated[int, Field(ge=0, le=5000)], 'root ::= ("0" | [1-9] [0-9]{0,3})'),
        (Annotated[int, Field(ge=-12345, le=0)], 'root ::= "-"? ("0" | [1-9] [0-9]{0,4})'),
        (float, 'root ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})?'),
    ],
)
def test_a_closed_or_numeric_reply_has_a_grammar(kind: Any, expected: str) -> None:
    assert grammar(signature_of(kind), "o0") == expected


@pytest.mark.parametrize("kind", [date, datetime, time, UUID, Decimal])
def test_a_scalar_has_a_grammar(kind: Any) -> None:
    found = grammar(signature_of(kind), "o0")

    assert found is not None
    assert found.startswith("root ::= ")


@pytest.mark.parametrize(
    "kind",
    [str, Annotated[str, Field(max_length=5)], list[int], int | None, Tree, Any, Literal["a", None], dict[str, int]],
)
def test_free_text_and_json_have_none(kind: Any) -> None:
    assert grammar(signature_of(kind), "o0") is None


def test_two_hundred_labels_are_the_limit() -> None:
    names = [f"label {at}" for at in range(201)]

    assert grammar(signature_of(Literal[tuple(names)]), "o0") is None
    assert grammar(signature_of(Literal[tuple(names[:200])]), "o0") is not None


_ESCAPES = {"x": 2, "u": 4, "U": 8}


def _unquoted(literal: str) -> str:
    """Read a GBNF literal as llama.cpp's parser does."""
    assert literal[0] == literal[-1] == '"'
    body, out, at = literal[1:-1], [], 0
    while at < len(body):
        if body[at] == '"':
            raise AssertionError(literal)
        if body[at] != "\\":
            out.append(body[at])
            at += 1
        elif body[at + 1] in _ESCAPES:
            end = at + 2 + _ESCAPES[body[at + 1]]
            out.append(chr(int(body[at + 2 : end], 16)))
            at = end
        else:
            assert body[at + 1] in '"\\'
            out.append(body[at + 1])
            at += 2
    return "".join(out)


@given(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1)
    .map(str.strip)
    .filter(lambda t: len(t.splitlines()) == 1)
)
def test_a_label_is_quoted_so_that_it_is_read_back(label: str) -> None:
    found = grammar(signature_of(Literal[label]), "o0")

    assert found is not None
    assert "\n" not in found
    assert _unquoted(found.removeprefix("root ::= ")) == label
