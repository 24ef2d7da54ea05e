"""Macro F1 against figures worked out by hand from scikit-learn's definitions."""

import math
from enum import Enum
from statistics import fmean
from typing import Literal

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunesmith as ts
from tests.each import each
from tunesmith.data import example_key
from tunesmith.errors import UsageError
from tunesmith.evaluation import Failure, Report, Row, class_scores


class Color(Enum):
    RED = "red"
    BLUE = "blue"


FAILED = object()


def of(labels, answers, **options):
    """Score answers; `FAILED` is an example that the program failed on."""
    groups = options.pop("groups", None)
    data = [dspy.Example(n=i, topic=label).with_inputs("n") for i, label in enumerate(labels)]
    rows = [
        Row(example_key(e), None, None, Failure("program", "ParseError", "x"))
        if answer is FAILED
        else Row(example_key(e), {"topic": answer}, 1.0)
        for e, answer in zip(data, answers, strict=True)
    ]
    return class_scores(Report(tuple(rows), groups=groups), data, **options)


def figures(found) -> dict:
    return {c.value: (c.precision, c.recall, c.f1, c.support) for c in found.classes}


def test_six_answers_of_three_classes() -> None:
    # The example of `f1_score(..., average="macro")` in scikit-learn's documentation: 0.26...
    found = of([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1])

    assert figures(found)[0] == (2 / 3, 1.0, 0.8, 2)
    assert figures(found)[1] == figures(found)[2] == (0.0, 0.0, 0.0, 2)
    assert found.macro_f1 == pytest.approx(0.8 / 3)


def test_five_answers_of_three_classes() -> None:
    # The example of `classification_report` there: f1 0.67, 0.00 and 0.80, macro average 0.49.
    found = of(["a", "b", "c", "c", "c"], ["a", "a", "c", "c", "b"])

    assert figures(found)["a"] == (0.5, 1.0, pytest.approx(2 / 3), 1)
    assert figures(found)["c"] == (1.0, pytest.approx(2 / 3), pytest.approx(0.8), 3)
    assert found.macro_f1 == pytest.approx((2 / 3 + 0 + 0.8) / 3)


@pytest.mark.parametrize("zero", [0.0, 1.0])
def test_a_class_that_is_never_predicted_has_the_precision_of_zero_division(zero) -> None:
    found = of(["a", "b"], ["a", "a"], zero_division=zero)

    assert figures(found)["b"] == (zero, 0.0, 0.0, 1)
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


@each(("zero", "macro"), [(0.0, 0.5), (1.0, 1.0), (1, 1.0), (math.nan, 1.0)])
def test_a_class_that_is_neither_labelled_nor_predicted_counts_as_zero_division_says(zero, macro) -> None:
    assert of(["a", "a"], ["a", "a"], classes=["a", "b"], zero_division=zero).macro_f1 == macro


def test_a_value_that_is_predicted_alone_is_a_class_unless_classes_are_given() -> None:
    assert of(["a", "b"], ["a", "x"]).macro_f1 == pytest.approx(1 / 3)
    assert of(["a", "b"], ["a", "x"], classes=["a", "b"]).macro_f1 == pytest.approx(1 / 2)


def test_an_example_that_failed_is_a_miss_and_no_class() -> None:
    found = of(["a", "a", "b"], ["a", FAILED, "b"])

    assert figures(found) == {"a": (1.0, 0.5, pytest.approx(2 / 3), 2), "b": (1.0, 1.0, 1.0, 1)}
    assert found.unanswered == 1


def test_an_answer_counts_as_the_label_that_it_equals_but_labels_stay_apart() -> None:
    assert of(["good", "bad"], ["Good.", "bad"]).macro_f1 == 1
    assert of([Color.RED, "blue"], ["red", Color.BLUE]).macro_f1 == 1
    assert of([True, False], [True, True]).macro_f1 == pytest.approx(1 / 3)
    assert len(of(["C", "C++", "c"], ["C", "C++", "c"]).classes) == 3
    assert of([None, "a"], [None, "a"]).macro_f1 == 1


def test_sets_of_labels_count_each_label_by_itself() -> None:
    # f1_score([[1, 1], [1, 0], [0, 1]], [[1, 0], [1, 1], [0, 1]], average=None): 1.0 and 0.5.
    found = of([["x", "y"], {"x"}, ["y"]], [["x"], ["x", "y"], ["y"]])

    assert figures(found) == {"x": (1.0, 1.0, 1.0, 2), "y": (0.5, 0.5, 0.5, 2)}
    assert found.macro_f1 == 0.75
    assert of([["x"], None], [["x"], None]).macro_f1 == 1


def slow_macro(labels: list[str], answers: list[str]) -> float:
    return fmean(
        2
        * sum(a == b == name for a, b in zip(labels, answers, strict=True))
        / (labels.count(name) + answers.count(name))
        for name in set(labels) | set(answers)
    )


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=12))
def test_any_answers_score_as_defined(pairs) -> None:
    labels, answers = map(list, zip(*pairs, strict=True))

    found = of(labels, answers)

    assert found.macro_f1 == pytest.approx(slow_macro(labels, answers))
    assert 0 <= found.macro.low <= found.macro.high <= 1


def test_the_interval_holds_the_figure_and_narrows_with_more_examples() -> None:
    labels, answers = ["a", "b", "c", "c"] * 3, ["a", "b", "c", "a"] * 3
    few, many = of(labels, answers).macro, of(labels * 20, answers * 20).macro

    assert few.low < few.mean < few.high
    assert many.low < many.mean < many.high
    assert many.high - many.low < few.high - few.low
    assert of(labels, answers).macro == few
    right = of(["a", "b"], ["a", "b"]).macro
    assert (right.low, right.high) == (1, 1)


def test_the_interval_draws_groups_whole() -> None:
    labels, answers = ["a", "b", "c", "c"] * 3, ["a", "b", "c", "a"] * 3

    alike = of(labels, answers, groups=tuple(f"g{i // 4}" for i in range(12))).macro
    apart = of(labels, answers, groups=tuple(f"g{i % 4}" for i in range(12))).macro

    assert alike.low == alike.high == pytest.approx(alike.mean)
    assert apart.high - apart.low > of(labels, answers).macro.high - of(labels, answers).macro.low


def test_it_is_had_from_an_evaluation() -> None:
    data = [dspy.Example(text=t, topic=t[0]).with_inputs("text") for t in ("a1", "a2", "b1")]
    lm = ts.FunctionLM(lambda request: "a")
    report = ts.evaluate(ts.Predict("text -> topic"), data, ts.metrics.exact_match("topic"), lm=lm)

    found = ts.class_scores(report, data)

    assert found.field == "topic"
    assert found.macro_f1 == pytest.approx(0.4)
    assert "macro F1 of `topic`: 0.400 [" in str(found)
    assert [c["class"] for c in found.to_json()["classes"]] == ["a", "b"]
    for other in (data[:2], data[::-1]):
        with pytest.raises(UsageError, match="other examples"):
            ts.class_scores(report, other)
    with pytest.raises(UsageError, match="Labelled and predicted: topic"):
        ts.class_scores(report, data, "topc")


@pytest.mark.parametrize("zero", [0.5, -1])
def test_zero_division_is_checked(zero) -> None:
    with pytest.raises(UsageError, match="zero_division"):
        of(["a"], ["a"], zero_division=zero)


def test_labels_that_were_typed_for_the_program_count_as_what_they_became() -> None:
    class Rate(ts.Signature):
        text: str = ts.InputField()
        topic: Literal["good", "bad"] = ts.OutputField()

    data = [dspy.Example(text=t, topic=t).with_inputs("text") for t in ("Good", "good", "GOOD", "bad", " Bad")]
    lm = ts.FunctionLM(lambda request: "good")
    report = ts.evaluate(ts.Predict(Rate), data, ts.metrics.exact_match("topic"), lm=lm)

    found = ts.class_scores(report, data)

    assert figures(found) == {"good": (0.6, 1.0, pytest.approx(0.75), 3), "bad": (0.0, 0.0, 0.0, 2)}
