"""Several hosts behind one model: the same host for the same prefix, none for the dead, refused where they differ."""

import contextlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.engine import EngineContract
from tests.protocol import FakeModel, ProtocolServer, ServerProcess
from tests.scale import scaled
from tunesmith.errors import ModelUnavailable, RequestRefused, UsageError
from tunesmith.lm import (
    Capabilities,
    Config,
    Engine,
    Identity,
    Message,
    Request,
    Response,
    StreamDeltaEvent,
    lm,
    text_response,
)
from tunesmith.lm.engine import TextDelta, refused, unavailable
from tunesmith.lm.pool.engine import PoolEngine


class Machine:
    """A host as a double: it can be switched off, and may come back with other weights."""

    def __init__(self, name: str, digest: str | None = "d1", **details: str) -> None:
        self.name, self.digest, self.details = name, digest, details
        self.up = True
        self.fault: Exception | None = None
        self.seen: list[Request] = []
        self.together = self.most = 0
        self.work: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def engine(self) -> "Served":
        return Served(self)


class Served:
    """One look at a `Machine`, as an engine; what it serves is read when it is made."""

    capabilities = Capabilities(frozenset({"grammar", "json_schema"}), logprobs=5, embeddings=True)

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        if not machine.up:
            raise down()
        details = tuple(sorted({"address": machine.name, **machine.details}.items()))
        self.identity = Identity("double", "m", machine.digest, details)

    def complete(self, request: Request) -> Response:
        machine = self._machine
        with machine._lock:
            machine.seen.append(request)
            machine.together += 1
            machine.most = max(machine.most, machine.together)
        try:
            machine.work()
            if machine.fault is not None:
                raise machine.fault
            if not machine.up:
                raise down()
            return text_response(f"{request.messages[-1].parts[0].text}!", model="m", input_tokens=1, output_tokens=1)
        finally:
            with machine._lock:
                machine.together -= 1

    def stream(self, request: Request) -> Any:
        from tunesmith.lm import StreamEndEvent, StreamStartEvent

        yield StreamStartEvent(model="m")
        text = self.complete(request).text
        yield StreamDeltaEvent(TextDelta(text[:1]))
        if self._machine.details.get("cuts"):
            raise unavailable("cut")
        yield StreamDeltaEvent(TextDelta(text[1:]))
        yield StreamEndEvent(finish_reason="stop")

    def embed(self, texts: list[str]) -> list[list[float]]:
        if not self._machine.up:
            raise down()
        return [[float(len(text)), float(text.endswith("k"))] for text in texts]

    def close(self) -> None:
        self._machine.up = False


def down() -> ModelUnavailable:
    error = unavailable("connection refused")
    error.__cause__ = httpx.ConnectError("refused")
    return error


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def pool_of(*machines: Machine, clock: Clock | None = None, **given: Any) -> PoolEngine:
    clock = Clock() if clock is None else clock
    hosts = {machine.name: machine.engine for machine in machines}
    return PoolEngine(hosts, clock=clock, sleep=clock.sleep, **given)


def call(text: str, prefix: str = "p", **config: Any) -> Request:
    return Request(model="m", system=prefix, messages=(Message.user(text),), config=Config(**config))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.002)


class TestPool(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        def grammar(machine: Machine) -> Machine:
            served = machine.engine

            class Labels(Served):
                def complete(self, request: Request) -> Response:
                    text = str((request.config.extensions or {}).get("grammar", ""))
                    if "nowhere" in text:
                        raise refused("no such rule")
                    return text_response(
                        "positive" if text else '"positive"', model="m", input_tokens=1, output_tokens=1
                    )

            machine.engine = lambda: Labels(machine)  # type: ignore[method-assign]
            assert served is not None
            return machine

        return pool_of(grammar(Machine("a")), grammar(Machine("b")))


# Which host --------------------------------------------------------------------------------------------------------


def test_a_prefix_stays_on_one_host_and_prefixes_are_spread() -> None:
    machines = [Machine("a"), Machine("b")]
    pool = pool_of(*machines)
    for number in range(60):
        pool.complete(call(str(number), prefix=f"p{number % 4}"))
    seen = [Counter(str(request.system) for request in machine.seen) for machine in machines]
    assert all(len(counts) == 2 for counts in seen), "four prefixes over two hosts"
    assert all(count == 15 for counts in seen for count in counts.values())


def test_system_earlier_messages_and_options_make_the_prefix_and_the_last_message_does_not() -> None:
    machines = [Machine("a"), Machine("b")]
    pool = pool_of(*machines)

    def where(request: Request) -> str:
        pool.complete(request)
        return next(machine.name for machine in machines if machine.seen and machine.seen[-1] is request)

    assert where(call("x")) == where(call("y" * 500)) == where(call("z"))
    shots = (Message.user("q"), Message.assistant("a"))
    others = [
        call("x", prefix="q"),
        call("x", temperature=0.5),
        Request(model="m", system="p", messages=(*shots, Message.user("x"))),
        Request(model="m", system=None, messages=(Message.user("x"),)),
    ]
    homes = [where(request) for request in others]
    assert homes == [where(request) for request in others]
    assert set(homes) == {"a", "b"}, "each is a prefix of its own"


def test_a_single_busy_prefix_uses_the_idle_host_too() -> None:
    machines, pair = [Machine("a"), Machine("b")], threading.Barrier(2, timeout=30)
    for machine in machines:
        machine.work = lambda: pair.wait() and None  # two requests are always under way
    pool = pool_of(*machines)
    with ThreadPoolExecutor(2) as threads:
        replies = list(threads.map(lambda i: pool.complete(call(str(i))).text, range(40)))
    assert replies == [f"{i}!" for i in range(40)]
    assert [len(machine.seen) for machine in machines] == [20, 20]
    assert all(machine.most == 1 for machine in machines), "never more than one request on a host with one slot"


def test_a_busy_prefix_does_not_push_another_one_out() -> None:
    machines = [Machine("a"), Machine("b")]
    for machine in machines:
        machine.work = lambda: time.sleep(0.003)
    pool = pool_of(*machines)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda i: pool.complete(call(str(i), prefix=f"p{i % 3}")), range(90)))
    for prefix in ("p0", "p1", "p2"):
        counts = [sum(request.system == prefix for request in machine.seen) for machine in machines]
        assert max(counts) >= 0.9 * 30, counts


@settings(max_examples=max(30, scaled(100)))
@given(st.lists(st.sampled_from(["p", "q", "r", "s"]), min_size=1, max_size=40), st.integers(1, 4))
def test_every_call_is_answered_and_nothing_stays_in_flight(prefixes: list[str], count: int) -> None:
    machines = [Machine(str(number)) for number in range(count)]
    pool = pool_of(*machines)
    for number, prefix in enumerate(prefixes):
        assert pool.complete(call(str(number), prefix=prefix)).text == f"{number}!"
    assert sum(status.calls for status in pool.hosts) == len(prefixes)
    assert all(status.in_flight == 0 and status.live for status in pool.hosts)
    homes = {prefix: {m.name for m in machines for r in m.seen if r.system == prefix} for prefix in set(prefixes)}
    assert all(len(names) == 1 for names in homes.values()), "alone, a prefix has one host"


def test_embeddings_and_streams_go_over_the_pool_too() -> None:
    machines = [Machine("a"), Machine("b")]
    pool = pool_of(*machines)
    assert pool.embed(["a", "bank"]) == [[1.0, 0.0], [4.0, 1.0]]
    events = list(pool.stream(call("hello")))
    assert [event.type for event in events] == ["start", "delta", "delta", "end"]
    left = pool.stream(call("hello"))
    next(left)
    left.close()
    assert all(status.in_flight == 0 for status in pool.hosts)
    pool.close()
    assert not any(machine.up for machine in machines)


# Hosts that die and come back -----------------------------------------------------------------------------------------


def test_a_dead_host_is_left_and_its_prefixes_come_back_to_it() -> None:
    machines, clock = [Machine("a"), Machine("b")], Clock()
    pool = pool_of(*machines, clock=clock)
    for number in range(8):
        pool.complete(call(str(number), prefix=f"p{number % 2}"))
    home = machines[0]
    theirs = str(home.seen[0].system)
    home.up = False
    assert pool.complete(call("now", prefix=theirs)).text == "now!"
    tried = len(home.seen)
    for number in range(5):
        pool.complete(call(str(number), prefix=theirs))
    assert len(home.seen) == tried, "it gets no more requests"
    assert [status.live for status in pool.hosts] == [False, True]
    assert "refused" in (pool.hosts[0].problem or "")
    clock.now += 1.5  # a probe is due; it finds nobody
    pool.complete(call("probe", prefix=theirs))
    until(lambda: not pool._hosts.all[0].probed)
    home.up = True
    pool.complete(call("later", prefix=theirs))
    assert not pool.hosts[0].live, "the pause between two looks has doubled"
    clock.now += 2.5
    pool.complete(call("again", prefix=theirs))
    until(lambda: pool.hosts[0].live)
    pool.complete(call("home", prefix=theirs))
    assert home.seen[-1].messages[-1].parts[0].text == "home"
    assert pool.hosts[0].problem is None


def test_a_host_that_is_down_at_the_start_joins_later() -> None:
    machines, clock = [Machine("a"), Machine("b")], Clock()
    machines[0].up = False
    pool = pool_of(*machines, clock=clock)
    for number in range(4):
        pool.complete(call("x", prefix=f"p{number}"))
    machines[0].up = True
    clock.now += 1.5
    pool.complete(call("x", prefix="p0"))
    until(lambda: pool.hosts[0].live)
    for number in range(4):
        pool.complete(call("x", prefix=f"p{number}"))
    assert len(machines[0].seen) >= 2, "prefixes that were placed without it are placed anew"


def test_with_nobody_left_the_pool_waits_and_then_says_so() -> None:
    machines, clock = [Machine("a"), Machine("b")], Clock()
    pool = pool_of(*machines, clock=clock)
    for machine in machines:
        machine.up = False
    with pytest.raises(ModelUnavailable, match=r"None of the hosts answers\. a: .*; b: "):
        pool.complete(call("x"))
    assert 10 < clock.now < 20
    for machine in machines:
        machine.up = True
    assert pool.complete(call("x")).text == "x!"


def test_a_request_that_breaks_two_connections_is_not_tried_on_a_third_host() -> None:
    machines = [Machine("a"), Machine("b"), Machine("c")]
    pool = pool_of(*machines)
    for machine in machines:
        machine.fault = unavailable("broken pipe")
    with pytest.raises(ModelUnavailable, match="broken pipe"):
        pool.complete(call("evil"))
    assert sum(len(machine.seen) for machine in machines) == 2


def test_an_error_about_the_request_is_the_callers_and_takes_no_host_out() -> None:
    machines = [Machine("a"), Machine("b")]
    pool = pool_of(*machines)
    for machine in machines:
        machine.fault = refused("bad schema")
    with pytest.raises(RequestRefused):
        pool.complete(call("x"))
    assert sum(len(machine.seen) for machine in machines) == 1
    assert all(status.live for status in pool.hosts)


def test_a_stream_moves_on_before_its_first_piece_only() -> None:
    machines = [Machine("a"), Machine("b")]
    pool = pool_of(*machines)
    machines[0].fault = machines[1].fault = None
    pool.complete(call("x"))
    home = next(machine for machine in machines if machine.seen)
    home.up = False
    assert [event.type for event in pool.stream(call("x"))] == ["start", "delta", "delta", "end"]
    cutting = [Machine("a", cuts="yes"), Machine("b", cuts="yes")]
    pool, got = pool_of(*cutting), []
    with pytest.raises(ModelUnavailable):
        got.extend(pool.stream(call("x")))
    assert [event.type for event in got] == ["start", "delta"]
    assert sum(len(machine.seen) for machine in cutting) == 1


# The same model everywhere ----------------------------------------------------------------------------------------------


def test_different_weights_are_refused_and_the_error_says_which() -> None:
    with pytest.raises(UsageError, match=r"b does not serve the same model as a: digest d2 there, d1 on a"):
        pool_of(Machine("a"), Machine("b", digest="d2"))
    with pytest.raises(UsageError, match="num_ctx 4096 there, 8192 on a"):
        pool_of(Machine("a", num_ctx="8192"), Machine("b", num_ctx="4096"))


def test_a_host_that_comes_back_with_other_weights_stays_out() -> None:
    machines, clock = [Machine("a"), Machine("b")], Clock()
    pool = pool_of(*machines, clock=clock)
    machines[0].up = False
    pool.complete(call("x"))
    pool.complete(call("x", prefix="q"))
    machines[0].up, machines[0].digest = True, "d2"
    clock.now += 1.5
    with pytest.warns(RuntimeWarning, match="digest d2 there"):
        pool._hosts.revive()
    count = len(machines[0].seen)
    for number in range(6):
        clock.now += 60
        pool.complete(call("x", prefix=str(number)))
    assert len(machines[0].seen) == count
    assert "d2" in (pool.hosts[0].problem or "")


def test_unverified_hosts_need_a_revision_that_the_user_states() -> None:
    with pytest.raises(UsageError, match="revision="):
        pool_of(Machine("a", digest=None), Machine("b", digest=None))
    pool = pool_of(Machine("a", digest=None, revision="r1"), Machine("b", digest=None, revision="r1"))
    assert pool.identity == Identity("double", "m", None, (("revision", "r1"),)), "the place is no part of it"


def test_what_it_can_do_is_what_every_host_can() -> None:
    pool = pool_of(Machine("a"), Machine("b"), Machine("c"), slots=2)
    assert pool.capabilities.slots == 6
    assert pool.capabilities.constraints == {"grammar", "json_schema"}


@pytest.mark.parametrize("hosts", [[], ["http://localhost:1", "http://localhost:1"], [1], 5])
def test_a_list_of_hosts_that_is_none_is_a_usage_error(hosts: Any) -> None:
    with pytest.raises(UsageError):
        lm("ollama/m", host=hosts)
    with pytest.raises(UsageError):
        lm("openai/m", base_url=hosts, revision="r")


# Over the wire: two servers, in a slow run in processes of their own -------------------------------------------------


class ServerHere:
    """A `ServerProcess` without a process, which takes half a second to start: killed, it resets its connections."""

    def __init__(self, model: FakeModel) -> None:
        self._server = ProtocolServer([model])

    @property
    def url(self) -> str:
        return self._server.url

    def start(self) -> None:
        self._server.requests.clear()
        self._server.start()

    def kill(self) -> None:
        self._server.stop()

    def requests(self) -> list[dict[str, Any]]:
        return [{"path": entry.path, "body": entry.body} for entry in self._server.requests]


def serving(folder: Path, count: int) -> ServerHere | ServerProcess:
    """Return a server whose model answers `number 7.` with `reply 7`."""
    replies = {f"number {number}.": f"reply {number}" for number in range(count)}
    model = {"name": "m", "reply": replies, "delay": 0.003}
    if not os.environ.get("TUNESMITH_SLOW"):
        return ServerHere(FakeModel(**model))
    path = folder / "script.json"
    path.write_text(json.dumps({"models": [model]}), encoding="utf-8")
    return ServerProcess("--script", str(path))


def per_prefix(servers: Sequence[ServerHere | ServerProcess]) -> list[list[int]]:
    """Return, for each of three prefixes, how many of its calls each server got."""
    logs = [
        [entry for entry in server.requests() if entry["path"].startswith(("/api/chat", "/v1/chat"))]
        for server in servers
    ]
    systems = [[entry["body"]["messages"][0]["content"] for entry in log] for log in logs]
    return [[each.count(f"prefix {number}") for each in systems] for number in range(3)]


@pytest.mark.parametrize("kind", ["ollama", pytest.param("openai", marks=pytest.mark.slow)])
def test_a_host_that_is_killed_under_load_costs_no_reply_and_is_used_again(kind: str, tmp_path: Path) -> None:
    count = max(90, scaled(300))
    third = count // 3
    servers = [serving(tmp_path, count), serving(tmp_path, count)]
    with contextlib.ExitStack() as running, ThreadPoolExecutor(2) as both:
        for server in servers:
            running.callback(server.kill)
        list(both.map(lambda server: server.start(), servers))
        if kind == "ollama":
            model = lm("ollama/m", host=[server.url for server in servers], cache=False)
            assert model.identity.digest is not None
        else:
            urls = [f"{server.url}/v1" for server in servers]
            model = lm("openai/m", base_url=urls, revision="r1", dialect="ollama", cache=False)
        assert model.slots == 2

        def ask(number: int) -> str:
            if number == third + third // 3:
                servers[0].kill()
            final = Message.user(f"number {number}.")
            return str(model(Request(model=model.model, system=f"prefix {number % 3}", messages=(final,))).text)

        with ThreadPoolExecutor(4) as threads:
            replies = list(threads.map(ask, range(third)))
            assert all(max(calls) >= 0.9 * sum(calls) for calls in per_prefix(servers)), per_prefix(servers)
            assert all(sum(calls[host] for calls in per_prefix(servers)) for host in (0, 1)), "both work"
            replies += threads.map(ask, range(third, 2 * third))
            assert [host.live for host in model._stack.engine.hosts] == [False, True]
            servers[0].start()
            number = 2 * third
            until(lambda: bool(ask(number)) and model._stack.engine.hosts[0].live)
            before = per_prefix(servers)
            replies += threads.map(ask, range(number, count))
            since = [[b - a for a, b in zip(*of, strict=True)] for of in zip(before, per_prefix(servers), strict=True)]
            assert all(max(calls) >= 0.9 * sum(calls) for calls in since), since
            assert all(sum(calls) >= 0.9 * (count - number) // 3 for calls in since), since
        assert replies == [f"reply {number}" for number in range(count)]
        back = per_prefix(servers[:1])
        assert sum(calls[0] for calls in back) >= 0.2 * (count - number), "the restarted host has its prefixes again"
        model._stack.engine.close()


def test_servers_with_different_weights_are_refused(tmp_path: Path) -> None:
    with ProtocolServer([FakeModel("m")]) as one, ProtocolServer([FakeModel("m", weights="other")]) as two:
        with pytest.raises(UsageError, match=r"does not serve the same model.*digest"):
            lm("ollama/m", host=[one.url, two.url])
        urls = [f"{server.url}/v1" for server in (one, two)]
        with pytest.raises(UsageError, match="revision="):
            lm("openai/m", base_url=urls, dialect="ollama")
