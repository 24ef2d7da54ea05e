"""What a person sees of a result: `print`, `repr`, and so a notebook, in a few lines that say what matters."""

import copy
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import TEST, TRAIN, VAL, Colour, right, world
from tunesmith.compilers import Compiler, CompileResult
from tunesmith.data import Splits
from tunesmith.evaluation import Agreement, Entry, Failure, Interval, Report, Row, RowKey, RunInfo, Step, paired_scores
from tunesmith.experiments import CheckResult, Gates, check_artifact, compile_program, plan
from tunesmith.lm import Budget, FunctionLM, Meter, Spend
from tunesmith.modules import Candidate, Part, render

LONG = "a long text, " * 200


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> CompileResult:
    folder = tmp_path_factory.mktemp("shown")
    return compile_program(
        ts.Predict(Colour),
        metric=right,
        trainset=TRAIN,
        valset=VAL,
        testset=TEST,
        compiler=ts.RandomSearch(metric=right, num_candidates=4),
        lm=FunctionLM(world()),
        run=folder / "run",
        mirror=False,
    )


@pytest.fixture(scope="module")
def checked(result: CompileResult) -> CheckResult:
    assert result.artifact is not None
    data = ts.Dataset.load(TEST)
    gates = Gates(min_score=0.1)
    return check_artifact(result.program, result.artifact, data, right, gates=gates, lm=FunctionLM(world()))


def results(result: CompileResult, checked: CheckResult) -> dict[str, tuple[object, list[str]]]:
    """Return objects that a user is given, with words that their `repr` must have."""
    assert result.baseline is not None
    assert result.compiled is not None
    assert result.artifact is not None
    failure = Failure("program", "ParseError", LONG)
    row = Row("k" * 64, {"colour": LONG}, None, failure, LONG, steps=(Step("self", {"thing": LONG}, {"colour": LONG}),))
    demo = ts.Demo({"thing": LONG, "size": 3}, {"colour": "red"})
    part = Part(LONG, (demo,) * 16, "bare")
    key = RowKey(*["h" * 64] * 6)
    splits = ts.Dataset.load(TRAIN).split(train=20, val=10, test=10)
    agreement = Agreement("a" * 64, "b" * 64, "c" * 64, Interval(0.8, 0.7, 0.9, 50), 0.5, None, None, 0)
    given = {"metric": right, "trainset": TRAIN, "valset": VAL, "testset": TEST, "lm": FunctionLM(world())}
    return {
        "CompileResult": (result, [result.verdict, "0.", "test", "artifact"]),
        "CompileReport": (result.report, ["RandomSearch", "candidates"]),
        "TrialRecord": (result.report.trials[0], ["n=30"]),
        "Finding": (result.finding, [result.verdict]),
        "Report": (result.compiled, ["on 40 examples"]),
        "Report of long notes": (Report((row,) * 50, notes=(LONG,) * 3), ["50", "3 notes"]),
        "Row": (row, ["ParseError"]),
        "Row with a score": (result.compiled.rows[0], ["score="]),
        "Failure": (failure, ["program: ParseError"]),
        "Step": (row.steps[0], ["self"]),
        "Entry": (Entry(key, row), ["row"]),
        "PairedScores": (paired_scores(result.baseline, result.compiled), ["40 pairs"]),
        "Interval": (result.gain, ["n=40"]),
        "Artifact": (result.artifact, [str(result.artifact.path), result.verdict]),
        "Candidate": (result.report.candidate, ["self: ", "demos"]),
        "Candidate of many": (Candidate({f"p{n}": part for n in range(20)}), ["17 more predictors"]),
        "Part": (part, ["bare", "16 demos"]),
        "Demo": (demo, ["colour='red'"]),
        "Score": (ts.Score(0.5, LONG), ["0.5", "a long text"]),
        "Budget": (Budget(calls=5), ["calls=5"]),
        "Spend": (Spend(5, 10, 20, 1.23456), ["calls=5", "tokens=30"]),
        "Meter": (Meter(Budget(calls=5)), ["calls=5"]),
        "Dataset": (splits.train, ["20 examples"]),
        "Splits": (splits, ["20 examples", "10 examples"]),
        "CheckResult": (checked, ["1 of 1 gates hold"]),
        "Plan": (plan(dspy.Predict(Colour), **given), ["65 candidates"]),
        "Rendered": (render(result.program, thing="thing 1"), ["messages"]),
        "Agreement": (agreement, ["0.8"]),
        "RunInfo": (RunInfo.of(result.artifact.path.parent), ["done", result.verdict]),
        "RandomSearch": (ts.RandomSearch(metric=right, instructions=[LONG] * 9, seed=3), ["seed=3"]),
        "LabeledFewShot": (ts.LabeledFewShot(5), ["k=5"]),
    }


def test_every_result_is_shown_in_a_line(result: CompileResult, checked: CheckResult) -> None:
    for name, (value, words) in results(result, checked).items():
        text = repr(value)
        assert "\n" not in text, name
        assert len(text) <= (600 if isinstance(value, Splits) else 300), (name, len(text), text)
        assert text.startswith(("<", type(value).__name__ + "(")), name
        for word in words:
            assert word in text, (name, word, text)


def test_every_result_is_printed_in_few_lines(result: CompileResult, checked: CheckResult) -> None:
    for name, (value, _) in results(result, checked).items():
        if name not in ("Rendered", "Report of long notes"):  # who prints these wants to read them
            assert len(str(value).splitlines()) <= 12, (name, str(value))
            assert len(str(value)) <= 1500, (name, len(str(value)))


def test_a_compile_result_is_printed_with_all_that_matters(result: CompileResult) -> None:
    text = str(result)
    assert text.startswith(f"{result.verdict}: ")
    assert result.finding.sentence in text
    assert f"{result.charged.calls} calls" in text
    assert str(result.artifact.path) in text  # type: ignore[union-attr]
    assert "examples of test" in text


def test_what_is_shown_changes_no_identity(result: CompileResult) -> None:
    again = copy.copy(result.report.candidate)
    assert (again, again.key, hash(again)) == (
        result.report.candidate,
        result.report.candidate.key,
        hash(result.report.candidate),
    )
    found: dict[str, Any] = plan(ts.Predict(Colour), metric=right, trainset=TRAIN, lm=FunctionLM(world()))
    assert found == dict(found)


def test_untested_results_say_that_the_numbers_are_of_validation(tmp_path: Path) -> None:
    found = compile_program(
        ts.Predict(Colour), metric=right, trainset=TRAIN, compiler=ts.LabeledFewShot(4), lm=FunctionLM(world())
    )
    assert "of validation" in repr(found)
    assert str(found).startswith("untested: ")
    assert isinstance(ts.LabeledFewShot(4), Compiler)
