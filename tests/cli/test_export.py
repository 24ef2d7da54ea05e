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
