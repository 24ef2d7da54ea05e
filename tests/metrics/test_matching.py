"""Right or wrong: exact match, contains, one of, regex."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.each import each
from tunesmith.errors import MetricError, UsageError
from tunesmith.metrics import contains, exact_match, one_of, regex_match


class Queue(Enum):
    BILLING = "billing"
    TECH = "tech"


class Place(BaseModel):
    city: str
    zip: int


def row(**labels):
    return dspy.Example(question="?", **labels).with_inputs("question")


def exact(expected, got, **options) -> float:
    return exact_match("answer", **options)(row(answer=expected), dspy.Prediction(answer=got)).value


@each(
    ("expected", "got"),
    [
        ("Paris", "the  PARIS."),
        ("café", "cafe\u0301"),
        ("A", "a."),
        ("The", "the"),
        ("", " "),
        ("3.5", "3.50"),
        ("1234", "$1,234.00"),
        ("-5", "−5"),
        (".5", "0.5"),
        ("in 1999, he", "In 1999 he."),
        ("C++", "c++."),
        ("well-known", "wellknown"),
        ("rock 'n' roll", "Rock n Roll"),
        ("yes - of course", "yes, of course"),
        (42, "42"),
        (42, 42.0),
        (10**400, 10**400),
        (0.3, 0.1 + 0.2),
        (Decimal("1.10"), 1.1),
        (np.float64(2.5), 2.5),
        (True, "true"),
        (False, "No"),
        (True, True),
        (date(2024, 1, 2), "2024-01-02"),
        ("2024-01-02", date(2024, 1, 2)),
        (datetime(2024, 1, 2, 3, 4, tzinfo=UTC), "2024-01-02T03:04Z"),
        (Queue.TECH, "tech"),
        ("Tech", Queue.TECH),
        (Queue.TECH, Queue.TECH),
        (["a", 1], ["A", "1"]),
        (("a",), ["a"]),
        ({"b", "a"}, ["a", "b"]),
        ({"x": 1}, {"x": 1.0}),
        (Place(city="Rome", zip=5), {"city": "rome", "zip": "5"}),
        (None, None),
        (b"x", b"x"),
        ("？", "？"),
        ("北京", "北京"),
    ],
)
def test_values_that_mean_the_same_match(expected, got) -> None:
    assert exact(expected, got) == 1


@each(
    ("expected", "got"),
    [
        ("Paris", "Lyon"),
        ("A", "the"),
        ("A", ""),
        ("", "x"),
        ("3.5", "35"),
        ("5", "-5"),
        ("1/2", "12"),
        ("12:30", "1230"),
        ("2024-01-02", "20240102 "),
        ("C is 3.5", "C is 35"),
        ("C++", "C#"),
        ("C", "C++"),
        ("A+", "A-"),
        ("A", "A-"),
        ("AB-", "AB+"),
        ("x > y", "x < y"),
        ("a <= b", "a >= b"),
        (["C#", "Go"], ["C", "Go"]),
        (42, "43"),
        (42, "about 42 or so"),
        (10**20, 10**20 + 1),
        ("100000000000", "100000000001"),
        (1, True),
        (True, "1"),
        (None, "None"),
        (None, ""),
        ("x", None),
        (date(2024, 1, 2), datetime(2024, 1, 2, tzinfo=UTC)),
        (date(2024, 1, 2), "tomorrow"),
        (float("nan"), float("nan")),
        (["a", "b"], ["b", "a"]),
        (["a"], ["a", "a"]),
        ({"a", "b"}, ["a", "a"]),
        ({"x": 1}, {"x": 1, "y": 2}),
        (["a"], "a"),
        (Queue.TECH, "billing"),
    ],
)
def test_values_that_differ_do_not_match(expected, got) -> None:
    assert exact(expected, got) == 0


def test_text_as_it_is_must_be_equal() -> None:
    assert exact("Paris", "paris", normalize=False) == 0
    assert exact("Paris", "Paris", normalize=False) == 1
    assert exact("3.5", "3.50", normalize=False) == 0
    assert exact(3.5, "3.50", normalize=False) == 1


def test_all_named_fields_must_match_and_the_feedback_names_the_wrong_ones() -> None:
    score = exact_match("queue", "urgent")(
        row(queue="tech", urgent=True), dspy.Prediction(queue="billing", urgent=True)
    )

    assert score.value == 0
    assert score.feedback == "queue: expected 'tech', got 'billing'"


def test_without_names_the_labels_that_the_prediction_has_are_compared() -> None:
    example = row(queue="tech", ticket_id=7)

    assert exact_match(example, dspy.Prediction(queue="tech", reasoning="...")).value == 1
    assert exact_match(example, dspy.Prediction(queue="tech", ticket_id=8)).value == 0
    assert exact_match(example, dspy.Prediction(reasoning="...")).value == 0


def test_without_names_an_example_must_say_its_inputs_and_have_a_label() -> None:
    with pytest.raises(MetricError, match="with_inputs"):
        exact_match(dspy.Example(answer="x"), dspy.Prediction(answer="x"))
    with pytest.raises(MetricError, match="no labels"):
        exact_match(row(), dspy.Prediction(answer="x"))
    with pytest.raises(MetricError, match="judges an example"):
        exact_match()({"answer": "x"}, dspy.Prediction(answer="x"))


def test_a_metric_of_one_field_asks_which_of_several() -> None:
    with pytest.raises(MetricError, match="Name the field"):
        contains(row(a="x", b="y"), dspy.Prediction(a="x", b="y"))
    assert contains(row(a="x", b="y"), dspy.Prediction(b="y y")).value == 1


def test_predictions_may_be_mappings_and_models() -> None:
    example = row(city="Rome")

    assert exact_match("city")(example, {"city": "Rome"}).value == 1
    assert exact_match("city")(example, Place(city="Rome", zip=1)).value == 1
    assert exact_match("copy")(row(copy="x"), Place(city="Rome", zip=1)).value == 0


@each(
    ("label", "text", "found"),
    [
        ("C++", "I like C#.", 0),
        ("C++", "I like C++.", 1),
        ("no", "I know", False),
        ("no", "well, no!", True),
        ("5", "15 or 51", False),
        ("5", "15, or 5.", True),
        ("-5", "5 degrees", False),
        (1234, "it costs $1,234.00 today", True),
        ("3.5 km", "35 km", False),
        ("3.5 km", "about 3.5 km", True),
        ("New York", "in New  YORK, today", True),
        ("北京", "首都是北京。", True),
        ("C++", "I write C++ daily", True),
        (date(2024, 1, 2), "on 2024-01-02.", True),
    ],
)
def test_contains_looks_for_whole_words(label, text, found) -> None:
    assert contains("a")(row(a=label), dspy.Prediction(a=text)).value == found


@pytest.mark.parametrize("label", ["", "  ", ["x", " "]])
def test_contains_needs_a_label_to_look_for(label) -> None:
    with pytest.raises(MetricError, match="must be text"):
        contains("a")(row(a=label), dspy.Prediction(a="x"))


def test_one_of_takes_any_accepted_answer() -> None:
    metric = one_of("answer", accepted_field="golds")
    example = row(golds=["NYC", "New York", 7])

    assert metric(example, dspy.Prediction(answer="new york!")).value == 1
    assert metric(example, dspy.Prediction(answer=7)).value == 1
    assert metric(example, dspy.Prediction(answer="Boston")).value == 0
    assert one_of("answer")(row(answer=["x"]), dspy.Prediction(answer="x")).value == 1


@each("accepted", ["NYC", [], None, {"a": 1}])
def test_one_of_needs_a_list(accepted) -> None:
    with pytest.raises(MetricError, match="list of accepted answers"):
        one_of("answer", accepted_field="golds")(row(golds=accepted), dspy.Prediction(answer="x"))


def test_regex_match_searches_and_needs_no_label() -> None:
    metric = regex_match(r"#### \d+$", "answer")

    assert metric(row(), dspy.Prediction(answer="so it is\n#### 12")).value == 1
    assert metric(row(), dspy.Prediction(answer="#### twelve")).value == 0
    assert metric(row(), dspy.Prediction(answer=["#### 12", "#### 7"])).value == 1
    assert metric(row(), dspy.Prediction(answer=["#### 12", "no"])).value == 0
    assert metric(row(), dspy.Prediction(answer=[])).value == 0


@each(
    "make",
    [
        lambda: regex_match("(", "answer"),
        lambda: regex_match(None, "answer"),
        lambda: regex_match("x", ""),
        lambda: exact_match(3),
        lambda: contains(["a"]),
        lambda: one_of("a", accepted_field=7),
    ],
)
def test_wrong_arguments_are_usage_errors(make) -> None:
    with pytest.raises(UsageError):
        make()


@given(st.text())
def test_every_text_matches_itself(text: str) -> None:
    assert exact(text, text) == 1


@given(st.text(), st.text())
def test_matching_texts_hold_the_same_numbers_and_words(one: str, other: str) -> None:
    if exact(one, other) == 1 and exact(other, one) == 0:
        # Only the guard for labels without words may break the symmetry.
        assert not any(c.isalnum() for c in one) or not any(c.isalnum() for c in other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(JSON)
def test_every_value_matches_itself(value) -> None:
    assert exact(value, value) == 1
    assert exact(value, value, normalize=False) == 1


@given(JSON, JSON)
def test_any_two_values_can_be_compared(one, other) -> None:
    assert exact(one, other) in (0, 1)
