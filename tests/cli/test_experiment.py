"""`tunesmith experiment`."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, check_failure, run
from tunesmith.evaluation import RunFolder, RunInfo

TOML = """
[experiments.demos]
compilers = ["labeled-few-shot", { compiler = "labeled-few-shot", name = "two", k = 2 }]
compile = { budget_calls = 100 }
[experiments.broken]
programs = ["program:program", "program:nothing"]
compilers = ["labeled-few-shot"]
"""


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    with (workspace.folder / "tunesmith.toml").open("a", encoding="utf-8") as file:
        file.write(TOML)
    return workspace.folder


def test_an_experiment_runs_its_cells_once_and_compares_them(folder: Path) -> None:
    listed = json.loads(run("experiment", "--json").stdout)
    assert {"experiment": "demos", "runs": 2, "done": 0} in listed["experiments"]
    plan = json.loads(run("experiment", "demos", "--dry-run", "--json").stdout)
    assert (plan["runs_left"], [cell["state"] for cell in plan["cells"]]) == (2, ["new", "new"])
    assert plan["calls_left"]["worst"] == sum(cell["calls"]["worst"] for cell in plan["cells"])
    assert "demos_two" in run("experiment", "demos", "--dry-run").stdout

    first = run("experiment", "demos", "--quiet")
    assert first.exit_code == 0, first.stderr
    lines = first.stdout.splitlines()
    assert lines[0].startswith("[1/2] demos_labeled-few-shot: ")
    assert lines[1].startswith("[2/2] demos_two: ")
    assert "Finished runs" in first.stdout

    again = json.loads(run("experiment", "demos", "--json", "--quiet").stdout)
    assert [cell["state"] for cell in again["cells"]] == ["was done", "was done"]
    assert {row["run"] for row in again["comparison"]["rows"]} == {"demos_labeled-few-shot", "demos_two"}
    grouped = json.loads(run("experiment", "demos", "--by", "compiler", "--json", "--quiet").stdout)
    assert {row["run"]: row["runs"] for row in grouped["comparison"]["rows"]} == {"labeled-few-shot": 1, "two": 1}
    (row,) = json.loads(run("experiment", "demos", "--by", "program", "--json", "--quiet").stdout)["comparison"]["rows"]
    assert (row["program"], row["runs"]) == ("program:program", 2)

    rows = json.loads(run("compare", "demos_two", "demos_labeled-few-shot", "--json").stdout)["rows"]
    assert {row["compiler"] for row in rows} == {"labeled-few-shot", "two"}, "as in the experiment"
    arguments = RunInfo.of(folder / "runs" / "demos_two").arguments
    assert arguments == ("experiment", "demos", "--only", "demos_two")
    resumed = run("runs", "resume", "demos_two", "--json")
    assert resumed.exit_code == 0, resumed.stderr
    assert [cell["run"] for cell in json.loads(resumed.stdout)["cells"]] == ["demos_two"]


def test_a_cell_that_fails_stops_no_other_and_the_exit_code_tells(folder: Path) -> None:
    found = run("experiment", "broken", "--json", "--quiet")
    assert found.exit_code == 1
    cells = json.loads(found.stdout)["cells"]
    assert [(cell["program"], cell["state"]) for cell in cells] == [
        ("program:program", "done"),
        ("program:nothing", "failed"),
    ]
    assert "there is no `nothing`" in cells[1]["error"]["message"]
    assert "error: 1 of 2 runs failed." in found.stderr
    assert len(json.loads(found.stdout)["comparison"]["rows"]) == 1


def test_what_is_finished_with_other_settings_is_not_taken_for_this(folder: Path) -> None:
    arguments = ("experiment", "demos", "--only", "demos_two", "--json", "--quiet")
    assert run(*arguments).exit_code == 0
    other = run(*arguments, "--budget-calls", "90")
    assert other.exit_code == 1
    assert "another budget" in json.loads(other.stdout)["cells"][0]["error"]["message"]
    assert run(*arguments, "--budget-calls", "90", "--new").exit_code == 0
    assert (folder / "runs" / "demos_two.old-1").is_dir()


def test_what_another_process_runs_is_no_failure_and_the_same_command_goes_on(folder: Path) -> None:
    with RunFolder(folder / "runs" / "demos_two", {}):
        found = run("experiment", "demos", "--quiet")
    assert found.exit_code == 3
    assert "[2/2] demos_two: another process runs it" in found.stdout
    assert "1 of 2 runs are left to another process" in found.stderr


def test_what_is_true_of_every_cell_is_said_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        caplog.clear()
        assert run("experiment", "demos", "--no-store", "--new", "--quiet").exit_code == 0
        assert caplog.text.count("only scores: a resume pays again") == 1


def test_an_unknown_run_is_told(folder: Path) -> None:
    message = check_failure(run("experiment", "demos", "--only", "demos_one"), 2)
    assert "It has: demos_labeled-few-shot, demos_two." in message


def test_options_of_an_experiment_need_its_name(folder: Path) -> None:
    message = check_failure(run("experiment", "--only", "demos_two", "--dry-run"), 2)
    assert message.startswith("--only and --dry-run of which experiment? Give its name, as in ")
    assert message.endswith("There is: demos, broken.")
