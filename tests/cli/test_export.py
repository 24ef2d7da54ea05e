import json
from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, check_failure, run

A = Workspace.artifact


@pytest.fixture(autouse=True)
def folder(workspace: Workspace) -> Path:
    return workspace.folder


def test_one_file_goes_to_stdout_and_what_is_lost_to_stderr() -> None:
    found = run("export", A, "--to", "messages")
    assert list(json.loads(found.stdout)["predictors"]) == ["self"]
    assert "note: Of `self`: plain texts stand in report" in found.stderr
    assert run("export", A, "--to", "messages", "--quiet").stderr == ""


def test_out_writes_the_file(folder: Path) -> None:
    found = run("export", A, "--to", "messages", "--out", "new/prompt.json", "--set", "indent=0")
    assert found.stdout == "wrote new/prompt.json\n"
    assert len((folder / "new/prompt.json").read_text(encoding="utf-8").splitlines()) == 1


def test_without_arguments_the_targets_are_listed_with_their_options() -> None:
    found = run("export")
    assert "messages: The messages of each predictor" in found.stdout
    assert "--set indent=...  Blanks" in found.stdout
    assert json.loads(run("export", "--json").stdout)["targets"]["messages"]["options"][0][0] == "indent"


def test_json_holds_the_files_or_where_they_are() -> None:
    inside = json.loads(run("export", A, "--to", "messages", "--json").stdout)
    assert list(inside["files"]) == ["messages.json"]
    assert json.loads(run("export", A, "--to", "messages", "--json", "--out", "x.json").stdout)["written"] == ["x.json"]


def test_a_target_alone_or_an_option_in_another_form_is_a_usage_error() -> None:
    check_failure(run("export", A), 2)
    check_failure(run("export", "--to", "messages"), 2)
    check_failure(run("export", A, "--to", "messages", "--set", "indent"), 2)


def test_a_run_gives_data_for_fine_tuning(folder: Path) -> None:
    compiled = Path(A).parent
    found = run("export", str(compiled), "--to", "alpaca", "--out", "tuning", "--set", "min_score=0")
    assert {path.name for path in (folder / "tuning").iterdir()} >= {"train.json", "dataset_info.json", "lora.yaml"}
    assert "rows to train on" in found.stderr
    by_name = json.loads(run("export", compiled.name, "--to", "alpaca", "--set", "min_score=0", "--json").stdout)
    assert by_name["files"]["train.json"] == (folder / "tuning" / "train.json").read_text(encoding="utf-8")


def test_a_run_without_such_rows_and_several_files_without_a_folder_are_usage_errors() -> None:
    compiled = str(Path(A).parent)
    nothing = check_failure(run("export", compiled, "--to", "alpaca", "--set", "min_score=7"), 2)
    assert "gives no rows for 'alpaca'" in nothing
    assert "--out FOLDER" in check_failure(run("export", compiled, "--to", "alpaca", "--set", "min_score=0"), 2)
    assert "is not an option" in check_failure(run("export", compiled, "--to", "dpo", "--set", "gap=1"), 2)
