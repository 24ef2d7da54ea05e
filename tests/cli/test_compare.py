"""`tunesmith compare`."""

import csv
import io
import json
import shutil

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
