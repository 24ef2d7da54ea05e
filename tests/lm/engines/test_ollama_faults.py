"""Everything that can go wrong between the Ollama engine and its server, on the wire."""

import contextlib
import json
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import httpx
import pytest

import tunesmith as ts
from tests.lm.engines.test_ollama import chats, engine_on, patient, schema, text_request
from tests.protocol import FakeModel, Fault, ProtocolServer
from tests.scale import scaled
from tunesmith.errors import ContextOverflow, ModelError, ModelMissing, ModelUnavailable, RequestRefused, UsageError
from tunesmith.lm import LM, ReplyCache, Request, Response, StreamDeltaEvent, build_lm, lm
from tunesmith.lm.engines.ollama.engine import OllamaEngine, _connect, server_at
from tunesmith.lm.engines.ollama.errors import Fault as OurFault
from tunesmith.lm.engines.ollama.errors import Kind, error_of
from tunesmith.lm.engines.ollama.facts import Version, model_facts
from tunesmith.lm.engines.ollama.transport import Wire

LABEL = schema(enum=["even", "odd"])


def parity(messages: list[dict[str, Any]], options: dict[str, Any]) -> str:
    return json.dumps("odd" if int(messages[-1]["content"].split()[-1]) % 2 else "even")


@pytest.fixture(params=["0.24.0", "0.32.15"] if os.environ.get("TUNESMITH_SLOW") else ["0.24.0"])
def server(request: pytest.FixtureRequest) -> Iterator[ProtocolServer]:
    models = [
        FakeModel("m", reply=parity),
        FakeModel("llama3.2:1b", reply="x"),
        FakeModel("far:cloud", reply="x", remote=True),
        FakeModel("hidden", reply="x", remote=True),
    ]
    with ProtocolServer(models, request.param) as found:
        yield found


class Naps:
    """A `sleep` that only writes down how long."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


def in_no_time(model: LM) -> LM:
    """Return the model, whose pauses between attempts take no time."""
    server = model._stack.engine.server
    server.policy = server.policy._replace(sleep=Naps())
    return model


def number_request(number: int, **config: Any) -> Request:
    return text_request(f"number {number}", **config)


# What passes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "pauses"),
    [
        ("reset", [0.1]),
        ("cut", [0.1]),
        ("html", [0.1]),
        ("busy", [1.0]),
        ("too_many", [1.0]),
        ("load", [1.0]),
        ("drip", []),
    ],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_what_passes_is_tried_again(server: ProtocolServer, kind: str, pauses: list[float], streamed: bool) -> None:
    naps = Naps()
    engine = engine_on(server, policy=patient(sleep=naps))
    server.fault(kind, **({"size": 7} if kind == "drip" and not os.environ.get("TUNESMITH_SLOW") else {}))
    if streamed:
        deltas = [e.delta for e in engine.stream(number_request(3)) if isinstance(e, StreamDeltaEvent)]
        text = "".join(delta.text for delta in deltas)
    else:
        text = engine.complete(number_request(3)).text or ""
    assert text == '"odd"'
    assert naps.taken == pauses
    assert len(chats(server)) == 1 + len(pauses)


def test_a_refused_connection_is_tried_again(server: ProtocolServer) -> None:
    engine = engine_on(server)
    assert engine.identity
    server.refuse(0.15)
    assert engine.complete(number_request(2)).text == '"even"'


def test_a_server_that_stays_busy_is_a_typed_error_after_growing_pauses(server: ProtocolServer) -> None:
    naps = Naps()
    server.fault("busy", times=None)
    with pytest.raises(ModelUnavailable, match="busy"):
        engine_on(server, policy=patient(sleep=naps)).complete(number_request(1))
    assert naps.taken == [1.0, 2.0, 4.0, 8.0]
    assert len(chats(server)) == 5


def test_a_load_in_progress_is_waited_for(server: ProtocolServer) -> None:
    server.world.library.add(FakeModel("slow", reply="here", load_delay=0.3))
    assert engine_on(server, "slow").complete(text_request("x")).text == "here"
    server.fault("error", status=503, text="Loading model")
    assert engine_on(server, "slow", policy=patient(sleep=Naps())).complete(text_request("x")).text == "here"


def test_a_server_that_only_loads_is_a_typed_error(server: ProtocolServer) -> None:
    server.fault("load", times=None)
    with pytest.raises(ModelUnavailable, match="gives no reply"):
        engine_on(server, policy=patient(sleep=Naps())).complete(number_request(1))


@pytest.mark.slow
def test_a_silent_server_is_asked_again_within_the_deadline(server: ProtocolServer) -> None:
    server.fault("stall")
    engine = engine_on(server, policy=patient(timeout=1.0))
    assert engine.identity
    start = time.monotonic()
    assert engine.complete(number_request(1)).text == '"odd"'
    assert 0.4 < time.monotonic() - start < 1.0
    engine = engine_on(server, policy=patient(timeout=0.4))
    server.fault("stall", times=None)
    start = time.monotonic()
    with pytest.raises(ModelUnavailable, match="in time"):
        engine.complete(number_request(2))
    assert time.monotonic() - start < 1.0


def test_a_stream_that_stalls_ends_at_the_deadline(server: ProtocolServer) -> None:
    server.fault("stall", lines=1)
    engine = engine_on(server, policy=patient(timeout=0.4))
    with pytest.raises(ModelUnavailable, match="in time"):
        list(engine.stream(number_request(1)))


def test_a_slow_drip_ends_at_the_deadline(server: ProtocolServer) -> None:
    server.fault("drip", seconds=0.05, times=None)
    start = time.monotonic()
    with pytest.raises(ModelUnavailable):
        engine_on(server, policy=patient(timeout=0.4)).complete(number_request(1))
    assert time.monotonic() - start < 1.2


# What does not pass -----------------------------------------------------------------------------------------


def test_a_request_that_stopped_the_runner_goes_again_without_its_schema_only(server: ProtocolServer) -> None:
    engine = engine_on(server)
    server.fault("crash")
    assert engine.complete(number_request(7, response_format=LABEL)).text == '"odd"'
    assert ["format" in body for body in chats(server)] == [True, False]
    assert engine.complete(number_request(7, response_format=LABEL)).text == '"odd"'
    assert "format" not in chats(server)[-1], "what has stopped a runner is never sent again unchanged"
    assert engine.complete(number_request(8, response_format=LABEL)).text == '"even"'
    assert "format" in chats(server)[-1]


def test_a_crash_without_a_schema_is_typed_and_never_sent_again(server: ProtocolServer) -> None:
    engine = engine_on(server, policy=patient(sleep=Naps()))
    server.fault("crash")
    with pytest.raises(RequestRefused, match="stopped while it worked"):
        engine.complete(number_request(7))
    for _ in range(3):
        with pytest.raises(RequestRefused, match="not sent again"):
            engine.complete(number_request(7))
        with pytest.raises(RequestRefused):
            list(engine.stream(number_request(7, stop=())))
    assert len([body for body in chats(server) if not body["stream"]]) == 1
    assert engine.complete(number_request(8)).text == '"even"'


def test_a_schema_that_keeps_stopping_the_runner_is_left_out(server: ProtocolServer) -> None:
    engine = engine_on(server)
    server.faults.rule = lambda entry: Fault("crash") if "format" in (entry.body or {}) else None
    for number in range(10):
        assert engine.complete(number_request(number, response_format=LABEL)).text in ('"even"', '"odd"')
    assert sum("format" in body for body in chats(server)) == 3


def test_an_error_in_the_middle_of_a_stream_is_typed(server: ProtocolServer) -> None:
    engine = engine_on(server)
    server.fault("error_line", text="something broke", lines=1)
    events = engine.stream(number_request(1))
    with pytest.raises(ModelUnavailable, match="something broke"):
        list(events)
    server.fault("cut", lines=1)
    with pytest.raises(ModelUnavailable, match="broke off"):
        list(engine.stream(number_request(2)))
    assert len(chats(server)) == 2, "what was read is not asked again"


def test_a_stream_without_its_end_is_no_reply(server: ProtocolServer) -> None:
    server.fault("no_done")
    with pytest.raises(ModelUnavailable, match="last piece"):
        list(engine_on(server).stream(number_request(1)))


def test_a_reply_that_the_server_broke_off_counts_as_cut(server: ProtocolServer) -> None:
    server.fault("done_false")
    response = engine_on(server).complete(number_request(1))
    assert (response.text, response.finish_reason) == ('"odd"', "length")


def test_a_reply_at_the_limit_says_so_and_a_whole_value_in_it_counts(server: ProtocolServer) -> None:
    engine = engine_on(server)
    assert engine.complete(number_request(1, max_tokens=1)).finish_reason == "length"
    server.world.library.add(FakeModel("spaces", reply='{"n": 3, "m": 4}' + " " * 50, obeys_format=False))
    server.world.library.add(FakeModel("talker", reply='{"n": ' + "3" * 50, obeys_format=False))
    program = ts.Predict("text -> n: int, m: int")
    with dspy.context(lm=lm("ollama/spaces", host=server.url, max_tokens=16, cache=False)):
        assert program(text="x").m == 4
    with (
        dspy.context(lm=lm("ollama/talker", host=server.url, max_tokens=16, cache=False)),
        pytest.raises(ts.errors.ParseError) as caught,
    ):
        program(text="x")
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("kind", ["blank_line", "raw_line", "join"])
def test_odd_lines_are_read_as_they_were_meant(server: ProtocolServer, kind: str) -> None:
    server.fault(kind)
    deltas = [e.delta for e in engine_on(server).stream(number_request(1)) if isinstance(e, StreamDeltaEvent)]
    assert "".join(delta.text for delta in deltas) == ('"\u0085\u2028odd"' if kind == "raw_line" else '"odd"')


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ({"kind": "error", "status": 500, "text": "llama runner failed: out of memory"}, ModelUnavailable, "memory"),
        ({"kind": "error", "status": 500, "text": "invalid JSON schema in format"}, RequestRefused, "schema"),
        ({"kind": "error", "status": 500, "text": 'option "num_ctx" must be of type integer'}, RequestRefused, "opt"),
        ({"kind": "error", "status": 400, "text": "think value is not supported"}, RequestRefused, "think"),
        ({"kind": "error", "status": 403, "text": "cloud is disabled"}, ModelMissing, "cloud is disabled"),
        ({"kind": "unauthorized"}, ModelMissing, "ollama.com/connect"),
        ({"kind": "not_object"}, ModelUnavailable, "500"),
        (
            {"kind": "error", "status": 400, "text": json.dumps(
                {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long",
                           "n_prompt_tokens": 831, "n_ctx": 512}})},
            ContextOverflow, "831",
        ),
        (
            {"kind": "error", "status": 400, "text": "the prompt is longer than the context length currently available"},
            ContextOverflow, "estimate",
        ),
    ],
)  # fmt: skip
def test_each_error_of_the_server_is_typed_and_asked_once(
    server: ProtocolServer, fault: dict[str, Any], error: type[ModelError], says: str
) -> None:
    server.fault(**fault)
    with pytest.raises(error, match=says):
        engine_on(server).complete(number_request(1))
    assert len(chats(server)) == 1


# Nobody there -----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def test_without_a_server_the_error_says_how_to_start_one_and_what_else_there_is() -> None:
    with pytest.raises(ModelUnavailable) as caught:
        in_no_time(lm("ollama/m", host=f"127.0.0.1:{free_port()}", cache=False))("x")
    text = str(caught.value)
    assert all(word in text for word in ("ollama serve", "OLLAMA_HOST", "embedded", "models pull embedded"))


def test_a_host_that_is_not_there_is_named() -> None:
    fault = OurFault(Kind.REFUSED, "[Errno -2] Name or service not known")
    assert "http://gpu-box:11434 cannot be found" in str(error_of(fault, "http://gpu-box:11434", "m"))


def test_a_missing_model_says_how_to_get_it_and_which_are_similar(server: ProtocolServer) -> None:
    with pytest.raises(ModelMissing) as caught:
        lm("ollama/llama3.2", host=server.url, cache=False)("x")
    text = str(caught.value)
    assert "ollama pull llama3.2" in text
    assert "tunesmith models pull ollama/llama3.2" in text
    assert "llama3.2:1b" in text
    assert chats(server) == []
    with pytest.raises(ModelMissing, match="There are: "):
        lm("ollama/zzz", host=server.url, cache=False)("x")


def test_a_model_that_was_removed_meanwhile_is_missing(server: ProtocolServer) -> None:
    engine = engine_on(server)
    engine.complete(number_request(1))
    server.world.library.remove("m")
    with pytest.raises(ModelMissing, match="ollama pull m"):
        engine.complete(number_request(2))


@pytest.mark.parametrize("page", [b"<html>hello</html>", b'{"object": "list"}', b'["a"]', b""])
def test_another_server_is_told_apart(page: bytes) -> None:
    with (
        listening_with(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page)
        ) as port,
        pytest.raises(ModelMissing, match="not an Ollama server"),
    ):
        lm("ollama/m", host=f"127.0.0.1:{port}", cache=False)("x")


def test_a_server_that_sends_us_elsewhere_is_not_followed() -> None:
    reply = b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:9/api/version\r\nContent-Length: 0\r\n\r\n"
    with listening_with(reply) as port, pytest.raises(ModelMissing, match=r"moved to http://127\.0\.0\.1:9"):
        lm("ollama/m", host=f"127.0.0.1:{port}", cache=False)("x")


def test_a_host_name_that_the_server_does_not_serve_is_told(server: ProtocolServer) -> None:
    with (
        listening_with(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as port,
        pytest.raises(ModelMissing, match=r"OLLAMA_HOST=0\.0\.0\.0"),
    ):
        lm("ollama/m", host=f"127.0.0.1:{port}", cache=False)("x")


class listening_with:
    """A socket that gives every connection the same bytes."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply

    def __enter__(self) -> int:
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()
        return int(self.socket.getsockname()[1])

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(self.reply)

    def __exit__(self, *_: object) -> None:
        self.socket.close()


# What may leave this machine --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["far:cloud", "gpt-oss:120b-cloud", "Kimi-K2:1T-CLOUD"])
def test_a_cloud_model_is_never_asked_unless_the_caller_says_so(server: ProtocolServer, name: str) -> None:
    with pytest.raises(ModelMissing, match="cloud=True"):
        lm(f"ollama/{name}", host=server.url, cache=False)("x")
    assert server.requests == []


def test_a_cloud_model_under_another_name_is_found_out() -> None:
    assert model_facts("mine", Version("0.32.15"), None, {"remote_host": "https://ollama.com:443"}).remote
    assert model_facts("mine", Version("0.32.15"), None, {"remote_model": "gpt-oss:120b"}).remote
    assert not model_facts("mine", Version("0.32.15"), None, {}).remote


def test_with_leave_a_cloud_model_is_asked(server: ProtocolServer) -> None:
    with pytest.raises(ModelMissing, match="Sign in"):
        lm("ollama/far:cloud", host=server.url, cloud=True, cache=False)("x")
    assert chats(server)


def test_proxies_of_the_environment_are_passed_by_on_this_machine(
    server: ProtocolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert engine_on(server).complete(number_request(1)).text == '"odd"'


def test_a_proxy_is_used_for_other_hosts_and_truncation_stays_off(
    server: ProtocolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The protocol server stands in for a proxy: a proxy is asked with the whole address."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    found = server_at("http://192.0.2.1:11434", patient(attempts=1, timeout=5))
    with pytest.raises((OurFault, ModelError)):
        found.chat({"model": "m", "messages": []}, {"truncate": False}, time.monotonic() + 5)
    assert server.requests[-1].path.endswith("/api/chat")
    assert server.requests[-1].headers["host"] == "192.0.2.1:11434"


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("http://127.0.0.1:11434", True),
        ("http://localhost:11434", True),
        ("http://[::1]:11434", True),
        ("https://ollama.example", True),
        ("http://192.0.2.1:11434", False),
        ("http://gpu-box:11434", False),
    ],
)
def test_the_key_never_goes_over_plain_http_to_another_machine(
    address: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"models": []})

    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    wire = Wire(httpx.MockTransport(answer), time.monotonic)
    wire.begin(time.monotonic() + 5)
    _connect(address, wire).list()
    assert (seen[0].headers.get("authorization") == "Bearer secret") is kept
    assert kept or "secret" not in str(seen[0].headers)


# Many calls -------------------------------------------------------------------------------------------------

KINDS = ("refuse", "reset", "cut", "stall", "busy", "crash")


class Weather:
    """Which fault meets which request: one in ten, every kind equally often, in random order."""

    def __init__(self, calls: int, seed: int) -> None:
        chance = random.Random(seed)
        count = calls // 10
        kinds = [KINDS[number % len(KINDS)] for number in range(count)]
        chance.shuffle(kinds)
        self.plan = dict(zip(chance.sample(range(calls), count), kinds, strict=True))
        self.met: list[str] = []
        self._number = 0
        self._lock = threading.Lock()

    def __call__(self, entry: Any) -> Fault | None:
        if entry.path != "/api/chat":
            return None
        with self._lock:
            kind = self.plan.pop(self._number, None)
            self._number += 1
            if kind is None:
                return None
            self.met.append(kind)
        return Fault(kind, details={"seconds": 0.15} if kind == "refuse" else {})


class Timed(OllamaEngine):
    """An engine that remembers its longest call."""

    longest = 0.0

    def complete(self, request: Request) -> Response:
        start = time.monotonic()
        try:
            return super().complete(request)
        finally:
            self.longest = max(self.longest, time.monotonic() - start)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nearly_all_calls_are_right_in_bad_weather(tmp_path: Path) -> None:
    calls = max(60, scaled(1000))
    timeout = 3.0 if calls == 1000 else 1.5
    # The default policy, with a deadline that so many silent servers can be waited for.
    policy = patient(timeout=timeout) if calls == 1000 else patient(timeout=timeout, pause=0.02)
    with ProtocolServer([FakeModel("m", reply=parity)], "0.24.0") as server:
        engine = Timed("m", server_at(server.url, policy))
        cache = ReplyCache(tmp_path)
        model = build_lm("ollama/m", engine, cache=cache)
        assert model.identity
        weather = Weather(calls, seed=5)
        server.faults.rule = weather
        right = 0
        for number in range(calls):
            with contextlib.suppress(ModelError):
                right += model.send(number_request(number, response_format=LABEL)).text == wanted(number)
        server.faults.rule = None
        sent = [entry for entry in server.requests if entry.path == "/api/chat"]
        assert right >= 0.99 * calls
        assert len(server.requests) <= 1.2 * calls, "facts included"
        assert engine.longest < timeout
        assert all(weather.met.count(kind) >= max(1, calls // 100) for kind in KINDS)
        bodies = [json.dumps(entry.body, sort_keys=True) for entry in sent]
        crashed = [number for number, entry in enumerate(sent) if entry.fault == "crash"]
        assert crashed
        assert not [n for n in crashed if bodies[n] in bodies[n + 1 :]], "what stopped a runner was sent again"
        before, found = len(sent), []
        for number in range(calls):
            with contextlib.suppress(ModelError):  # the few that no calm weather helps: they stop the runner
                found.append(model.send(number_request(number, response_format=LABEL)).text == wanted(number))
        again = [entry for entry in server.requests if entry.path == "/api/chat"]
        assert all(found)
        assert len(found) >= right
        assert len(again) - before <= calls - right, "what was answered is in the cache, and right"


def wanted(number: int) -> str:
    return json.dumps("odd" if number % 2 else "even")


def test_no_message_names_a_secret(server: ProtocolServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "very-secret")
    host = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UsageError) as told:
        lm("ollama/m", host=host.replace("//", "//user:very-secret@"), cache=False)
    assert "very-secret" not in str(told.value)
    model = in_no_time(lm("ollama/m", host=host, cache=False))
    with pytest.raises(ModelUnavailable) as caught:
        model("x")
    assert "very-secret" not in str(caught.value)
    assert "very-secret" not in json.dumps(model.dump_state())
