"""Examples become demos, or a note says why not: for every compiler, and for every value that is not quite of its type."""

import json
from collections.abc import Callable
from datetime import date
from enum import Enum
from typing import Any, Literal

import dspy
import pytest
from pydantic import BaseModel

import tunesmith as ts
from tests.each import each
from tunesmith.compilers import BootstrapFewShot, Compiler, LabeledFewShot, RandomSearch
from tunesmith.data import Dataset
from tunesmith.errors import DataError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.metrics import exact_match


class Color(Enum):
    RED = "r"
    BLUE = "b"


class Item(BaseModel):
    name: str


Label = Literal["good", "bad"]
MEANT: list[tuple[Any, Any, Any]] = [
    (str, 7, "7"),
    (str, 2.5, "2.5"),
    (int, "7", 7),
    (float, "7.5", 7.5),
    (bool, 1, True),
    (bool, "no", False),
    (Label, "Good", "good"),
    (Label | None, "BAD", "bad"),
    (Color, "RED", Color.RED),
    (Color, "b", Color.BLUE),
    (date, "2024-05-01", date(2024, 5, 1)),
    (list[str], '["x"]', ["x"]),
    (list[Label], ["Good"], ["good"]),
    (Item, '{"name": "x"}', Item(name="x")),
    (Item, {"name": "x"}, Item(name="x")),
]
NOT_MEANT: list[tuple[Any, Any]] = [
    (str, True),
    (str, ["x"]),
    (str, None),
    (int, "many"),
    (bool, "perhaps"),
    (Label, "great"),
    (Color, "green"),
    (date, "tomorrow"),
    (list[str], "x, y"),
    (Item, '{"title": "x"}'),
]


def asks(kind: Any) -> Any:
    return dspy.Signature({"q": (str, dspy.InputField()), "a": (kind, dspy.OutputField())})


def rows(*values: Any, start: int = 0) -> list[dspy.Example]:
    return [dspy.Example(q=f"q{i}", a=value).with_inputs("q") for i, value in enumerate(values, start)]


def answers(text: str) -> Callable[[Seen], str]:
    return lambda seen: json.dumps({"reasoning": "r", "a": text}) if "JSON object" in seen.system else text


def compilers() -> list[Compiler]:
    metric = exact_match("a")
    return [
        LabeledFewShot(4, metric=metric),
        BootstrapFewShot(metric=metric, max_bootstrapped_demos=1),
        RandomSearch(metric=metric, num_candidates=4, max_bootstrapped_demos=1),
    ]


every_compiler = pytest.mark.parametrize("compiler", compilers(), ids=lambda c: c.name)


@each(("kind", "given", "value"), MEANT, ids=str)
@each("program", [ts.Predict, dspy.Predict], ids=["ours", "DSPy's"])
def test_a_value_that_is_clearly_meant_becomes_a_demo(program: Any, kind: Any, given: Any, value: Any) -> None:
    compiled = LabeledFewShot(4).compile(program(asks(kind)), trainset=rows(*[given] * 20))

    (predictor,) = compiled.predictors()
    assert [demo.a for demo in predictor.demos] == [value] * 4
    assert compiled.compile_notes == ()


@each(("kind", "given"), NOT_MEANT, ids=str)
def test_where_no_example_is_left_the_error_names_one_its_field_and_its_value(kind: Any, given: Any) -> None:
    student, train = dspy.Predict(asks(kind)), rows(*[given] * 6)
    if given is None:
        notes = LabeledFewShot(4).compile(student, trainset=train).compile_notes
        assert any("6 lack `a`" in note for note in notes)
        return
    model = FunctionLM(answers("x"))
    for compiler in (LabeledFewShot(4), LabeledFewShot(4, metric=exact_match("a"))):
        with dspy.context(lm=model), pytest.raises(DataError, match="example 1: Demo field `a`") as caught:
            compiler.compile(student, trainset=train)
        assert repr(given) in str(caught.value)
    assert model.requests == []


@every_compiler
@pytest.mark.parametrize("odd", ["great", None], ids=["misfit", "none"])
def test_examples_that_are_left_out_are_counted_in_report_and_progress(compiler: Compiler, odd: Any) -> None:
    said: list[str] = []
    train = rows(*["good", "bad"] * 4, odd, odd)
    with dspy.context(lm=FunctionLM(answers("good"))):
        done = compiler.compile(
            dspy.Predict(asks(Label)),
            trainset=train,
            valset=rows("good", "bad", "good", start=100),
            progress=lambda text, done, total: said.append(text),
        )

    for told in (done.compile_report.notes, done.compile_notes, said):
        assert any("`self`: 2 of " in note and "left out" in note for note in told), told
    assert sum("left out" in text for text in said) == 1


@every_compiler
def test_a_chain_of_thought_is_told_that_examples_lack_the_reasoning(compiler: Compiler) -> None:
    with dspy.context(lm=FunctionLM(answers("x"))):
        done = compiler.compile(ts.ChainOfThought("q -> a"), trainset=rows(*"xxxxxx"), valset=rows("x", start=50))
    (note,) = [note for note in done.compile_notes if "lack `reasoning`" in note]
    assert "6 of 6 training examples are left out" in note
    other = "use `BootstrapFewShot`" if compiler.name == "LabeledFewShot" else "Bootstrapped"
    assert any(other in note for note in done.compile_notes)


@every_compiler
def test_a_result_without_demos_says_why(compiler: Compiler) -> None:
    with dspy.context(lm=FunctionLM(answers("good"))):
        done = compiler.compile(
            dspy.Predict(asks(Label)), trainset=rows(*["good", "bad"] * 4), valset=rows("good", start=50)
        )
    assert done.demos == []
    assert any("No candidate was better than the program as given" in note for note in done.compile_notes)


def test_without_a_metric_the_note_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    done = LabeledFewShot(4).compile(
        ts.ChainOfThought("q -> a"), trainset=rows(*"xxx"), progress=lambda text, done, total: said.append(text)
    )
    assert done.compile_notes == tuple(said)
    assert "lack `reasoning`" in caplog.text


def test_a_teacher_that_never_succeeds_is_said() -> None:
    with dspy.context(lm=FunctionLM(answers("never"))):
        done = BootstrapFewShot(metric=exact_match("a"), max_labeled_demos=0).compile(
            dspy.Predict("q -> a"), trainset=rows(*"xyz"), valset=rows("x", start=50)
        )
    assert "Bootstrapped 0 examples in 3 runs of the teacher. No run passed the metric" in done.compile_notes[0]


class Steps(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("q -> note")
        self.second = dspy.Predict(asks(Label).prepend("note", dspy.InputField(), str))

    def forward(self, q: str) -> Any:
        return self.second(q=q, note=self.first(q=q).note)


def test_each_predictor_of_a_pipeline_says_what_its_examples_lack() -> None:
    train = [dspy.Example(q="x", note="n", a="Good").with_inputs("q"), *rows("good", "bad")]
    done = LabeledFewShot(4).compile(Steps(), trainset=train)

    assert [demo.a for demo in done.second.demos] == ["good"]
    assert [demo.note for demo in done.first.demos] == ["n"]
    assert done.compile_notes == (
        "Labelled demos of `first`: 2 of 3 training examples are left out: 2 lack `note`.",
        "Labelled demos of `second`: 2 of 3 training examples are left out: 2 lack `note`.",
    )


def test_examples_from_a_file_and_by_hand_give_the_same_program(tmp_path: Any) -> None:
    file = tmp_path / "a.csv"
    file.write_text("q,a\nq0,Good\nq1,BAD\nq2,good\n", encoding="utf-8")
    student, model = dspy.Predict(asks(Label)), FunctionLM(answers("good"))
    done = [
        LabeledFewShot(3).compile(student, trainset=data)
        for data in (
            rows("Good", "BAD", "good"),
            Dataset.load(file, signature=asks(Label)),
            Dataset.load(file, inputs=["q"]),
        )
    ]
    assert len({str(program.dump_state()) for program in done}) == 1
    with dspy.context(lm=model):
        scores = {
            ts.evaluate(student, data, lambda e, p, t=None: e.a == p.a).mean for data in (rows("Good"), rows("good"))
        }
    assert scores == {1.0}


def test_the_notes_of_the_data_are_in_the_result_of_a_compile_once() -> None:
    train = rows(*["good", "bad"] * 5, "great")
    with dspy.context(lm=FunctionLM(answers("good"))):
        result = ts.compile(
            dspy.Predict(asks(Label)),
            metric=exact_match("a"),
            trainset=train,
            testset=rows("good", "Bad", "bad!", start=90),
        )
    about = [note for note in result.notes if "does not fit" in note]
    assert sorted(note.split(":")[0] for note in about if "label" in note) == ["testset", "trainset"]


def test_the_notes_on_a_program_of_the_callers_come_once_too() -> None:
    train = [example.copy(note="n").with_inputs("q") for example in rows(*["good", "Bad"] * 5, "great")]
    reply = FunctionLM(lambda seen: "n" if seen.text.endswith("Note:") else "good")
    with dspy.context(lm=reply):
        result = ts.compile(Steps(), metric=exact_match("a"), trainset=train, budget=60)
    assert sum("the label `a` of 1 of 11" in note for note in result.notes) == 1
    assert sum("the label `a`" in note for note in result.notes) == 1
