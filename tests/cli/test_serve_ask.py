"""`tunesmith serve --ask`: one question over HTTP, and an end."""

import json
import shutil

from tests.cli.conftest import Workspace, run, run_process


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


def test_an_artifact_that_no_trusted_key_signed_is_neither_served_nor_run(workspace: Workspace) -> None:
    for name in ("ours", "theirs"):
        assert run("sign", "--new-key", f"{name}.pem").exit_code == 0
    copied = workspace.folder / "signed"
    shutil.copytree(workspace.folder / "runs/first/artifact", copied)
    assert run("sign", str(copied), "--key", "ours.pem").exit_code == 0
    question = ("report=The lift is stuck.",)
    assert run("predict", str(copied), "--trusted", "ours.pem.pub", *question).exit_code == 0
    for path, key in ((copied, "theirs"), (workspace.folder / "runs/first/artifact", "ours")):
        for words in (("predict", str(path), *question), ("serve", str(path), "--port", "0", "--ask", *question)):
            done = run(*words, "--trusted", f"{key}.pem.pub")
            assert (done.exit_code, "sign" in done.stderr) == (1, True), done.stderr


def test_a_damaged_artifact_is_told_before_a_model_is_missed(workspace: Workspace) -> None:
    copied = workspace.folder / "damaged"
    shutil.copytree(workspace.folder / "runs/first/artifact", copied)
    (copied / "state.json").write_text("{}", encoding="utf-8")
    done = run("serve", str(copied), "--lm", "gguf:/nowhere.gguf", "--port", "0")
    assert (done.exit_code, "state.json was changed" in done.stderr) == (1, True), done.stderr
