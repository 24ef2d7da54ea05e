"""Loading, identity and slicing of datasets."""

from collections.abc import Sequence
from datetime import date
from enum import Enum, StrEnum
from pathlib import Path
from typing import Literal

import dspy
import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from tests.each import each
from tests.heavy import pd
from tunesmith.data import Dataset, check_disjoint, example_key
from tunesmith.errors import DataError, RowError, SplitError, UsageError


class Tone(Enum):
    WARM = "warm"
    COLD = "cold"


class Person(BaseModel):
    name: str
    age: int


class Route(dspy.Signature):
    """Route a ticket."""

    ticket: str = dspy.InputField()
    day: date | None = dspy.InputField()
    tags: list[str] = dspy.InputField(default=[])
    queue: Literal["billing", "tech"] = dspy.OutputField()
    score: float = dspy.OutputField(ge=0, le=1)


class Deep(dspy.Signature):
    text: str = dspy.InputField()
    tone: Tone = dspy.OutputField()
    person: Person = dspy.OutputField()
    note: str | None = dspy.OutputField()
    count: int = dspy.OutputField()
    sure: bool = dspy.OutputField()


def numbers(count: int) -> Dataset:
    return Dataset.load([{"q": f"{i}", "a": i} for i in range(count)], inputs=["q"], name="numbers")


def test_rows_become_typed_examples_with_their_inputs_set() -> None:
    rows = [{"ticket": "Hi", "day": "2024-01-02", "queue": "tech", "score": 1, "id": 7}]

    data = Dataset.load(rows, signature=Route)

    assert data[0].day == date(2024, 1, 2)
    assert data[0].tags == []
    assert type(data[0].score) is float
    assert data[0].id == 7
    assert set(data[0].inputs().keys()) == {"ticket", "day", "tags"}
    assert data.inputs == ("ticket", "day", "tags")


def test_an_absent_optional_field_is_none() -> None:
    assert Dataset.load([{"ticket": "Hi", "queue": "tech", "score": 0}], signature=Route)[0].day is None


def test_csv_cells_are_read_as_their_type_or_as_json(tmp_path) -> None:
    file = tmp_path / "deep.csv"
    file.write_text(
        "text,tone,person,note,count,sure,extra\n"
        '007,warm,"{""name"": ""Ada"", ""age"": 36}",,3,yes,\n'
        '"[1]",cold,"{""name"": ""Bob"", ""age"": 1}",null,-3,false,9\n'
    )

    first, second = Dataset.load(file, signature=Deep)

    assert (first.text, first.tone, first.person) == ("007", Tone.WARM, Person(name="Ada", age=36))
    assert (first.note, first.count, first.sure, first.extra) == (None, 3, True, "")
    assert (second.text, second.note, second.sure, second.extra) == ("[1]", "null", False, "9")


def test_outputs_may_be_absent_where_they_are_not_required(tmp_path) -> None:
    file = tmp_path / "unlabelled.csv"
    file.write_text("ticket,day,tags,queue\nHi,,[],\n")

    (example,) = Dataset.load(file, signature=Route, require_outputs=False)

    assert set(example.keys()) == {"ticket", "day", "tags"}
    (example,) = Dataset.load([{"text": "x", "tone": None}], signature=Deep, require_outputs=False)
    assert set(example.keys()) == {"text"}


def test_a_field_with_a_default_is_filled_with_it() -> None:
    class Counted(dspy.Signature):
        text: str = dspy.InputField()
        top: int = dspy.InputField(default=3)
        seen: int = dspy.InputField(default=None)
        label: str = dspy.OutputField()

    rows = [{"text": "x", "label": "y"}, {"text": "x", "top": 5, "seen": None, "label": "y"}]

    assert [(e.top, e.seen) for e in Dataset.load(rows, signature=Counted)] == [(3, None), (5, None)]


def test_an_input_may_be_of_any_class() -> None:
    class Engine:
        pass

    class Search(dspy.Signature):
        model_config = ConfigDict(arbitrary_types_allowed=True)

        query: str = dspy.InputField()
        engine: Engine = dspy.InputField()
        hits: list[str] = dspy.OutputField()

    with pytest.raises(RowError, match="no JSON form"):
        Dataset.load([{"query": "x", "engine": Engine(), "hits": []}], signature=Search)
    with pytest.raises(RowError, match="instance of"):
        Dataset.load([{"query": "x", "engine": 3, "hits": []}], signature=Search)


def test_a_wrong_label_is_an_error_even_where_labels_are_not_required() -> None:
    with pytest.raises(RowError):
        Dataset.load([{"ticket": "Hi", "queue": "sales"}], signature=Route, require_outputs=False)


def test_bad_rows_can_be_skipped_and_are_kept_as_errors(tmp_path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"q": "a", "a": 1}\n\n{"q": \n\xff\n{"q": "b", "a": NaN}\n{"q": "c", "a": 2}\n')

    data = Dataset.load(file, inputs=["q"], on_bad="skip")

    assert [example.q for example in data] == ["a", "c"]
    assert [(error.line, error.source) for error in data.skipped] == [
        (3, str(file)),
        (4, str(file)),
        (5, str(file)),
    ]
    assert repr(data) == "<Dataset rows: 2 examples, inputs ('q',), 3 skipped>"


def test_nothing_left_is_an_error_that_shows_the_first_row(tmp_path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("{\n{\n")

    with pytest.raises(DataError, match=r"no usable rows. First of 2 skipped: .*rows.jsonl:1"):
        Dataset.load(file, inputs=["q"], on_bad="skip")


def test_examples_keep_their_own_inputs_and_fields() -> None:
    examples = [dspy.Example(q=str(i), a=i).with_inputs("q") for i in range(3)]

    data = Dataset.load(examples)

    assert data.inputs == ("q",)
    assert list(data) == examples
    assert Dataset.load(data) == data
    assert Dataset.load(iter(examples), inputs=["q", "a"]).inputs == ("q", "a")


def test_examples_must_agree_on_their_inputs() -> None:
    one, other = dspy.Example(q="x", a=1).with_inputs("q"), dspy.Example(q="y", a=2).with_inputs("a")

    with pytest.raises(RowError, match="inputs of this example differ"):
        Dataset.load([one, other])
    with pytest.raises(UsageError, match="are unknown"):
        Dataset.load([one, dspy.Example(q="y", a=2)])
    with pytest.raises(UsageError, match="are unknown"):
        Dataset.load([{"q": "x"}])


def test_field_names_that_are_methods_of_examples_are_kept() -> None:
    data = Dataset.load([{"inputs": "x", "keys": 1, "self": 2, "base": 3}], inputs=["inputs"])

    assert data[0]["keys"] == 1
    assert data[0].inputs().toDict() == {"inputs": "x"}


def test_a_data_frame_is_read_with_its_gaps_as_none() -> None:
    frame = pd.DataFrame({"ticket": ["a", "b"], "day": [pd.Timestamp(2024, 1, 2), pd.NaT], "n": [1.0, None]})
    frame["queue"], frame["score"] = "tech", 0.5

    data = Dataset.load(frame, signature=Route)

    assert [example.day for example in data] == [date(2024, 1, 2), None]
    assert [example.n for example in data] == [1.0, None]


def test_a_frame_with_to_dicts_is_read() -> None:
    class Frame:
        columns = ("q", "a")

        def to_dict(self):
            raise AssertionError

        def to_dicts(self):
            return [{"q": "x", "a": 1}]

    assert Dataset.load(Frame(), inputs=["q"])[0].a == 1


@pytest.mark.parametrize("columns", [["q", "q"], ["q", 1]])
def test_a_frame_needs_distinct_names(columns) -> None:
    with pytest.raises(DataError):
        Dataset.load(pd.DataFrame([["x", "y"]], columns=columns), inputs=["q"])


def test_a_dataset_is_a_sequence() -> None:
    data = numbers(5)

    assert isinstance(data, Sequence)
    assert len(data) == 5
    assert data[-1].a == 4
    assert [example.a for example in data[1:4:2]] == [1, 3]
    assert isinstance(data[:2], Dataset)
    assert data[:2].keys == data.keys[:2]
    assert data[0] in data
    assert len(data[5:]) == 0


def test_the_fingerprint_does_not_depend_on_the_order_of_rows() -> None:
    data = numbers(5)
    turned = Dataset(tuple(reversed(data.examples)), ("q",))

    assert data.fingerprint == turned.fingerprint
    assert data != turned
    assert data.fingerprint != data[:4].fingerprint
    assert data.fingerprint != Dataset(data.examples, ("q", "a")).fingerprint
    assert data.keys == tuple(example_key(example) for example in data)
    assert {data: 1}[numbers(5)] == 1
    assert data != "numbers"


def test_the_same_rows_have_one_fingerprint_in_every_kind_of_file(tmp_path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "x", "a": "1"}\n{"q": "y", "a": "2"}\n')
    (tmp_path / "b.json").write_text('[{"a": "2", "q": "y"}, {"q": "x", "a": "1"}]')
    (tmp_path / "c.csv").write_text("q,a\nx,1\ny,2\n")
    (tmp_path / "d.tsv").write_text("a\tq\n1\tx\n2\ty\n")
    pd.DataFrame({"q": ["x", "y"], "a": ["1", "2"]}).to_parquet(tmp_path / "e.parquet")

    datasets = [Dataset.load(file, inputs=["q"]) for file in sorted(tmp_path.iterdir())]

    assert len({data.fingerprint for data in datasets}) == 1
    assert [data.name for data in datasets] == ["a", "b", "c", "d", "e"]


def test_only_examples_make_a_dataset() -> None:
    with pytest.raises(RowError, match=r"not a `dspy\.Example`"):
        Dataset(({"q": "x"},), ("q",))


@each(
    "options",
    [
        {},
        {"inputs": []},
        {"inputs": "q"},
        {"inputs": [1]},
        {"inputs": ["q"], "signature": Route},
        {"inputs": ["q"], "on_bad": "warn"},
    ],
)
def test_arguments_that_do_not_say_the_inputs_are_usage_errors(options) -> None:
    with pytest.raises(UsageError):
        Dataset.load([{"q": "x"}], **options)


def test_disjoint_sets_pass() -> None:
    data = numbers(6)

    check_disjoint(trainset=data[:2], valset=data[2:4], testset=list(data[4:]), other=None)
    check_disjoint()


def test_a_shared_example_is_named_with_its_key() -> None:
    data = numbers(6)

    with pytest.raises(SplitError) as caught:
        check_disjoint(trainset=data[:4], valset=data[2:])

    assert "`trainset` and `valset` share 2 example(s)" in str(caught.value)
    assert data.keys[2][:16] in str(caught.value)


def test_the_same_inputs_with_another_label_are_a_leak() -> None:
    one = [dspy.Example(q="x", a=1).with_inputs("q")]
    other = [dspy.Example(q="x", a=2).with_inputs("q")]

    with pytest.raises(SplitError, match="same inputs and another label"):
        check_disjoint(train=one, test=other)
    check_disjoint(train=[dspy.Example(q="x", a=1)], test=[dspy.Example(q="x", a=2)])


class Word(StrEnum):
    A = "a"


@each(("value", "text"), [(date(2024, 1, 1), "2024-01-01"), (Path("a/b"), "a/b"), (Word.A, "a"), (np.str_("a"), "a")])
def test_two_forms_of_the_same_inputs_are_a_leak(value: object, text: str) -> None:
    typed = [dspy.Example(q=value, label=1).with_inputs("q")]
    plain = [dspy.Example(q="other", label=3).with_inputs("q"), dspy.Example(q=text, label=2).with_inputs("q")]

    with pytest.raises(SplitError, match="same inputs and another label"):
        check_disjoint(train=typed, test=plain)
    with pytest.raises(SplitError, match="same inputs and another label"):
        check_disjoint(train=plain, test=typed)
