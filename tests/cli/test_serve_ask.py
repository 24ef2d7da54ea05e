"""`tunesmith serve --ask`: one question over HTTP, and an end."""

import json

from tests.cli.conftest import Workspace, run_process


def test_one_question_is_answered_over_http_and_the_service_ends(workspace: Workspace) -> None:
    text = "The lift is stuck."
    done = run_process(
        "serve", "runs/first/artifact", "--port", "0", "--ask", f"report={text}", "--feedback", "wrong",
        folder=workspace.folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked, answered = done.stdout.splitlines()
    assert asked.startswith("POST http://127.0.0.1:")
    assert json.loads(asked[asked.index("{") :]) == {"report": text}
    assert json.loads(answered)["team"]
    events = [json.loads(line)["event"] for line in done.stderr.splitlines() if line.startswith("{")]
    assert events == ["started", "request", "stopping", "stopped"]
    assert (workspace.folder / "wrong").is_dir()


def test_a_question_that_does_not_fit_is_refused_before_anything_is_served(workspace: Workspace) -> None:
    done = run_process("serve", "runs/first/artifact", "--port", "0", "--ask", "text=hi", folder=workspace.folder)
    assert done.returncode == 2
    assert "The input field 'text' is unknown" in done.stderr
    assert "started" not in done.stderr
