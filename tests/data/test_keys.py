"""Content keys."""

import collections
import dataclasses
import datetime
import enum
import hashlib
import ipaddress
import json
import re
from decimal import Decimal
from fractions import Fraction

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, HttpUrl, SecretStr

from tests.each import each
from tunesmith.data import content_key, example_key
from tunesmith.data.keys import canonical_json, inputs_key
from tunesmith.errors import DataError

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5).filter(lambda name: not name.startswith("dspy_"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(NAMES, VALUES, max_size=5)


class Tone(enum.Enum):
    WARM = "warm"


class Place(BaseModel):
    city: str
    seen: datetime.date


@given(FIELDS, st.randoms(use_true_random=False))
def test_the_order_of_fields_does_not_matter(fields, random) -> None:
    names = list(fields)
    random.shuffle(names)

    shuffled = dspy.Example(base={name: fields[name] for name in names})

    assert example_key(shuffled) == example_key(dspy.Example(base=fields))


@given(FIELDS, FIELDS)
def test_different_content_has_different_keys(one, other) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (example_key(dspy.Example(base=one)) == example_key(dspy.Example(base=other))) is same


@given(VALUES)
def test_canonical_json_reads_back_as_the_value(value) -> None:
    assert json.loads(canonical_json(value)) == value
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


def test_a_key_is_a_sha256_and_never_changes() -> None:
    example = dspy.Example(question="Why?", answer="Because.")

    # echo -n of the canonical JSON, through `sha256sum`
    key = "987f265f243a212a"
    assert len(example_key(example)) == 64
    assert example_key(example).startswith(key)


def test_which_fields_are_inputs_does_not_change_the_key() -> None:
    example = dspy.Example(q="x", a="y")

    assert example_key(example) == example_key(example.with_inputs("q"))
    assert inputs_key(example) == example_key(example)
    assert inputs_key(example.with_inputs("q")) == example_key(dspy.Example(q="x"))


def test_fields_of_dspy_itself_do_not_count() -> None:
    assert example_key(dspy.Example(q="x", dspy_uuid="1")) == example_key(dspy.Example(q="x"))


def test_values_that_are_easily_confused_have_different_keys() -> None:
    values = [1, 1.0, True, "1", None, "null", "", [], {}, [[]], [1], ["1"], "é", "e\u0301", 0, False]

    assert len({content_key(value) for value in values}) == len(values)


@each(
    ("typed", "plain"),
    [
        (Tone.WARM, "warm"),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (datetime.time(1, 2), "01:02:00"),
        (Place(city="Rome", seen="2024-01-02"), {"city": "Rome", "seen": "2024-01-02"}),
        (Decimal("1.50"), "1.50"),
        (("a", 1), ["a", 1]),
        (np.int64(3), 3),
        (np.array([1.5, 2]), [1.5, 2.0]),
        ({1: "x"}, {"1": "x"}),
        ({Tone.WARM: 1}, {"warm": 1}),
        (dspy.Example(a=1), {"a": 1}),
    ],
)
def test_a_typed_value_has_the_key_of_its_json(typed, plain) -> None:
    assert content_key(typed) == content_key(plain)


def test_sets_have_no_order() -> None:
    assert content_key({"b", "a", "c"}) == content_key({"c", "b", "a"}) != content_key({"a", "b"})


@each(
    "value",
    [
        float("nan"),
        float("inf"),
        "\ud800",
        object(),
        {1: "x", "1": "y"},
        [10**5000],
        len,
    ],
)
def test_a_value_without_json_form_is_an_error(value) -> None:
    with pytest.raises(DataError, match="canonical"):
        content_key({"field": value})


def test_nesting_without_end_is_an_error() -> None:
    value: list = []
    value.append(value)

    with pytest.raises(DataError, match="canonical"):
        content_key(value)


@dataclasses.dataclass
class Spot:
    x: int
    seen: set[str]


class Trip(BaseModel):
    stops: set[str]


@each(
    ("typed", "plain"),
    [
        (HttpUrl("http://example.com/a"), "http://example.com/a"),
        (AnyUrl("ftp://example.com/a"), "ftp://example.com/a"),
        (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
        (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        (re.compile("^a$"), "^a$"),
        (Fraction(1, 3), "1/3"),
        (collections.deque([1, "a"]), [1, "a"]),
        (Spot(1, {"b", "a"}), {"x": 1, "seen": ["a", "b"]}),
        ([HttpUrl("http://example.com/")], ["http://example.com/"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_an_output_may_have_has_a_key(typed, plain) -> None:
    assert content_key(typed) == content_key(plain)


@pytest.mark.parametrize("value", [SecretStr("a"), iter([1])], ids=["secret", "iterator"])
def test_what_cannot_be_told_apart_has_no_key(value) -> None:
    with pytest.raises(DataError, match="no JSON form"):
        content_key(value)


def test_a_set_in_a_model_has_no_order() -> None:
    stops = [f"stop {n}" for n in range(20)]

    assert content_key(Trip(stops=set(stops))) == content_key({"stops": sorted(stops)})


def test_the_escaped_text_is_that_of_older_replies_and_artifacts() -> None:
    value = {"b": ["é", 1.5, None], "a": "\u2028"}
    older = json.dumps(value, sort_keys=True, separators=(",", ":"))

    assert canonical_json(value, escaped=True) == older
    assert content_key(value, escaped=True) == hashlib.sha256(older.encode()).hexdigest() != content_key(value)
    assert json.loads(canonical_json(value)) == json.loads(older)
