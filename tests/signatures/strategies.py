"""Random types with values of them, and random signatures, evil ones among them."""

import enum
import math
import types
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from tunesmith.signatures import InputField, OutputField, Signature

Typed = tuple[Any, st.SearchStrategy[Any]]


class Color(enum.Enum):
    RED = "red"
    DEEP_BLUE = "deep blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    NAME = "name"
    NUMBER = 3
    YES = True


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


def signature_of(*kinds: Any, inputs: Any = str) -> type[Signature]:
    """Return a signature with one output `o0`, `o1`, ... of each type."""
    fields = {"question": (inputs, InputField())}
    fields |= {f"o{at}": (kind, OutputField()) for at, kind in enumerate(kinds)}
    return Signature(fields, "Answer.")


# No text of these starts or ends with white space, and no character is half a pair.
words = st.text(st.characters(exclude_categories=("Cs",)), max_size=20).map(str.strip)
numbers = st.floats(allow_nan=False, allow_infinity=False)
zones = st.sampled_from([None, UTC, timezone(timedelta(hours=-5, minutes=-30))])

_SCALARS: list[Typed] = [
    (str, words.filter(bool)),
    (int, st.integers(-(10**30), 10**30)),
    (float, numbers),
    (bool, st.booleans()),
    (date, st.dates()),
    (datetime, st.datetimes(timezones=zones)),
    (time, st.times(timezones=st.sampled_from([None, UTC]))),
    (UUID, st.uuids()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9)),
    (Literal["yes", "no"], st.sampled_from(["yes", "no"])),
    (Literal["a", 1, True, None], st.sampled_from(["a", 1, True, None])),
    (Literal["Ja", "ja", "two\nlines"], st.sampled_from(["Ja", "ja", "two\nlines"])),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Mixed, st.sampled_from(Mixed)),
    (Annotated[int, Field(ge=-3, lt=12)], st.integers(-3, 11)),
    (Annotated[float, Field(gt=0, le=1)], st.floats(0.001, 1)),
    (Annotated[str, Field(min_length=1, max_length=5)], st.text("abcdé", min_size=1, max_size=5)),
    (Annotated[str, Field(pattern=r"^[A-Z]{2}\d{3}$")], st.just("AB123")),
]


def _model(parts: list[Typed]) -> Typed:
    model = create_model("Model", **{f"f{at}": (kind, ...) for at, (kind, _) in enumerate(parts)})
    values = {f"f{at}": strategy for at, (_, strategy) in enumerate(parts)}
    return model, st.fixed_dictionaries(values).map(lambda given: model.model_construct(**given))


def _keyed(part: Typed) -> Typed:
    return dict[str, part[0]], st.dictionaries(words, part[1], max_size=3)


def _containers(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    return st.one_of(
        inner.map(lambda part: (list[part[0]], st.lists(part[1], max_size=6))),
        inner.map(_keyed),
        inner.map(lambda part: (part[0] | None, st.none() | part[1])),
        st.tuples(inner, inner).map(lambda two: (tuple[two[0][0], two[1][0]], st.tuples(two[0][1], two[1][1]))),
        st.lists(inner, min_size=1, max_size=3).map(_model),
        inner.map(lambda part: (Annotated[list[part[0]], Field(max_length=4)], st.lists(part[1], max_size=4))),
    )


typed_values: st.SearchStrategy[Typed] = st.recursive(st.sampled_from(_SCALARS), _containers, max_leaves=4)

EVIL_PATTERNS = (
    "^(?=a)b$", "^\\d{3}$", "abc", "^a|b$", "^[^a]$", "^.*$", "^(a)\\1$", "^\\bx$", "^a{2,}$", "^a{3000}$",
    "^\\w+\\s$",
    '^"$', "^[!-~]{3}$", "^[a-z]{1,5}?$", "^\\p{L}$",
    "^a\\$", "$^", "^$", "^[\\d\\w-]{2}$", "^[A-Z]{2}-\\d{3}\\.x?$", "^é$",
)  # fmt: skip
_EVIL_SCHEMAS: tuple[dict[str, Any], ...] = (
    {"type": "foo"}, {"$ref": "#/nowhere"}, {"not": {"type": "string"}}, {"enum": []}, {"type": ["string", "null"]},
    {},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"properties": {"b": True}}]},
    {"type": "string", "maxLength": "many"}, {"anyOf": []}, {"oneOf": [{"type": "string"}, {"type": "null"}]},
    {"type": "object", "patternProperties": {"^a": {"type": "number"}}, "maxProperties": 2}, {"enum": [[1], {}]},
    {"type": "array", "contains": {"type": "string"}, "uniqueItems": True}, {"type": "number", "multipleOf": 0.1},
    {"type": "string", "format": "email", "pattern": "(?<=a)b"}, {"const": math.inf}, {"properties": {"a": True}},
    {"type": "array", "minItems": 9, "maxItems": 3}, {"type": "array", "items": False, "minItems": 1}, {"type": 5},
    {"type": "integer", "minimum": "low"}, {"type": "array", "prefixItems": [True, {"type": "null"}]}, {"items": {}},
    {"type": "string", "const": "\ud800"}, {"type": "object", "required": ["x"], "properties": {"y": False}},
)  # fmt: skip

_counts = st.none() | st.integers(0, 3000)


@st.composite
def _bounded_text(draw: st.DrawFn) -> Any:
    pattern = draw(st.none() | st.sampled_from(EVIL_PATTERNS))
    field = Field(min_length=draw(_counts), max_length=draw(_counts), pattern=pattern)
    return Annotated[str, field]


@st.composite
def _bounded_number(draw: st.DrawFn) -> Any:
    bound = st.none() | st.integers(-(10**18), 10**18)
    field = Field(ge=draw(bound), lt=draw(bound), multiple_of=draw(st.sampled_from([None, 2, 5])))
    return Annotated[draw(st.sampled_from([int, float, Decimal])), field]


def _literal(labels: list[Any]) -> Any:
    return Literal[tuple(labels)]


_labels = st.lists(st.text(max_size=5) | st.integers() | st.booleans() | st.none(), min_size=1, max_size=6).map(
    _literal
)
_leaves = st.one_of(
    st.sampled_from([kind for kind, _ in _SCALARS]),
    st.sampled_from([Any, object, bytes, timedelta, complex, Tree, list, dict, set, tuple, tuple[()], types.NoneType]),
    _bounded_text(),
    _bounded_number(),
    _labels,
    st.just(_literal([f"label {at}" for at in range(300)])),
    st.sampled_from(_EVIL_SCHEMAS).map(lambda schema: Annotated[str, WithJsonSchema(schema)]),
)


@st.composite
def _bounded_array(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> Any:
    holder = draw(st.sampled_from([list, set, frozenset]))
    return Annotated[holder[draw(inner)], Field(min_length=draw(_counts), max_length=draw(_counts))]


def _made(fields: dict[str, Any]) -> Any:
    """Return a model, or `str` where pydantic refuses it. Its patterns may be of either dialect."""
    for dialect in ("python-re", "rust-regex"):
        try:
            return create_model("Nested", __config__=ConfigDict(regex_engine=dialect), **fields)
        except Exception:
            continue
    return str


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["a b", 'q"', "é", "x-own-length", "properties", "enum"])
    return st.one_of(
        inner.map(lambda kind: list[kind]),
        inner.map(lambda kind: dict[str, kind]),
        inner.map(lambda kind: dict[Color, kind]),
        inner.map(lambda kind: kind | None if not isinstance(kind, str) else str),
        inner.map(lambda kind: tuple[kind, ...]),
        st.tuples(inner, inner).map(lambda two: tuple[two[0], two[1]]),
        _bounded_array(inner),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda kinds: _made({f"f{at}": (kind, ...) for at, kind in enumerate(kinds)})
        ),
        st.tuples(names, inner).map(lambda named: _made({"f": (named[1], Field(default=None, alias=named[0]))})),
    )


any_types: st.SearchStrategy[Any] = st.recursive(_leaves, _nested, max_leaves=5)
