"""Every malformed file or argument gives a typed error that says where and what."""

import json
from datetime import date
from typing import Literal

import dspy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from tests.each import each
from tunesmith.data import Dataset
from tunesmith.errors import DataError, RowError, SignatureError, TunesmithError, UsageError


class Item(BaseModel):
    name: str
    price: float


class Ask(dspy.Signature):
    text: str = dspy.InputField()
    n: int | None = dspy.InputField()
    label: Literal["a", "b"] = dspy.OutputField()


class Wide(dspy.Signature):
    text: str = dspy.InputField()
    size: int = dspy.InputField(ge=0)
    day: date = dspy.OutputField()
    items: list[Item] = dspy.OutputField()


GOOD = b'{"text": "x", "n": 1, "label": "a"}\n'
HEAD = b"text,n,label\n"
WIDE_HEAD = b"text,size,day,items\n"
WIDE = {"text": "x", "size": 1, "day": "2024-01-02", "items": []}


def line(**fields: object) -> bytes:
    return json.dumps({"text": "x", "n": 1, "label": "a"} | fields).encode() + b"\n"


def wide(**fields: object) -> bytes:
    return json.dumps(WIDE | fields).encode() + b"\n"


# name of the file, its bytes, the signature, the line and field of the error, a word of the message
ROWS = [
    # JSONL: syntax
    ("a.jsonl", GOOD + b'{"text": \n', Ask, 2, None, "not JSON"),
    ("a.jsonl", GOOD + b"nonsense\n", Ask, 2, None, "not JSON"),
    ("a.jsonl", GOOD + b"{'text': 'x'}\n", Ask, 2, None, "not JSON"),
    ("a.jsonl", b'{"text": "x",}\n', Ask, 1, None, "not JSON"),
    ("a.jsonl", GOOD + b'{"text": "x", "n": 1, "label": "a", "text": "y"}\n', Ask, 2, None, "'text' occurs twice"),
    ("a.jsonl", b'{"text": "x", "n": 1, "label": "a", "more": [{"p": 1, "p": 1}]}\n', Ask, 1, None, "'p' occurs twice"),
    ("a.json", b'[{"text": "x", "n": 1, "label": "a"},\n{"text": "x", "text": "y"}]', Ask, 2, None, "'text' occurs tw"),
    ("a.json", GOOD + b'{"text": "x", "text": "y"}', Ask, 2, None, "'text' occurs twice"),
    ("a.json", b'{"text": ["x"],\n"label": ["a"],\n"text": ["y"]}', Ask, 3, None, "'text' occurs twice"),
    ("a.json", b'{"data": [' + GOOD + b'],\n"data": []}', Ask, 3, None, "'data' occurs twice"),
    ("a.csv", WIDE_HEAD + b'x,1,2024-01-02,"[{""name"": ""a"", ""name"": ""b"", ""price"": 1}]"\n', Wide, 2, "items", "twice"),
    ("a.jsonl", b'{"text": "x"} {"text": "y"}\n', Ask, 1, None, "text after the"),
    ("a.jsonl", b'{"text": "a\tb"}\n', Ask, 1, None, "not JSON"),
    ("a.jsonl", b'{"text": "a\x00b"}\n', Ask, 1, None, "not JSON"),
    ("a.jsonl", b"{\n" + GOOD[1:], Ask, 1, None, "one object on each line"),
    ("a.jsonl", b"[" * 100_000 + b"\n", Ask, 1, None, "nested"),
    ("a.jsonl", GOOD[:-5], Ask, 1, None, "not JSON"),
    ("a.jsonl", b"text\x03\x04\x14\xff\n", Ask, 1, None, "UTF-8"),
    ("a.jsonl", GOOD + GOOD.replace(b"x", b"caf\xe9"), Ask, 2, None, "UTF-8"),
    ("a.jsonl", GOOD + GOOD.replace(b"x", b"\xed\xa0\x80"), Ask, 2, None, "UTF-8"),
    # JSONL: values
    ("a.jsonl", GOOD + b"[1, 2]\n", Ask, 2, None, "list"),
    ("a.jsonl", GOOD + b'"text"\n', Ask, 2, None, "str"),
    ("a.jsonl", GOOD + b"null\n", Ask, 2, None, "NoneType"),
    ("a.jsonl", b"{}\n", Ask, 1, "text", "missing"),
    ("a.jsonl", b'{"n": 1, "label": "a"}\n', Ask, 1, "text", "missing"),
    ("a.jsonl", b'{"text": "x", "n": 1}\n', Ask, 1, "label", "missing"),
    ("a.jsonl", b'{"Text": "x", "label": "a"}\n', Ask, 1, "text", "'Text'"),
    ("a.jsonl", line(text=False), Ask, 1, "text", "string"),
    ("a.jsonl", line(text=None), Ask, 1, "text", "string"),
    ("a.jsonl", line(text=["x"]), Ask, 1, "text", "string"),
    ("a.jsonl", line(label="c"), Ask, 1, "label", "'a' or 'b'"),
    ("a.jsonl", line(label=None), Ask, 1, "label", "'a' or 'b'"),
    ("a.jsonl", line(n="many"), Ask, 1, "n", "integer"),
    ("a.jsonl", line(n=1.5), Ask, 1, "n", "integer"),
    ("a.jsonl", line(n=True), Ask, 1, "n", "true or false"),
    ("a.jsonl", line(text="\ud800"), Ask, 1, "text", "surrogate"),
    ("a.jsonl", line(extra="\udfff"), Ask, 1, "extra", "surrogate"),
    ("a.jsonl", GOOD.replace(b"1", b"9" * 5000), Ask, 1, None, "number cannot be read"),
    ("a.jsonl", GOOD.replace(b"1", b"NaN"), Ask, 1, None, "NaN"),
    ("a.jsonl", GOOD.replace(b"1", b"-Infinity"), Ask, 1, None, "Infinity"),
    ("a.jsonl", GOOD.replace(b"1", b"1e999"), Ask, 1, None, "too large"),
    ("a.jsonl", wide(size=-1), Wide, 1, "size", "greater than or equal to 0"),
    ("a.jsonl", wide(day="tomorrow"), Wide, 1, "day", "date"),
    ("a.jsonl", wide(items=[{"name": "x"}]), Wide, 1, "items", "At `0.price`"),
    ("a.jsonl", wide(items="none"), Wide, 1, "items", "as JSON"),
    ("a.jsonl", wide(items={"name": "x", "price": 1}), Wide, 1, "items", "list"),
    ("a.ndjson", GOOD + b"{", Ask, 2, None, "not JSON"),
    # JSON
    ("a.json", b'[{"text": "x", "label": "a"},\n {"text": [1], "label": "a"}]', Ask, 2, "text", "string"),
    ("a.json", b'{"m": 1,\n"data": [\n{"text": "x"}]}', Ask, 3, "label", "missing"),
    ("a.json", b'[{"text": "x",\n "label": NaN}]', Ask, 1, None, "NaN"),
    ("a.json", b'[{"text": "x"}\n {"text": "y"}]', Ask, 1, "label", "missing"),
    ("a.json", b"[1, 2]", Ask, 1, None, "int"),
    ("a.json", GOOD + GOOD[:-2], Ask, 2, None, "not JSON"),
    ("a.json", b"[]\n[]", Ask, 2, None, "text after the"),
    ("a.json", b'{"text": "x"}', Ask, 1, "label", "missing"),
    ("a.json", b'{"text": ["x"], "label": []}', Ask, 1, None, "without a list `data`"),
    ("a.json", b'{"train": [{"text": "x"}], "test": [{"text": "y"}]}', Ask, 1, None, "several lists"),
    ("a.json", b'{"data": {"text": "x"}}', Ask, 1, None, "without a list `data`"),
    ("a.json", b'{"data": []', Ask, 1, None, "missing"),
    ("a.json", b'{"data" []}', Ask, 1, None, "colon"),
    ("a.json", b"{\n3: []}", Ask, 2, None, "quotes"),
    ("a.json", b'{"data": [],\n}', Ask, 2, None, "Remove it"),
    ("a.json", b'[{"text": "x", "label": "a"},\n]', Ask, 2, None, "not JSON"),
    ("a.json", b"[\n", Ask, 2, None, "not JSON"),
    ("a.json", b'"text"', Ask, 1, None, "str"),
    ("a.json", b"nothing", Ask, 1, None, "not JSON"),
    ("a.json", b"[\n\n\xff]", Ask, 3, None, "UTF-8"),
    # CSV and TSV
    ("a.csv", HEAD + b"x,1\n", Ask, 2, None, "2 cells, the header has 3"),
    ("a.csv", HEAD + b"x,1,a,b\n", Ask, 2, None, "4 cells, the header has 3"),
    ("a.csv", HEAD + b'"x\ny",1,a\nz,1\n', Ask, 4, None, "2 cells"),
    ("a.csv", HEAD + b"x,1,a\n\n\ny,1,c\n", Ask, 5, "label", "'a' or 'b'"),
    ("a.csv", HEAD + b"x,one,a\n", Ask, 2, "n", "integer"),
    ("a.csv", HEAD + b"x,true,a\n", Ask, 2, "n", "true or false"),
    ("a.csv", HEAD + b'"x,1,a\n', Ask, 2, None, "never closed"),
    ("a.csv", HEAD + b'"x"y,1,a\n', Ask, 2, None, "not CSV with ',' between"),
    ("a.csv", HEAD + b"x,1,a\r\ny\rz,1,a\r\n", Ask, 3, None, "carriage return"),
    ("a.csv", HEAD + b"x\0,1,a\n", Ask, 2, None, "NUL"),
    ("a.csv", HEAD + b"caf\xe9,1,a\n", Ask, 2, None, "UTF-8"),
    ("a.csv", b"text,n,text\nx,1,a\n", Ask, 1, "text", "twice"),
    ("a.csv", b"t\xe9xt\nx\n", Ask, 1, None, "UTF-8"),
    ("a.csv", b'"text\n', Ask, 1, None, "never closed"),
    ("a.csv", b"text^n^label\nx^1^a\n", Ask, 2, "text", "delimiter="),
    ("a.csv", b"hello,1,a\nx,1,a\n", Ask, 2, "text", "first line"),
    ("a.csv", WIDE_HEAD + b"x,,2024-01-02,[]\n", Wide, 2, "size", "empty"),
    ("a.csv", WIDE_HEAD + b"x,1,01/02/2024,[]\n", Wide, 2, "day", "date"),
    ("a.csv", WIDE_HEAD + b"x,1,2024-01-02,a;b\n", Wide, 2, "items", "as JSON"),
    ("a.csv", WIDE_HEAD + b'x,1,2024-01-02,"[{""name"": ""x""}]"\n', Wide, 2, "items", "At `0.price`"),
    ("a.csv", WIDE_HEAD + b"x,1,2024-01-02,[NaN\n", Wide, 2, "items", "as JSON"),
    ("a.tsv", b"text\tn\tlabel\nx\t1\n", Ask, 2, None, "2 cells"),
]  # fmt: skip

FILES = [
    ("a.jsonl", b"", "no usable rows"),
    ("a.jsonl", b"\n \n", "no usable rows"),
    ("a.jsonl", b"\xef\xbb\xbf", "no usable rows"),
    ("a.json", b"", "no usable rows"),
    ("a.json", b"[]", "no usable rows"),
    ("a.json", b'{"data": []}', "no usable rows"),
    ("a.csv", b"", "no usable rows"),
    ("a.csv", HEAD, "no usable rows"),
    ("a.jsonl", GOOD.decode().encode("utf-16") + b"x", "encoding="),
    ("a.csv", HEAD.decode().encode("utf-16-le"), "UTF-16"),
    ("a.json", b'[{"text": "x"}]'.decode().encode("utf-32-be"), "UTF-16 or UTF-32"),
    ("a.csv", b"\x00\x01\x02", "or not text"),
    ("a.parquet", b"", "cannot be read as Parquet"),
    ("a.parquet", b"PAR1 nothing else PAR1", "cannot be read as Parquet"),
]


@each(("name", "content", "signature", "at", "field", "word"), ROWS, ids=range(len(ROWS)))
def test_a_bad_row_is_named_by_file_line_and_field(tmp_path, name, content, signature, at, field, word) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    with pytest.raises(RowError) as caught:
        Dataset.load(file, signature=signature)

    error = caught.value
    assert (error.source, error.line, error.field) == (str(file), at, field)
    assert str(error).startswith(f"{file}:{at}:")
    assert word in str(error)
    assert len(str(error)) < 1_000
    _check_skip(file, signature, error)


def _check_skip(file, signature, error: RowError) -> None:
    """Skipping leaves the row out, or says that the file as a whole cannot be read."""
    try:
        data = Dataset.load(file, signature=signature, on_bad="skip")
    except DataError:
        return
    assert str(data.skipped[0]) == str(error)


@each(("name", "content", "word"), FILES, ids=range(len(FILES)))
def test_a_bad_file_is_a_data_error(tmp_path, name, content, word) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    with pytest.raises(DataError, match=word) as caught:
        Dataset.load(file, signature=Ask)

    assert str(file) in str(caught.value)


ARGUMENTS = [
    ("no.jsonl", {}, UsageError),
    ("folder.csv", {}, UsageError),
    ("rows.xlsx", {}, UsageError),
    ("rows", {}, UsageError),
    ("", {}, UsageError),
    ("a\0b.csv", {}, UsageError),
    ("x" * 5000 + ".csv", {}, UsageError),
    (None, {}, UsageError),
    (7, {}, UsageError),
    (b"a.csv", {}, UsageError),
    ({"text": "x"}, {}, UsageError),
    (dspy.Example(text="x"), {}, UsageError),
    ([], {}, DataError),
    (["text"], {}, RowError),
    ([{"text": "x"}, 3], {}, RowError),
    ([{1: "x", "text": "x", "label": "a"}], {}, RowError),
    ([{"text": b"x", "label": "a"}], {}, RowError),
    ([{"text": "x", "label": "a", "n": float("nan")}], {}, RowError),
    ([{"text": "x", "label": "a", "more": object()}], {}, RowError),
    ([{"text": "x", "label": "a", "more": float("inf")}], {}, RowError),
    ([{"text": "x"}], {"signature": "text -> label"}, SignatureError),
    ([{"text": "x"}], {"signature": dict}, SignatureError),
    ([{"text": "x"}], {"signature": Ask, "inputs": ["text"]}, UsageError),
    ([{"text": "x"}], {"signature": Ask, "on_bad": "ignore"}, UsageError),
    ([{"text": "x"}], {"inputs": "text"}, UsageError),
    ([{"text": "x"}], {"inputs": []}, UsageError),
    ([{"text": "x"}], {"inputs": ["other"]}, RowError),
]  # fmt: skip


@pytest.mark.parametrize(("source", "options", "kind"), ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_a_wrong_source_or_argument_is_a_typed_error(tmp_path, monkeypatch, source, options, kind) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "rows.xlsx").write_bytes(b"PK")
    (tmp_path / "rows").write_bytes(b"")

    with pytest.raises(TunesmithError) as caught:
        Dataset.load(source, **(options or {"signature": Ask}))

    assert type(caught.value) is kind


def test_a_broken_row_group_is_named_by_its_row(tmp_path) -> None:
    file = tmp_path / "rows.parquet"
    rows = [{"text": f"text number {i}", "label": "a"} for i in range(5000)]
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=2048, compression="none", use_dictionary=False)
    content = bytearray(file.read_bytes())
    content[90_000:90_400] = b"\xff" * 400
    file.write_bytes(content)

    with pytest.raises(RowError) as caught:
        Dataset.load(file, signature=Ask)

    assert caught.value.line is not None
    assert caught.value.line > 1
