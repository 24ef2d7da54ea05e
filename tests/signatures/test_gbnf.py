"""Grammars of plain-text replies."""

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address
from typing import Annotated, Any, Literal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from pydantic import UUID4, AwareDatetime, Field, FileUrl, FutureDate, HttpUrl, NaiveDatetime, PastDate, RedisDsn

from tests.each import each
from tests.formats.gbnf import allows
from tests.signatures.strategies import Color, Tree, signature_of
from tunesmith.signatures import grammar, json_grammar, parse_text, render_json

OPEN = "root ::= value [\\x0A.]?\nvalue ::= "


@each(
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
        (int, OPEN + '"-"? ("0" | [1-9] [0-9]{0,32})'),
        (Annotated[int, Field(ge=0)], OPEN + '("0" | [1-9] [0-9]{0,32})'),
        (Annotated[int, Field(ge=1, le=3)], 'root ::= "1" | "2" | "3"'),
        (Annotated[int, Field(gt=-2, lt=1)], 'root ::= "-1" | "0"'),
        (
            Annotated[int, Field(ge=0, le=5000)],
            OPEN + '("0" | [1-9] [0-9]{0,2}) | ([1-4] [0-9]{3} | "5" "0" "0" "0")',
        ),
        (float, OPEN + '"-"? ("0" | [1-9] [0-9]{0,32}) ("." [0-9]{1,21})?'),
    ],
)
def test_a_closed_or_numeric_reply_has_a_grammar(kind: Any, expected: str) -> None:
    assert grammar(signature_of(kind), "o0") == expected


@each("kind", [date, datetime, time, UUID, Decimal])
def test_a_scalar_has_a_grammar(kind: Any) -> None:
    found = grammar(signature_of(kind), "o0")

    assert found is not None
    assert found.startswith("root ::= ")


@each("kind", [int, float, Decimal, Annotated[str, Field(pattern=r"^INV-\d+$")]])
def test_a_value_that_could_go_on_may_end_with_its_line(kind: Any) -> None:
    """A small model that may write no end after `INV-12` writes zeros until it is stopped."""
    signature = signature_of(kind)
    found = grammar(signature, "o0")
    is_code = "INV" in str(kind)
    text = "INV-12" if is_code else "12"

    assert found is not None
    assert allows(found, f"{text}.") is not is_code
    for right in (text, f"{text}\n", *(() if is_code else (f"{text}.",))):
        assert allows(found, right)
        assert parse_text(signature, "o0", right, raw=right) == (text if is_code else 12)
    for wrong in (f"{text} ", f"{text}\n\n", f"{text}\n1", "\n", f"{text},"):
        assert not allows(found, wrong)


@each(
    "kind",
    [str, Annotated[str, Field(max_length=5)], list[int], int | None, Tree, Any, Literal["a", None], dict[str, int]],
)
def test_free_text_and_json_have_none(kind: Any) -> None:
    assert grammar(signature_of(kind), "o0") is None


def test_three_thousand_labels_are_the_limit() -> None:
    names = [f"label {at}" for at in range(3001)]

    assert grammar(signature_of(Literal[tuple(names)]), "o0") is None
    assert grammar(signature_of(Literal[tuple(names[:3000])]), "o0") is not None


def test_many_labels_are_held_in_plain_text_and_in_json() -> None:
    names = tuple(f"label {at}" for at in range(300))
    plain, listed = grammar(signature_of(Literal[names]), "o0"), json_grammar(signature_of(list[Literal[names]]), "o0")

    assert plain is not None
    assert listed is not None
    assert all(allows(plain, name) for name in names)
    assert not any(allows(plain, wrong) for wrong in ("label 300", "label", "label 1 ", "label 07"))
    assert allows(listed, '["label 299", "label 2"]')
    assert not allows(listed, '["label 300"]')


@each(
    ("kind", "right", "wrong"),
    [
        (Annotated[dict[str, int], Field(max_length=2)], '{"a": 1, "b": 2}', '{"a": 1, "b": 2, "c": 3}'),
        (Annotated[dict[str, int], Field(min_length=2)], '{"a": 1, "b": 2, "c": 3}', '{"a": 1}'),
        (Annotated[dict[str, int], Field(min_length=1)], '{"a": 1}', "{}"),
        (Annotated[dict[str, int], Field(max_length=0)], "{}", '{"a": 1}'),
        (Annotated[dict[int, str], Field(max_length=1)], '{"1": "a"}', '{"a": "a"}'),
    ],
)
def test_a_mapping_has_as_many_keys_as_declared(kind: Any, right: str, wrong: str) -> None:
    found = json_grammar(signature_of(kind), "o0")

    assert found is not None
    assert allows(found, right)
    assert not allows(found, wrong)


def test_a_day_of_the_past_or_the_future_is_in_the_right_century() -> None:
    past, future = (json_grammar(signature_of(kind), "o0") for kind in (PastDate, FutureDate))

    assert past is not None
    assert future is not None
    assert allows(past, '"2024-02-29"')
    assert not allows(past, '"3222-12-12"')
    assert allows(future, '"2030-01-01"')
    assert not allows(future, '"1999-01-01"')


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


@each(
    ("kind", "right", "wrong"),
    [
        (date, "2024-02-29", "2023-02-29"),
        (date, "2000-02-29", "1900-02-29"),
        (date, "2024-04-30", "2024-04-31"),
        (date, "0001-01-01", "0000-01-01"),
        (datetime, "2024-12-31T23:59:59Z", "2024-06-31T00:00:00Z"),
        (Annotated[date, Field(ge=date(2020, 1, 1))], "2020-01-01", "2019-12-31"),
        (Annotated[date, Field(gt=date(2020, 1, 1), lt=date(2020, 1, 4))], "2020-01-03", "2020-01-01"),
        (Annotated[date, Field(le=date(2024, 2, 29))], "2024-02-29", "2024-03-01"),
        (UUID4, "12345678-1234-4234-9234-567812345678", "12345678-1234-1234-9234-567812345678"),
    ],
)
def test_a_date_that_there_is_not_cannot_be_written(kind: Any, right: str, wrong: str) -> None:
    found = grammar(signature_of(kind), "o0")

    assert found is not None
    assert allows(found, right)
    assert not allows(found, wrong)


@each(
    ("kind", "value"),
    [
        (HttpUrl, "https://a-b.example.org:8080/x?y=1#z"),
        (HttpUrl, "http://localhost"),
        (FileUrl, "file:///etc/hosts"),
        (RedisDsn, "redis://cache.local:6379/0"),
        (timedelta, timedelta(days=-3, hours=2, seconds=1.5)),
        (timedelta, timedelta(0)),
        (IPv4Address, "255.255.255.255"),
        (IPv6Address, "2001:db8::8a2e:370:7334"),
        (IPv4Network, "10.0.0.0/8"),
        (IPv4Interface, "10.0.0.7/8"),
        (AwareDatetime, "2024-05-01T10:00:00+02:00"),
        (NaiveDatetime, "2024-05-01T10:00:00"),
        (Literal["", None, 0.5, "two\nlines"], 0.5),
        (bytes, b"ab"),
    ],
    ids=str,
)
def test_a_value_of_one_line_of_json_is_in_its_grammar(kind: Any, value: Any) -> None:
    signature = signature_of(kind)
    found = json_grammar(signature, "o0")

    assert found is not None
    assert allows(found, json.dumps(render_json(signature, "o0", value), ensure_ascii=False))
    for junk in ("", " ", "```", "{}", "null x", '"\n"'):
        assert not allows(found, junk)


@each("kind", [str, int, date, Literal["a", "b"]])
def test_plain_text_has_no_grammar_of_json(kind: Any) -> None:
    assert json_grammar(signature_of(kind), "o0") is None


@each(
    ("kind", "right", "wrong"),
    [
        (list[int], "[1, 2]", "[1, 2]\n"),
        (list[int], "[\n  1,\n  2\n]", "[\n\n\n1]"),
        (list[int], "[12.0]", "[12.5]"),
        (list[str], '[\n"a","b"]', '```json\n["a"]\n```'),
        (dict[str, int], '{\n  "a": 1\n}', '\n{"a": 1}'),
        (int | None, "12\n", "12 "),
        (list[Tree], "[ ]", ""),
    ],
)
def test_json_has_white_space_inside_and_nothing_before_it(kind: Any, right: str, wrong: str) -> None:
    found = json_grammar(signature_of(kind), "o0")

    assert found is not None
    assert allows(found, right) is (right != "[ ]")  # an empty list has one way to be written
    assert not allows(found, wrong)


@each(
    ("kind", "right", "wrong"),
    [
        (set[Literal["a", "b", "c"]], '["c", "a"]', '["a", "a"]'),
        (frozenset[Color], '["red", "deep blue"]', '["red", "red"]'),
        (set[Literal[1, 2]], "[2, 1]", "[1, 1]"),
        (Annotated[set[Literal["a", "b"]], Field(min_length=1)], '["b"]', "[]"),
    ],
)
def test_a_small_set_of_labels_has_each_once_in_any_order(kind: Any, right: str, wrong: str) -> None:
    found = json_grammar(signature_of(kind), "o0")

    assert found is not None
    assert allows(found, right)
    assert not allows(found, wrong)


@each(
    ("kind", "right", "wrong"),
    [
        (dict[int, str], '{"-12": "a"}', '{"id": "a"}'),
        (dict[date, int], '{"2024-02-29": 1}', '{"2023-02-29": 1}'),
        (dict[float, int], '{"0.5": 1}', '{"half": 1}'),
        (dict[Annotated[int, Field(ge=1, le=3)], int], '{"3": 1}', '{"4": 1}'),
        (dict[UUID, int], '{"12345678-1234-4234-9234-567812345678": 1}', '{"1": 1}'),
        (list[dict[int, bool]], '[{"1": true}]', '[{"a": true}]'),
    ],
)
def test_the_keys_of_a_mapping_are_held_to_their_type(kind: Any, right: str, wrong: str) -> None:
    found = json_grammar(signature_of(kind), "o0")

    assert found is not None
    assert allows(found, right)
    assert not allows(found, wrong)
    parse_text(signature_of(kind), "o0", right, raw=right)
