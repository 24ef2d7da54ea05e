"""`tunesmith verify`."""

import json
import shutil
from pathlib import Path

import pytest

import tunesmith as ts
from tests.cli.conftest import Workspace, check_failure, rows, run
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.data import Dataset

A = Workspace.artifact


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))


def statuses(*arguments: str, code: int = 0) -> dict[str, str]:
    found = run("verify", *arguments, "--json", "--quiet")
    assert found.exit_code == code, found.stderr
    return {check["name"]: check["status"] for check in json.loads(found.stdout)["checks"]}


def test_each_check_says_how_it_ended(workspace: Workspace) -> None:
    found = run("verify", A)
    assert (found.exit_code, found.stderr) == (0, "")
    lines = [line.split(maxsplit=2) for line in found.stdout.splitlines()[2:]]
    assert [line[:2] for line in lines[:3]] == [["files", "pass"], ["manifest", "pass"], ["state", "pass"]]
    assert "score      not checked  No examples were given." in found.stdout


def test_the_score_is_measured_again(workspace: Workspace) -> None:
    tested = json.loads(run("eval", A, "--split", "test", "--json", "--quiet").stdout)
    keys = {row["key"] for row in tested["rows"]}
    data = Dataset.load("data/reports.jsonl", inputs=["report"])
    chosen = [row for row, key in zip(rows(Path("data/reports.jsonl")), data.keys, strict=True) if key in keys]
    Path("test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in chosen), encoding="utf-8")

    assert statuses(A, "--data", "test.jsonl")["score"] == "pass"
    Path("wrong.jsonl").write_text(
        "".join(f'{{"report": "Nobody knows {n}.", "team": "parks"}}\n' for n in range(12)), encoding="utf-8"
    )
    assert statuses(A, "--data", "wrong.jsonl", code=4)["score"] == "fail"
    assert "error: 1 of 7 checks failed: score." in run("verify", A, "--data", "wrong.jsonl").stderr


def test_a_changed_byte_fails_and_exits_with_four(workspace: Workspace) -> None:
    shutil.copytree(A, "broken")
    state = Path("broken/state.json")
    state.write_bytes(state.read_bytes() + b" ")
    assert statuses("broken", code=4)["state"] == "fail"


def test_a_model_that_cannot_be_had_fails_beside_the_other_checks(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    found = statuses(A, "--lm", "ollama/tiny", code=4)
    assert (found["files"], found["model"]) == ("pass", "fail")
    assert "No Ollama server" in check_failure(
        run("verify", A, "--lm", "ollama/tiny", "--data", "data/reports.jsonl"), 3
    )


@pytest.mark.parametrize(("digest", "status"), [("ab" * 32, "pass"), ("cd" * 32, "fail")])
def test_the_weights_on_an_ollama_server_are_those_of_the_artifact(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, digest: str, status: str
) -> None:
    with ProtocolServer(models=[FakeModel("tiny:latest", digest="ab" * 32)]) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        identity = {**ts.lm("ollama/tiny").identity.to_json(), "digest": digest}
        ts.save("weights", ts.load(A), lm_identity=identity)
        assert statuses("weights", "--lm", "ollama/tiny", code=0 if status == "pass" else 4)["model"] == status


def test_where_there_is_no_artifact_it_exits_with_one(workspace: Workspace) -> None:
    assert "contains one" in check_failure(run("verify", "runs/first"), 1)
