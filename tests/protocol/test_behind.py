"""What the server does of itself holds whatever stands behind it: a script, or the embedded model."""

import http.client
import json
import threading
import time
from typing import Any

import ollama
import pytest

from tests.each import each
from tests.protocol import FakeModel, ProtocolServer
from tests.protocol.conftest import FEW, HELLO, Behind
from tests.protocol.outcomes import CRASHED
from tests.protocol.prompts import NO_SHIFT, TOO_LONG
from tests.protocol.replay import many, send
from tests.protocol.tokens import default_tokenizer

LONG = [{"role": "user", "content": "word " * 900}]
BOTH = pytest.mark.parametrize("version", ["0.24.0", "0.32.15"])
TWO = {"num_predict": 2, "temperature": 0}


def serve(behind: Behind, version: str = "0.24.0", **more: Any) -> ProtocolServer:
    return ProtocolServer([behind.model("m"), behind.model("native", native=True)], version, **more)


def ask(at: ProtocolServer, **body: Any) -> tuple[int, Any]:
    options = {**TWO, **body.pop("options", {})}
    given = {"model": "m", "stream": False, "messages": HELLO, "options": options, **body}
    found = send(at.port, "POST", "/api/chat", given)
    return found.status, found.lines[-1]


@each(
    ("version", "body", "text"),
    [
        ("0.24.0", {"truncate": False, "shift": False}, TOO_LONG),
        ("0.32.15", {"shift": False}, NO_SHIFT),
        ("0.32.15", {"truncate": False}, "exceed_context_size_error"),
        ("0.32.15", {"model": "native"}, "exceed_context_size_error"),
    ],
)
def test_a_prompt_that_must_not_be_cut_is_refused(
    behind: Behind, version: str, body: dict[str, Any], text: str
) -> None:
    with serve(behind, version) as at:
        status, reply = ask(at, messages=LONG, options={"num_ctx": 256}, **body)
    assert (status, text in reply["error"]) == (400, True)


@pytest.mark.parametrize(("version", "limit"), [("0.24.0", 256), ("0.32.15", 256 - (256 - 4) // 2)])
def test_one_that_may_be_cut_is_cut_by_the_rule(behind: Behind, version: str, limit: int) -> None:
    with serve(behind, version) as at:
        assert ask(at, messages=LONG, options={"num_ctx": 256})[1]["prompt_eval_count"] == limit


@BOTH
def test_the_oldest_demos_are_dropped_and_counted_by_the_models_own_tokens(behind: Behind, version: str) -> None:
    given = many("Label the text.", "Text: sample number 0 is long", "neutral", 30)
    with serve(behind, version) as at:
        _, whole = ask(at, messages=given[:1] + given[-7:], options={"num_ctx": 2048})
        _, cut = ask(at, messages=given, options={"num_ctx": 256})
    rendered = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in given[:1] + given[-7:])
    assert whole["prompt_eval_count"] == len(default_tokenizer().ids(rendered + "<|im_start|>assistant\n"))
    assert 256 - 40 < cut["prompt_eval_count"] <= 256


def test_a_model_is_loaded_anew_for_other_load_options_alone(behind: Behind) -> None:
    with serve(behind) as at:
        for options in ({}, {"top_k": 3}, {"num_ctx": 512}, {"num_ctx": 512.9}, {"num_ctx": 4096}):
            ask(at, options=options)
        assert at.loads == {"m:latest": 3}
        assert ask(at, messages=[])[1]["done_reason"] == "load"
        assert ask(at, messages=[], keep_alive=0)[1]["done_reason"] == "unload"
        assert send(at.port, "GET", "/api/ps", None).text == '{"models":[]}'
        ollama.Client(at.url).chat("m", HELLO, options={**TWO, "num_ctx": 100_000})
        assert ollama.Client(at.url).ps().models[0].context_length == 8192


def test_a_reply_ends_at_num_predict_and_a_prompt_read_before_is_not_read_again(behind: Behind) -> None:
    with serve(behind) as at:
        first, second = ask(at)[1], ask(at)[1]
    assert (first["done_reason"], first["eval_count"]) == ("length", 2)
    assert first["prompt_eval_count"] == second["prompt_eval_count"]
    assert at.requests[1].processed_tokens < at.requests[0].processed_tokens == first["prompt_eval_count"]


@BOTH
def test_log_probabilities_have_bytes_and_alternatives_and_the_last_chunk_has_none(
    behind: Behind, version: str
) -> None:
    with serve(behind, version) as at:
        body = {"model": "m", "messages": HELLO, "logprobs": True, "top_logprobs": 3, "options": FEW}
        *chunks, last = send(at.port, "POST", "/api/chat", body).lines
    entries = [entry for chunk in chunks for entry in chunk.get("logprobs", [])]
    assert entries
    assert all(bytes(entry["bytes"]).decode("utf-8", "replace") == entry["token"] for entry in entries)
    assert all(len(entry["top_logprobs"]) == 3 for entry in entries)
    assert "logprobs" not in last


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (403, "ollama cloud is disabled: remote inference is unavailable"),
        (502, "unable to reach ollama.com"),
        (500, "llama runner process has terminated: out of memory"),
    ],
)
def test_a_model_that_cannot_be_loaded_or_reached_is_told(behind: Behind, status: int, text: str) -> None:
    with serve(behind) as at:
        at.fault("error", status=status, text=text)
        with pytest.raises(ollama.ResponseError) as caught:
            ollama.Client(at.url).chat("m", HELLO, options=FEW)
        assert (caught.value.status_code, caught.value.error) == (status, text)
        assert ollama.Client(at.url).chat("m", HELLO, options=FEW).message.content == behind.text


def test_a_runner_that_dies_in_the_middle_of_a_stream_is_a_last_line(behind: Behind) -> None:
    with serve(behind) as at:
        at.fault("error_line", lines=2, text=CRASHED)
        chunks = ollama.Client(at.url).chat("m", HELLO, stream=True, options=FEW)
        with pytest.raises(ollama.ResponseError, match="unexpectedly stopped") as caught:
            list(chunks)
    assert caught.value.status_code == -1


def test_who_goes_while_it_waits_for_a_slot_is_not_answered() -> None:
    with ProtocolServer([FakeModel("m", " ".join(map(str, range(100))), token_delay=0.01)]) as at:
        busy = threading.Thread(target=ask, args=(at,), kwargs={"options": {"num_predict": 60}})
        busy.start()
        while not at.requests:
            time.sleep(0.005)
        queued = http.client.HTTPConnection("127.0.0.1", at.port)
        queued.request("POST", "/api/chat", json.dumps({"model": "m", "messages": HELLO}))
        while len(at.requests) < 2:
            time.sleep(0.005)
        queued.close()
        busy.join()
        assert ask(at)[0] == 200
    assert [(entry.disconnected, entry.tokens > 0) for entry in at.requests] == [
        (False, True), (True, False), (False, True)
    ]  # fmt: skip
