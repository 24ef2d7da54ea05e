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
from click.testing import Result

from tests.cli.conftest import REPORTS, check_failure, rows, run
from tests.lm.engines.test_openai import in_turn
from tests.lm.front import Act, free_port, front
from tests.protocol import FakeModel, ProtocolServer, ServerProcess
from tests.scale import FULL

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


def said_up_to(words: bytes, process: subprocess.Popen[str]) -> str:
    """Wait for `words` on the process's stderr; return what was said so far, which `ended` will not see."""
    said = b""
    while words not in said:
        more = os.read(process.stderr.fileno(), 65536)
        assert more, said
        said += more
    return said.decode()


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


@pytest.mark.slow
@pytest.mark.parametrize("gap", [2.5, 30.0], ids=["short", "30 s"])
def test_a_server_that_is_gone_for_a_while_changes_nothing(
    calm: Calm, project: Path, tmp_path: Path, gap: float
) -> None:
    with served(calm.script) as server:
        process = compiling(project, server.url, tmp_path / "home")
        wait_for_calls(server, len(calm.requests) // 2, process)
        before = chats(server)
        server.kill()
        said = said_up_to(b"The server does not answer", process)
        start = time.monotonic()
        time.sleep(gap)
        assert process.poll() is None, "it waits"
        server.start()
        gone = time.monotonic() - start
        done = ended(process)
        after = chats(server)
    assert done.returncode == 0, done.stderr
    assert gone >= gap
    said += done.stderr
    [waited] = re.findall(r"The server answers again after (\d+) s", said)
    assert int(waited) >= gap - 1, "it was missed from its first refused call on"
    assert said.count("The server does not answer; trying again for 60 s.") == 1
    assert artifact(project) == calm.artifact
    assert finished(project) == calm.finished
    assert {*before, *after} <= calm.requests
    assert len(before) + len(after) <= len(calm.requests) + 2, "only what was on its way is sent again"


@pytest.mark.slow
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


# In this process, on a smaller compile ----------------------------------------------------------------------


@dataclass
class Small:
    """A project as the current folder, its model's replies, and a server that knows the model."""

    project: Path
    server: ProtocolServer

    def compile(self, home: Path, patch: pytest.MonkeyPatch, *, patience: float = 30.0) -> Result:
        """Compile with the caches of `home`."""
        patch.setenv("TUNESMITH_HOME", str(home))
        patch.setenv("TUNESMITH_PATIENCE", str(patience))
        return run("compile", "--lm", "ollama/m", "--slots", "2", "--json")

    def ended(self) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
        """Return the rows and the artifact of the run, which is put out of the way."""
        found = finished(self.project), artifact(self.project)
        shutil.rmtree(self.project / "runs")
        return found

    def asked(self) -> int:
        return sum(entry.path == "/api/chat" for entry in self.server.requests)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Small]:
    project = tmp_path / "small"
    project.mkdir()
    monkeypatch.chdir(project)
    assert run("init").exit_code == 0
    file = project / "tunesmith.toml"
    text = file.read_text(encoding="utf-8").replace("train = 16, val = 12, test = 12", "train = 16, val = 6, test = 4")
    file.write_text(text.replace("budget_calls = 240", "budget_calls = 60\nnum_candidates = 2"), encoding="utf-8")
    replies = {row["report"]: json.dumps(row["team"] if n % 3 else "streets") for n, row in enumerate(rows(REPORTS))}
    with ProtocolServer([FakeModel("m", reply=replies)], slots=2) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield Small(project, server)


def test_an_outage_under_way_pauses_a_compile_or_stops_it_resumably(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert small.compile(tmp_path / "calm", monkeypatch).exit_code == 0
    calm, calls = small.ended(), small.asked()
    assert calls > 15

    small.server.fault("refuse", after=calls // 2, seconds=0.2)
    found = small.compile(tmp_path / "brief", monkeypatch)
    assert found.exit_code == 0, found.stderr
    assert small.ended() == calm
    assert small.asked() <= 2 * calls + 2, "only what was on its way is sent again"

    small.server.fault("die", after=calls // 2)
    stopped = small.compile(tmp_path / "good", monkeypatch, patience=0.2)
    assert "No Ollama server answers at" in check_failure(stopped, 3, as_json=True)
    assert set() < set(finished(small.project)) < set(calm[0]), "what was not answered has no row"
    small.server.start()
    assert small.compile(tmp_path / "good", monkeypatch).exit_code == 0
    assert small.ended() == calm


BARRED = {
    "model removed": ({"kind": "error", "status": 404, "text": "model 'm' not found"}, "ollama pull m"),
    "key refused": ({"kind": "unauthorized"}, "Sign in"),
    "forbidden": ({"kind": "error", "status": 403, "text": ""}, "refuses the request"),
    "another server": ({"kind": "error", "status": 405, "text": "no"}, "is not an Ollama server"),
}


@pytest.mark.parametrize(("fault", "said"), list(BARRED.values())[: None if FULL else 2])
def test_what_waiting_does_not_help_stops_a_run_at_once_and_the_same_command_goes_on(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], said: str
) -> None:
    playing = small.server.fault(**fault, after=8, times=None)
    stopped = small.compile(tmp_path / "home", monkeypatch)
    message = check_failure(stopped, 3, as_json=True)
    assert said in message
    assert "is kept: once that is put right, the same command goes on." in message
    assert json.loads(stopped.stdout)["error"]["type"] == "ModelMissing"
    assert "trying again" not in stopped.stderr
    assert small.asked() <= 10, "each of two slots asked once"
    assert 0 < len(finished(small.project)) <= 8

    playing.times = 0
    before = small.asked()
    done = small.compile(tmp_path / "home", monkeypatch)
    assert done.exit_code == 0, done.stderr
    paid = json.loads(done.stdout)["calls"]
    assert small.asked() - before == paid["paid"] == paid["charged"] - 8


def test_a_model_that_is_missing_is_an_error_before_the_run_and_a_stop_after(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = small.server.world.library
    library.remove("m")
    message = check_failure(small.compile(tmp_path / "home", monkeypatch), 1, as_json=True)
    assert "is kept" not in message
    assert not (small.project / "runs").exists()

    library.add(FakeModel("m", reply=json.dumps("streets")))
    small.server.fault("die", after=8)
    check_failure(small.compile(tmp_path / "home", monkeypatch, patience=0.0), 3, as_json=True)
    library.remove("m")
    small.server.start()
    for options, way in ((), "the same command goes on"), (("--new",), "the same command without --new goes on"):
        found = run("compile", "--lm", "ollama/m", *options)
        assert way in check_failure(found, 3)


@pytest.mark.slow
def test_a_wrong_host_stops_the_run_at_once_and_leaves_no_row(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{free_port()}")
    start = time.monotonic()
    assert "ollama serve" in check_failure(run("compile", "--lm", "ollama/m", "--json"), 3, as_json=True)
    assert time.monotonic() - start < 30
    assert not (small.project / "runs" / "first" / "run.db").exists()


def test_a_key_that_is_refused_stops_the_run_at_once_and_leaves_no_row(small: Small) -> None:
    file = small.project / "tunesmith.toml"
    with front(in_turn(Act(status=401, body={"error": {"message": "Invalid API Key"}}))) as server:
        text = file.read_text(encoding="utf-8")
        named = f'spec = "openai/m"\nbase_url = "{server.url}"\ndialect = "vllm"'
        file.write_text(text.replace('spec = "embedded"', named), encoding="utf-8")
        message = check_failure(run("compile", "--json"), 3, as_json=True)
        assert "refused the key" in message
        assert "the same command goes on" in message
        assert len(server.chats()) == 1
    assert finished(small.project) == []


@pytest.mark.parametrize("verb", [("eval",), ("compile",), ("compile", "--dry-run"), ("doctor",)], ids=" ".join)
def test_the_key_that_the_project_names_reaches_its_server_and_no_file(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    file, secret = small.project / "tunesmith.toml", "a-secret-9137"
    choice = {"index": 0, "message": {"role": "assistant", "content": "streets"}, "finish_reason": "stop"}
    body = {"object": "chat.completion", "model": "m", "choices": [choice]}
    with front(in_turn(Act(body={**body, "usage": {"prompt_tokens": 9, "completion_tokens": 1}}))) as server:
        text = file.read_text(encoding="utf-8")
        named = f'spec = "openai/m"\nbase_url = "{server.url}"\ndialect = "vllm"\napi_key_env = "MY_SERVER_KEY"'
        file.write_text(text.replace('spec = "embedded"', named), encoding="utf-8")
        assert "MY_SERVER_KEY" in run(*verb, "--json").stdout
        monkeypatch.setenv("MY_SERVER_KEY", secret)
        shown = run(*verb, "--json")
        assert all(asked.headers["Authorization"] == f"Bearer {secret}" for asked in server.chats())
        assert server.chats() or verb[-1] in ("--dry-run", "doctor")
    assert secret not in shown.stdout + shown.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if secret.encode() in path.read_bytes()] == []
