"""What is written in a file is what is read from it."""

import csv
import io
import json
import sys
from pathlib import Path

import dspy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.scale import FULL
from tunesmith.data import Dataset
from tunesmith.data.readers import read_file
from tunesmith.data.source import Reading
from tunesmith.errors import RowError, UsageError

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
NAMES = TEXT.filter(lambda name: not name.startswith("dspy_"))
OBJECTS = st.lists(
    st.dictionaries(NAMES, st.recursive(SCALAR, st.lists, max_leaves=4), max_size=4).map(lambda d: {"q": "x"} | d),
    min_size=1,
    max_size=5,
)
# NUL is refused.
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from('",\n\r\t'), max_size=8)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=5)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@settings(max_examples=50 if FULL else 20)
@given(OBJECTS, st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n", "\n \r\n"]), st.booleans(), st.booleans())
def test_jsonl_is_read_as_written(folder, rows, bom, end, last, ascii_only) -> None:
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    text = end.join(lines) + (end if last else "")
    file = folder / "rows.jsonl"
    file.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())

    assert [dict(example.items()) for example in Dataset.load(file, inputs=["q"])] == rows


@settings(max_examples=50 if FULL else 20)
@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]), st.sampled_from(["", "before", "after"]))
def test_json_is_read_as_written(folder, rows, bom, indent, wrap) -> None:
    value = {"before": {"data": rows, "n": 1}, "after": {"n": [{"data": []}], "data": rows}}.get(wrap, rows)
    file = folder / "rows.json"
    file.write_bytes((b"\xef\xbb\xbf" if bom else b"") + json.dumps(value, indent=indent).encode())

    assert [dict(example.items()) for example in Dataset.load(file, inputs=["q"])] == rows


@given(TABLES, st.booleans(), st.sampled_from(["\n", "\r\n"]), st.sampled_from([",", "\t"]), st.booleans())
def test_tables_are_read_as_written(folder, table, bom, end, delimiter, quote_all) -> None:
    names = [f'column {i}, "quoted"\n' for i in range(len(table[0]))]
    buffer = io.StringIO()
    # Before Python 3.13 the writer leaves a lone carriage return bare, which then ends the line.
    bare = any("\r" in cell for row in table for cell in row)
    quoting = csv.QUOTE_ALL if quote_all or bare or len(names) == 1 else csv.QUOTE_MINIMAL
    csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([names, *table])
    file = folder / ("rows.csv" if delimiter == "," else "rows.tsv")
    file.write_bytes((b"\xef\xbb\xbf" if bom else b"") + buffer.getvalue().encode())

    assert [list(row.value.values()) for row in read_file(file, Reading(print))] == _filled(table)
    assert all(list(row.value) == names for row in read_file(file, Reading(print)))


@given(TABLES, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["rows.csv", "rows.tsv"]), st.booleans())
def test_the_delimiter_of_any_table_with_two_columns_is_found(folder, table, delimiter, name, sep) -> None:
    table = [[cell.replace("\r", "\n") for cell in row] for row in table if len(row) > 1]
    names = [f"n{i}" for i in range(max(map(len, table), default=2))]
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows([names, *table])
    file = folder / name
    file.write_text((f"sep={delimiter}\n" if sep else "") + buffer.getvalue(), encoding="utf-8")

    rows = list(read_file(file, Reading(print)))

    assert [list(row.value.values()) for row in rows] == _filled(table)


@given(TABLES)
def test_the_line_of_a_row_is_the_line_it_starts_on(folder, table) -> None:
    table = [[cell.replace("\r", "") for cell in row] for row in table]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["n"] * len(table[0]), *table])
    buffer = io.StringIO(buffer.getvalue().replace(",".join(['"n"'] * len(table[0])), _header(len(table[0])), 1))
    file = folder / "lines.csv"
    file.write_bytes(buffer.getvalue().encode())
    starts, line = [], 2
    for row in table:
        starts += [line] if _filled([row]) else []
        line += 1 + sum(cell.count("\n") for cell in row)

    assert [row.line for row in read_file(file, Reading(print))] == starts


def _filled(table: list[list[str]]) -> list[list[str]]:
    """Return the rows that a reader keeps: those with a cell that is not blank."""
    return [row for row in table if any(cell.strip() for cell in row)]


def _header(width: int) -> str:
    return ",".join(f'"n{i}"' for i in range(width))


def test_items_of_a_json_file_know_their_line(tmp_path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('{"note": "x",\n "data": [\n  {"q":\n "a"}, {"q": "b"},\n\n  {"q": "c"}]}')

    assert [row.line for row in read_file(file, Reading(print))] == [3, 4, 6]


@each("text", ["[]", " [ ] \n", '{"data": []}', "", " \n"])
def test_a_json_file_may_hold_nothing(tmp_path, text) -> None:
    file = tmp_path / "rows.json"
    file.write_text(text)

    assert list(read_file(file, Reading(print))) == []


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_a_row_with_a_key_twice_is_skipped_with_its_line_and_the_others_are_read(tmp_path, name) -> None:
    rows = ['{"q": "a"}', '{"q": "b", "q": "c"}', '{"q": "d", "x": [{"y": 1, "y": 2}]}', '{"q": "e"}']
    file = tmp_path / name
    file.write_text("\n".join(rows) if name == "rows.jsonl" else f"[{','.join(chr(10) + row for row in rows)}]")

    data = Dataset.load(file, inputs=["q"], on_bad="skip")

    assert [row.q for row in data] == ["a", "e"]
    first = 1 if name == "rows.jsonl" else 2
    assert [error.line for error in data.skipped] == [first + 1, first + 2]
    assert "'y' occurs twice. Rename or remove one" in str(data.skipped[1])


@each("bad", ['{"q": "b", "q": "c"}', '{"q": NaN}', '{"q": {"y": 1, "y": 2}}'])
def test_the_first_of_several_objects_is_skipped_as_the_others_are(tmp_path, bad) -> None:
    file = tmp_path / "rows.json"
    file.write_text(f'\n{bad}\n{{"q": "a"}}\n{bad}\n{{"q": "e"}}\n')

    data = Dataset.load(file, inputs=["q"], on_bad="skip")

    assert [row.q for row in data] == ["a", "e"]
    assert [error.line for error in data.skipped] == [2, 4]
    file.write_text(bad)
    with pytest.raises(RowError):
        Dataset.load(file, inputs=["q"], on_bad="skip")


def test_keys_of_two_objects_may_be_the_same(tmp_path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"q": {"q": [{"q": 1}, {"q": 1}]}}\n')

    assert Dataset.load(file, inputs=["q"])[0].q == {"q": [{"q": 1}, {"q": 1}]}


def test_separators_inside_text_do_not_end_a_line(tmp_path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes('{"q": "a\u2028b\u0085c"}\n'.encode())

    assert Dataset.load(file, inputs=["q"])[0].q == "a\u2028b\u0085c"


def test_long_cells_and_lines_are_read(tmp_path) -> None:
    long = "word " * 400_000
    (tmp_path / "rows.csv").write_text(f'q\n"{long}"\n')
    (tmp_path / "rows.jsonl").write_text(json.dumps({"q": long}))

    for name in ("rows.csv", "rows.jsonl"):
        assert Dataset.load(tmp_path / name, inputs=["q"])[0].q == long


def test_parquet_is_read_in_batches_with_its_types(tmp_path) -> None:
    rows = [{"q": f"q{i}", "n": i if i % 2 else None, "tags": ["a"] * (i % 3), "p": {"x": i}} for i in range(3000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")

    data = Dataset.load(tmp_path / "rows.parquet", inputs=["q"])

    assert [dict(example.items()) for example in data] == rows


def test_parquet_without_its_extra_says_how_to_install_it(tmp_path, monkeypatch) -> None:
    pq.write_table(pa.Table.from_pylist([{"q": "x"}]), tmp_path / "rows.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    with pytest.raises(UsageError, match=r"pip install 'tunesmith\[parquet\]'"):
        Dataset.load(tmp_path / "rows.parquet", inputs=["q"])


def test_a_signature_of_dspy_reads_a_file(tmp_path) -> None:
    (tmp_path / "rows.csv").write_text("question,answer\nx,1\n")

    data = Dataset.load(tmp_path / "rows.csv", signature=dspy.Signature("question -> answer: int"))

    assert data[0].answer == 1
