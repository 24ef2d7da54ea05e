"""Every row of the error table, as the real `ollama` client meets it."""

from collections.abc import Callable
from typing import Any

import ollama
import pytest

from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tests.protocol.conftest import Behind
from tests.protocol.replay import send

HELLO = [{"role": "user", "content": "hello"}]
LONG = [{"role": "user", "content": "word " * 900}]
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
Ask = Callable[[ollama.Client], Any]


def models(behind: Behind | None = None) -> list[FakeModel]:
    make = FakeModel if behind is None else behind.model
    return [
        make("m"),
        make("native", native=True),
        FakeModel("vectors", embeddings=True),
        FakeModel("far:cloud", remote=True),
    ]


ROWS: list[tuple[str, str, Ask, int, str]] = [
    ("missing, chat", "both", lambda c: c.chat("x", HELLO), 404, "model 'x' not found"),
    ("missing, generate", "both", lambda c: c.generate("x", "hello"), 404, "model 'x' not found"),
    ("missing, show", "both", lambda c: c.show("x"), 404, "model 'x' not found"),
    ("missing, delete", "both", lambda c: c.delete("x"), 404, "model 'x' not found"),
    ("missing, copy", "both", lambda c: c.copy("x", "y"), 404, 'model "x" not found'),
    ("missing, embed", "both", lambda c: c.embed("x", "a"), 404, 'model "x" not found, try pulling it first'),
    ("bad name", "both", lambda c: c.chat("a b", HELLO), 400, "invalid model name"),
    (
        "top_logprobs",
        "both",
        lambda c: c.chat("m", HELLO, logprobs=True, top_logprobs=21),
        400,
        "top_logprobs must be between 0 and 20",
    ),
    ("think", "both", lambda c: c.chat("m", HELLO, think=True), 400, '"m" does not support thinking'),
    ("think, generate", "both", lambda c: c.generate("m", "a", think="low"), 400, '"m" does not support thinking'),
    (
        "tools",
        "both",
        lambda c: c.chat("m", HELLO, tools=[TOOL]),
        400,
        "registry.ollama.ai/library/m:latest does not support tools",
    ),
    ("chat, embeddings", "both", lambda c: c.chat("vectors", HELLO), 400, '"vectors" does not support chat'),
    ("generate, embeddings", "both", lambda c: c.generate("vectors", "a"), 400, '"vectors" does not support generate'),
    ("embed, chat model", "0.32.15", lambda c: c.embed("m", "a"), 501, "does not support embeddings"),
    ("keep_alive", "both", lambda c: c.chat("m", HELLO, keep_alive="-1"), 400, 'time: missing unit in duration "-1"'),
    ("keep_alive unit", "both", lambda c: c.chat("m", HELLO, keep_alive="5y"), 400, 'time: unknown unit "y"'),
    (
        "option",
        "both",
        lambda c: c.chat("m", HELLO, options={"num_ctx": "many"}),
        500,
        'option "num_ctx" must be of type integer',
    ),
    ("float option", "both", lambda c: c.chat("m", HELLO, options={"top_p": "x"}), 500, "must be of type float32"),
    ("stop option", "both", lambda c: c.chat("m", HELLO, options={"stop": "x"}), 500, "must be of type array"),
    ("raw", "both", lambda c: c.generate("m", "a", raw=True, system="s"), 400, "raw mode does not support template"),
    ("suffix", "both", lambda c: c.generate("m", "a", suffix="s"), 400, "does not support insert"),
    ("cloud", "both", lambda c: c.chat("far:cloud", HELLO), 401, "unauthorized"),
    ("embed input", "both", lambda c: c.embed("vectors", [1]), 400, "invalid input type"),
    ("pull", "both", lambda c: c.pull("x"), 500, "pull model manifest: file does not exist"),
    ("create from nothing", "both", lambda c: c.create("x"), 400, "neither 'from' or 'files' was specified"),
    (
        "create from missing",
        "both",
        lambda c: c.create("x", from_="y"),
        500,
        "pull model manifest: file does not exist",
    ),
    (
        "native, one long message",
        "0.32.15",
        lambda c: c.chat("native", LONG, options={"num_ctx": 64}),
        400,
        '{"error":{"code":400,"message":"request (',
    ),
]


def versions(which: str) -> list[str]:
    return ["0.24.0", "0.32.15"] if which == "both" else [which]


@each(
    ("version", "ask", "status", "text"),
    [
        pytest.param(version, ask, status, text, id=f"{name} {version}")
        for name, which, ask, status, text in ROWS
        for version in versions(which)
    ],
)
def test_the_client_gets_the_status_and_the_text(
    behind: Behind, version: str, ask: Ask, status: int, text: str
) -> None:
    with ProtocolServer(models(behind), version) as server, pytest.raises((ollama.ResponseError, ValueError)) as caught:
        ask(ollama.Client(server.url, verify=False))

    if isinstance(caught.value, ollama.ResponseError):
        assert caught.value.status_code == status
        assert text in caught.value.error
    else:  # the client itself refused to send it
        assert text in {"must be of type float32", "must be of type array", "invalid input type"} or "option" in text


RAW: list[tuple[str, Any, int, str]] = [
    ("/api/chat", "", 400, "missing request body"),
    ("/api/chat", "  \n", 400, "missing request body"),
    ("/api/chat", "{nope", 400, "invalid character 'n' looking for beginning of object key string"),
    ("/api/chat", '{"model": "m"', 400, "unexpected EOF"),
    ("/api/chat", '{"model": m}', 400, "invalid character 'm' looking for beginning of value"),
    ("/api/chat", '{"model" 1}', 400, "invalid character '1' after object key"),
    ("/api/chat", '["m" 1]', 400, "invalid character '1' after array element"),
    ("/api/chat", '{"model": "m" "x"}', 400, "invalid character '\"' after object key:value pair"),
    ("/api/chat", "[]", 400, "json: cannot unmarshal array into Go value of type api.ChatRequest"),
    (
        "/api/chat",
        {"model": 1},
        400,
        "json: cannot unmarshal number into Go struct field ChatRequest.model of type string",
    ),
    (
        "/api/chat",
        {"model": "m", "messages": [{"role": "user", "content": 1}]},
        400,
        "json: cannot unmarshal number into Go struct field ChatRequest.messages.content of type string",
    ),
    ("/api/chat", {"model": "m", "think": "deep"}, 400, 'invalid think value: "deep" (must be'),
    ("/api/chat", {"model": "m", "keep_alive": []}, 400, "Unsupported type: '[]interface {}'"),
    ("/api/chat", {"model": "", "messages": HELLO}, 400, "model is required"),
    ("/api/generate", {"model": "", "prompt": "a"}, 404, "model '' not found"),
    (
        "/api/chat",
        {"model": "m", "messages": HELLO, "format": "yaml"},
        500,
        'invalid format: "\\"yaml\\""; expected "json" or a valid JSON Schema object',
    ),
    ("/api/show", {}, 400, "model is required"),
    ("/api/delete", {"model": "x"}, 405, "405 method not allowed"),
    ("/v1/chat/completions", {"model": "x", "messages": HELLO}, 404, "model 'x' not found"),
    ("/v1/chat/completions", {"model": "m"}, 400, "[] is too short - 'messages'"),
    (
        "/v1/chat/completions",
        {"model": "m", "messages": [{"role": "user"}]},
        400,
        "invalid message content type: <nil>",
    ),
]


@pytest.mark.parametrize("version", ["0.24.0", "0.32.15"])
def test_what_the_client_cannot_send_is_refused_in_go_s_words(version: str) -> None:
    with ProtocolServer(models(), version) as server:
        for path, body, status, text in RAW:
            found = send(server.port, "POST", path, body)
            error = found.lines[0]["error"] if status != 405 else found.text
            error = error["message"] if isinstance(error, dict) else error

            assert found.status == status
            assert error.startswith(text)


def test_a_host_that_is_not_local_is_refused_without_a_word() -> None:
    with ProtocolServer(models()) as server:
        for host in ("localhost:1", "127.0.0.1", "10.0.0.3:80", "box.local", "a.internal", "[::1]:5"):
            assert send(server.port, "GET", "/api/version", None, {"Host": host}).status == 200
        for host in ("example.com", "evil.example:11434", "8.8.8.8"):
            found = send(server.port, "GET", "/api/version", None, {"Host": host})
            assert (found.status, found.text) == (403, "")


def test_an_error_before_the_first_chunk_of_a_stream_has_its_status_and_plain_json() -> None:
    body = {"model": "m", "messages": HELLO, "format": {"type": "banana"}}

    with ProtocolServer(models()) as server:
        found = send(server.port, "POST", "/api/chat", body)
        early = send(server.port, "POST", "/api/chat", {**body, "model": "x"})

    assert (found.status, found.content_type) == (500, "application/json")
    assert (early.status, early.content_type) == (404, "application/json; charset=utf-8")


def test_a_pull_of_an_unknown_model_fails_inside_the_stream() -> None:
    with ProtocolServer(models()) as server:
        client = ollama.Client(server.url, verify=False)
        steps = client.pull("x", stream=True)

        assert next(iter(steps)).status == "pulling manifest"
        with pytest.raises(ollama.ResponseError, match="pull model manifest: file does not exist") as caught:
            list(steps)

    assert caught.value.status_code == -1
