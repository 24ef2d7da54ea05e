"""An outage pauses a run and ends it resumably; a call that hangs ends at a deadline and is sent once."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.lm.cache.test_flight import run_in_threads
from tests.lm.engines.test_ollama import chats, engine_on, patient, text_request
from tests.lm.engines.test_openai import GOOD, asking, in_turn
from tests.lm.engines.test_openai import engine as openai_engine
from tests.lm.front import Act, Front, chat_reply, free_port, front
from tests.lm.pool.test_pool import Clock, Machine, call, down, pool_of
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.cli.choosing import chosen_lm
from tunesmith.errors import ModelMissing, ModelUnavailable, UsageError
from tunesmith.experiments import Project
from tunesmith.lm import LM, Budget, Engine, Meter, ReplyCache, Request, Response, StopSignal, build_lm, lm, metered
from tunesmith.lm.engine import Resend, missing_model, refused, resend_of, unavailable
from tunesmith.lm.patience import Patience, Watch
from tunesmith.lm.waiting import time_left


class Naps(Clock):
    """A clock that passes when somebody waits, and tells when `due` comes."""

    def __init__(self, due: float = 1e9, then: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.taken: list[float] = []
        self._due, self._then = due, then

    def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        self.now += seconds
        if self.now >= self._due:
            self._due = 1e9
            self._then()

    def patience(self, **given: Any) -> Patience:
        return Patience(clock=self, sleep=self.sleep, **given)


class Served:
    """An engine that is known by a digest, on a `Machine` that may be switched off."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.inner = machine.engine()
        self.identity, self.capabilities = self.inner.identity, self.inner.capabilities

    def complete(self, request: Request) -> Response:
        return self.inner.complete(request)

    stream = embed = complete  # type: ignore[assignment]

    def close(self) -> None: ...


def model_on(machine: Machine, patience: Patience, cache: ReplyCache | None = None) -> LM:
    engine: Any = Served(machine)
    return build_lm("double/m", engine, cache=cache, patience=patience)


@contextmanager
def in_a_run(budget: Budget | None = None) -> Iterator[Meter]:
    meter = Meter(budget)
    with metered(meter):
        yield meter


def stopped(ask: Callable[[], Any]) -> Exception:
    with pytest.raises(StopSignal) as caught:
        ask()
    return caught.value.error


# Outages ----------------------------------------------------------------------------------------------------


def test_a_run_goes_on_where_the_server_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine("a")
    naps = Naps(30.0, lambda: setattr(machine, "up", True))
    model = model_on(machine, naps.patience())
    machine.up = False
    with in_a_run() as meter:
        assert model.send(call("x")).text == "x!"
        assert model.send(call("y")).text == "y!"
    assert naps.taken == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert (meter.charged.calls, meter.paid.calls) == (2, 2)
    assert meter.charged.seconds < 1.0, "the pause is nobody's time"
    said = [record.message for record in caplog.records]
    assert said[0].startswith("The server does not answer; trying again for 120 s.")
    assert said[1:] == ["The server answers again after 35 s."]


def test_a_server_that_stays_away_ends_the_run_and_is_not_waited_for_again() -> None:
    naps, machine = Naps(), Machine("a")
    model = model_on(machine, naps.patience(seconds=20.0))
    machine.up = False
    with in_a_run() as meter:
        error = stopped(lambda: model.send(call("x")))
        assert isinstance(error, ModelUnavailable)
        assert "refused" in str(error)
        assert "waited 20 s" in str(error)
        stopped(lambda: model.send(call("y")))
        assert naps.taken == [1.0, 2.0, 4.0, 8.0, 5.0], "who comes after does not wait as long again"
        machine.up = True
        assert model.send(call("z")).text == "z!"
        machine.up = False
        stopped(lambda: model.send(call("z")))
        assert naps.taken[5:] == [1.0, 2.0, 4.0, 8.0, 5.0], "a new outage"
    assert meter.charged.calls == 1


@pytest.mark.parametrize("how", ["outside of a run", "never answered", "patience 0"])
def test_nobody_waits(how: str) -> None:
    naps, machine = Naps(), Machine("a", digest=None if how == "never answered" else "d")
    model = model_on(machine, naps.patience(**({"seconds": 0.0} if how == "patience 0" else {})))
    machine.up = False
    if how == "outside of a run":
        with pytest.raises(ModelUnavailable):
            model.send(call("x"))
    else:
        with in_a_run():
            stopped(lambda: model.send(call("x")))
    assert naps.taken == []
    assert len(machine.seen) == 1


def test_a_server_known_by_name_only_is_waited_for_once_it_has_answered() -> None:
    machine = Machine("a", digest=None)
    naps = Naps(5.0, lambda: setattr(machine, "up", True))
    model = model_on(machine, naps.patience())
    with in_a_run():
        model.send(call("x"))
        machine.up = False
        assert model.send(call("y")).text == "y!"


@each(
    ("fault", "sent"),
    [
        (unavailable("cut", resend=Resend.ONCE), 2),
        (unavailable("hangs", resend=Resend.NEVER), 1),
        (missing_model("no such model"), 1),
        (refused("bad schema"), 1),
    ],
    ids=["broken connections", "hanging", "missing", "refused"],
)
def test_what_waiting_does_not_mend_is_not_waited_for(fault: Exception, sent: int) -> None:
    naps, machine = Naps(), Machine("a")
    model = model_on(machine, naps.patience())
    machine.fault = fault
    with in_a_run(), pytest.raises((StopSignal, type(fault))):
        model.send(call("x"))
    assert len(machine.seen) == sent


def test_one_thread_looks_for_the_server_and_the_others_wait_for_it() -> None:
    machine, barrier = Machine("a"), threading.Barrier(8)
    naps = Naps(30.0, lambda: setattr(machine, "up", True))
    model = model_on(machine, naps.patience())
    machine.up = False

    def work() -> None:
        if naps.now == 0.0:
            barrier.wait(5)
            raise down()

    machine.work = work

    def ask(number: int) -> None:
        with in_a_run():
            assert model.send(call(f"{number}")).text == f"{number}!"

    run_in_threads(8, ask)
    assert len(naps.taken) == 6, "one after the other they would take 48 pauses"
    assert len(machine.seen) == 8 + 6 + 7, "all were refused, one looked, the others came again"


def test_a_pause_is_no_longer_than_the_run_has_left() -> None:
    naps, machine = Naps(), Machine("a")
    model = model_on(machine, naps.patience())
    machine.up = False
    with in_a_run(Budget(wall_seconds=4)):
        stopped(lambda: model.send(call("x")))
    assert sum(naps.taken) <= 4


def test_an_outage_of_a_real_server_costs_nothing_but_time(tmp_path: Path) -> None:
    with ProtocolServer([FakeModel("m", reply="yes")]) as server:
        naps = Naps(30.0, server.start)
        engine = engine_on(server, policy=patient(sleep=lambda seconds: None))
        model = build_lm("ollama/m", engine, cache=ReplyCache(tmp_path), patience=naps.patience())
        with in_a_run():
            model.send(text_request("a"))
            server.stop()
            assert model.send(text_request("b")).text == "yes"
        assert len(chats(server)) == 2


def test_a_server_that_comes_back_with_another_model_ends_the_run(tmp_path: Path) -> None:
    with ProtocolServer([FakeModel("m", reply="yes")]) as server:

        def back() -> None:
            server.world.library.remove("m")
            server.world.library.add(FakeModel("m", reply="no", weights="other"))
            server.start()

        engine = engine_on(server, policy=patient(sleep=lambda seconds: None))
        model = build_lm("ollama/m", engine, cache=ReplyCache(tmp_path), patience=Naps(5.0, back).patience())
        with in_a_run():
            model.send(text_request("a"))
            server.stop()
            error = stopped(lambda: model.send(text_request("b")))
            assert isinstance(error, ModelMissing)
            assert "another model 'm': digest was" in str(error)
        assert len(chats(server)) == 1


def test_a_server_of_openais_protocol_is_waited_for() -> None:
    script = in_turn(GOOD)
    first = Front(script)
    again: list[Front] = []
    naps = Naps(30.0, lambda: again.append(Front(script, port=first.port)))
    engine: Engine = openai_engine(first)
    model = build_lm("openai/m", engine, patience=naps.patience())
    with in_a_run():
        model.send(asking())
        first.stop()
        assert model.send(asking()).text == "fine"
    again[0].stop()


def test_in_an_evaluation_an_outage_leaves_no_row() -> None:
    naps, machine = Naps(), Machine("a")
    model = model_on(machine, naps.patience(seconds=10.0))
    machine.work = lambda: setattr(machine, "up", len(machine.seen) < 3)
    data = [dspy.Example(text=f"{number}", answer="x").with_inputs("text") for number in range(5)]
    with pytest.raises(ModelUnavailable, match="waited"):
        ts.evaluate(ts.Predict("text -> answer"), data, lambda example, found: 1.0, lm=model)


# Calls that hang --------------------------------------------------------------------------------------------


def test_a_call_has_a_deadline_from_the_latencies_of_its_kind() -> None:
    clock = Naps()
    watch = Watch(clock.patience(calls=20, factor=10.0, floor=30.0))

    def taking(seconds: float) -> Callable[[], float]:
        def work() -> float:
            left = time_left()
            clock.now += seconds
            return math.inf if left is None else left + time.monotonic()

        return work

    def ask(seconds: float, kind: int = 512) -> float:
        start = clock.now
        return watch.through(taking(seconds), kind=kind, known=True) - start

    for number in range(20):
        assert ask(5.0 if number % 10 == 0 else 1.0) == float("inf"), "before 20 calls only the engine's own limit"
    assert ask(1.0) == pytest.approx(50.0)
    assert ask(1.0, kind=64) == float("inf"), "calls of another kind take another time"
    for _ in range(200):
        ask(0.1)
    assert ask(0.1) == pytest.approx(30.0), "a server that loads its model is not hanging"


@pytest.mark.parametrize("seen", [0, 3], ids=["timeout", "deadline"])
def test_a_call_that_hangs_on_ollama_is_sent_once(seen: int) -> None:
    with ProtocolServer([FakeModel("m", reply="yes")]) as server:
        engine = engine_on(server, policy=patient(timeout=20.0 if seen else 0.4))
        model = build_lm("ollama/m", engine, patience=Patience(calls=3, floor=0.3, factor=1.0))
        with in_a_run():
            for number in range(seen):
                model.send(text_request(f"{number}"))
            server.fault("stall", times=None)
            start = time.monotonic()
            error = stopped(lambda: model.send(text_request("x")))
            assert time.monotonic() - start < 2.0
        assert isinstance(error, ModelUnavailable)
        assert ("95 of 100 calls" in str(error)) is bool(seen)
        assert len(chats(server)) == seen + 1


@pytest.mark.parametrize("seen", [0, 3], ids=["timeout", "deadline"])
def test_a_call_that_hangs_on_a_server_of_openais_protocol_is_sent_once(seen: int) -> None:
    acts = [Act(body=chat_reply("fine"))] * seen
    with front(in_turn(*acts, Act("stall", seconds=1.0))) as server:
        engine: Engine = openai_engine(server, timeout=20.0 if seen else 0.3)
        model = build_lm("openai/m", engine, patience=Patience(calls=3, floor=0.3, factor=1.0))
        with in_a_run():
            for _ in range(seen):
                model.send(asking())
            error = stopped(lambda: model.send(asking()))
        assert "ReadTimeout" in str(error)
        assert len(server.chats()) == seen + 1


def test_a_call_that_hangs_goes_to_no_other_host_of_a_pool() -> None:
    machines = [Machine("a"), Machine("b")]
    pool: Engine = pool_of(*machines)
    model = build_lm("ollama/m", pool, patience=Naps().patience())
    for machine in machines:
        machine.fault = unavailable("said nothing in time", resend=Resend.NEVER)
    with in_a_run():
        stopped(lambda: model.send(call("x")))
    assert sum(len(machine.seen) for machine in machines) == 1
    with pytest.raises(ModelUnavailable):
        model.send(call("y"))
    assert sum(len(machine.seen) for machine in machines) >= 2, "outside of a run another host is asked"


def test_two_broken_connections_of_a_pool_are_not_tried_a_third_time() -> None:
    machines = [Machine("a"), Machine("b")]
    for machine in machines:
        machine.fault = unavailable("broken pipe", resend=Resend.ONCE)
    with pytest.raises(ModelUnavailable) as caught:
        pool_of(*machines).complete(call("x"))
    assert resend_of(caught.value) is Resend.NEVER


# How it is set ----------------------------------------------------------------------------------------------


def test_patience_is_an_option_and_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_port()}"

    def seconds(**given: Any) -> float:
        return lm("ollama/m", host=address, cache=False, **given)._stack._watch._policy.seconds

    assert seconds() == 120.0
    monkeypatch.setenv("TUNESMITH_PATIENCE", "")
    assert seconds() == 120.0
    monkeypatch.setenv("TUNESMITH_PATIENCE", "7.5")
    assert seconds() == 7.5
    assert seconds(patience=0) == 0.0
    assert lm("ollama/m", host=address, patience=3).dump_state()["patience"] == 3
    for wrong in ("-1", "soon", "nan"):
        monkeypatch.setenv("TUNESMITH_PATIENCE", wrong)
        with pytest.raises(UsageError, match="TUNESMITH_PATIENCE"):
            seconds()
    with pytest.raises(UsageError, match="`patience`"):
        seconds(patience=-1)
    assert Patience()._replace(seconds=1.0).seconds == 1.0


def test_patience_is_a_key_of_the_project_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tunesmith.toml"

    def model(value: str) -> LM:
        file.write_text(f'[lm]\nspec = "ollama/m"\nhost = "127.0.0.1:{free_port()}"\npatience = {value}\n', "utf-8")
        return chosen_lm(None, Project.load(file), store=False)

    for value, seconds in (("7.5", 7.5), ("30", 30.0), ("0", 0.0)):
        assert model(value)._stack._watch._policy.seconds == seconds
    with monkeypatch.context() as within:
        within.setenv("TUNESMITH_PATIENCE", "3")
        assert model("7.5")._stack._watch._policy.seconds == 3.0, "the variable comes before the file"
    for wrong in ("-1", "'long'", "true", "inf"):
        with pytest.raises(UsageError, match=r"tunesmith\.toml, line 4: `lm\.patience`"):
            model(wrong)


def test_the_identity_and_the_key_do_not_depend_on_patience() -> None:
    with ProtocolServer([FakeModel("m", reply="yes")]) as server:
        one, other = (lm("ollama/m", host=server.url, cache=False, patience=given) for given in (1, 99))
        assert one.identity.key == other.identity.key
        assert one.kwargs == other.kwargs
