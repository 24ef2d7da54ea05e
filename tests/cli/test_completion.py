"""What the shell completes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, check_failure, run
from tunesmith.artifacts import export_kinds
from tunesmith.compilers import compilers
from tunesmith.experiments.comparison import GROUPS


def completed(folder: Path, *words: str) -> list[str]:
    """Return what bash is offered for the last of `words`."""
    code = "import sys; from tunesmith.cli import main; main(prog_name='tunesmith')"
    environment = {
        **os.environ,
        "_TUNESMITH_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("tunesmith", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_verbs_options_runs_and_artifacts_are_completed(workspace: Workspace) -> None:
    (workspace.folder / "runs" / "no-run").mkdir()
    with (workspace.folder / "tunesmith.toml").open("a", encoding="utf-8") as file:
        file.write("[experiments.grid]\nseeds = [0]\n")
    assert completed(workspace.folder, "experiment", "") == ["grid"]
    assert completed(workspace.folder, "experiment", "grid", "--only", "") == ["first"]
    assert completed(workspace.folder, "com") == ["compile", "compare", "completion"]
    assert "--feedback" in completed(workspace.folder, "serve", "--fe")
    for words in (("runs", "show"), ("report",), ("compare",), ("compare", "--against")):
        assert completed(workspace.folder, *words, "") == ["first"], words
    assert completed(workspace.folder, "show", "") == ["runs/first/artifact"]
    inside = workspace.folder / "data"
    assert completed(inside, "show", "") == ["../runs/first/artifact"]
    assert completed(inside, "runs", "show", "f") == ["first"]


def test_names_of_compilers_and_targets_are_completed(tmp_path: Path) -> None:
    assert completed(tmp_path, "compile", "--compiler", "") == sorted(compilers())
    assert completed(tmp_path, "export", "--to", "") == sorted(export_kinds())
    assert completed(tmp_path, "config", "--compiler", "protegi") == ["protegi"]
    assert completed(tmp_path, "compare", "--by", "") == list(GROUPS)


def test_without_a_project_nothing_is_offered_and_nothing_fails(tmp_path: Path) -> None:
    assert not any(completed(tmp_path, "runs", "show", ""))


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_code_is_bash_s() -> None:
    found = run("completion", "bash")
    assert found.exit_code == 0
    assert subprocess.run(["bash", "-n"], input=found.stdout, text=True, check=False).returncode == 0
    assert "_TUNESMITH_COMPLETE=bash_complete" in found.stdout
    for shell in ("zsh", "fish"):
        assert "_TUNESMITH_COMPLETE" in run("completion", shell).stdout


def test_a_missing_shell_is_said_in_one_line() -> None:
    assert "Choose from: bash, zsh, fish. See" in check_failure(run("completion"), 2)
