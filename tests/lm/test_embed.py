"""Embeddings: what is refused, and in which words, on both versions of Ollama and through both interfaces."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.errors import ContextOverflow, RequestRefused, UsageError
from tunesmith.lm import LM, FunctionLM, lm

pytestmark = pytest.mark.filterwarnings("ignore:Ollama's `/v1`")


@pytest.fixture(params=["0.24.0", "0.32.15"])
def server(request: pytest.FixtureRequest) -> Iterator[ProtocolServer]:
    with ProtocolServer([FakeModel("chat"), FakeModel("vectors", embeddings=True)], request.param) as found:
        yield found


@pytest.fixture(params=["ollama", "openai", "pool"])
def made(request: pytest.FixtureRequest, server: ProtocolServer) -> Any:
    """Make the LM of a model's name."""
    place = {
        "ollama": {"host": server.url},
        "openai": {"base_url": f"{server.url}/v1"},
        "pool": {"base_url": [f"{server.url}/v1"], "revision": "1"},
    }[request.param]
    start = "ollama" if request.param == "ollama" else "openai"
    return lambda name: lm(f"{start}/{name}", cache=False, **place)


def asked(server: ProtocolServer) -> int:
    return sum("embed" in entry.path for entry in server.requests)


def test_a_chat_model_gives_vectors_or_says_which_model_does(server: ProtocolServer, made: Any) -> None:
    model: LM = made("chat")
    if server.world.version < (0, 30):
        assert len(model.embed(["a"])) == 1
        return
    with pytest.raises(RequestRefused, match=r"gives no vectors.*`ollama pull nomic-embed-text`") as caught:
        model.embed(["a"])
    assert "--embeddings" not in str(caught.value)


@pytest.mark.parametrize("texts", [["a", "", "b"], [""], ["", ""]])
def test_an_empty_text_is_named_before_anything_is_sent(server: ProtocolServer, made: Any, texts: list[str]) -> None:
    with pytest.raises(UsageError, match=r"have no vector \(number [12]"):
        made("vectors").embed(texts)
    assert asked(server) == 0
    assert len(made("vectors").embed([text for text in texts if text])) == sum(map(bool, texts))


@each("texts", ["a text", [1], [None], ["a", b"b"]])
def test_what_is_no_list_of_texts_is_refused(texts: Any) -> None:
    with pytest.raises(UsageError, match="`embed` takes a list of texts"):
        FunctionLM(lambda seen: "x").embed(texts)


@pytest.mark.parametrize("words", [9_000, 20_000])
def test_a_text_that_does_not_fit_is_never_cut(server: ProtocolServer, made: Any, words: int) -> None:
    with pytest.raises(ContextOverflow):
        made("vectors").embed(["short", "word " * words])
    assert all(entry.body["truncate"] is False for entry in server.requests if "embed" in entry.path)
