from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, List, Literal, Optional  # noqa: UP035 - as many write types
from uuid import UUID

import pytest
from dspy import History, Image
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from tests.each import each
from tests.scale import scaled
from tunesmith.artifacts.typetext import canonical, parse_type
from tunesmith.signatures import type_text

SCALARS = st.sampled_from([str, int, float, bool, date, datetime, time, timedelta, Decimal, UUID, Any, History, Image])
LABELS = st.lists(
    st.one_of(st.text(max_size=12), st.integers(-(10**12), 10**12), st.booleans()), min_size=1, max_size=5
)
TYPES = st.recursive(
    st.one_of(SCALARS, LABELS.map(lambda values: Literal[tuple(values)]), st.just(list), st.just(dict)),
    lambda inner: st.one_of(
        inner.map(lambda one: list[one]),
        inner.map(lambda one: set[one]),
        inner.map(lambda one: tuple[one, ...]),
        st.tuples(inner, inner).map(lambda pair: tuple[pair]),
        st.tuples(SCALARS, inner).map(lambda pair: dict[pair]),
        inner.map(lambda one: one | None),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
    ),
    max_leaves=6,
)


@settings(max_examples=scaled(1000), deadline=None)
@given(annotation=TYPES)
def test_a_simple_type_comes_back_from_its_text(annotation):
    back = parse_type(type_text(annotation))
    assert back == annotation
    # Of unions that are equal Python gives the one that was made first, in whatever order.
    assert parse_type(type_text(back)) == annotation


@settings(max_examples=scaled(1000), deadline=None)
@given(text=st.text(alphabet="strintliLea[]|,' \"\\()._0123NoneTrue\n", max_size=40))
def test_any_other_text_is_a_value_error(text):
    try:
        found = parse_type(text)
    except ValueError:
        return
    assert parse_type(type_text(found)) == found


class Colour(Enum):
    RED = "red"


@each(
    "text",
    [
        "",
        "object",
        "datetime.date",
        "tuple[",
        "tuple[]",
        "tuple[...]",
        "tuple[..., int]",
        "tuple[int, ..., int]",
        "tuple[int, int, ...]",
        "list[...]",
        "...",
        "bytes",
        "Colour",
        "os.system",
        "list[",
        "list[]",
        "list[str",
        "list[str]]",
        "list[str, int]",
        "dict[str]",
        "str |",
        "| str",
        "str str",
        "str[int]",
        "None | None",
        "Literal",
        "Literal[]",
        "Literal[1.5]",
        "Literal[b'x']",
        "Literal[f'x']",
        "Literal['a'",
        "Literal['a\\']",
        "Literal[Colour.RED]",
        "Literal[[1]]",
        "Literal[__import__('os')]",
        "int (ge=1",
        "int ()",
        "int (ge)",
        "int (ge=)",
        "int (ge='1')",
        "int (ge=1 le=2)",
        "int (max_length=1)",
        "str (ge=1)",
        "str (max_length=1.5)",
        "str (pattern='a')",
        "bool (ge=1)",
        "Literal[1] (ge=1)",
        "'str'",
        "str'",
        "list" + "[list" * 60 + "]" * 60,
        "[" * 100_000,
        "str | " * 30_000,
        "Literal[" + "9" * 5000 + "]",
        "Literal['\\N{no such letter}']",
        "Literal['\\uZZZZ']",
        "Literal['\\U99999999']",
        "Literal['\\q']",
    ],
)
def test_what_is_no_simple_type_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - every message is its own
        parse_type(text)


@each(
    "annotation",
    [
        Annotated[int, Field(ge=1, le=5)],
        Annotated[float, Field(gt=-1.5, lt=1e9)],
        Annotated[int, Field(multiple_of=2)],
        Annotated[str, Field(min_length=1, max_length=60)],
        Annotated[list[str], Field(max_length=8)],
        list[Annotated[int, Field(ge=0)]],
        Annotated[int, Field(ge=1)] | None,
    ],
)
def test_bounds_come_back_with_their_types(annotation):
    back = parse_type(type_text(annotation))
    assert type_text(back) == type_text(annotation)
    schemas = [TypeAdapter(one).json_schema() for one in (annotation, back)]
    assert schemas[0] == schemas[1]


@each("annotation", [bytes, Colour, frozenset[int], Literal[Colour.RED]])
def test_the_text_of_another_type_is_refused(annotation):
    with pytest.raises(ValueError):  # noqa: PT011 - every message is its own
        parse_type(type_text(annotation))


def test_two_ways_to_write_a_type_are_one() -> None:
    old: Any = List[Annotated[int, Field(ge=1)]]  # noqa: UP006
    assert canonical(Optional[old]) == canonical(parse_type("list[int (ge=1)] | None"))  # noqa: UP045
    assert canonical(list[Annotated[int, Field(ge=2)]]) != canonical(parse_type("list[int (ge=1)]"))
    assert canonical(set[int]) != canonical(list[int])
