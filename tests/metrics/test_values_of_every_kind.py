"""A prediction that equals its label scores 1, whatever kind of value it is; one that does not, does not."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import ip_address
from uuid import UUID

import dspy
import numpy as np
import pytest
from pydantic import BaseModel, HttpUrl, SecretStr, TypeAdapter

from tests.each import each
from tunesmith.data import Score
from tunesmith.metrics import contains, exact_match, numeric_close, one_of, regex_match, rouge_l, token_f1


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(Enum):
    LOW = 1
    HIGH = 5


class Item(BaseModel):
    name: str
    price: float


@dataclass
class Point:
    x: int
    name: str


url = TypeAdapter(HttpUrl).validate_python


def value(metric, label, got) -> float:
    return Score.of(metric(dspy.Example(q="?", a=label).with_inputs("q"), dspy.Prediction(a=got))).value


# label, an equal prediction, one that is not
KINDS = {
    "list": (["red car", "blue"], ["red car", "blue"], ["green"]),
    "tuple": (("red", "blue"), ["red", "blue"], ["green"]),
    "set": ({"red", "blue", "green"}, {"green", "blue", "red"}, {"grey"}),
    "set and list": ({"red", "blue"}, ["blue", "red"], ["grey"]),
    "frozenset": (frozenset({"red"}), {"red"}, {"grey"}),
    "array": (np.array(["red", "blue"]), ["red", "blue"], ["grey"]),
    "list of numbers": ([1, 2.5], [1, 2.5], [7]),
    "list of Enum": ([Color.RED, Color.BLUE], [Color.RED, Color.BLUE], [Color.BLUE]),
    "None": (None, None, "something"),
    "Enum": (Color.RED, Color.RED, Color.BLUE),
    "Enum and its text": (Color.RED, "red", "blue"),
    "Enum of numbers": (Level.HIGH, Level.HIGH, Level.LOW),
    "true": (True, True, False),
    "false": (False, False, True),
    "model": (Item(name="a", price=2), Item(name="a", price=2.0), Item(name="b", price=3)),
    "mapping": ({"name": "a", "price": 2}, {"name": "a", "price": 2}, {"name": "b", "price": 3}),
    "model and its fields": (Item(name="a", price=2), {"name": "a", "price": 2}, {"name": "b"}),
    "empty list": ([], [], ["red"]),
    "empty set": (set(), set(), {"red"}),
    "list of lists": ([["red"], ["blue"]], [["red"], ["blue"]], [["red"]]),
    "dataclass": (Point(1, "a"), Point(1, "a"), Point(2, "b")),
    "dataclass and its fields": (Point(1, "a"), {"x": 1, "name": "a"}, {"x": 2, "name": "b"}),
    "URL": (url("https://a.b/c-1"), url("https://a.b/c-1"), url("https://a.b/d")),
    "text and URL": ("https://a.b", url("https://a.b"), url("https://a.c")),
    "URL and text": (url("https://a.b"), "https://a.b", "https://b.a"),
    "address": (ip_address("1.2.3.4"), ip_address("1.2.3.4"), ip_address("1.2.3.5")),
    "address and text": (ip_address("1.2.3.4"), "1.2.3.4", "9.9.9.9"),
    "identifier and text": (UUID(int=5), str(UUID(int=5)), str(UUID(int=6))),
    "duration": (timedelta(hours=1), timedelta(hours=1), timedelta(hours=2)),
    "duration and text": (timedelta(hours=1), "PT1H", "PT2H"),
    "decimal and text": (Decimal("1.50"), "1.5", "1.6"),
    "bytes": (b"ab", b"ab", b"ac"),
    "secret": (SecretStr("a"), SecretStr("a"), SecretStr("b")),
    "fraction": (Fraction(1, 2), Fraction(1, 2), Fraction(1, 3)),
    "list of models": ([Item(name="a", price=2)], [Item(name="a", price=2)], []),
}
NUMERIC = ("list of numbers", "None", "Enum of numbers", "true", "false", "model", "mapping", "model and its fields", "empty list", "empty set", "list of models")  # fmt: skip


@each("kind", KINDS)
@each("metric", [token_f1("a"), rouge_l("a"), contains("a"), exact_match("a")], ids=lambda m: m.metric_name)
def test_a_text_metric_scores_equal_values_one_and_others_less(metric, kind) -> None:
    label, equal, other = KINDS[kind]

    assert value(metric, label, equal) == 1
    assert value(metric, label, other) < 1


@each("kind", NUMERIC)
def test_numeric_close_scores_equal_values_one_and_others_zero(kind) -> None:
    label, equal, other = KINDS[kind]

    assert value(numeric_close("a"), label, equal) == 1
    assert value(numeric_close("a"), label, other) == 0


@each(
    ("accepted", "got", "right"),
    [
        ([["red"], ["blue"]], ["blue"], 1),
        (["red", "blue"], ["red", "blue"], 1),
        (["red", "blue"], ["red", "green"], 0),
        ([None, "red"], None, 1),
        ([Color.RED], Color.RED, 1),
        ([Color.RED], "red", 1),
        ([True], True, 1),
        ([True], False, 0),
        ([Item(name="a", price=2)], Item(name="a", price=2), 1),
        (np.array(["red", "blue"]), "blue", 1),
        ({"red"}, {"red"}, 1),
    ],
)
def test_one_of_takes_values_of_every_kind(accepted, got, right) -> None:
    assert value(one_of("a"), accepted, got) == right


def test_the_best_of_a_list_of_labels_still_counts_for_a_text() -> None:
    assert value(token_f1("a"), ["Paris", "in Paris, France"], "Paris") == 1
    assert value(rouge_l("a"), {"Paris", "London"}, "london") == 1
    assert value(token_f1("a"), {"red car"}, "red") == pytest.approx(2 / 3)


def test_words_of_a_list_count_partly() -> None:
    assert value(token_f1("a"), ["red", "blue"], ["red", "green"]) == 0.5
    assert value(token_f1("a"), "red blue", ["red", "blue"]) == 1
    assert value(rouge_l("a"), ["one", "two", "three"], ["one", "three"]) == pytest.approx(0.8)


def test_numbers_of_lists_and_fields_are_near_each_by_itself() -> None:
    metric = numeric_close("a", rel=0.01)

    assert value(metric, [100, 200], [100.5, "about 201"]) == 1
    assert value(metric, [100, 200], [200, 100]) == 0
    assert value(metric, {100, 200}, [200.5, 100]) == 1
    assert value(metric, [100, 200], [100]) == 0
    assert value(metric, Item(name="a", price=100), Item(name="a", price=100.5)) == 1
    assert value(metric, Item(name="a", price=100), Item(name="b", price=100)) == 0


def test_a_label_is_looked_for_in_lists() -> None:
    assert value(contains("a"), "red", ["blue", "a red car"]) == 1
    assert value(contains("a"), ["red", "car"], "a red car") == 1
    assert value(contains("a"), ["red", "bus"], "a red car") == 0


@each(("got", "right"), [(["x1", "x2"], 1), ({"x1"}, 1), (["x1", "y"], 0), ([], 0), (None, 0), (["x1", None], 0)])
def test_a_pattern_must_be_in_every_item(got, right) -> None:
    assert value(regex_match(r"^x\d$", "a"), None, got) == right
