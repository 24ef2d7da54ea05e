"""`tunesmith compare`."""

import csv
import io
import json
import shutil
from pathlib import Path

from tests.cli.conftest import Workspace, check_failure, run


def test_runs_of_a_project_are_compared(workspace: Workspace) -> None:
    runs = workspace.folder / "runs"
    shutil.copytree(runs / "first", runs / "second")
    found = json.loads(run("compare", "--json").stdout)
    assert [row["run"] for row in found["rows"]] == ["first", "second"]
    assert found["rows"][1]["ties"] == found["rows"][1]["n"] == 12
    assert "first" in run("compare", "first", "second", "--on", "validation").stdout
    rows = list(csv.DictReader(io.StringIO(run("compare", "--csv").stdout)))
    assert [row["run"] for row in rows] == ["first", "second"]
    assert run("compare", "--markdown").stdout.startswith("| run |")


def test_two_forms_of_output_are_refused(workspace: Workspace) -> None:
    assert "Give one of" in check_failure(run("compare", "first", "--csv", "--markdown"), 2)


def test_a_file_of_results_is_a_table_per_task_and_runs_are_grouped(workspace: Workspace) -> None:
    committed = str(Path(__file__).parents[2] / "benchmarks" / "compilers.json")
    assert run("compare", committed, "--against", "as-given").stdout.count("calls per point") == 4
    assert run("compare", committed, "--markdown").stdout.startswith("**sentiment**")
    assert "compared by itself" in check_failure(run("compare", committed, "first"), 2)
    shutil.copytree(workspace.folder / "runs" / "first", workspace.folder / "runs" / "second")
    (row,) = json.loads(run("compare", "--by", "compiler", "--json").stdout)["rows"]
    assert (row["run"], row["runs"]) == (row["compiler"], 2)
