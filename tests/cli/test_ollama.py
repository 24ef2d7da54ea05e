"""The verbs on an Ollama server: what they say of it, and that each of them works with `ollama/<model>`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import REPORTS, check_failure, rows, run
from tests.cli.verbs import as_json, differences, every_verb
from tests.protocol import FakeModel, ProtocolServer, embedded_backend
from tunesmith.artifacts import save
from tunesmith.cli.application import VERBS
from tunesmith.experiments.demo import demo_data
from tunesmith.lm import lm
from tunesmith.modules import Predict


@pytest.fixture(scope="module")
def answers() -> dict[str, str]:
    found = {row["report"]: row["team"] for row in rows(REPORTS)}
    return found | {row["comment"]: row["topic"] for row in rows(demo_data())}


@pytest.fixture
def server(answers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ProtocolServer]:
    def reply(messages: list[dict[str, Any]], options: dict[str, Any]) -> str:
        text = messages[-1]["content"]
        if text.startswith("Count"):
            return " ".join(map(str, range(60)))
        return json.dumps(next((label for known, label in answers.items() if known in text), "streets"))

    models = [FakeModel("m", reply=reply, token_delay=0.0005), FakeModel("thinker", reply="hm", thinking=True)]
    with ProtocolServer(models, catalogue=[FakeModel("new:1b")]) as found:
        monkeypatch.setenv("OLLAMA_HOST", found.url)
        yield found


def test_an_artifact_runs_on_the_model_it_was_compiled_for_unless_another_is_named(server: ProtocolServer) -> None:
    save("compiled", Predict("report -> team"), lm_identity=lm("ollama/m").identity.to_json())
    save("written", Predict("report -> team"))
    save("cloudy", Predict("report -> team"), lm_identity={"backend": "dspy 3", "model": "openai/gpt", "digest": None})
    assert "streets" in run("predict", "compiled", "report=The lift is stuck.").stdout
    for artifact in ("written", "cloudy"):  # a provider is asked only if the user names it
        assert "There is no model" in check_failure(run("predict", artifact, "report=The lift is stuck."), 2)


# models -----------------------------------------------------------------------------------------------------


def test_the_models_of_a_server_are_listed(server: ProtocolServer) -> None:
    found = as_json("models", "ls")["server"]
    assert (found["address"], found["version"], found["problem"]) == (server.url, "0.24.0", None)
    assert [model["name"] for model in found["models"]] == ["m:latest", "thinker:latest"]
    assert all(len(model["digest"]) == 64 and model["bytes"] > 0 for model in found["models"])
    assert "ollama/m:latest" in run("models", "ls").stdout


def test_without_a_server_the_files_are_listed_all_the_same(server: ProtocolServer) -> None:
    server.stop()
    found = as_json("models", "ls")
    assert found["server"]["models"] is None
    assert "ollama serve" in found["server"]["problem"]
    assert run("models", "ls").exit_code == 0
    assert "ollama serve" in check_failure(run("models", "ls", "--host", server.url), 2)


def test_a_server_without_models_says_how_to_get_one(server: ProtocolServer) -> None:
    for name in ("m", "thinker"):
        server.world.library.remove(name)
    assert "tunesmith models pull ollama/NAME" in run("models", "ls").stdout


def test_a_model_is_shown_with_what_the_server_says_of_it(server: ProtocolServer) -> None:
    found = as_json("models", "show", "ollama/thinker")
    assert found["sha256"] == server.world.library.get("thinker").digest  # type: ignore[union-attr]
    assert found["server"] == server.url
    assert found["details"]["capabilities"] == ["completion", "thinking"]
    assert found["details"]["trained_context"] == 8192
    assert found["details"]["stop"] == ["<|im_start|>", "<|im_end|>"]
    text = run("models", "show", "ollama/thinker").stdout
    assert f"sha256: {found['sha256']}" in text
    assert "capabilities: completion, thinking" in text
    assert "ollama pull think" in check_failure(run("models", "show", "ollama/think"), 1)
    assert "thinker:latest" in check_failure(run("models", "show", "ollama/think"), 1)


def test_a_model_is_pulled_with_a_progress_bar(server: ProtocolServer) -> None:
    found = run("models", "pull", "ollama/new:1b")
    assert found.exit_code == 0, found.stderr
    assert "pulling ollama/new:1b" in found.stderr or "pulling new:1b" in found.stderr
    assert as_json("models", "pull", "ollama/new:1b", "--quiet") == {
        "name": "ollama/new:1b", "path": None, "server": server.url
    }  # fmt: skip
    assert "new:1b" in [model["name"] for model in as_json("models", "ls")["server"]["models"]]
    assert "cannot pull 'nowhere'" in check_failure(run("models", "pull", "ollama/nowhere", "--quiet"), 1)
    check_failure(run("models", "pull", "ollama/", "--quiet"), 2)


@pytest.mark.slow
def test_pulling_without_a_server_says_how_to_start_one() -> None:
    message = check_failure(run("models", "pull", "ollama/m", "--host", "127.0.0.1:9", "--quiet"), 3)
    assert "ollama serve" in message


# doctor -----------------------------------------------------------------------------------------------------


def test_doctor_finds_the_server_and_what_is_in_memory(server: ProtocolServer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = as_json("doctor")["ollama"]
    assert (before["version"], before["loaded"], before["model"]) == ("0.24.0", [], None)
    monkeypatch.setenv("TUNESMITH_LM", "ollama/m")
    found = as_json("doctor", "--probe", "--quiet")
    assert found["problems"] == []
    assert found["probe"]["slots"] in (1, 2)
    assert found["probe"]["generation_tokens_per_second"] > 0
    [loaded] = found["ollama"]["loaded"]
    assert (loaded["name"], loaded["context"]) == ("m:latest", 8192)
    assert found["ollama"]["model"]["trained_context"] == 8192
    assert found["advice"] == []
    assert f"ollama:   0.24.0 at {server.url}" in run("doctor").stdout


def test_doctor_says_what_to_set(server: ProtocolServer, monkeypatch: pytest.MonkeyPatch) -> None:
    lm("ollama/thinker", host=server.url, num_ctx=1024, cache=False)("x")
    monkeypatch.setenv("TUNESMITH_LM", "ollama/thinker")
    advice = as_json("doctor")["advice"]
    assert any("num_ctx = 1024" in line and "OLLAMA_CONTEXT_LENGTH=8192" in line for line in advice)
    assert any("think" in line for line in advice)
    assert run("doctor").stdout.count("Advice: ") == len(advice)


def test_doctor_looks_at_every_host_of_a_pool(
    server: ProtocolServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f'[lm]\nspec = "ollama/m"\nhost = ["{server.url}", "http://127.0.0.1:9"]\n'
    (tmp_path / "tunesmith.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = run("doctor", "--json")
    said = json.loads(found.stdout)
    assert found.exit_code == 1
    assert said["ollama"]["version"] == "0.24.0"
    assert [state["version"] for state in said["other_hosts"]] == [None]
    assert len(said["problems"]) == 1
    assert "127.0.0.1:9" in said["problems"][0]
    assert "no server at http://127.0.0.1:9" in run("doctor").stdout


def test_an_address_in_the_environment_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "tcp://x")
    found = run("models", "ls")
    assert found.exit_code == 0
    assert "OLLAMA_HOST must be http or https" in found.stderr
    assert run("models", "ls", "--quiet").stderr == ""


def test_errors_in_json_have_their_public_names(server: ProtocolServer) -> None:
    kinds = {"ollama/nowhere": "ModelMissing", "ollama/": "UsageError"}
    for name, kind in kinds.items():
        assert json.loads(run("models", "show", name, "--json").stdout)["error"]["type"] == kind
    server.stop()
    assert json.loads(run("models", "show", "ollama/m", "--json").stdout)["error"]["type"] == "ModelUnavailable"


@pytest.mark.parametrize("there", [True, False], ids=["no such model", "no server"])
def test_doctor_calls_a_missing_model_a_problem_where_it_is_used(
    server: ProtocolServer, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if not there:
        server.stop()
        assert as_json("doctor")["problems"] == []
    monkeypatch.setenv("TUNESMITH_LM", "ollama/nowhere")
    found = run("doctor", "--json")
    assert found.exit_code == 1
    [problem] = json.loads(found.stdout)["problems"]
    assert ("ollama pull nowhere" if there else "ollama serve") in problem


# Every verb -------------------------------------------------------------------------------------------------


@pytest.fixture
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESMITH_LM", "embedded")  # so that it is put back
    return tmp_path


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_verb_prints_on_a_server_what_it_prints_on_the_embedded_model(
    own_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = {}
    for spec in ("embedded", "ollama/m"):
        folder = own_place / spec.replace("/", "-")
        folder.mkdir()
        monkeypatch.chdir(folder)
        with ProtocolServer([FakeModel("m", embedded_backend(), weights="embedded")]) as server:
            monkeypatch.setenv("OLLAMA_HOST", server.url)
            printed[spec] = every_verb(spec, full=True)
    assert {verb.split()[0] for verb in printed["embedded"]} == set(VERBS)
    for verb, found in printed["ollama/m"].items():
        assert differences(printed["embedded"][verb], found, verb) == []


def test_every_verb_works_on_a_server(server: ProtocolServer, own_place: Path) -> None:
    found = every_verb("ollama/m", full=False)
    assert {verb.split()[0] for verb in found} == set(VERBS)
    assert found["predict"]
    assert all(body["options"]["num_ctx"] == 8192 for body in chat_bodies(server))
    assert set(server.loads.values()) == {1}, "one size of context for the whole run"


def chat_bodies(server: ProtocolServer) -> list[dict[str, Any]]:
    return [entry.body for entry in server.requests if entry.path == "/api/chat"]
