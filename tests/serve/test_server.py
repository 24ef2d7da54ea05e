"""A real process: signals, clients that leave or are slow, large bodies, many connections."""

import gc
import signal
import socket
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import tunesmith as ts
from tests.scale import scaled
from tests.serve.front import Triage
from tests.serve.process import Process, running, wait_until
from tunesmith.errors import UsageError
from tunesmith.serve import check_address, names_of
from tunesmith.serve.server import spare_collections

pytestmark = pytest.mark.whole


def raw(process: Process, path: str, text: str) -> socket.socket:
    """Send a request and return its connection."""
    body = f'{{"text": "{text}"}}'.encode()
    connection = process.connected()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    connection.sendall(f"{head}\r\n\r\n".encode() + body)
    return connection


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> "Process":  # type: ignore[misc]
    with running(tmp_path_factory.mktemp("serve"), body_seconds=0.5, in_flight=64, deadline=2) as made:
        yield made


def test_a_client_that_leaves_ends_the_models_reply(process: Process) -> None:
    for path in ("/predict", "/predict/stream"):
        before = process.replies.read_text().count("\n")
        connection = raw(process, path, "slow 400 0.02")
        time.sleep(0.3)
        connection.close()
        wait_until(lambda before=before: process.replies.read_text().count("\n") > before)
        assert int(process.replies.read_text().splitlines()[-1].split()[0]) < 200


def test_a_request_past_its_deadline_ends_with_504_and_so_does_the_reply(process: Process) -> None:
    found = process.ask("slow 400 0.05")
    assert (found.status_code, found.json()["error"]["type"]) == (504, "DeadlineExceeded")
    wait_until(lambda: process.replies.read_text().rstrip().endswith("of 400"))


def test_a_large_body_is_refused_and_not_kept(process: Process) -> None:
    process.ask()
    before, count = process.rss(), scaled(100_000_000)
    for content in (b"x" * count, (b"x" * 65536 for _ in range(count // 65536))):
        headers = {"content-type": "application/json"}
        found = httpx.post(f"{process.url}/predict", content=content, headers=headers, timeout=60)
        assert found.status_code == 413
    assert process.rss() - before < 16e6


def test_a_client_that_sends_half_a_body_is_refused_in_time(process: Process) -> None:
    connection = process.connected()
    connection.sendall(
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"
    )
    assert b" 408 " in connection.recv(100)


def test_many_connections_are_served_or_told_to_wait(process: Process) -> None:
    count = scaled(2000)
    connections = [process.connected() for _ in range(count)]
    for connection in connections:
        body = b'{"text": "hello"}'
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        )  # fmt: skip
    statuses = {connection.recv(200).split()[1] for connection in connections}
    for connection in connections:
        connection.close()
    assert statuses <= {b"200", b"429"}
    assert process.ask().status_code == 200


def test_memory_stays_flat_under_steady_use(tmp_path: Path) -> None:
    def ask(number: int) -> None:
        with httpx.Client(base_url=process.url, timeout=60) as client:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                found = client.post("/predict", json={"text": f"hello {number}"})
                assert found.status_code == 200

    def use() -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(8)))

    seconds = 1.0
    with running(tmp_path) as process:  # with the usual limits: the bodies of a busy machine may come late
        use()
        before, seconds = process.rss(), float(scaled(60))
        use()
        assert process.rss() - before < 8e6


def test_sigterm_ends_after_the_requests_under_way(tmp_path: Path) -> None:
    with running(tmp_path) as process, ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(process.ask, "slow 20 0.05")
        wait_until(lambda: _in_flight(process) == 1)
        process.child.send_signal(signal.SIGTERM)
        wait_until(lambda: process.events("stopping"))
        assert under_way.result().json() == {"label": "billing"}
        assert process.ended() == 0
    assert process.events("stopped")


def _in_flight(process: Process) -> int:
    text = httpx.get(f"{process.url}/metrics").text
    return int(float(next(line for line in text.splitlines() if line.startswith("tunesmith_in_flight ")).split()[1]))


def test_a_reload_takes_the_new_artifact_and_a_broken_one_keeps_the_old(tmp_path: Path) -> None:
    folder, token = tmp_path / "artifact", "a-long-enough-token"
    first = ts.save(folder, ts.Predict(Triage))
    headers = {"Authorization": f"Bearer {token}"}
    with running(tmp_path, artifact=str(folder), token=token) as process:

        def served() -> str:
            return httpx.get(f"{process.url}/readyz").json()["programs"][""]["artifact"]

        assert served() == first.sha256
        second = ts.save(folder, ts.Predict(Triage.with_instructions("Name what the comment is about.")))
        assert httpx.post(f"{process.url}/-/reload").status_code == 401
        found = httpx.post(f"{process.url}/-/reload", headers=headers)
        assert (found.json(), served()) == ({"programs": {"": second.sha256}}, second.sha256)
        (folder / "state.json").write_text("{}")
        assert httpx.post(f"{process.url}/-/reload", headers=headers).status_code == 409
        process.child.send_signal(signal.SIGHUP)
        wait_until(lambda: len(process.events("reload failed")) == 2)
        assert served() == second.sha256
        assert process.ask(headers=headers).status_code == 200


def test_only_this_machine_is_served_without_a_token() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        check_address(host, None)
    for host, token in (("0.0.0.0", None), ("::", None), ("example.org", None), ("127.0.0.1", "short")):
        with pytest.raises(UsageError):
            check_address(host, token)
    check_address("0.0.0.0", "a-long-enough-token")


def test_a_service_for_this_machine_answers_to_its_own_address_and_any_name_with_a_token() -> None:
    assert {"localhost", "127.0.0.2"} <= set(names_of("127.0.0.2", None) or ())
    assert "::1" in (names_of("[::1]", None) or ())
    assert names_of("0.0.0.0", "a-long-enough-token") is None


def test_a_program_that_was_replaced_is_collected_though_what_is_loaded_is_spared() -> None:
    class Loaded:
        def __init__(self) -> None:
            self.itself = self

    loaded = Loaded()
    there = weakref.ref(loaded)
    try:
        spare_collections()
        del loaded
        gc.collect()
        assert there() is not None
        spare_collections()
        assert there() is None
    finally:
        gc.unfreeze()
