"""A server that goes away while a compile is under way: the compile waits, or stops and can be resumed."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import REPORTS, check_failure, rows, run
from tests.lm.front import Act, free_port, front
from tests.lm.test_openai import in_turn
from tests.protocol import FakeModel, ProtocolServer, ServerProcess

pytestmark = pytest.mark.slow

OPTIONS = ("--lm", "ollama/m", "--slots", "2", "--budget-calls", "120", "--json")


@dataclass(frozen=True)
class Calm:
    """A project, the script of its model, and what a compile without an outage sends, finishes and saves."""

    project: Path
    script: Path
    requests: set[str]
    finished: list[tuple[Any, ...]]
    artifact: dict[str, Any]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    folder = tmp_path_factory.mktemp("outage")
    replies = {row["report"]: json.dumps(row["team"] if n % 3 else "streets") for n, row in enumerate(rows(REPORTS))}
    script, project = folder / "script.json", folder / "project"
    script.write_text(json.dumps({"models": [{"name": "m", "reply": replies, "delay": 0.005}]}), encoding="utf-8")
    project.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        assert run("init").exit_code == 0
    with served(script) as server:
        done = ended(compiling(project, server.url, folder / "home"))
        assert done.returncode == 0, done.stderr
        sent = chats(server)
    assert len(sent) == len(set(sent)) > 30
    found = Calm(project, script, set(sent), finished(project), artifact(project))
    shutil.rmtree(project / "runs")
    return found


@pytest.fixture
def project(calm: Calm, tmp_path: Path) -> Path:
    """A copy of the project, in which nothing was run yet."""
    return shutil.copytree(calm.project, tmp_path / "project")


@contextmanager
def served(script: Path) -> Iterator[ServerProcess]:
    with ServerProcess("--script", str(script), "--slots", "2") as server:
        yield server


def compiling(project: Path, server: str, home: Path, *, patience: float = 60.0) -> subprocess.Popen[str]:
    """Start a compile in a process of its own."""
    environment = {**os.environ, "OLLAMA_HOST": server, "TUNESMITH_HOME": str(home)}
    return subprocess.Popen(
        [os.environ.get("TUNESMITH_TEST_PYTHON", sys.executable), "-m", "tunesmith", "compile", *OPTIONS],
        cwd=project,
        env={**environment, "TUNESMITH_PATIENCE": str(patience)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    try:
        out, err = process.communicate(timeout=200)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for_calls(server: ServerProcess, count: int, process: subprocess.Popen[str]) -> None:
    while len(chats(server)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def chats(server: ServerProcess) -> list[str]:
    return [json.dumps(entry["body"], sort_keys=True) for entry in server.requests() if entry["path"] == "/api/chat"]


def artifact(project: Path) -> dict[str, Any]:
    """Return the hashed part of the run's artifact, and its state."""
    found = project / "runs" / "first" / "artifact"
    manifest = json.loads((found / "manifest.json").read_text(encoding="utf-8"))
    return {"sha256": manifest["sha256"], "state": (found / "state.json").read_text(encoding="utf-8")}


def finished(project: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(project / "runs" / "first" / "run.db")) as ledger:
        asked = "SELECT kind, candidate, example, rollout, score, fault, error FROM rows"
        return sorted(ledger.execute(asked).fetchall(), key=repr)


@pytest.mark.parametrize("gap", [2.5, pytest.param(30.0, marks=pytest.mark.slow)], ids=["short", "30 s"])
def test_a_server_that_is_gone_for_a_while_changes_nothing(
    calm: Calm, project: Path, tmp_path: Path, gap: float
) -> None:
    with served(calm.script) as server:
        process = compiling(project, server.url, tmp_path / "home")
        wait_for_calls(server, len(calm.requests) // 2, process)
        before = chats(server)
        server.kill()
        time.sleep(gap)
        assert process.poll() is None
        server.start()
        done = ended(process)
        after = chats(server)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("The server does not answer; trying again for 60 s.") == 1
    assert done.stderr.count("The server answers again after ") == 1
    assert artifact(project) == calm.artifact
    assert finished(project) == calm.finished
    assert {*before, *after} <= calm.requests
    assert len(before) + len(after) <= len(calm.requests) + 2, "only what was on its way is sent again"


def test_a_server_that_is_gone_for_good_ends_the_run_and_the_same_command_goes_on(
    calm: Calm, project: Path, tmp_path: Path
) -> None:
    with served(calm.script) as server:
        process = compiling(project, server.url, tmp_path / "home", patience=1.0)
        wait_for_calls(server, len(calm.requests) // 2, process)
        before = chats(server)
        server.kill()
        said = check_failure(stopped := ended(process), 3, as_json=True)
        assert re.search(r"No Ollama server answers at .* The run has waited \d+ s for it", said)
        assert json.loads(stopped.stdout)["error"]["type"] == "ModelUnavailable"
        there = finished(project)
        assert set(there) < set(calm.finished), "what was not answered has no row"
        assert len(there) >= len(before) - 10

        server.start()
        done = ended(compiling(project, server.url, tmp_path / "home"))
        after = chats(server)
    assert done.returncode == 0, done.stderr
    assert artifact(project) == calm.artifact
    assert finished(project) == calm.finished
    assert len(before) + len(after) <= len(calm.requests) + 2


def test_a_model_that_is_removed_meanwhile_stops_the_run_at_once(
    calm: Calm, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [given] = json.loads(calm.script.read_text(encoding="utf-8"))["models"]
    monkeypatch.chdir(project)
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    with ProtocolServer([FakeModel(**given)], slots=2) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        server.fault("error", status=404, text="model 'm' not found", after=20, times=None)
        stopped = run("compile", *OPTIONS)
        sent = [entry for entry in server.requests if entry.path == "/api/chat"]
    assert "ollama pull m" in check_failure(stopped, 1, as_json=True)
    assert "trying again" not in stopped.stderr
    assert len(sent) <= 22, "each of two slots asked once"
    assert 10 < len(finished(project)) <= 20
    assert set(finished(project)) < set(calm.finished)


def test_a_wrong_host_stops_the_run_at_once_and_leaves_no_row(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{free_port()}")
    start = time.monotonic()
    assert "ollama serve" in check_failure(run("compile", *OPTIONS), 3, as_json=True)
    assert time.monotonic() - start < 60
    assert not (project / "runs" / "first" / "run.db").exists() or finished(project) == []


def test_a_key_that_is_refused_stops_the_run_at_once_and_leaves_no_row(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    file = project / "tunesmith.toml"
    with front(in_turn(Act(status=401, body={"error": {"message": "Invalid API Key"}}))) as server:
        text = file.read_text(encoding="utf-8")
        named = f'spec = "openai/m"\nbase_url = "{server.url}"\ndialect = "vllm"'
        file.write_text(text.replace('spec = "embedded"', named), encoding="utf-8")
        found = run("compile", "--json")
        assert "refused the key" in json.loads(found.stdout)["error"]["message"]
        assert len(server.chats()) == 1
    assert finished(project) == []
