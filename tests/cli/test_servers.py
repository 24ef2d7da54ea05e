"""What the verbs say of an Ollama server and the models on it, in both of its versions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import check_failure, run
from tests.cli.verbs import as_json
from tests.protocol import FakeModel, ProtocolServer

VERSIONS = ("0.24.0", "0.32.15")


@pytest.fixture(params=VERSIONS)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProtocolServer]:
    models = [FakeModel("m"), FakeModel("gpt-oss:120b-cloud", remote=True), FakeModel("hidden", remote=True)]
    with ProtocolServer(models, request.param) as found:
        monkeypatch.setenv("OLLAMA_HOST", found.url)
        yield found


# Models that run elsewhere ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "hidden"])
def test_doctor_says_that_a_model_runs_in_the_cloud(server: ProtocolServer, name: str) -> None:
    [advice] = as_json("doctor", "--lm", f"ollama/{name}")["advice"]
    assert advice == (
        f"{name} is a cloud model: your texts would leave this machine; it is not asked without `cloud = true`."
    )
    assert as_json("doctor", "--lm", "ollama/m")["advice"] == []


@pytest.mark.parametrize("spec", ["openai/gpt-oss:120b-cloud", "openai/hidden", "ollama_chat/far:cloud"])
def test_it_says_so_of_openai_s_protocol_too(server: ProtocolServer, spec: str, tmp_path: Path) -> None:
    address = f'base_url = "{server.url}/v1"\n' if spec.startswith("openai/") else ""
    (tmp_path / "tunesmith.toml").write_text(f'[lm]\nspec = "{spec}"\n{address}', encoding="utf-8")
    [advice] = as_json("doctor")["advice"]
    assert "is a cloud model: your texts would leave this machine" in advice
    (tmp_path / "tunesmith.toml").write_text(f'[lm]\nspec = "{spec}"\n{address}cloud = true\n', encoding="utf-8")
    assert "`cloud = true` gives leave" in as_json("doctor")["advice"][0]
    assert not [entry for entry in server.requests if "chat" in entry.path]


def test_models_show_and_ls_say_so(server: ProtocolServer) -> None:
    for name in ("gpt-oss:120b-cloud", "hidden"):
        assert as_json("models", "show", f"ollama/{name}")["details"]["cloud"] is True
        assert "cloud: yes, so texts leave this machine" in run("models", "show", f"ollama/{name}").stdout
    assert "cloud: no" in run("models", "show", "ollama/m").stdout
    assert "ollama/gpt-oss:120b-cloud  cloud" in run("models", "ls").stdout


def test_a_cloud_model_that_is_not_on_the_server_is_called_one(server: ProtocolServer) -> None:
    assert "runs in the cloud" in check_failure(run("models", "show", "ollama/kimi:cloud"), 1)
    assert "runs in the cloud" not in check_failure(run("models", "show", "ollama/kimi"), 1)


# Pulling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m", "m:latest", "M", "library/m", "mine", "hidden", "gpt-oss:120b-cloud"])
@pytest.mark.parametrize("offline", [False, True])
def test_a_model_that_is_on_the_server_is_not_pulled(server: ProtocolServer, name: str, offline: bool) -> None:
    server.create("mine", "FROM m\nSYSTEM Be kind.\n")
    server.world.offline = offline
    before = [model["digest"] for model in as_json("models", "ls")["server"]["models"]]
    found = run("models", "pull", f"ollama/{name}")
    assert (found.exit_code, found.stdout) == (0, f"ollama/{name} is on {server.url}\n"), found.stderr
    assert f"{name} is there already; `ollama pull {name}` looks for a newer one" in found.stderr
    assert [model["digest"] for model in as_json("models", "ls")["server"]["models"]] == before
    assert not [entry for entry in server.requests if entry.path == "/api/pull"]


def test_one_that_is_not_there_is_an_error_without_a_network(server: ProtocolServer) -> None:
    server.world.offline = True
    message = check_failure(run("models", "pull", "ollama/other", "--quiet"), 1)
    assert "cannot pull 'other'" in message
    assert "server's network" in message
