"""Labels that are no text at all: "there is no answer" is an answer, and no demo makes a program fail."""

import json
from typing import Any, Literal

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.compilers import BootstrapFewShot, LabeledFewShot, RandomSearch
from tunesmith.errors import DataError
from tunesmith.formats import get_format
from tunesmith.lm import FunctionLM, Seen
from tunesmith.metrics import exact_match
from tunesmith.modules import bind, bound_format


def rows(*labels: Any, start: int = 0) -> list[dspy.Example]:
    return [dspy.Example(q=f"q{i}", a=label).with_inputs("q") for i, label in enumerate(labels, start)]


def nothing(seen: Seen) -> str:
    """Answer that there is no answer, where the format can say so."""
    return json.dumps({"a": "", "reasoning": "r"}) if "JSON object" in seen.system else "something"


MODEL = FunctionLM(nothing)
ANSWERS = ["x", "", "y", "", "z", "", "w", "  "]


@each(
    "signature",
    ["q -> a", "q -> a: str", "q -> a, reasoning"],
)
@each("program", [ts.Predict, dspy.Predict], ids=["ours", "DSPy's"])
def test_few_shot_with_empty_labels_gives_a_program_that_answers(program: Any, signature: str) -> None:
    train = [example.copy(reasoning="r").with_inputs("q") for example in rows(*ANSWERS)]
    done = LabeledFewShot(8).compile(program(signature), trainset=train)

    (predictor,) = done.predictors()
    assert [demo.a for demo in predictor.demos].count("") == 3
    assert bound_format(predictor) == "json"
    with dspy.context(lm=MODEL):
        assert done(q="x").a == ""
    if "reasoning" not in signature:
        assert any("The format of `self` is `json`" in note and "empty text" in note for note in done.compile_notes)


def test_a_format_that_was_bound_stays_and_the_rows_are_counted() -> None:
    student = ts.Predict("q -> a")
    bind(student, "bare")

    done = LabeledFewShot(8).compile(student, trainset=rows(*ANSWERS))

    assert all(demo.a.strip() for demo in done.demos)
    assert len(done.demos) == 4
    assert any("4 of 8 are left out, because the format `bare`" in note for note in done.compile_notes)
    with dspy.context(lm=MODEL):
        assert done(q="x").a == "something"


@pytest.mark.parametrize(
    "compiler",
    [
        LabeledFewShot(4, metric=exact_match("a")),
        BootstrapFewShot(metric=exact_match("a"), max_bootstrapped_demos=1),
        RandomSearch(metric=exact_match("a"), num_candidates=6),
    ],
    ids=lambda c: c.name,
)
def test_every_compiler_finds_the_format_that_can_say_nothing(compiler: Any) -> None:
    with dspy.context(lm=MODEL):
        done = compiler.compile(ts.Predict("q -> a"), trainset=rows(*ANSWERS), valset=rows("", "", start=50))
        assert done(q="x").a == ""
    report = done.compile_report
    assert (report.baseline.mean, report.compiled.mean, report.compiled.errors) == (0.0, 1.0, 0)
    assert any("valset: 2 of 2 examples expect an empty text" in note for note in report.notes)


def test_candidates_in_a_format_that_cannot_say_nothing_leave_the_rows_out() -> None:
    compiler = RandomSearch(metric=exact_match("a"), num_candidates=3, formats=["bare"])
    with dspy.context(lm=MODEL):
        done = compiler.compile(ts.Predict("q -> a"), trainset=rows(*ANSWERS), valset=rows("something", start=50))
    assert done.compile_report.compiled.errors == 0
    assert any("4 of 8 are left out of candidates in the format `bare`" in note for note in done.compile_notes)


def test_an_evaluation_says_that_no_reply_can_be_an_empty_text() -> None:
    report = ts.evaluate(ts.Predict("q -> a"), rows("x", ""), exact_match("a"), lm=MODEL)
    assert report.notes == (
        "dataset: 1 of 2 examples expect an empty text, which no reply in the format `bare` can give. Bind the format "
        "`json`: `tunesmith.modules.bind(predictor, 'json')`.",
    )
    student = ts.Predict("q -> a")
    bind(student, "json")
    report = ts.evaluate(student, rows("x", ""), exact_match("a"), lm=MODEL)
    assert (report.mean, report.notes) == (0.5, ())


def test_an_evaluation_knows_that_a_demo_has_made_the_format_one_that_can_say_nothing() -> None:
    student = ts.Predict("q -> a")
    student.demos = [dspy.Example(q="x", a="")]
    assert ts.evaluate(student, rows("x", ""), exact_match("a"), lm=MODEL).notes == ()


def test_a_demo_by_hand_that_is_empty_makes_no_call_fail() -> None:
    program = ts.Predict("q -> a")
    program.demos = rows("", "x")
    with dspy.context(lm=MODEL):
        assert program(q="x").a == ""
        assert ts.evaluate(program, rows(""), exact_match("a")).mean == 1.0


def test_a_demo_that_the_bound_format_cannot_carry_is_found_before_the_call() -> None:
    program = ts.Predict("q -> a")
    program.demos = rows("x", "")
    bind(program, "bare")
    model = FunctionLM(nothing)
    with pytest.raises(DataError, match="the format `bare` cannot carry it"):
        ts.evaluate(program, rows("x"), exact_match("a"), lm=model)
    assert model.requests == []


@each(
    ("kind", "label"),
    [(str | None, ""), (str | None, None), (Literal["yes", ""], ""), (list[str], []), (list[str], [""])],
    ids=str,
)
def test_other_kinds_of_nothing_are_demos_as_they_are(kind: Any, label: Any) -> None:
    signature = dspy.Signature({"q": (str, dspy.InputField()), "a": (kind, dspy.OutputField())})
    done = LabeledFewShot(2).compile(ts.Predict(signature), trainset=rows(label, label))
    (predictor,) = done.predictors()
    assert [demo.a for demo in predictor.demos] == [label, label]
    reply = json.dumps({"a": label}) if bound_format(predictor) == "json" else json.dumps(label)
    with dspy.context(lm=FunctionLM(lambda seen: reply)):
        assert done(q="x").a == label


def test_a_caller_who_set_the_adapter_keeps_it_and_the_rows_are_left_out() -> None:
    adapter = get_format("bare")
    with dspy.context(lm=MODEL, adapter=adapter):
        done = LabeledFewShot(8).compile(dspy.Predict("q -> a"), trainset=rows(*ANSWERS))
        assert len(done.demos) == 4
        assert done(q="x").a == "something"
    assert any("4 of 8 are left out, because the format `bare`" in note for note in done.compile_notes)
