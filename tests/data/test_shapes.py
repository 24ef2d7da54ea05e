"""Data files as spreadsheets, pandas, dumps and downloads write them load, or the error says what to do."""

import gzip
import json
import re
from pathlib import Path
from typing import Literal

import dspy
import pytest

from tests.each import each
from tunesmith.data import Dataset
from tunesmith.errors import DataError, RowError, TunesmithError


class Rate(dspy.Signature):
    comment: str = dspy.InputField()
    label: Literal["good", "bad"] = dspy.OutputField()


ROWS = [("Nice, really: very", "good"), ("cold; and | dark", "bad"), ("un café à 3 €", "good")]
OBJECTS = [{"comment": comment, "label": label} for comment, label in ROWS]


def table(delimiter: str, end: str = "\n", *, index: bool = False, sep: str = "", tail: str = "") -> str:
    names = ["comment", "label"]
    lines = [names, *([f'"{comment}"', label] for comment, label in ROWS)]
    numbered = [["" if i == 0 else str(i - 1), *line] for i, line in enumerate(lines)] if index else lines
    return sep + "".join(delimiter.join(line) + tail + end for line in numbered)


COMMAS = table(",")
LINES = "".join(json.dumps(row) + "\n" for row in OBJECTS)
COLUMNS = {name: [row[name] for row in OBJECTS] for name in ("comment", "label")}
BY_NUMBER = {name: {str(i): value for i, value in enumerate(column)} for name, column in COLUMNS.items()}
SPLIT = {"columns": ["label", "comment"], "index": [0, 1, 2], "data": [[label, comment] for comment, label in ROWS]}

SHAPES = {
    "semicolons": ("a.csv", table(";")),
    "semicolons, commas in the text, no quotes": (
        "a.csv",
        table(";")
        .replace('"cold; and | dark"', '"cold; and | dark"')
        .replace('"Nice, really: very"', "Nice, really: very"),
    ),
    "tabs in a .csv": ("a.csv", table("\t")),
    "tabs": ("a.tsv", table("\t")),
    "commas in a .tsv": ("a.tsv", COMMAS),
    "bars": ("a.csv", table("|")),
    "sep line": ("a.csv", table(";", sep="sep=;\n")),
    "sep line of Excel": ("a.csv", table(",", "\r\n", sep="sep=,\r\n")),
    "quoted sep line of an unusual sign": ("a.csv", table("^", sep='"sep=^"\n')),
    "CRLF": ("a.csv", table(",", "\r\n")),
    "CR of old Macs": ("a.csv", table(",", "\r")),
    "no end of the last line": ("a.csv", COMMAS.rstrip()),
    "pandas index": ("a.csv", table(",", index=True)),
    "pandas index, semicolons": ("a.csv", table(";", index=True)),
    "pandas index, tabs": ("a.tsv", table("\t", index=True)),
    "blank rows": ("a.csv", ",\n" + COMMAS.replace("bad\n", 'bad\n,\n" ", \n"",""\n\n') + ",,,\n"),
    "blank rows with semicolons": ("a.csv", table(";") + ";\n;;;;\n"),
    "blank before a name": ("a.csv", COMMAS.replace("comment,label", "comment, label")),
    "blanks after every delimiter": ("a.csv", table(", ")),
    "blanks around names": ("a.csv", COMMAS.replace("comment,label", " comment ,\tlabel ")),
    "trailing delimiters": ("a.csv", table(",", tail=",")),
    "trailing delimiters of rows alone": ("a.csv", table(";", tail=";;").replace("label;;", "label")),
    "trailing delimiter of the header alone": ("a.csv", COMMAS.replace("label\n", "label,\n")),
    "byte order mark": ("a.csv", "\ufeff" + COMMAS),
    "byte order mark and sep line": ("a.csv", "\ufeff" + table(";", sep="sep=;\n")),
    "UTF-16 text of Excel": ("a.csv", table("\t", "\r\n").encode("utf-16")),
    "UTF-16 JSONL": ("a.jsonl", LINES.encode("utf-16")),
    "UTF-16, the other way": ("a.tsv", b"\xfe\xff" + table("\t").encode("utf-16-be")),
    "UTF-32": ("a.json", json.dumps(OBJECTS).encode("utf-32")),
    "gzip, CSV": ("a.csv.gz", gzip.compress(COMMAS.encode())),
    "gzip, TSV": ("a.tsv.gz", gzip.compress(table("\t").encode())),
    "gzip, JSONL": ("a.jsonl.gz", gzip.compress(LINES.encode())),
    "gzip, JSON": ("a.json.gz", gzip.compress(json.dumps(OBJECTS).encode())),
    "gzip, UTF-16": ("a.csv.gz", gzip.compress(COMMAS.encode("utf-16"))),
    "gzip without its suffix": ("a.csv", gzip.compress(COMMAS.encode())),
    "unpacked, with the suffix left": ("a.csv.gz", COMMAS),
    "array in .jsonl": ("a.jsonl", json.dumps(OBJECTS)),
    "indented array in .ndjson": ("a.ndjson", json.dumps(OBJECTS, indent=2)),
    "JSONL in .json": ("a.json", LINES),
    "JSONL in .json, blank lines between": ("a.json", LINES.replace("\n", "\r\n\r\n")),
    "indented objects, one after the other": ("a.json", "\n".join(json.dumps(row, indent=2) for row in OBJECTS)),
    "JSONL of old Macs": ("a.jsonl", LINES.replace("\n", "\r")),
    "object with data": ("a.json", json.dumps({"version": 1, "data": OBJECTS})),
    "array with a byte order mark in .jsonl": ("a.jsonl", "\ufeff" + json.dumps(OBJECTS)),
    "the only list of objects": ("a.json", json.dumps({"name": "x", "rows": OBJECTS})),
    "columns": ("a.json", json.dumps(COLUMNS)),
    "columns, one of objects": (
        "a.json",
        json.dumps(COLUMNS | {"about": [{"n": 1}, {"n": 2}, {"n": 3}]}),
    ),
    "columns as pandas writes them": ("a.json", json.dumps(BY_NUMBER)),
    "rows by number as pandas writes them": ("a.json", json.dumps(dict(enumerate(OBJECTS)))),
    "split as pandas writes it": ("a.json", json.dumps(SPLIT)),
    "table as pandas writes it": ("a.json", json.dumps({"schema": {"fields": []}, "data": OBJECTS})),
}


def write(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@each("shape", SHAPES)
def test_a_file_loads_in_the_shape_that_others_write(tmp_path, shape) -> None:
    data = Dataset.load(write(tmp_path, *SHAPES[shape]), signature=Rate)

    assert [(example.comment, example.label) for example in data] == ROWS
    assert data.name == "a"


@each("delimiter", [";", "^", "~", ":", " "])
def test_a_delimiter_can_be_given(tmp_path, delimiter) -> None:
    file = write(tmp_path, "a.csv", f"comment{delimiter}label\nwarm{delimiter}good\n")

    data = Dataset.load(file, signature=Rate, delimiter=delimiter)

    assert [(example.comment, example.label) for example in data] == [("warm", "good")]


def test_a_tab_may_be_written_as_toml_and_shells_leave_it(tmp_path) -> None:
    file = write(tmp_path, "a.csv", "comment\tlabel\nwarm\tgood\n")

    assert Dataset.load(file, signature=Rate, delimiter=r"\t")[0].comment == "warm"


def test_a_single_object_is_one_row(tmp_path) -> None:
    for name in ("a.json", "a.jsonl"):
        assert len(Dataset.load(write(tmp_path, name, json.dumps(OBJECTS[0])), signature=Rate)) == 1


def test_the_note_of_a_column_without_a_name_comes_before_an_error(tmp_path, caplog) -> None:
    with pytest.raises(TunesmithError, match="`comment`: The field is missing"):
        Dataset.load(write(tmp_path, "a.csv", ",label\nwarm,good\n"), signature=Rate)

    assert "column 1 has no name" in caplog.text


def test_a_given_delimiter_wins_over_what_the_file_looks_like(tmp_path) -> None:
    file = write(tmp_path, "a.csv", "sep=,\na,b;label\nx,y;good\n")

    assert dict(Dataset.load(file, inputs=["a,b"], delimiter=";")[0].items()) == {"a,b": "x,y", "label": "good"}


def test_one_column_of_text_is_one_column(tmp_path) -> None:
    file = write(tmp_path, "a.csv", 'comment\nwarm; and | dry\n"so, so"\n')

    assert [example.comment for example in Dataset.load(file, inputs=["comment"])] == ["warm; and | dry", "so, so"]


def test_line_breaks_in_quotes_stay(tmp_path) -> None:
    file = write(tmp_path, "a.csv", 'comment;label\r\n"one\r\n\r\n;;\r\ntwo";good\r\n')

    assert Dataset.load(file, signature=Rate)[0].comment == "one\r\n\r\n;;\r\ntwo"


@pytest.mark.parametrize(
    ("content", "column"),
    [
        (",comment,label\n0,warm,good\n1,cold,bad\n", 1),
        ("comment;;label\nwarm;x;good\ncold;;bad\n", 2),
        ("comment,label,,\nwarm,good,,3\ncold,bad\n", 4),
        ('" ","comment","label"\n"7","warm","good"\n"8","cold","bad"\n', 1),
    ],
)
def test_a_column_without_a_name_is_left_out_with_a_note(tmp_path, caplog, content, column) -> None:
    data = Dataset.load(write(tmp_path, "a.csv", content), signature=Rate)

    assert [dict(example.items()) for example in data] == [
        {"comment": "warm", "label": "good"},
        {"comment": "cold", "label": "bad"},
    ]
    (note,) = data.notes
    assert f"column {column} has no name" in note
    assert caplog.messages == [note]


def test_nothing_is_noted_about_empty_cells_at_the_end(tmp_path) -> None:
    assert Dataset.load(write(tmp_path, "a.csv", table(",", tail=",,")), signature=Rate).notes == ()


@each(("name", "encoding"), [("a.csv", "latin-1"), ("a.csv", "cp1252"), ("a.jsonl", "cp1252"), ("a.json", "latin-1"), ("a.tsv", "cp1251")])  # fmt: skip
def test_the_error_of_another_encoding_is_enough_to_load_the_file(tmp_path, name, encoding) -> None:
    word = "тест" if encoding == "cp1251" else "café"
    text = {".csv": f"comment,label\n{word},good\n", ".tsv": f"comment\tlabel\n{word}\tgood\n"}.get(
        name[1:], json.dumps([{"comment": word, "label": "good"}], ensure_ascii=False)
    )
    file = write(tmp_path, name, (text if name != "a.jsonl" else text[1:-1]).encode(encoding))

    with pytest.raises(DataError, match=r"encoding='cp1252'"):
        Dataset.load(file, signature=Rate)

    assert Dataset.load(file, signature=Rate, encoding=encoding)[0].comment == word
    assert next(iter(Dataset.load(file, signature=Rate, encoding=encoding))).label == "good"


def test_the_error_of_another_encoding_shows_how_it_would_read(tmp_path) -> None:
    with pytest.raises(DataError, match="un café à"):
        Dataset.load(write(tmp_path, "a.csv", COMMAS.encode("cp1252")), signature=Rate)


MIXED = {
    "a.csv": b"comment,label\ncaf\xc3\xa9,good\nplain,bad\ncr\xe8me,good\n",
    "a.csv.gz": gzip.compress(b"comment,label\ncaf\xc3\xa9,good\nplain,bad\ncr\xe8me,good\n"),
    "one line.csv": b"comment,label\nplain,bad\nplain,bad\ncaf\xc3\xa9 cr\xe8me \xc3\xa9,good\n",
    "mostly cp1252.csv": b"comment,label\ncr\xc3\xa8me,good\ncaf\xc3\xa9,good\n" + b"cr\xe8me,good\n" * 20,
    "a.jsonl": b'\n{"comment": "caf\xc3\xa9", "label": "good"}\n\n{"comment": "cr\xe8me", "label": "good"}\n',
    "cut.tsv": b"comment\tlabel\ncaf\xc3\xa9\tgood\nplain\tbad\ncaf\xc3",
}


@pytest.mark.parametrize("name", MIXED)
def test_a_file_of_two_encodings_is_told_by_line_and_can_be_read_without_those_lines(tmp_path, name) -> None:
    file = write(tmp_path, name, MIXED[name])

    with pytest.raises(RowError, match=r"no `encoding=` reads all of it\. Not UTF-8: line 4") as caught:
        Dataset.load(file, signature=Rate)

    assert "encoding='cp1252'" not in str(caught.value)
    assert caught.value.line == 4
    assert Dataset.load(file, signature=Rate, on_bad="skip").skipped[0].line == 4


def test_a_json_document_of_two_encodings_is_told_by_line(tmp_path) -> None:
    document = b'[{"comment": "caf\xc3\xa9", "label": "good"},\n{"comment": "cr\xe8me", "label": "good"}]'
    with pytest.raises(RowError, match="Not UTF-8: line 2") as caught:
        Dataset.load(write(tmp_path, "a.json", document), signature=Rate)
    assert "on_bad" not in str(caught.value), "a document is read as a whole or not at all"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gbk", "我爱北京天安门,good\n联通 很好,bad\n"),
        ("euc_kr", "안녕하세요 세계,good\n방이 작아요,bad\n"),
        ("shift_jis", "こんにちは世界,good\n部屋,bad\n"),
        ("cp1251", "привет Мир ђ,good\n"),
        ("cp850", "Café,good\n"),
    ],
)
def test_another_alphabet_is_not_taken_for_two_encodings(tmp_path, encoding, text) -> None:
    file = write(tmp_path, "a.csv", f"comment,label\n{text}".encode(encoding))

    with pytest.raises(RowError, match="Give the file's encoding") as caught:
        Dataset.load(file, signature=Rate)

    assert encoding == "cp850" or f"'{encoding}'" in str(caught.value)
    assert Dataset.load(file, signature=Rate, encoding=encoding)


@pytest.mark.parametrize("wrong", ["ascii", "utf-16", "utf-32"])
def test_a_file_in_utf_8_that_was_called_something_else_is_told_so(tmp_path, wrong) -> None:
    with pytest.raises(DataError, match="It is UTF-8: leave `encoding` out"):
        Dataset.load(write(tmp_path, "a.csv", "comment,label\ncafé,good\n".encode()), signature=Rate, encoding=wrong)


WAYS_OUT = {
    "zip": ("a.csv.zip", b"PK\x03\x04", "gzip"),
    "bzip2": ("a.jsonl.bz2", b"BZh9", "gzip"),
    "xz": ("a.csv.xz", b"\xfd7zXZ\0", "gzip"),
    "zstd": ("a.jsonl.zst", b"\x28\xb5\x2f\xfd", "gzip"),
    "zstd by content": ("a.jsonl", b"\x28\xb5\x2f\xfd\0", "gzip"),
    "a workbook": ("a.xlsx", b"PK\x03\x04", "pandas.read_excel"),
    "a workbook called .csv": ("a.csv", b"PK\x03\x04\x14\0", "CSV UTF-8"),
    "an old workbook called .csv": ("a.csv", b"\xd0\xcf\x11\xe0\xa1", "CSV UTF-8"),
    "Parquet called .json": ("a.json", b"PAR1", "`.parquet`"),
    "a Git LFS pointer": ("a.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "a web page": ("a.csv", b"<!DOCTYPE html>\n<html>\n", "Download the file itself"),
    "text without a suffix that says what": ("a.txt", COMMAS.encode(), "`.csv`"),
    "no suffix": ("rows", COMMAS.encode(), "Rename"),
    "gzip that is cut": ("a.csv.gz", gzip.compress(COMMAS.encode() * 99)[:-30], "cannot be read to its end"),
    "gzip that is damaged": ("a.csv.gz", gzip.compress(COMMAS.encode())[:20] + b"\xff" * 30, "cannot be read"),
    "Parquet with gzip around it": ("a.parquet.gz", gzip.compress(b"PAR1"), "Rename"),
    "UTF-16 without a mark": ("a.csv", COMMAS.encode("utf-16-le"), "encoding='utf-16-le'"),
    "UTF-16 without a mark, the other way": ("a.csv", COMMAS.encode("utf-16-be"), "encoding='utf-16-be'"),
    "an unusual delimiter": ("a.csv", b"comment^label\nwarm^good\n", "delimiter="),
    "no header": ("a.csv", b"warm,good\ncold,bad\n", "first line of a table names its columns"),
    "a comma in the text without quotes": ("a.csv", b"comment,label\nso, so,good\n", "double quotes"),
    "a semicolon in the text without quotes": ("a.csv", b"comment;label\nwarm;good\nso; so;good\n", "double quotes"),
    "a missing cell": ("a.csv", b"comment,label\nwarm\n", "also if a cell is empty"),
    "the same name twice": ("a.csv", b"comment,label,label\nwarm,good,bad\n", "Rename one"),
    "the same name twice but for a blank": ("a.csv", b"comment,label, label\nwarm,good,bad\n", "Rename one"),
    "quotes that are plain text": ("a.tsv", b'comment\tlabel\n"warm" they say\tgood\n', "quoting=3"),
    "a quote that never ends": ("a.tsv", b'comment\tlabel\n"warm\tgood\n', "quoting=3"),
    "another capital letter": ("a.csv", b"Comment,label\nwarm,good\n", "columns={'comment': 'Comment'}"),
    "another spelling": ("a.jsonl", b'{"comments": "warm", "label": "good"}', "columns={'comment': 'comments'}"),
    "an object around the rows": ("a.json", b'{"train": [], "test": [1]}', "a list of objects"),
    "columns of other lengths": ("a.json", b'{"comment": ["a", "b"], "label": ["good"]}', "of the same length"),
    "two lists in an object": (
        "a.json",
        b'{"train": [{"comment": "a"}], "test": [{"comment": "b"}]}',
        "in its own file",
    ),
    "lists of cells": ("a.json", b'[["comment", "label"], ["warm", "good"]]', "with named fields"),
    "a comma after each line": ("a.jsonl", b'{"comment": "a", "label": "good"},\n', "Remove the comma"),
    "a comma after the last item": ("a.json", b'[{"comment": "a", "label": "good"},]', "Remove it"),
    "Python's way to write a dict": ("a.jsonl", b"{'comment': 'a', 'label': 'good'}", "json.dumps"),
    "two lists, one after the other": ("a.json", b'[{"comment": "a", "label": "good"}]\n[]', "Give one list"),
    "UTF-16 in a cell": ("a.csv", b"comment,label\n" + "warm,good".encode("utf-16-le"), "encoding='utf-16'"),
    "a title above the header": ("a.csv", b"Report of May\n\ncomment,label\nwarm,good\n", "lines above the header"),
    "a comment above the header": ("a.csv", b"# made by x\ncomment,label\nwarm,good\n", "lines above the header"),
    "quotes behind backslashes": ("a.csv", b'comment,label\n"say \\"hi\\"",good\n', "escapechar="),
    "two objects on a line": ("a.jsonl", b'{"comment": "a", "label": "good"} {"comment": "b"}\n', "its own line"),
    "a bracket on the last line": ("a.jsonl", b'{"comment": "a", "label": "good"}\n]\n', "Remove this line"),
    "a comment in .jsonl": ("a.jsonl", b'// by x\n{"comment": "a", "label": "good"}\n', "JSON has no comments"),
    "Python's way to write a list": ("a.json", b"[{'comment': 'a', 'label': 'good'}]", "double quotes, as `json.dumps`"),
    "a comma after the last field": ("a.json", b'{"comment": "a", "label": "good",}', "Remove it"),
    "an indented object in .jsonl": ("a.jsonl", json.dumps(OBJECTS[0], indent=1).encode(), "name the file `.json`"),
}  # fmt: skip


@each("case", WAYS_OUT)
def test_the_error_names_the_way_out(tmp_path, case) -> None:
    name, content, words = WAYS_OUT[case]

    with pytest.raises(TunesmithError) as caught:
        Dataset.load(write(tmp_path, name, content), signature=Rate)

    assert words in str(caught.value)
    assert name in str(caught.value)


@each(
    ("name", "options", "words"),
    [
        ("a.csv", {"delimiter": ";;"}, "one character"),
        ("a.csv", {"delimiter": ""}, "one character"),
        ("a.csv", {"delimiter": '"'}, "one character"),
        ("a.jsonl", {"delimiter": ";"}, r"for `\.csv` and `\.tsv` files"),
        ("a.csv", {"encoding": "cp-nothing"}, "is unknown. Common ones"),
        ("a.csv", {"encoding": "base64"}, "is unknown. Common ones"),
        ("a.csv", {"encoding": 8}, "is unknown. Common ones"),
        ("a.csv", {"columns": "comment"}, "must map each field"),
        ("a.csv", {"columns": {"comment": 0}}, "must map each field"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_the_right_one(tmp_path, name, options, words) -> None:
    with pytest.raises(TunesmithError, match=words):
        Dataset.load(write(tmp_path, name, COMMAS), signature=Rate, **options)


def test_options_of_files_are_refused_for_rows_in_memory() -> None:
    with pytest.raises(TunesmithError, match="`delimiter` is only for files"):
        Dataset.load(OBJECTS, signature=Rate, delimiter=";")


def test_columns_in_memory_are_rows_too() -> None:
    assert [(e.comment, e.label) for e in Dataset.load(COLUMNS, signature=Rate)] == ROWS
    with pytest.raises(TunesmithError, match=r"splits\['train'\]"):
        Dataset.load({"train": OBJECTS, "test": OBJECTS[1:]}, signature=Rate)


class Answer(dspy.Signature):
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


SQUAD = {"question": "Where?", "context": "c", "answers": {"text": ["Paris", "in Paris"], "answer_start": [3, 4]}}
NESTED = [
    (SQUAD, {"answer": "answers.text.0"}, "Paris"),
    (SQUAD, {"answer": "answers.text.-1"}, "in Paris"),
    (SQUAD, {"answer": "answers.text[0]"}, "Paris"),
    ({"question": "q", "answers": [{"text": "x"}, {"text": "y"}]}, {"answer": "answers.text.1"}, "y"),
    ({"question": "q", "answers": [{"text": "x"}, {"text": "y"}]}, {"answer": "answers[1].text"}, "y"),
    ({"question": "q", "out": {"a": {"b": "x"}}}, {"answer": "out.a.b"}, "x"),
    ({"question": "q", "messages": [{"content": "a"}, {"content": "b"}]}, {"answer": "messages.1.content"}, "b"),
    ({"question": "q", "answers.text": "flat"}, {"answer": "answers.text"}, "flat"),
    ({"question": "q", "answers": '{"text": ["in a text"]}'}, {"answer": "answers.text.0"}, "in a text"),
    ({"Frage": "q", "Antwort": "ja"}, {"question": "Frage", "answer": "Antwort"}, "ja"),
    ({"question": "ja", "answer": "q"}, {"question": "answer", "answer": "question"}, "ja"),
]


@each(("row", "columns", "answer"), NESTED)
def test_a_field_is_taken_from_where_columns_says(tmp_path, row, columns, answer) -> None:
    file = write(tmp_path, "a.jsonl", json.dumps(row))

    for source in (file, [row]):
        assert Dataset.load(source, signature=Answer, columns=columns)[0].answer == answer


def test_a_path_leads_into_a_cell_of_a_table_that_holds_json(tmp_path) -> None:
    file = write(tmp_path, "a.csv", 'question,answers\nWhere?,"{""text"": [""Paris""]}"\n')

    assert Dataset.load(file, signature=Answer, columns={"answer": "answers.text.0"})[0].answer == "Paris"


def test_a_renamed_column_makes_the_same_content_as_a_renamed_file() -> None:
    renamed = Dataset.load([{"Q": "x", "answer": "y"}], signature=Answer, columns={"question": "Q"})

    assert renamed == Dataset.load([{"question": "x", "answer": "y"}], signature=Answer)


def test_examples_keep_their_inputs_under_the_new_name() -> None:
    data = Dataset.load([dspy.Example(text="x", a="y").with_inputs("text")], columns={"comment": "text"})

    assert data.inputs == ("comment",)
    assert data[0].comment == "x"


@each(
    ("columns", "words"),
    [
        (
            {"answer": "answers.texts.0"},
            "no value at `answers.texts.0`.* `answers` has no `texts`.* has `answers.text`",
        ),
        ({"answer": "answers"}, "It has `answers.text`, `answers.answer_start`"),
        ({"answer": "answers.text"}, "Its first item is `answers.text.0`"),
        ({"answer": "answers.text.9"}, "no value at `answers.text.9`.* has no `9`.* first item is `answers.text.0`"),
        ({"answer": "answer.text"}, "The row has no `answer`. It has: question, context, answers"),
        ({"answer": "context.text"}, "`context` has no `text`. The value is 'c'"),
        ({"answr": "answers.text.0"}, "`columns` has `answr`: did you mean `answer`"),
        ({"answers.text": "answer"}, r"Swap them: `columns={'answer': 'answers.text'}`"),
    ],
)
def test_a_path_that_leads_nowhere_or_too_short_is_told(columns, words) -> None:
    with pytest.raises(TunesmithError, match=words):
        Dataset.load([SQUAD], signature=Answer, columns=columns)


class MaybeAnswer(dspy.Signature):
    question: str = dspy.InputField()
    answers: str | None = dspy.OutputField()


DEEP = {"question": "q", "answers": {"all": [{"text": "Paris"}], "raw": '{"text": "Paris"}'}}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("answers.al.0.text", "`answers` has no `al`. It has `answers.all`, `answers.raw`"),
        ("answers.all.0.txt", "`answers.all.0` has no `txt`. It has `answers.all.0.text`"),
        (
            "answers.all.txt",
            "`answers.all` has no `txt`. Its first item is `answers.all.0`. It has `answers.all.0.t",
        ),
        ("answers.raw.txt", "`answers.raw` has no `txt`. It has `answers.raw.text`"),
        ("answer", "The row has no `answer`. It has: question, answers"),
    ],
)
def test_a_path_that_leads_nowhere_is_not_taken_for_a_column_that_is_absent(path, words) -> None:
    with pytest.raises(DataError, match=f"no row has a value at `{path}`.*{re.escape(words)}") as caught:
        Dataset.load([DEEP, DEEP], signature=MaybeAnswer, columns={"answers": path})
    assert "Rename" not in str(caught.value)


def test_a_path_that_leads_nowhere_is_said_also_of_what_no_signature_asks_for(caplog) -> None:
    with pytest.raises(DataError, match=r"no row has a value at `answers\.al`, the place of `label`"):
        Dataset.load([DEEP], inputs=["question"], columns={"label": "answers.al"})
    data = Dataset.load([DEEP], signature=Answer, columns={"answer": "answers.al"}, require_outputs=False)
    assert "answer" not in data[0]
    assert "`answers` has no `al`" in caplog.text


def test_a_path_may_lead_nowhere_in_some_rows_of_what_may_be_none() -> None:
    rows = [DEEP, {"question": "q", "answers": {"all": []}}]
    data = Dataset.load(rows, signature=MaybeAnswer, columns={"answers": "answers.all.0.text"})
    assert [example.answers for example in data] == ["Paris", None]


def test_without_inputs_the_error_says_what_columns_there_are(tmp_path) -> None:
    with pytest.raises(TunesmithError, match="It has the columns comment, label") as caught:
        Dataset.load(write(tmp_path, "a.csv", COMMAS))

    assert "Given" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "q", "answer": {"text": "x"}}, r"columns={'answer': 'answer.text'}"),
        ({"question": "q", "answer": ["x"]}, r"columns={'answer': 'answer.0'}"),
    ],
)
def test_a_value_of_another_shape_is_told_with_how_to_take_a_part_of_it(row, words) -> None:
    with pytest.raises(DataError, match=words):
        Dataset.load([row], signature=Answer)


def test_a_field_that_stands_one_level_down_is_told_with_its_path(tmp_path) -> None:
    path = write(
        tmp_path, "a.json", '{"rows": [{"row_idx": 0, "row": {"question": "q", "context": "c", "answer": "x"}}]}'
    )

    with pytest.raises(DataError, match=r"columns={'\w+': 'row.\w+'}"):
        Dataset.load(path, signature=Answer)
