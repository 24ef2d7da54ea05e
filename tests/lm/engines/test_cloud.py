"""No text leaves the machine for a model that an Ollama server hands on to the cloud, unless the user gave leave."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.protocol import FakeModel, ProtocolServer
from tunesmith.errors import ModelMissing, UsageError
from tunesmith.lm import LM, Message, Request, lm
from tunesmith.lm.engines import dspy as foreign
from tunesmith.lm.engines.ollama.facts import served_models

TEXTS = ("/api/chat", "/api/generate", "/api/embed", "/v1/chat/completions", "/v1/embeddings", "/v1/completions")
NAMES = ["far:cloud", "gpt-oss:120b-cloud", "Kimi-K2:1T-CLOUD", "gpt-oss:20b:cloud", "library/far:cloud", "far-cloud"]


@pytest.fixture(params=["0.24.0", "0.32.15"])
def server(request: pytest.FixtureRequest) -> Iterator[ProtocolServer]:
    models = [
        *(FakeModel(name, remote=True) for name in NAMES),
        FakeModel("hidden", remote=True),  # as `ollama cp gpt-oss:120b-cloud hidden` makes it
        FakeModel("here"),
        FakeModel("vectors", embeddings=True),
    ]
    with ProtocolServer(models, request.param) as found:
        yield found


def texts_sent(server: ProtocolServer) -> list[str]:
    return [entry.path for entry in server.requests if entry.path in TEXTS]


def over_v1(server: ProtocolServer, name: str, **options: Any) -> LM:
    return lm(f"openai/{name}", base_url=f"{server.url}/v1", cache=False, **options)


def stream(model: LM) -> list[Any]:
    return list(model._stack.engine.stream(Request(model="m", messages=(Message.user("secret"),))))


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
@pytest.mark.parametrize("name", [*NAMES, "hidden"])
@pytest.mark.parametrize("call", [lambda m: m("secret"), stream, lambda m: m.embed(["secret"])])
def test_over_openai_s_protocol_it_is_not_asked(server: ProtocolServer, name: str, call: Callable[[LM], Any]) -> None:
    with pytest.raises(ModelMissing, match=r"your texts would leave this machine.*cloud=True"):
        call(over_v1(server, name))
    assert texts_sent(server) == []


@pytest.mark.parametrize("name", [*NAMES, "hidden"])
def test_over_ollama_s_own_it_is_not_asked(server: ProtocolServer, name: str) -> None:
    for call in (lambda m: m("secret"), lambda m: m.embed(["secret"])):
        with pytest.raises(ModelMissing, match="cloud=True"):
            call(lm(f"ollama/{name}", host=server.url, cache=False))
    assert texts_sent(server) == []


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
@pytest.mark.parametrize("dialect", ["openai", "llamacpp", "ollama", "vllm", "vllm-guided", "tgi"])
@pytest.mark.parametrize("name", ["far:cloud", "far-cloud", "hidden"])
def test_a_dialect_that_the_user_named_changes_nothing(server: ProtocolServer, dialect: str, name: str) -> None:
    for call in (lambda m: m("secret"), stream, lambda m: m.embed(["secret"])):
        with pytest.raises(ModelMissing, match="cloud=True"):
            call(over_v1(server, name, dialect=dialect))
    assert texts_sent(server) == []


def test_a_model_that_is_here_answers_in_a_dialect_that_the_user_named(server: ProtocolServer) -> None:
    model = over_v1(server, "here", dialect="openai")
    assert [model("a"), model("b")] == [["ok"], ["ok"]]
    assert [entry.path for entry in server.requests].count("/api/show") == 1


@pytest.mark.parametrize(
    ("spec", "option"),
    [
        ("openai/far:cloud", "host"),
        ("openai/far:cloud", "api_base"),
        ("ollama_chat/far:cloud", "host"),
        ("ollama_chat/far-cloud", "api_base"),
    ],
)
def test_through_dspy_s_own_client_it_is_not_asked(server: ProtocolServer, spec: str, option: str) -> None:
    model = lm(spec, cache=False, api_key="none", **{option: f"{server.url}/v1"})
    with pytest.raises(ModelMissing, match="cloud=True"):
        model("secret")
    assert server.requests == []


@pytest.mark.parametrize(
    ("spec", "option"),
    [
        ("openai/hidden", "host"),
        ("openai/hidden", "api_base"),
        ("ollama_chat/hidden", "api_base"),
        ("ollama:hidden", "base_url"),
        ("hosted_vllm/hidden", "api_base"),
        ("hosted_vllm/far:cloud", "api_base"),
        ("vllm:far-cloud", "api_base"),
        ("openai:hidden", "api_base"),
    ],
)
def test_nor_is_a_copy_under_another_name(server: ProtocolServer, spec: str, option: str) -> None:
    model = lm(spec, cache=False, api_key="none", **{option: f"{server.url}/v1"})
    for _ in range(2):
        with pytest.raises(ModelMissing, match="cloud=True"):
            model("secret")
    assert texts_sent(server) == []


@pytest.mark.parametrize("spec", ["ollama_chat/hidden", "ollama:hidden"])
def test_nor_is_it_if_no_address_is_given(server: ProtocolServer, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "_OLLAMA_ADDRESS", f"{server.url}/v1")
    with pytest.raises(ModelMissing, match="cloud=True"):
        lm(spec, cache=False)("secret")
    assert texts_sent(server) == []


def test_through_dspy_s_own_client_a_model_that_is_here_is_asked_about_once(server: ProtocolServer) -> None:
    model = lm("openai/here", cache=False, api_key="none", api_base=f"{server.url}/v1")
    assert [model("a"), model("b")] == [["ok"], ["ok"]]
    assert [entry.path for entry in server.requests].count("/api/show") == 1


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
@pytest.mark.parametrize("name", ["far:cloud", "hidden"])
def test_no_host_of_a_pool_is_asked(name: str) -> None:
    with ProtocolServer([FakeModel(name, remote=True)]) as one, ProtocolServer([FakeModel(name, remote=True)]) as two:
        for start, at, options in (("ollama", "host", {}), ("openai", "base_url", {"revision": "1"})):
            urls = [server.url + ("/v1" if start == "openai" else "") for server in (one, two)]
            with pytest.raises(ModelMissing, match="cloud=True"):
                lm(f"{start}/{name}", cache=False, **{at: urls}, **options)("secret")
        assert texts_sent(one) == texts_sent(two) == []


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
@pytest.mark.parametrize("name", ["far:cloud", "hidden"])
def test_with_leave_it_is_asked(server: ProtocolServer, name: str) -> None:
    for model in (over_v1(server, name, cloud=True), lm(f"ollama/{name}", host=server.url, cloud=True, cache=False)):
        with pytest.raises(ModelMissing, match="unauthorized"):
            model("not secret")
    assert len(texts_sent(server)) == 2


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
def test_a_model_that_is_here_is_asked_about_once(server: ProtocolServer) -> None:
    model = over_v1(server, "here")
    assert [model("a"), model("b")] == [["ok"], ["ok"]]
    assert over_v1(server, "vectors").embed(["a"])[0]
    assert [entry.path for entry in server.requests].count("/api/show") == 2


def test_leave_is_part_of_what_a_saved_program_keeps() -> None:
    model = lm("openai/far:cloud", base_url="http://127.0.0.1:1/v1", cloud=True)
    assert model.dump_state()["cloud"] is True
    for spec in ("openai/far:cloud", "ollama_chat/far:cloud"):
        with pytest.raises(UsageError, match="`cloud` is true or false"):
            lm(spec, cloud="yes", base_url="http://127.0.0.1:1/v1")


@pytest.mark.parametrize("name", ["cloud", "cloudy:7b", "m:cloud-like", "my-cloud:7b", "m"])
def test_other_names_are_not_taken_for_one(name: str) -> None:
    from tunesmith.lm.engines.ollama.cloud import is_cloud_name

    assert not is_cloud_name(name)


def test_a_name_without_a_tag_is_one_on_an_ollama_server_alone() -> None:
    from tunesmith.lm.engines.ollama.cloud import is_cloud_name, is_cloud_tag

    assert (is_cloud_name("far-cloud"), is_cloud_tag("far-cloud")) == (True, False)


def test_a_list_of_models_says_which_run_elsewhere() -> None:
    listed = [{"name": "hidden", "remote_host": "https://ollama.com:443"}, {"name": "here"}]
    assert [model.remote for model in served_models({"models": listed})] == [False, True]
