"""Many small cases in one test."""

from pathlib import Path

import pytest

from tests.each import each


def test_every_case_runs_with_the_fixtures_of_the_test() -> None:
    seen = []

    @each("number, text", [(1, "a"), pytest.param(2, "b", id="second")])
    def check(kept: str, number: int, text: str) -> None:
        seen.append((kept, number, text))

    check(kept="fixture")

    assert seen == [("fixture", 1, "a"), ("fixture", 2, "b")]


def test_a_case_that_fails_is_named() -> None:
    @each("number", [1, 2, 3])
    def check(number: int) -> None:
        assert number != 2

    with pytest.raises(AssertionError) as failed:
        check()

    assert failed.value.__notes__ == ["in the case 2"]


def test_a_failure_does_not_hide_the_next_one() -> None:
    @each("number", [1, 2, 3], ids=lambda number: f"number {number}")
    def check(number: int) -> None:
        with pytest.raises(ValueError, match="never"):
            assert number == 1

    with pytest.raises(ExceptionGroup) as failed:
        check()

    assert [error.__notes__ for error in failed.value.exceptions] == [[f"in the case number {n}"] for n in (1, 2, 3)]


def test_a_case_with_a_mark_is_refused() -> None:
    with pytest.raises(AssertionError, match="a test of its own"):
        each("number", [pytest.param(1, marks=pytest.mark.slow)])


def test_every_case_has_a_folder_of_its_own(tmp_path: Path) -> None:
    @each(("number",), [1, 2], ids=["one", "two"])
    def check(tmp_path: Path, number: int) -> None:
        assert not list(tmp_path.iterdir())
        (tmp_path / "kept").write_text(str(number))

    check(tmp_path=tmp_path)

    assert [path.read_text() for path in sorted(tmp_path.rglob("kept"))] == ["1", "2"]
