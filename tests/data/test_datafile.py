"""Data files as they are."""

from pathlib import Path

import pytest

from tests.each import each
from tunesmith.data import DataFile, compared_fields
from tunesmith.errors import DataError, RowError, UsageError


def file(folder: Path, text: str, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_wrong_rows_are_kept_with_their_lines(tmp_path: Path) -> None:
    found = DataFile.read(file(tmp_path, '{"a": 1}\n[1]\nnonsense\n{"a": 2}\n'))
    assert [(row.line, row.value) for row in found.rows] == [(1, {"a": 1}), (4, {"a": 2})]
    assert [error.line for error in found.wrong] == [2, 3]
    with pytest.raises(RowError, match=r"rows\.jsonl:2: This is a list"):
        found.checked()


def test_a_place_that_no_row_has_is_told(tmp_path: Path) -> None:
    rows = file(tmp_path, '{"To do?": 1}\n{}\n')
    assert DataFile.read(rows, columns={"a": "To do?"}).fields == ("a",)
    with pytest.raises(
        DataError, match=r"no row has a value at `To do`, the place of `a` .* It has: To do\?\. Correct"
    ):
        DataFile.read(rows, columns={"a": "To do"})


def test_what_cannot_be_read_further_is_told(tmp_path: Path) -> None:
    found = DataFile.read(file(tmp_path, '[{"a": 1},\n{"a": 2}', "rows.json"))
    assert len(found.rows) == 2
    assert found.wrong
    assert "could not be read" in found.notes[-1]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows"):
        DataFile.read(file(tmp_path, "\n")).checked()


def test_a_row_without_an_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(RowError, match=r"rows\.jsonl:2: field `a`: The field is missing. The row has: 'b'.* Or map it"):
        DataFile.read(file(tmp_path, '{"a": 1}\n{"b": 1}\n')).dataset(["a"])


@each(
    "fields, others, compared",
    [
        (["id", "text", "label"], ["label"], ("text",)),
        (["row_idx", "video", "text"], [], ("video", "text")),
        (["id"], [], ("id",)),
        (["label"], ["label"], ("label",)),
    ],
)
def test_labels_and_names_of_rows_are_not_compared(fields: list[str], others: list[str], compared: object) -> None:
    assert compared_fields(fields, others) == compared


def test_a_field_that_numbers_the_rows_is_not_compared(tmp_path: Path) -> None:
    rows = "".join(f"{n},{3 * n},the same\r\n" for n in range(7, 12))
    path = tmp_path / "rows.csv"
    path.write_bytes(b"Nr,size,text\r\n" + rows.encode())
    found = DataFile.read(path)
    assert found.counters == ("Nr",)
    assert compared_fields(found.fields, [], found.counters) == ("size", "text")


def test_a_label_that_is_no_field_is_refused() -> None:
    with pytest.raises(UsageError, match=r"There is no field `topic`\. The rows have: text"):
        compared_fields(["text"], ["topic"])
