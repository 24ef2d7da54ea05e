"""What a well-behaved server does, seen through the real client where it can say it."""

import hashlib
import http.client
import json
import math
import socket
import threading
from pathlib import Path
from typing import Any

import ollama
import pytest

from tests.each import each
from tests.protocol import FakeModel, ProtocolServer, Reply, scripted
from tests.protocol.gojson import GoError, decode, encode, parse_duration, timestamp
from tests.protocol.http import ProtocolHandler
from tests.protocol.replay import send

HELLO = [{"role": "user", "content": "hello"}]
BOTH = pytest.mark.parametrize("version", ["0.24.0", "0.32.15"])
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
LABELS = {"enum": ["yes", "no"]}


def models() -> list[FakeModel]:
    return [
        FakeModel("m", scripted({"again": "second", "": "first"}), system="Be kind.", parameters={"temperature": 0.5}),
        FakeModel("thinker", "yes", thinking=True, thought="Is it?"),
        FakeModel("caller", [Reply("", tool_calls=[{"name": "f", "arguments": {"a": 1}}])], tools=True),
        FakeModel("vectors", embeddings=True),
    ]


def client(at: ProtocolServer) -> ollama.Client:
    return ollama.Client(at.url, verify=False)


@BOTH
def test_lists_and_facts_have_the_model_s_own_values(version: str) -> None:
    with ProtocolServer(models(), version) as at:
        shown = client(at).show("M:Latest")
        listed = send(at.port, "GET", "/api/tags", None).lines[0]["models"]

        assert shown.capabilities == ["completion"]
        assert 'stop                           "<|im_end|>"\ntemperature                    0.5' in str(
            shown.parameters
        )
        assert "SYSTEM Be kind." in str(shown.modelfile)
        assert {model["name"] for model in listed} == {
            f"{name}:latest" for name in ("m", "thinker", "caller", "vectors")
        }
        assert ("capabilities" in listed[0]) == (version == "0.32.15")
        assert client(at).show("thinker").capabilities == ["completion", "thinking"]
        assert send(at.port, "GET", "/api/version", None).lines == [{"version": version}]


@BOTH
def test_a_thinking_model_thinks_unless_told_not_to(version: str) -> None:
    with ProtocolServer(models(), version) as at:
        found = {think: client(at).chat("thinker", HELLO, think=think).message for think in (None, True, False)}
        chosen = client(at).chat("thinker", HELLO, format=LABELS)
        direct = client(at).chat("thinker", HELLO, format=LABELS, think=False)
        generated = client(at).generate("thinker", "hello", format=LABELS)
        short = client(at).chat("thinker", HELLO, format=LABELS, options={"num_predict": 2})
        chunks = list(client(at).chat("thinker", HELLO, stream=True))

    assert found[None] == found[True]
    assert (found[None].thinking, found[None].content) == ("Is it?", "yes")
    assert (found[False].thinking, found[False].content) == (None, "yes")
    assert (chosen.message.thinking, chosen.message.content) == ("Is it?", '"yes"')
    assert (direct.message.thinking, direct.message.content) == (None, '"yes"')
    assert (generated.thinking, generated.response) == ('"yes"', "")
    assert (short.message.content, short.done_reason) == ("", "length")
    assert "".join(chunk.message.thinking or "" for chunk in chunks) == "Is it?"


@BOTH
def test_tool_calls_come_in_one_chunk_and_end_with_stop(version: str) -> None:
    with ProtocolServer(models(), version) as at:
        chunks = list(client(at).chat("caller", HELLO, tools=[TOOL], stream=True))
        raw = send(
            at.port, "POST", "/api/chat", {"model": "caller", "messages": HELLO, "tools": [TOOL], "stream": False}
        )

    calls = [chunk.message.tool_calls for chunk in chunks if chunk.message.tool_calls]
    assert [(call.function.name, call.function.arguments) for call in calls[0]] == [("f", {"a": 1})]
    assert (len(calls), chunks[-1].done_reason) == (1, "stop")
    made = raw.lines[0]["message"]["tool_calls"][0]
    assert made["id"].startswith("call_")
    assert made["function"] == {"index": 0, "name": "f", "arguments": {"a": 1}}


@BOTH
def test_log_probabilities_come_with_their_chunk_and_not_with_the_last(version: str) -> None:
    reply = Reply("yes", tops=[{"yes": -0.5, "no": -1.0}])
    with ProtocolServer([FakeModel("m", [reply])], version) as at:
        body = {"model": "m", "messages": HELLO, "logprobs": True, "top_logprobs": 2}
        chunks = send(at.port, "POST", "/api/chat", body).lines
        bare = send(at.port, "POST", "/api/chat", {**body, "top_logprobs": 0, "stream": False}).lines[0]

    assert chunks[0]["logprobs"] == [
        {
            "token": "yes",
            "logprob": -0.5,
            "bytes": [121, 101, 115],
            "top_logprobs": [
                {"token": "yes", "logprob": -0.5, "bytes": [121, 101, 115]},
                {"token": "no", "logprob": -1.0, "bytes": [110, 111]},
            ],
        }
    ]
    assert "logprobs" not in chunks[-1]
    assert bare["logprobs"] == [{"token": "yes", "logprob": -0.5, "bytes": [121, 101, 115]}]


def test_the_stops_of_a_request_replace_those_of_the_model() -> None:
    with ProtocolServer([FakeModel("m", "a<|im_end|>b\nc")]) as at:
        assert client(at).chat("m", HELLO).message.content == "a"
        assert client(at).chat("m", HELLO, options={"stop": ["\n"]}).message.content == "a<|im_end|>b"


def test_the_system_text_of_the_model_stands_unless_there_is_one() -> None:
    seen: list[list[str]] = []
    model = FakeModel("m", lambda messages, _: seen.append([m["content"] for m in messages]) or "ok", system="Be kind.")
    with ProtocolServer([model]) as at:
        client(at).chat("m", HELLO)
        client(at).chat("m", [{"role": "SYSTEM", "content": "Be short."}, *HELLO])
        client(at).generate("m", "hello")

    assert seen == [["Be kind.", "hello"], ["Be short.", "hello"], ["Be kind.", "hello"]]


def test_a_function_sees_the_resolved_options_and_the_format() -> None:
    seen: list[dict[str, Any]] = []
    model = FakeModel("m", lambda _, options: seen.append(options) or "yes", parameters={"top_k": 3})
    with ProtocolServer([model]) as at:
        client(at).chat("m", HELLO, format=LABELS, options={"temperature": 0, "nonsense": 1})

    assert (seen[0]["top_k"], seen[0]["temperature"], seen[0]["format"]) == (3, 0, LABELS)
    assert "nonsense" not in seen[0]


def test_the_prompt_cache_makes_the_second_call_cheap_and_not_smaller() -> None:
    with ProtocolServer(models()) as at:
        first, second = (client(at).chat("m", HELLO) for _ in range(2))
        client(at).chat("m", HELLO, options={"num_ctx": 512})

        assert first.prompt_eval_count == second.prompt_eval_count
        assert (first.prompt_eval_duration or 0) > (second.prompt_eval_duration or 0)
        assert [entry.processed_tokens for entry in at.requests] == [
            first.prompt_eval_count,
            1,
            first.prompt_eval_count,
        ]


@BOTH
def test_embeddings_are_normal_in_order_and_cut(version: str) -> None:
    with ProtocolServer(models(), version) as at:
        both = client(at).embed("vectors", ["a", "b"]).embeddings
        one = client(at).embed("vectors", "b", dimensions=4).embeddings
        none = client(at).embed("vectors", []).embeddings
        old = client(at).embeddings("vectors", "a").embedding
        with pytest.raises(ollama.ResponseError, match="the input length exceeds the context length"):
            client(at).embed("vectors", "word " * 600, truncate=False, options={"num_ctx": 512})
        assert client(at).embed("vectors", "word " * 600, options={"num_ctx": 512}).prompt_eval_count == 512

    assert all(math.isclose(sum(x * x for x in vector), 1) for vector in [*both, *one])
    assert (len(one[0]), list(none)) == (4, [])
    assert math.isclose(old[0] / old[1], both[0][0] / both[0][1])
    assert both[0] != both[1]


def test_models_are_pulled_copied_made_and_deleted() -> None:
    with ProtocolServer(models(), catalogue=[FakeModel("new", "hi")]) as at:
        steps = [(step.status, step.completed) for step in client(at).pull("new", stream=True)]
        assert [status for status, _ in steps][:2] == ["pulling manifest", steps[1][0]]
        assert (steps[-1][0], steps[-4][1]) == ("success", 98_362_432)
        assert client(at).chat("new", HELLO).message.content == "hi"
        assert client(at).pull("new").status == "success"
        client(at).copy("new", "mine")
        client(at).create("made", from_="mine", system="Be brief.", parameters={"temperature": 0})
        assert "SYSTEM Be brief." in str(client(at).show("made").modelfile)
        assert client(at).show("made").model_dump()["parameters"].endswith("0")
        client(at).delete("mine")
        with pytest.raises(ollama.ResponseError, match="model 'mine' not found"):
            client(at).show("mine")
        digests = {model.model: model.digest for model in client(at).list().models}
        assert digests["made:latest"] != digests["new:latest"]


def test_a_file_becomes_a_model_through_a_blob(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF" * 5000)
    digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    with ProtocolServer() as at:
        with pytest.raises(ollama.ResponseError, match="not found"):
            client(at).create("x", files={"a.gguf": digest})
        assert send(at.port, "HEAD", f"/api/blobs/{digest}", None).status == 404
        assert send(at.port, "POST", f"/api/blobs/{digest}", "other").status == 400
        assert client(at).create_blob(path) == digest
        assert send(at.port, "HEAD", f"/api/blobs/{digest}", None).status == 200
        assert client(at).create("x", files={"a.gguf": digest}).status == "success"
        assert client(at).chat("x", HELLO).message.content == "ok"


def test_a_request_may_come_in_chunks_and_connections_stay_open() -> None:
    with ProtocolServer(models()) as at:
        connection = http.client.HTTPConnection("127.0.0.1", at.port)
        for stream in (False, True):
            raw = json.dumps({"model": "m", "messages": HELLO, "stream": stream}).encode()
            connection.request("POST", "/api/chat", iter([raw[:9], raw[9:]]), encode_chunked=True)
            reply = connection.getresponse()
            assert (reply.status, b"first" in reply.read()) == (200, True)
            used = connection.sock
        assert used is connection.sock
        connection.close()


def test_a_connection_is_known_as_soon_as_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its thread has done anything: else the one that waits until a killed client is gone may miss it."""
    begun, go, setup = threading.Event(), threading.Event(), ProtocolHandler.setup

    def late(handler: ProtocolHandler) -> None:
        begun.set()
        go.wait(10)
        setup(handler)

    monkeypatch.setattr(ProtocolHandler, "setup", late)
    with ProtocolServer(models()) as at:
        with socket.create_connection(("127.0.0.1", at.port)):
            assert begun.wait(10)
            assert len(at.connections) == 1
            go.set()
        send(at.port, "GET", "/api/version", None)


def test_heads_and_routes() -> None:
    with ProtocolServer(models()) as at:
        for path, text in (("/", "Ollama is running"), ("/api/version", '{"version":"0.24.0"}')):
            assert send(at.port, "GET", path, None).text == text
            head = send(at.port, "HEAD", path, None)
            assert (head.status, head.text) == (200, "")
        assert send(at.port, "GET", "/api/tokenize", None).text == "404 page not found"
        assert send(at.port, "PUT", "/api/tags", None).status == 405


def test_chat_in_openai_s_form() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": LABELS}}
    with ProtocolServer(models()) as at:
        body = {"model": "m", "messages": HELLO}
        plain = send(at.port, "POST", "/v1/chat/completions", {**body, "response_format": schema}).lines[0]
        parts = [{"type": "text", "text": "say it"}, {"type": "text", "text": "again"}]
        split = send(
            at.port, "POST", "/v1/chat/completions", {**body, "messages": [{"role": "user", "content": parts}]}
        )
        more = {"stream": True, "stream_options": {"include_usage": True}}
        stream = send(at.port, "POST", "/v1/chat/completions", {**body, **more})
        at.fault("error_line")
        broken = send(at.port, "POST", "/v1/chat/completions", {**body, **more}).text
        listed = send(at.port, "GET", "/v1/models", None).lines[0]["data"]
        raw = send(at.port, "POST", "/v1/completions", {"model": "m", "prompt": "hello", "max_tokens": 1}).lines[0]

    assert plain["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": '"yes"'},
        "finish_reason": "stop",
    }
    assert split.lines[0]["choices"][0]["message"]["content"] == "second"
    events = stream.text.split("\n\n")
    assert stream.content_type == "text/event-stream"
    assert events[-2:] == ["data: [DONE]", ""]
    assert json.loads(events[-3].removeprefix("data: "))["usage"]["completion_tokens"] == 2
    assert "[DONE]" not in broken
    assert "error" not in broken
    assert len(listed) == 4
    assert raw["choices"][0]["finish_reason"] == "length"


def test_json_is_written_and_read_as_go_does() -> None:
    assert encode({"a": "<b> & \u2028 \x85 é 😀"}) == '{"a":"\\u003cb\\u003e \\u0026 \\u2028 \x85 é 😀"}'
    assert decode(b' {"a": [1, 2.5e3, null]} trailing') == {"a": [1, 2500.0, None]}
    assert timestamp(1_795_228_175_873_102_380) == "2026-11-21T02:29:35.87310238Z"
    assert [parse_duration(text) for text in ("1h30m", "-1.5s", "0", "5ms")] == [54 * 10**11, -15 * 10**8, 0, 5 * 10**6]
    for text in ("", "-1", "5y", "s"):
        with pytest.raises(GoError, match="time: "):
            parse_duration(text)


@each("text", ['{"a": tru}', '{"a": "\\q"}', '{"a": 1,}', "[1,]", '{"a": -}', '{"a": "\t"}'])
def test_bad_json_names_the_character(text: str) -> None:
    with pytest.raises(GoError, match=r"^invalid character '.*' (in|looking) "):
        decode(text.encode())
