"""What people give for a field, and what is made of it: the table of docs/data.md, run."""

import ast
import re
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import dspy
import numpy as np
import pytest
from pydantic import BaseModel

from tests.each import each
from tests.heavy import pd
from tunesmith.data import Dataset
from tunesmith.errors import DataError, RowError
from tunesmith.signatures import Demo, Signature

DOCS = Path(__file__).parents[2] / "docs" / "data.md"


class Color(Enum):
    RED = "r"
    BLUE = "b"


class Item(BaseModel):
    name: str
    price: float


TYPES: dict[str, Any] = {
    "str": str,
    "str or None": str | None,
    "int": int,
    "float": float,
    "bool": bool,
    "Literal['good', 'bad']": Literal["good", "bad"],
    "Literal['good', 'bad'] or None": Literal["good", "bad"] | None,
    "Literal['ab', 'AB']": Literal["ab", "AB"],
    "Literal[1, 2]": Literal[1, 2],
    "Literal['1', '2']": Literal["1", "2"],
    "Color": Color,
    "date": date,
    "datetime": datetime,
    "list[str]": list[str],
    "list[int]": list[int],
    "list[Literal['good', 'bad']]": list[Literal["good", "bad"]],
    "Item": Item,
}
WRITTEN = {
    "Color.RED": Color.RED,
    "date(2024, 5, 1)": date(2024, 5, 1),
    "datetime(2024, 5, 1, 12, 30)": datetime(2024, 5, 1, 12, 30),  # noqa: DTZ001 - as it is given
    "Item(name='a', price=2.0)": Item(name="a", price=2.0),
}
ROWS = [
    match.groups()
    for match in re.finditer(r"^\| `([^`]+)` \| `([^`]+)` \| (.+) \|$", DOCS.read_text("utf-8"), re.MULTILINE)
]


def asks(kind: Any, **more: Any) -> type[Signature]:
    """A signature with the input `q` and an output `a` of the type."""
    fields = {"q": (str, dspy.InputField()), "a": (kind, dspy.OutputField(**more))}
    return dspy.Signature(fields)


@each(("declared", "given", "read"), ROWS)
def test_the_table_of_the_docs_holds_for_mappings_examples_and_demos(declared: str, given: str, read: str) -> None:
    signature, value = asks(TYPES[declared]), ast.literal_eval(given)
    row = {"q": "x", "a": value}
    ways = (
        lambda: Dataset.load([row], signature=signature)[0].a,
        lambda: Dataset.load([dspy.Example(row)], signature=signature)[0].a,
        lambda: Demo.of(signature, row).outputs["a"],
    )
    for way in ways:
        if read.startswith("refused: "):
            with pytest.raises(DataError, match=re.escape(read.removeprefix("refused: "))):
                way()
        else:
            text = read.strip("`")
            wanted = WRITTEN[text] if text in WRITTEN else ast.literal_eval(text)
            assert (way(), type(way())) == (wanted, type(wanted))


def test_the_table_is_read() -> None:
    assert len(ROWS) >= 38


@each(("declared", "given", "read"), [row for row in ROWS if row[1].startswith("'")])
def test_a_csv_cell_becomes_what_the_same_text_in_an_example_becomes(
    tmp_path: Path, declared: str, given: str, read: str
) -> None:
    signature, text = asks(TYPES[declared]), ast.literal_eval(given)
    file = tmp_path / "a.csv"
    quoted = text.replace('"', '""')
    file.write_text(f'q,a\nx,"{quoted}"\n', encoding="utf-8")

    def of(source: Any) -> Any:
        try:
            return Dataset.load(source, signature=signature)[0].a
        except RowError as error:
            return error.problem

    assert of(file) == of([dspy.Example(q="x", a=text)])


@each(
    ("kind", "more"),
    [(str | None, {}), (Literal["a", "b"] | None, {}), (bool, {"default": False}), (list[str] | None, {})],
    ids=["text", "label", "default", "list"],
)
@each("name", ["A", "answer", " a"])
def test_an_output_that_no_row_has_is_refused(kind: Any, more: dict[str, Any], name: str) -> None:
    rows = [{"q": "x", name: None}, {"q": "y"}]

    with pytest.raises(DataError, match="`a`") as caught:
        Dataset.load(rows, signature=asks(kind, **more))

    assert repr(name) in str(caught.value) or name in str(caught.value)


def test_a_misspelt_column_of_a_csv_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("q,Answer\nx,y\n", encoding="utf-8")
    signature = dspy.Signature({"q": (str, dspy.InputField()), "answer": (str | None, dspy.OutputField())})

    with pytest.raises(DataError, match="`Answer` meant"):
        Dataset.load(file, signature=signature)


def test_single_absent_values_stay_none_and_labels_may_be_left_out() -> None:
    rows = [{"q": "x", "a": "y"}, {"q": "z"}]
    assert [e.a for e in Dataset.load(rows, signature=asks(str | None))] == ["y", None]
    assert [e.a for e in Dataset.load([{"q": "x", "a": None}], signature=asks(str | None))] == [None]
    (only,) = Dataset.load([{"q": "x"}], signature=asks(str | None), require_outputs=False)
    assert "a" not in only


def test_a_misspelt_input_is_named_with_what_was_meant() -> None:
    with pytest.raises(RowError, match="Is `Q` meant"):
        Dataset.load([{"Q": "x", "a": "y"}], signature=asks(str))


def test_an_optional_input_that_no_row_has_is_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    signature = dspy.Signature("q, hint: str | None -> a")
    Dataset.load([{"q": "x", "a": "y"}], signature=signature)
    assert "no row has the input `hint`" in caplog.text


class Tagged(Signature):
    """Tag the text."""

    text: str = dspy.InputField()
    tags: list[str] = dspy.OutputField()


def test_arrays_of_data_frames_are_lists() -> None:
    """Parquet files and `datasets` give pandas arrays, also inside mappings."""
    frame = pd.DataFrame({"text": ["a", "b"], "tags": [np.array(["x"]), np.array(["x", "y"])]})
    nested = pd.DataFrame({"text": ["a"], "labels": [{"names": np.array(["x", "y"], dtype=object)}]})

    assert [row.tags for row in Dataset.load(frame, signature=Tagged)] == [["x"], ["x", "y"]]
    assert [row.tags for row in Dataset.load(frame.to_dict("records"), signature=Tagged)] == [["x"], ["x", "y"]]
    assert Dataset.load(nested, signature=Tagged, columns={"tags": "labels.names"})[0].tags == ["x", "y"]


@pytest.mark.parametrize("inputs", [["text"], None], ids=["untyped", "typed"])
def test_what_pandas_writes_for_nothing_is_told_with_the_way_out(inputs: list[str] | None) -> None:
    rows = [{"text": "a", "tags": float("nan")}]

    with pytest.raises(RowError, match=r"pandas writes.*use None"):
        Dataset.load(rows, inputs=inputs) if inputs else Dataset.load(rows, signature=Tagged)
