"""YAML of data files."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.data import DataFile
from tunesmith.data.yamltext import YamlError, located_yaml


def rows(text: str) -> list[tuple[int, Any]]:
    return list(located_yaml(text, lambda note: None))


def value(text: str) -> Any:
    (row,) = rows(f"- a: {text}")
    if isinstance(row[1], YamlError):
        raise row[1]
    return row[1]["a"]


@each(
    "text, expected",
    [
        ("no", "no"),
        ("Yes", "Yes"),
        ("true", True),
        ("~", None),
        ("", None),
        ("2024-05-01", "2024-05-01"),
        ("010", 10),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("12:30", "12:30"),
        ("'7'", "7"),
        ("!!str 7", "7"),
        ("|\n    two\n    lines", "two\nlines"),
        ("[a, {b: 1}]", ["a", {"b": 1}]),
    ],
)
def test_values_follow_yaml_1_2(text: str, expected: Any) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_is_yaml(given: Any) -> None:
    assert rows(f"- {json.dumps(given)}") == [(1, given)]


def test_rows_have_lines_and_aliases_and_merges_are_filled_in() -> None:
    found = rows("# tests\n- &one\n  a: 1\n  b: 2\n- <<: *one\n  b: 3\n")
    assert found == [(2, {"a": 1, "b": 2}), (5, {"a": 1, "b": 3})]


def test_the_list_of_tests_is_found_beside_other_lists() -> None:
    notes: list[str] = []
    found = list(located_yaml("providers: [{id: a}]\ntests: [{vars: {a: 1}}]\n", notes.append))
    assert found == [(2, {"vars": {"a": 1}})]
    assert notes == ["The rows are the list `tests`. Left out: `providers`."]


@each(
    "text, line, problem",
    [
        ("- a: 1\n- a: 1\n  a: 2", 3, "the key 'a' occurs twice"),
        ("- a: .nan", 1, "no number in JSON"),
        ("- a: !thing 1", 1, "The tag `!thing` is not data"),
        ("- [a]: 1", 1, "must be text"),
        ("- <<: 1", 1, "`<<` takes a mapping"),
    ],
)
def test_a_value_that_json_does_not_have_makes_its_row_wrong(text: str, line: int, problem: str) -> None:
    error = rows(text)[-1][1]
    assert isinstance(error, YamlError)
    assert error.line == line
    assert problem in error.problem


@each(
    "text, problem",
    [
        ("a: [1", "This is not YAML"),
        ("just text", "one value, not a list"),
        ("a: 1\nb: 2", "The file has: `a`, `b`"),
        ("- a\n---\n- b", "This is not YAML"),
    ],
)
def test_a_text_of_another_form_is_refused(text: str, problem: str) -> None:
    with pytest.raises(YamlError, match=problem):
        rows(text)


def test_aliases_that_stand_for_billions_of_values_are_refused() -> None:
    text = "- &a0 [x]\n" + "".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert "stand for too many values" in str(rows(text)[-1][1])


def test_an_alias_of_itself_is_refused() -> None:
    assert isinstance(rows("- &a [*a]")[0][1], YamlError)


def test_a_file_is_read_by_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "rows.yml").write_text("- a: 1\n- b: .inf\n", encoding="utf-8")
    found = DataFile.read(tmp_path / "rows.yml")
    assert [row.value for row in found.rows] == [{"a": 1}]
    assert [error.line for error in found.wrong] == [2]
