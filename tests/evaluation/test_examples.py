"""Examples and demos that are not what the program asks for: refused before the first call, or noted."""

import collections
import dataclasses
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import dspy
import pytest
from pydantic import AfterValidator, HttpUrl

import tunesmith as ts
from tests.each import each
from tests.evaluation.replies import written
from tunesmith.data import Dataset
from tunesmith.errors import DataError, RowError
from tunesmith.evaluation import evaluate
from tunesmith.lm import FunctionLM, Seen, message_text
from tunesmith.metrics import exact_match
from tunesmith.modules import bind


class Comment(dspy.Signature):
    """Say how the comment sounds."""

    comment: str = dspy.InputField()
    tone: Literal["good", "bad"] = dspy.OutputField()


class Both(dspy.Signature):
    comment: str = dspy.InputField()
    place: str = dspy.InputField()
    tone: Literal["good", "bad"] = dspy.OutputField()


class Steps(dspy.Module):
    """Two predictors; what is given goes to the first as it is."""

    def __init__(self, first: Any = "comment -> note") -> None:
        super().__init__()
        self.first = dspy.Predict(first)
        self.second = dspy.Predict("note -> tone")

    def forward(self, **given: Any) -> Any:
        return self.second(note=self.first(**given).note)


class Named(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = dspy.Predict(Comment)

    def forward(self, comment: str) -> Any:
        return self.say(comment=comment)


def good(seen: Seen) -> str:
    if "Reply with one JSON object" in seen.system:
        return written(seen, reasoning="r", tone="good")
    return written(seen, note="n") if seen.text.endswith("Note:") else written(seen, tone="good")


def model() -> FunctionLM:
    return FunctionLM(good)


def examples(count: int = 4, **fields: Any) -> list[dspy.Example]:
    given = fields or {"comment": "x", "tone": "good"}
    return [
        dspy.Example(given).with_inputs(*(n for n in given if n.lower() not in ("tone", "mood"))) for _ in range(count)
    ]


# Inputs ------------------------------------------------------------------------------------------------------


@each(
    "program",
    [dspy.Predict(Comment), ts.ChainOfThought(Comment), dspy.ChainOfThought(Comment), Named(), dspy.Predict(Both)],
    ids=["predict", "chain of thought", "DSPy's own", "named parameters", "two inputs"],
)
@each("wrong", [{"text": "x"}, {"Comment": "x"}, {"comment ": "x", "place ": "y"}], ids=str)
def test_misspelt_inputs_are_refused_before_the_first_call(program: Any, wrong: dict[str, str]) -> None:
    lm, data = model(), examples(**wrong, tone="good")

    with pytest.raises(RowError, match="comment"):
        evaluate(program, data, exact_match("tone"), lm=lm)
    with pytest.raises(RowError, match="comment"):
        ts.compile(program, metric=exact_match("tone"), trainset=data, lm=lm)

    assert lm.requests == []


@pytest.mark.parametrize("split", ["trainset", "valset", "testset"])
def test_every_split_is_checked_and_the_example_is_named(split: str) -> None:
    splits = {
        name: [dspy.Example(comment=f"{name} {i}", tone="good").with_inputs("comment") for i in range(6)]
        for name in ("trainset", "valset", "testset")
    }
    splits[split][2] = dspy.Example(comment=None, tone="good").with_inputs("comment")
    lm = model()

    with pytest.raises(RowError, match=f"{split}:3: field `comment`"):
        ts.compile(dspy.Predict(Comment), metric=exact_match("tone"), lm=lm, **splits)

    assert lm.requests == []


def test_one_of_two_inputs_misspelt_is_refused() -> None:
    lm = model()
    with pytest.raises(RowError, match="Is `Place` meant"):
        evaluate(dspy.Predict(Both), examples(comment="x", Place="y", tone="good"), exact_match("tone"), lm=lm)
    assert lm.requests == []


def test_a_pipeline_asks_nothing_with_an_empty_message() -> None:
    lm = model()
    report = evaluate(Steps(), examples(text="x", tone="good"), exact_match("tone"), lm=lm)

    assert lm.requests == []
    assert report.errors == 4
    assert "None of the inputs comment was given" in str(report.rows[0].failure)
    assert report.notes[-1].startswith("The program failed on all 4 examples, the first time with FormatError: None of")


def test_a_pipeline_that_lacks_one_input_of_several_gets_one_note() -> None:
    report = evaluate(
        Steps("comment, place -> note"), examples(comment="x", Place="y", tone="good"), exact_match("tone"), lm=model()
    )
    assert report.notes == ("A predictor `comment, place -> note` was called without its input place.",)


@pytest.mark.parametrize("adapter", [None, "chat", "json"])
def test_a_call_with_none_of_the_inputs_is_refused(adapter: str | None) -> None:
    program, lm = ts.Predict(Comment), model()
    if adapter is not None:
        bind(program, adapter)
    with dspy.context(lm=lm), pytest.raises(ts.errors.FormatError, match="nothing to ask"):
        program(text="x")
    assert lm.requests == []


def test_optional_inputs_may_be_absent_and_more_fields_are_no_harm() -> None:
    signature = dspy.Signature("comment, hint: str | None -> tone")
    report = evaluate(dspy.Predict(signature), examples(comment="x", tone="good"), exact_match("tone"), lm=model())
    assert report.mean == 1.0
    assert report.notes == ("dataset: no example has the input `hint`; all examples use the default None.",)


def test_inputs_that_the_signature_lacks_are_noted() -> None:
    report = evaluate(
        dspy.Predict(Comment), examples(comment="x", lang="en", tone="good"), exact_match("tone"), lm=model()
    )
    assert report.mean == 1.0
    assert "no input lang" in report.notes[0]


# Labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["Good", " good", "GOOD\n"])
def test_the_metric_sees_the_value_that_the_label_means(label: str) -> None:
    seen: list[Any] = []

    def same(example: Any, prediction: Any, trace: Any = None) -> bool:
        seen.append(example.tone)
        return bool(example.tone == prediction.tone)

    given = examples(comment="x", tone=label)
    report = evaluate(dspy.Predict(Comment), given, same, lm=model())

    assert (report.mean, set(seen), report.notes) == (1.0, {"good"}, ())
    assert given[0].tone == label  # the caller's example is as it was


def test_labels_that_do_not_fit_are_noted_with_the_first_of_them() -> None:
    data = [*examples(3), *examples(2, comment="x", tone="great")]
    report = evaluate(dspy.Predict(Comment), data, exact_match("tone"), lm=model())
    assert report.mean == 0.6
    (note,) = report.notes
    assert "`tone` of 2 of 5 examples does not fit" in note
    assert "example 4" in note
    assert "'great'" in note


def test_partly_labelled_examples_are_counted() -> None:
    data = [*examples(3), dspy.Example(comment="y").with_inputs("comment")]
    report = evaluate(dspy.Predict(Comment), data, lambda *_: 1.0, lm=model())
    assert report.notes == ("dataset: 1 of 4 examples have no label `tone`; the first is example 4.",)


@each("name", ["Tone", "label", "mood"])
@each("metric", [exact_match(), exact_match(normalize=False)], ids=["normalized", "exact"])
def test_labels_of_which_none_is_an_output_are_said(name: str, metric: Any) -> None:
    data = [dspy.Example({"comment": "x", name: "good"}).with_inputs("comment") for _ in range(3)]
    report = evaluate(dspy.Predict(Comment), data, metric, lm=model())
    assert report.mean == 0.0
    assert any("Nothing could score: the metric compares labels" in n and f"are {name};" in n for n in report.notes)
    assert any("Is `Tone` meant" in note for note in report.notes) == (name == "Tone")
    with dspy.context(lm=model()):
        result = ts.compile(
            dspy.Predict(Comment), metric=metric, trainset=data, valset=examples(comment="y", mood="bad")
        )
    assert any("labels are mood; the outputs are tone" in note for note in result.notes)


def test_a_metric_that_needs_no_label_gets_no_note() -> None:
    data = [dspy.Example(comment="x").with_inputs("comment") for _ in range(3)]
    assert evaluate(dspy.Predict(Comment), data, lambda *_: 0.5, lm=model()).notes == ()


def test_a_program_of_the_callers_that_returns_other_names_is_said() -> None:
    data = [dspy.Example(comment="x", mood="good").with_inputs("comment") for _ in range(3)]
    report = evaluate(Named(), data, exact_match(), lm=model())
    assert report.notes == (
        "Nothing could score: the metric compares labels with outputs of the same name, and no prediction had one. The "
        "labels are mood; the outputs are tone.",
    )


def test_of_a_program_of_the_callers_texts_are_read_where_a_predictor_chooses_among_texts() -> None:
    data = [dspy.Example(comment="x", tone=tone).with_inputs("comment") for tone in ("Good", "good", "great")]
    report = evaluate(Named(), data, lambda e, p, t=None: e.tone == p.tone, lm=model())
    assert report.mean == 2 / 3
    assert "the label `tone` of 1 of 3 examples does not fit" in report.notes[0]


@pytest.mark.parametrize(("kind", "label"), [(str, 7), (bool, "yes"), (Literal["7", "8"], 7)], ids=str)
def test_other_labels_of_a_program_of_the_callers_are_left_as_they_are(kind: Any, label: Any) -> None:
    """Its code may make an `int` of the text, and the caller's metric compare that."""
    program, seen = Named(), []
    program.say = dspy.Predict(Comment.with_updated_fields("tone", type_=kind))

    def look(example: Any, prediction: Any, trace: Any = None) -> float:
        seen.append(example.tone)
        return 1.0

    report = evaluate(
        program,
        [dspy.Example(comment="x", tone=label).with_inputs("comment")],
        look,
        lm=FunctionLM(lambda _: "7" if kind is not bool else "true"),
    )
    assert (seen, report.notes) == ([label], ())


def test_labels_that_are_none_in_every_example_are_said_once(tmp_path: Path) -> None:
    """A model that always says nothing would be right."""
    signature = dspy.Signature("comment -> tone: str | None")
    file = tmp_path / "a.csv"
    file.write_text("comment,tone\n" + "".join(f"c{i},\n" for i in range(10)), encoding="utf-8")
    lm = FunctionLM(lambda seen: written(seen, tone=None))
    by_hand = [dspy.Example(comment=f"c{i}", tone=None).with_inputs("comment") for i in range(10)]
    for data in (by_hand, Dataset.load(file, signature=signature)):
        assert (
            "`tone` is None in all 10 examples"
            in evaluate(dspy.Predict(signature), data, exact_match("tone"), lm=lm).notes[0]
        )
        result = ts.compile(dspy.Predict(signature), metric=exact_match("tone"), trainset=data, lm=lm)
        assert sum("is None in all" in note for note in result.notes) == 1


def test_a_file_read_with_the_signature_is_not_read_again() -> None:
    """A validator of the caller's may give another value each time."""
    signature = dspy.Signature(
        {"q": (str, dspy.InputField()), "a": (Annotated[int, AfterValidator(lambda n: n + 1)], dspy.OutputField())}
    )
    data = Dataset.load([{"q": "x", "a": 1}], signature=signature)
    assert data.fitted(signature)[0][0].a == data[0].a == 2
    assert data[:1].fitted(signature)[0][0].a == 2


# Demos -------------------------------------------------------------------------------------------------------


@each(
    "demo",
    [{"text": "x", "tone": "good"}, {"comment": "x", "Tone": "good"}, {"comment": "x", "tone": "great"}, {}],
    ids=["input", "output", "value", "nothing"],
)
def test_a_demo_that_would_not_be_shown_is_refused(demo: dict[str, str]) -> None:
    lm, program = model(), dspy.Predict(Comment)
    program.demos = [dspy.Example(comment="y", tone="bad"), dspy.Example(demo)]

    with pytest.raises(DataError, match="1 of 2 demos of the predictor `self` cannot be shown"):
        evaluate(program, examples(), exact_match("tone"), lm=lm)
    with pytest.raises(DataError, match="the first is demo 2"):
        ts.compile(program, metric=exact_match("tone"), trainset=examples(), lm=lm)

    assert lm.requests == []


def test_a_demo_that_a_pipeline_does_not_show_is_one_note() -> None:
    program = Steps()
    program.first.demos = [dspy.Example(text="x", note="n"), dspy.Example(text="y", note="n")]
    report = evaluate(program, examples(), exact_match("tone"), lm=model())
    assert report.mean == 1.0
    (note,) = report.notes
    assert "2 of 2 demos of the predictor `first`" in note


def test_a_demo_that_is_not_shown_is_said_in_the_log_of_a_call(caplog: pytest.LogCaptureFixture) -> None:
    program = ts.Predict(Comment)
    program.demos = [dspy.Example(text="x", tone="good")]
    with dspy.context(lm=model()):
        program(comment="x")
    assert "1 of 1 demos are not shown" in caplog.text


def test_demos_are_read_as_labels_are() -> None:
    lm, program = model(), dspy.Predict(Comment)
    program.demos = [dspy.Example(comment=7, tone="BAD")]
    assert evaluate(program, examples(), exact_match("tone"), lm=lm).mean == 1.0
    assert [message_text(message) for message in lm.requests[0].messages[:2]] == ["Comment: 7\nTone:", "bad"]


@dataclasses.dataclass
class Spot:
    name: str


@each(
    ("kind", "label", "reply"),
    [
        (HttpUrl, "http://example.com/a", '"http://example.com/a"'),
        (ipaddress.IPv4Address, "10.0.0.1", '"10.0.0.1"'),
        (list[HttpUrl], '["http://example.com/"]', '["http://example.com/"]'),
        (Spot, {"name": "x"}, '{"name": "x"}'),
        (collections.deque[int], [1, 2], "[1, 2]"),
        (re.Pattern[str], "^x$", '"^x$"'),
    ],
    ids=str,
)
def test_labels_of_every_type_that_an_output_may_have_are_scored(kind: Any, label: Any, reply: str) -> None:
    signature = dspy.Signature({"q": (str, dspy.InputField()), "a": (kind, dspy.OutputField())}, "Do.")
    data = [dspy.Example(q=str(n), a=label).with_inputs("q") for n in range(3)]

    report = evaluate(ts.Predict(signature), data, exact_match("a"), lm=FunctionLM(lambda seen: reply))

    assert report.mean == 1
