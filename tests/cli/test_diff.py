"""`tunesmith diff`."""

import json
import shutil
from pathlib import Path

import tunesmith as ts
from tests.cli.conftest import Workspace, check_failure, run

A = Workspace.artifact


def changed(workspace: Workspace) -> str:
    """Save the artifact with another instruction."""
    program = ts.load(A)
    before = ts.Candidate.of(program)
    ts.save("other", before.with_part("self", instruction="Name the team.").apply(program))
    return "other"


def test_two_artifacts_are_compared_in_words_and_as_json(workspace: Workspace) -> None:
    other = changed(workspace)
    text = run("diff", A, other).stdout
    found = json.loads(run("diff", "runs/first", other, "--json").stdout)

    assert "+instruction: Name the team." in text or "{+Name" in text
    assert (found["equal"], found["before"]["sha256"]) == (False, workspace.result["artifact"]["sha256"])
    assert found["candidate"]["predictors"]["self"]["instruction"]["after"] == "Name the team."
    assert "not in the folder of its run" in found["no_ledgers"]


def test_exit_code_tells_whether_they_differ(workspace: Workspace) -> None:
    other = changed(workspace)
    shutil.copytree(A, "copy")

    assert run("diff", A, other).exit_code == 0
    assert run("diff", A, other, "--exit-code").exit_code == 4
    assert run("diff", A, "copy", "--exit-code").exit_code == 0
    assert "The artifacts are equal." in run("diff", A, "copy").stdout


def test_a_damaged_artifact_is_an_error_and_not_a_difference(workspace: Workspace) -> None:
    shutil.copytree(A, "broken")
    state = Path("broken/state.json")
    state.write_bytes(state.read_bytes() + b" ")
    assert "was changed after it was written" in check_failure(run("diff", A, "broken", "--exit-code"), 1)
