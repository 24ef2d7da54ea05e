"""What the verbs say of an Ollama server and the models on it, in both of its versions."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Workspace, check_failure, run
from tests.cli.verbs import as_json
from tests.protocol import FakeModel, ProtocolServer, Reply, scripted
from tunesmith.lm import ScriptedLM, lm

VERSIONS = ("0.24.0", "0.32.15")


@pytest.fixture(params=VERSIONS)
def at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProtocolServer]:
    models = [FakeModel("m"), FakeModel("gpt-oss:120b-cloud", remote=True), FakeModel("hidden", remote=True)]
    with ProtocolServer(models, request.param) as found:
        monkeypatch.setenv("OLLAMA_HOST", found.url)
        yield found


# Models that run elsewhere ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "hidden"])
def test_doctor_says_that_a_model_runs_in_the_cloud(at: ProtocolServer, name: str) -> None:
    [advice] = as_json("doctor", "--lm", f"ollama/{name}")["advice"]
    assert advice == (
        f"{name} is a cloud model, which sends your texts to another machine; tunesmith refuses it without `cloud = true`."
    )
    assert as_json("doctor", "--lm", "ollama/m")["advice"] == []


@pytest.mark.parametrize("spec", ["openai/gpt-oss:120b-cloud", "openai/hidden", "ollama_chat/far:cloud"])
def test_it_says_so_of_openai_s_protocol_too(at: ProtocolServer, spec: str, tmp_path: Path) -> None:
    address = f'base_url = "{at.url}/v1"\n' if spec.startswith("openai/") else ""
    (tmp_path / "tunesmith.toml").write_text(f'[lm]\nspec = "{spec}"\n{address}', encoding="utf-8")
    [advice] = as_json("doctor")["advice"]
    assert "is a cloud model, which sends your texts to another machine" in advice
    (tmp_path / "tunesmith.toml").write_text(f'[lm]\nspec = "{spec}"\n{address}cloud = true\n', encoding="utf-8")
    assert "`cloud = true` allows that" in as_json("doctor")["advice"][0]
    assert not [entry for entry in at.requests if "chat" in entry.path]


def test_models_show_and_ls_say_so(at: ProtocolServer) -> None:
    for name in ("gpt-oss:120b-cloud", "hidden"):
        assert as_json("models", "show", f"ollama/{name}")["details"]["cloud"] is True
        assert "cloud: yes, so texts leave this machine" in run("models", "show", f"ollama/{name}").stdout
    assert "cloud: no" in run("models", "show", "ollama/m").stdout
    assert "ollama/gpt-oss:120b-cloud  cloud" in run("models", "ls").stdout


def test_a_cloud_model_that_is_not_on_the_server_is_called_one(at: ProtocolServer) -> None:
    assert "runs in the cloud" in check_failure(run("models", "show", "ollama/kimi:cloud"), 1)
    assert "runs in the cloud" not in check_failure(run("models", "show", "ollama/kimi"), 1)


# The context ------------------------------------------------------------------------------------------------


def test_doctor_says_that_ollama_run_has_another_context_by_default(at: ProtocolServer) -> None:
    """`/v1` without a word on the context loads the model as `ollama run` does."""
    with pytest.warns(RuntimeWarning, match="cannot be told the context length"):
        lm("openai/m", base_url=f"{at.url}/v1", cache=False)("x")
    [advice] = as_json("doctor", "--lm", "ollama/m")["advice"]
    assert "4096 tokens of context, the default of `ollama run`, but tunesmith requests 8192" in advice
    assert "Each change reloads the model" in advice
    assert "`num_ctx = 4096` under [lm], or OLLAMA_CONTEXT_LENGTH=8192" in advice
    lm("ollama/m", host=at.url, cache=False, num_ctx=2048)("x")
    assert "`ollama run`" not in as_json("doctor", "--lm", "ollama/m")["advice"][0]


# Pulling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m", "m:latest", "M", "library/m", "mine", "hidden", "gpt-oss:120b-cloud"])
@pytest.mark.parametrize("offline", [False, True])
def test_a_model_that_is_on_the_server_is_not_pulled(at: ProtocolServer, name: str, offline: bool) -> None:
    at.create("mine", "FROM m\nSYSTEM Be kind.\n")
    at.world.offline = offline
    before = [model["digest"] for model in as_json("models", "ls")["server"]["models"]]
    found = run("models", "pull", f"ollama/{name}")
    assert (found.exit_code, found.stdout) == (0, f"ollama/{name} is on {at.url}\n"), found.stderr
    assert f"{name} is already on the server; `ollama pull {name}` updates it" in found.stderr
    assert [model["digest"] for model in as_json("models", "ls")["server"]["models"]] == before
    assert not [entry for entry in at.requests if entry.path == "/api/pull"]


def test_one_that_is_not_there_is_an_error_without_a_network(at: ProtocolServer) -> None:
    at.world.offline = True
    message = check_failure(run("models", "pull", "ollama/other", "--quiet"), 1)
    assert "cannot pull 'other'" in message
    assert "server's network" in message


# Texts of the model's own -----------------------------------------------------------------------------------

OWN = 'FROM m\nSYSTEM """Be kind.\nAlways."""\nMESSAGE user one\nMESSAGE assistant 1\n'
TURNS = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "1"}]


def test_models_show_says_what_the_server_puts_into_every_prompt(at: ProtocolServer) -> None:
    at.create("mine", OWN)
    details = as_json("models", "show", "ollama/mine")["details"]
    assert (details["system"], details["messages"]) == ("Be kind.\nAlways.", TURNS)
    text = run("models", "show", "ollama/mine").stdout
    assert "system: left out, since prompts begin with a system message: Be kind.\nAlways.\n" in text
    assert "messages: before every prompt\n  user: one\n  assistant: 1\n" in text
    bare = run("models", "show", "ollama/m").stdout
    assert "system: none of its own" in bare
    assert "messages: none of its own" in bare


def test_doctor_says_so(at: ProtocolServer, tmp_path: Path) -> None:
    at.create("mine", OWN)
    at.create("kind", "FROM m\nSYSTEM Be kind.\n")
    advice = as_json("doctor", "--lm", "ollama/mine")["advice"]
    assert "mine has 2 messages of its own (MESSAGE), which its server puts before every prompt" in advice[0]
    assert "mine has a system text of its own (SYSTEM), which its server drops" in advice[1]
    assert ["system text" in line for line in as_json("doctor", "--lm", "ollama/kind")["advice"]] == [True]
    (tmp_path / "tunesmith.toml").write_text(
        f'[lm]\nspec = "openai/mine"\nbase_url = "{at.url}/v1"\n', encoding="utf-8"
    )
    assert as_json("doctor")["advice"] == advice


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
@pytest.mark.parametrize("start", ["ollama", "openai"])
@pytest.mark.parametrize("modelfile", [OWN, "FROM m\nSYSTEM Be kind.\n", "FROM m\nMESSAGE user one\n"])
def test_show_has_every_message_that_reaches_the_model(
    workspace: Workspace, start: str, modelfile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[dict[str, Any]]] = []
    model = FakeModel("m", lambda messages, _: seen.append(messages) or '"streets"')
    with ProtocolServer([model], "0.32.15") as server:
        server.create("mine", modelfile)
        name_the_model(workspace.folder, f"{start}/mine", server.url)
        shown = as_json("show", workspace.artifact, "--messages", "report=The bin is full.")["messages"]
        assert run("predict", workspace.artifact, "report=The bin is full.").exit_code == 0
        text = run("show", workspace.artifact, "--messages", "report=The bin is full.").stdout
    assert [turns(message) for message in seen[-1]] == [
        turns(message) for message in (*shown["server"]["before"], *shown["messages"])
    ]
    assert ("(not sent: the server adds this text of the model)" in text) == ("MESSAGE" in modelfile)
    assert ("Dropped by the server" in text) == ("SYSTEM" in modelfile)
    assert (shown["server"]["left_out"] is not None) == ("SYSTEM" in modelfile)


def turns(message: dict[str, Any]) -> tuple[str, str]:
    return message["role"], message["content"]


def name_the_model(folder: Path, spec: str, url: str) -> None:
    """Have the project use a model of the protocol server."""
    file = folder / "tunesmith.toml"
    before, _, rest = file.read_text(encoding="utf-8").partition("[lm]")
    _, _, after = rest.partition("\n[")
    place = f'host = "{url}"' if spec.startswith("ollama/") else f'base_url = "{url}/v1"'
    file.write_text(f'{before}[lm]\nspec = "{spec}"\n{place}\n\n[{after}', encoding="utf-8")


def test_a_request_without_a_system_message_gets_that_of_the_model(at: ProtocolServer) -> None:
    at.create("mine", OWN)
    own = lm("ollama/mine", host=at.url).own_turns
    assert own.before(has_system=True) == TURNS
    assert own.before(has_system=False) == [{"role": "system", "content": "Be kind.\nAlways."}, *TURNS]
    for other in (lm("ollama/m", host=at.url), ScriptedLM(["x"]), lm("ollama/mine", host=[at.url])):
        assert bool(other.own_turns.messages) == (other.model == "ollama/mine")


# Probing ----------------------------------------------------------------------------------------------------


def probed(reply: Any, version: str = "0.32.15", **more: Any) -> tuple[dict[str, Any], str]:
    """Return what `doctor --probe` measures of a model, and what it prints."""
    with ProtocolServer([FakeModel("m", reply, **more)], version) as server:
        os.environ["OLLAMA_HOST"] = server.url
        found = as_json("doctor", "--probe", "--lm", "ollama/m", "--quiet")["probe"]
        return found, run("doctor", "--probe", "--lm", "ollama/m", "--quiet").stdout


def after_its_cache() -> Any:
    """Reply as a server does whose prompt cache changes a reply: as before after itself, otherwise after another."""
    before = [""]

    def reply(messages: list[dict[str, Any]], options: dict[str, Any]) -> Reply:
        text = messages[-1]["content"]
        same, before[0] = text == before[0], text
        return Reply(
            "one two three" if same else "two three four", tops=[{"one" if same else "two": -5.0 - 0.1 * same}]
        )

    return reply


def never_twice() -> Any:
    numbers = itertools.count()
    return lambda messages, options: f"reply number {next(numbers)}"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_repeats_itself_is_said_to(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "")
    found, text = probed("one two three four", version)
    assert found["repeats"] == {"times": 4, "at_once": 4, "after_another": 4, "apart": 0.0}
    assert "repeats itself:       4 of 4 replies at once, 4 of 4 after another one; log-probabilities equal" in text
    assert "another artifact" not in found["advice"]


@pytest.mark.parametrize("version", VERSIONS)
def test_one_whose_cache_changes_its_replies_is_found_out(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "")
    found, text = probed(after_its_cache(), version)
    assert found["repeats"] == {"times": 4, "at_once": 0, "after_another": 4, "apart": 0.1}
    assert "0 of 4 replies at once, 4 of 4 after another one; log-probabilities up to 0.100 apart" in text
    assert "a compile with new calls may give another artifact" in found["advice"]


def test_one_that_never_says_the_same_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "")
    found, _ = probed(never_twice())
    assert (found["repeats"]["at_once"], found["repeats"]["after_another"]) == (0, 0)
    assert "another artifact" in found["advice"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reply_that_was_broken_off_is_not_called_a_matter_of_the_engine(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "")
    found, text = probed(" so" * 60, version)
    assert (found["generation_tokens_per_second"], found["unknown"]) == (None, "the reply was broken off")
    assert found["prompt_tokens_per_second"] > 0
    assert "writes:               unknown: the reply was broken off\n" in text


@pytest.mark.slow
def test_another_text_is_asked_for_where_one_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "")
    found, _ = probed(scripted({"Count": " so" * 60, "": "many words of a reply"}), token_delay=0.005)
    assert found["generation_tokens_per_second"] > 0
    assert found["unknown"] == ""


def test_a_reply_of_one_token_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "")
    found, _ = probed("")
    assert found["unknown"] in ("the reply was too short", "the reply was broken off")


# What holds replies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        ({}, "to a schema or grammar"),
        ({"constraints": False}, "no, to no schema that is sent"),
    ],
)
def test_the_probe_says_whether_a_server_holds_replies(
    serving: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProtocolServer([FakeModel("m", reply="Paris")], "0.32.15", **serving) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        found = run("doctor", "--probe", "--quiet", "--lm", "ollama/m")

    assert f"holds replies:        {said}" in found.stdout
    assert ("does not enforce the schema" in found.stdout) == bool(serving)


@pytest.mark.parametrize("thought", ["<think>\nWell.\n</think>\n\nParis", '```json\n"Paris"\n```', '"Paris"', "Paris"])
def test_the_probe_notices_a_model_that_thinks_and_drops_the_format(
    thought: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FakeModel("m", reply=thought, thinking=True, obeys_format=False)
    with ProtocolServer([model], "0.30.7") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        assert as_json("doctor", "--probe", "--quiet", "--lm", "ollama/m")["probe"]["holds"] is False
