"""No call outlives its deadline: not by dripping bytes, not by what is asked before it, not by waiting for others."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lm.cache.test_flight import run_in_threads
from tests.lm.engines.test_ollama import engine_on, patient, text_request
from tests.lm.engines.test_openai import asking
from tests.lm.engines.test_openai import engine as openai_engine
from tests.lm.front import Act, front
from tests.lm.pool.test_pool import Clock, Machine, call, pool_of
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.errors import ModelUnavailable
from tunesmith.lm.bounded import _Backend, _Stream
from tunesmith.lm.cache.flight import Flight
from tunesmith.lm.engines.ollama.engine import OllamaEngine, server_at
from tunesmith.lm.waiting import sooner

LATE = 2.0  # seconds: far beyond the deadlines here, far before a call without one ends
LATE_FOR_A_DRIP = 10.0  # seconds: a reply that drips takes twice as long


@pytest.fixture(scope="module", autouse=True)
def _both_libraries_have_been_used() -> None:
    """The first call of a process imports a library and reads certificates: seconds on a cold disk, in no deadline."""
    with ProtocolServer([FakeModel("m", reply="yes")]) as server:
        engine_on(server).complete(text_request("x"))
        openai_engine(f"{server.url}/v1").complete(asking())


@contextmanager
def dripping(reply: bytes, pause: float = 0.02) -> Iterator[str]:
    """Serve `reply` byte by byte; give the address."""
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with closing(connection):
            connection.recv(65536)
            try:
                for number in range(len(reply)):
                    connection.sendall(reply[number : number + 1])
                    if over.wait(pause):
                        return
            except OSError:
                return

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)


def unavailable_within(seconds: float, ask: Callable[[], Any]) -> None:
    start = time.monotonic()
    with pytest.raises(ModelUnavailable):
        ask()
    assert time.monotonic() - start < seconds


HEADER = b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: application/json\r\n\r\n" + b" " * 1000


@pytest.mark.parametrize("reply", [HEADER, BODY], ids=["header", "body"])
def test_a_reply_that_comes_byte_by_byte_ends_at_the_deadline(reply: bytes) -> None:
    with dripping(reply) as address:
        ollama = OllamaEngine("m", server_at(address, patient(timeout=0.3)))
        unavailable_within(LATE_FOR_A_DRIP, lambda: ollama.complete(text_request("x")))
        openai = openai_engine(address, timeout=0.3, attempts=1)
        unavailable_within(LATE_FOR_A_DRIP, lambda: openai.complete(asking()))
        unavailable_within(LATE_FOR_A_DRIP, lambda: openai.embed(["x"]))


def test_a_page_that_drips_does_not_hold_a_server_of_openais_protocol_up() -> None:
    def drip() -> Iterator[bytes]:
        for _ in range(200):
            yield b" "
            time.sleep(0.02)

    with front(lambda asked: Act(body=drip())) as server:
        found = openai_engine(server, dialect=None, timeout=0.3, attempts=1)
        start = time.monotonic()
        assert found.capabilities.constraints == {"json_object", "json_schema"}
        assert time.monotonic() - start < LATE


@pytest.fixture
def server() -> Iterator[ProtocolServer]:
    with ProtocolServer([FakeModel("m", reply="yes")]) as found:
        yield found


def test_what_is_asked_about_the_model_is_a_part_of_the_first_call(server: ProtocolServer) -> None:
    server.fault("stall", path="*", seconds=0.2, times=None)  # each of four requests is quick enough by itself
    unavailable_within(LATE, lambda: engine_on(server, policy=patient(timeout=0.5)).complete(text_request("x")))
    assert all(entry.path != "/api/chat" for entry in server.requests)


def test_threads_that_wait_for_the_first_one_to_ask_wait_no_longer_than_it_may(server: ProtocolServer) -> None:
    server.fault("stall", path="*", times=None)
    engine = engine_on(server, policy=patient(timeout=0.4))
    start = time.monotonic()
    run_in_threads(8, lambda number: unavailable_within(LATE, lambda: engine.complete(text_request(f"{number}"))))
    assert time.monotonic() - start < LATE, "eight of them one after the other take 3.2 s"


def test_callers_of_one_request_do_not_wait_for_all_before_them(tmp_path: Path) -> None:
    flight, barrier, calls = Flight(tmp_path), threading.Barrier(8), []

    def away() -> None:
        calls.append(1)
        time.sleep(0.05)
        raise ModelUnavailable("no answer")

    def work(_: int) -> None:
        barrier.wait()
        with pytest.raises(ModelUnavailable):
            flight.run("k", away)

    run_in_threads(8, work)
    assert len(calls) <= 3, "a caller that came during the first call waits for the second, and no longer"


def test_a_pool_keeps_the_deadline_while_no_host_answers() -> None:
    machines, clock = [Machine("a"), Machine("b")], Clock()
    pool = pool_of(*machines, clock=clock, timeout=3.0)
    for machine in machines:
        machine.up = False
    with pytest.raises(ModelUnavailable, match="None of the hosts"):
        pool.complete(call("x"))
    assert clock.now < 3.0


def test_a_host_of_a_pool_has_what_is_left_of_the_call() -> None:
    machines, clock, ends = [Machine("a"), Machine("b")], Clock(), []
    pool = pool_of(*machines, clock=clock, timeout=3.0)

    def slow() -> None:
        ends.append(sooner(1e9))
        clock.now += 2.0
        raise ModelUnavailable("connection broke")

    for machine in machines:
        machine.work = slow
    with pytest.raises(ModelUnavailable):
        pool.complete(call("x"))
    assert ends == [3.0, 3.0]
    clock.now = 10.0
    assert patient(timeout=7.0, clock=clock).deadline() == 17.0, "outside of a call nothing of it is left"


# The connection ------------------------------------------------------------------------------------------------


class Socket:
    """A stream or backend that notes which limits it is given, and needs as long as it may."""

    def __init__(self, clock: Clock, refuses: int = 0) -> None:
        self.clock, self.refuses = clock, refuses
        self.limits: list[float | None] = []
        self.written: list[bytes] = []

    def _use(self, limit: float | None) -> None:
        self.limits.append(limit)
        self.clock.now += 0.0 if limit is None else limit / 2

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._use(timeout)
        return b"x"

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._use(timeout)
        self.written.append(buffer)

    def connect_tcp(self, host: str, port: int, timeout: float | None, *_: Any) -> "Socket":
        self._use(timeout)
        self.refuses -= 1
        if self.refuses >= 0:
            raise httpx.ConnectTimeout("nobody")
        return self


def test_each_read_and_write_has_what_is_left_and_none_when_nothing_is() -> None:
    clock = Clock()
    inner = Socket(clock)
    stream = _Stream(inner, lambda: 8.0 - clock())
    for _ in range(3):
        stream.read(1, 5.0)
    assert inner.limits == [5.0, 5.0, 3.0]
    stream.write(b"head", None)
    stream.write(b"x" * 150_000, None)
    assert inner.limits[3:] == [1.5, 0.75, 0.375], "in pieces, each with what is left then"
    clock.now = 8.0
    with pytest.raises(httpx.WriteTimeout):
        stream.write(b"x", 5.0)
    with pytest.raises(httpx.ReadTimeout):
        stream.read(1, 5.0)
    assert len(inner.limits) == 6
    assert _Stream(inner, lambda: None).read(1, 5.0) == b"x"
    assert inner.limits[-1] == 5.0, "without a deadline the limit stays"


def test_the_head_of_each_request_is_sent_with_its_body_in_one_piece() -> None:
    inner = Socket(Clock())
    stream = _Stream(inner, lambda: None)
    for pieces in ((b"head ", b"body", b""), (b"head of a request without a body", b"")):
        for piece in pieces:
            stream.write(piece)
        stream.read(1)
    stream.write(b"head alone")
    stream.read(1)
    assert inner.written == [b"head body", b"head of a request without a body", b"head alone"]


def test_the_addresses_of_a_host_share_the_time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(0, 0, 0, "", (f"10.0.0.{number}", 80)) for number in range(4)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **named: found)
    inner = Socket(Clock(), refuses=3)
    _Backend(inner, lambda: 0.3).connect_tcp("many.example", 80, timeout=0.8)
    assert inner.limits[0] == pytest.approx(0.2, abs=0.05), "a quarter"
    assert all(limit <= 0.3 for limit in inner.limits[1:] if limit is not None)
    with pytest.raises(httpx.ConnectTimeout):
        _Backend(Socket(Clock(), refuses=9), lambda: 0.3).connect_tcp("many.example", 80, timeout=0.8)
