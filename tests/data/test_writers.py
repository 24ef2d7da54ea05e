"""Writing rows."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data import DataFile, check_targets, write_rows
from tunesmith.errors import UsageError

ROWS = [{"text": 'a "b", c;\nd', "n": 1, "tags": ["x"]}, {"text": "ä\t|", "other": None}]


def read(path: Path) -> list[dict[str, object]]:
    return [dict(row.value) for row in DataFile.read(path).rows]


def test_jsonl_reads_back_as_it_was(tmp_path: Path) -> None:
    write_rows(tmp_path / "new" / "rows.jsonl", ROWS)
    assert read(tmp_path / "new" / "rows.jsonl") == ROWS


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_a_table_has_every_field_as_a_column_and_json_in_its_cells(name: str, tmp_path: Path) -> None:
    write_rows(tmp_path / name, ROWS)
    assert read(tmp_path / name) == [
        {"text": 'a "b", c;\nd', "n": "1", "tags": '["x"]', "other": ""},
        {"text": "ä\t|", "n": "", "tags": "", "other": ""},
    ]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), min_size=1).filter(str.strip)


@given(st.lists(st.fixed_dictionaries({"a": CELLS, "b": CELLS}), min_size=1, max_size=5))
def test_a_table_of_texts_reads_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    write_rows(path, rows)
    assert read(path) == rows


def test_a_file_that_exists_is_not_replaced_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(UsageError, match="exists"):
        check_targets([tmp_path / "rows.jsonl"], force=False)
    check_targets([tmp_path / "rows.jsonl"], force=True)
    for bad in ("rows.xlsx", "rows.parquet", "."):
        with pytest.raises(UsageError, match=r"Name a file|name a `\.jsonl`"):
            check_targets([tmp_path / bad], force=True)


def test_a_place_that_takes_no_files_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    check_targets([tmp_path / "new" / "folder" / "rows.jsonl"], force=False)
    with pytest.raises(UsageError, match="it is a file and no folder"):
        check_targets([tmp_path / "rows.jsonl" / "more.jsonl"], force=False)
