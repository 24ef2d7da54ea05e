"""Files of results as tables of arms."""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from tests.each import each
from tunesmith.errors import DataError, UsageError
from tunesmith.experiments import Leaderboard

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "benchmarks" / "compilers.json"


def cell(task: str, arm: str, seed: int, mean: float, **more: Any) -> dict[str, Any]:
    return {"cell": [task, arm, seed], "mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 50, **more}


def test_the_table_of_the_compilers_benchmark_is_that_of_the_docs() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- table: compilers -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert block is not None
    assert Leaderboard.read(str(COMMITTED)).to_markdown() == block[1]


def test_its_numbers_are_the_means_of_the_committed_cells() -> None:
    rows = [row for row in json.loads(COMMITTED.read_text(encoding="utf-8"))["rows"] if "mean" in row]
    found = {(board.task, one.arm): one for board in Leaderboard.read(COMMITTED).tasks for one in board.rows}
    assert set(found) == {(row["cell"][0], row["cell"][1]) for row in rows}
    for (task, arm), one in found.items():
        mine = [row for row in rows if row["cell"][:2] == [task, arm]]
        for value, name in (
            *((one.score.mean, "mean"), (one.score.low, "low"), (one.score.high, "high")),
            *((one.calls, "calls"), (one.tokens, "tokens")),
        ):
            assert value == pytest.approx(sum(row[name] for row in mine) / len(mine)), (task, arm, name)
        assert (one.seeds, one.score.n) == (len(mine), mine[0]["n"])


def test_cost_per_point_is_against_a_reference() -> None:
    rows = [
        cell("a", "plain", 0, 0.5, calls=0),
        cell("a", "good", 0, 0.6, calls=100),
        cell("a", "good", 1, 0.8, calls=300),
    ]
    board = Leaderboard.of(rows, reference="plain").tasks[0]
    assert [(one.arm, one.difference, one.calls_per_point) for one in board.rows] == [
        ("good", pytest.approx(0.2), pytest.approx(10)),
        ("plain", None, None),
    ]


def test_a_task_without_the_reference_and_a_file_without_costs_have_empty_cells() -> None:
    found = Leaderboard.of([cell("a", "x", 0, 0.5), cell("b", "y", 0, 0.5)], reference="x")
    assert found.cells(found.tasks[1])[1][3:] == ["", "", "", "1", "", ""]
    assert list(csv.DictReader(io.StringIO(found.to_csv())))[1]["task"] == "b"
    assert [task["task"] for task in found.to_json()["tasks"]] == ["a", "b"]


def test_cells_that_were_left_out_are_said() -> None:
    found = Leaderboard.of([cell("a", "x", 0, 0.5), {"cell": ["a", "y", 1], "skipped": "no data"}], planned=7)
    assert found.notes == ("a, y, seed 1 was left out: no data", "2 of 7 cells were run.")


@each("row", [7, {}, {"cell": ["a", "b"]}, {"cell": [1, "b", 0]}, {"cell": ["a", "b", 0]}, cell("a", "b", 0, 0.5, calls="x"), cell("a", "b", 0, math.nan), cell("a", "b", 0, 0.5, tokens=10**400),
              {**cell("a", "b", 0, 0.5), "low": True}])  # fmt: skip
def test_what_is_no_cell_is_named(row: Any) -> None:
    with pytest.raises(DataError, match="row 2 "):
        Leaderboard.of([cell("a", "b", 0, 0.5), row])


def test_what_is_no_file_of_results_is_refused(tmp_path: Path) -> None:
    for text, message in (("{", "cannot be read"), ("[]", "no list `rows`"), ('{"rows": [3]}', "row 1 is no cell")):
        (tmp_path / "x.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            Leaderboard.read(tmp_path / "x.json")
    with pytest.raises(UsageError, match="There are b"):
        Leaderboard.of([cell("a", "b", 0, 0.5)], reference="c")
