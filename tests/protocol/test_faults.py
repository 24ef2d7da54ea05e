"""Faults on demand, as the real `ollama` client meets them."""

import json
import time

import httpx
import ollama
import pytest

from tests.each import each
from tests.protocol import KINDS, FakeModel, Fault, ProtocolServer
from tests.protocol.conftest import FEW, HELLO, Behind
from tests.protocol.outcomes import BUSY, CRASHED


def server(behind: Behind) -> ProtocolServer:
    return ProtocolServer([behind.model("m")])


def ask(at: ProtocolServer, *, stream: bool = False, timeout: float = 5) -> str:
    client = ollama.Client(at.url, timeout=timeout, verify=False)
    if stream:
        return "".join(chunk.message.content or "" for chunk in client.chat("m", HELLO, stream=True, options=FEW))
    return client.chat("m", HELLO, options=FEW).message.content or ""


@each("stream", [False, True])
@each(
    ("kind", "status", "text"),
    [
        ("busy", 503, BUSY),
        ("crash", 500, CRASHED),
        ("html", 502, "<html><body><h1>502 Bad Gateway</h1></body></html>\n"),
        ("unauthorized", 401, "unauthorized"),
        ("too_many", 429, "too many requests"),
        ("error", 500, "something went wrong"),
    ],
)
def test_a_refusal_reaches_the_client_once(behind: Behind, kind: str, status: int, text: str, stream: bool) -> None:
    with server(behind) as at:
        at.fault(kind)

        with pytest.raises(ollama.ResponseError) as caught:
            ask(at, stream=stream)

        assert (caught.value.status_code, caught.value.error) == (status, text)
        assert ask(at, stream=stream) == behind.text
        assert [entry.fault for entry in at.requests] == [kind, None]


def test_a_crash_loads_the_model_again(behind: Behind) -> None:
    with server(behind) as at:
        ask(at)
        at.fault("crash")
        with pytest.raises(ollama.ResponseError):
            ask(at)
        ask(at)

        assert at.loads == {"m:latest": 2}


@each("stream", [False, True])
@each(("kind", "lines"), [("reset", None), ("reset", 0), ("cut", 0), ("reset", 2), ("cut", 2)])
def test_a_broken_connection_is_an_error_of_the_transport(
    behind: Behind, kind: str, lines: int | None, stream: bool
) -> None:
    with server(behind) as at:
        at.fault(kind, lines=lines)

        with pytest.raises((httpx.TransportError, json.JSONDecodeError)):
            ask(at, stream=stream)

        assert ask(at, stream=stream) == behind.text


@pytest.mark.parametrize("lines", [None, 2])
def test_a_stall_ends_with_the_client_s_patience_and_is_seen_by_the_server(behind: Behind, lines: int | None) -> None:
    with server(behind) as at:
        at.fault("stall", lines=lines)

        with pytest.raises(httpx.ReadTimeout):
            ask(at, stream=True, timeout=0.2)
        until = time.monotonic() + 5
        while not at.requests[0].disconnected and time.monotonic() < until:
            time.sleep(0.01)

        assert at.requests[0].disconnected
        assert ask(at) == behind.text


def test_a_stall_that_ends_is_only_slow(behind: Behind) -> None:
    with server(behind) as at:
        at.fault("stall", seconds=0.1, lines=1)
        assert ask(at, stream=True) == behind.text


@pytest.mark.parametrize("size", [1, 7, 100])
def test_bytes_that_drip_are_read_as_the_same_text(size: int) -> None:
    with ProtocolServer([FakeModel("m", "großer Spaß 你好 😀")]) as at:
        at.fault("drip", size=size, seconds=0.0)
        chunks = ollama.Client(at.url, verify=False).chat("m", HELLO, stream=True)
        assert "".join(chunk.message.content or "" for chunk in chunks) == "großer Spaß 你好 😀"


def test_two_lines_in_one_chunk_are_two_lines(behind: Behind) -> None:
    with server(behind) as at:
        at.fault("join")
        assert ask(at, stream=True) == behind.text


def test_an_error_line_after_some_chunks_has_no_status(behind: Behind) -> None:
    with server(behind) as at:
        at.fault("error_line", lines=2, text="out of memory")
        got = []

        with pytest.raises(ollama.ResponseError, match="out of memory") as caught:
            for chunk in ollama.Client(at.url, verify=False).chat("m", HELLO, stream=True, options=FEW):
                got.append(chunk.message.content)

        assert (caught.value.status_code, len(got)) == (-1, 2)


def test_an_error_line_may_hold_the_json_of_llama_server(behind: Behind) -> None:
    with server(behind) as at:
        at.fault("error_line", text='{"error":{"code":500,"message":"boom"}}')

        with pytest.raises(ollama.ResponseError) as caught:
            ask(at, stream=True)

    assert "boom" in str(caught.value.error)


def test_a_stream_may_end_without_its_last_chunk(behind: Behind) -> None:
    with server(behind) as at:
        at.fault("no_done")
        chunks = list(ollama.Client(at.url, verify=False).chat("m", HELLO, stream=True, options=FEW))

        assert "".join(chunk.message.content or "" for chunk in chunks) == behind.text
        assert not any(chunk.done for chunk in chunks)


def test_a_reply_may_say_that_it_is_not_done(behind: Behind) -> None:
    with server(behind) as at:
        at.fault("done_false")
        reply = ollama.Client(at.url, verify=False).chat("m", HELLO, options=FEW)

    assert (reply.done, reply.done_reason, reply.message.content) == (False, None, behind.text)


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_may_be_that_of_a_load(behind: Behind, stream: bool) -> None:
    with server(behind) as at:
        at.fault("load")
        assert ask(at, stream=stream) == ""


@pytest.mark.parametrize("kind", ["blank_line", "raw_line"])
def test_a_line_that_is_no_json_breaks_the_client(behind: Behind, kind: str) -> None:
    with server(behind) as at:
        at.fault(kind)
        with pytest.raises(json.JSONDecodeError):
            ask(at, stream=True)


def test_an_error_that_is_no_object_breaks_the_client(behind: Behind) -> None:
    with server(behind) as at:
        at.fault("not_object")
        with pytest.raises(AttributeError):
            ask(at)


def test_a_server_that_is_down_comes_back_on_its_port(behind: Behind) -> None:
    with server(behind) as at:
        port = at.port
        at.stop()
        with pytest.raises(ConnectionError, match="Failed to connect"):
            ask(at)
        with pytest.raises(httpx.ConnectError):
            ask(at, stream=True)
        at.start()

        assert (ask(at), at.port) == (behind.text, port)
        assert at.loads == {"m:latest": 1}


def test_connections_are_refused_for_a_while_after_some_replies(behind: Behind) -> None:
    with server(behind) as at:
        at.fault("refuse", after=2, seconds=0.25)
        client = ollama.Client(at.url, verify=False)
        for _ in range(2):
            client.chat("m", HELLO, options=FEW)

        time.sleep(0.05)
        with pytest.raises(ConnectionError):
            client.chat("m", HELLO, options=FEW)
        until = time.monotonic() + 5
        while not at.is_running and time.monotonic() < until:
            time.sleep(0.01)

        assert client.chat("m", HELLO, options=FEW).message.content == behind.text
        assert len(at.requests) == 3


def test_a_rule_chooses_the_fault_by_the_request(behind: Behind) -> None:
    with server(behind) as at:
        at.faults.rule = lambda entry: Fault("busy") if entry.number % 2 else None
        outcomes: list[str | int] = []
        for _ in range(6):
            try:
                outcomes.append(ask(at))
            except ollama.ResponseError as error:
                outcomes.append(error.status_code)

    assert outcomes == [behind.text, 503] * 3


def test_faults_are_for_requests_that_ask_a_model_unless_a_path_is_named(behind: Behind) -> None:
    with server(behind) as at:
        at.fault("busy")
        at.fault("html", path="/api/tags")
        client = ollama.Client(at.url, verify=False)
        client.show("m")
        with pytest.raises(ollama.ResponseError) as tags:
            client.list()
        with pytest.raises(ollama.ResponseError) as chat:
            client.chat("m", HELLO, options=FEW)

    assert (tags.value.status_code, chat.value.status_code) == (502, 503)


def test_a_server_that_dies_answers_nobody(behind: Behind) -> None:
    with server(behind) as at:
        at.fault("die")
        with pytest.raises(httpx.TransportError):
            ask(at)
        with pytest.raises(ConnectionError):
            ask(at)
        at.start()
        assert ask(at) == behind.text


def test_an_unknown_fault_names_those_there_are(behind: Behind) -> None:
    with server(behind) as at, pytest.raises(ValueError, match=f"there are {next(iter(KINDS))}"):
        at.fault("meteor")
