"""Stop signals and streams: whoever leaves leaves at once, and the server sees it."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import dspy
import pytest

from tests.lm.engines.test_ollama import chats, engine_on, patient, text_request
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.errors import BudgetExceeded, ModelMissing, ModelUnavailable
from tunesmith.lm import Budget, Meter, ReplyCache, StopSignal, StreamDeltaEvent, build_lm, lm, metered, stoppable
from tunesmith.lm.stack import AsyncFacade
from tunesmith.modules import stream

LONG = " ".join(str(number) for number in range(400))


@pytest.fixture
def server() -> Iterator[ProtocolServer]:
    with ProtocolServer([FakeModel("m", reply=LONG, token_delay=0.02), FakeModel("quick", reply="4")]) as found:
        yield found


def until(true: Callable[[], bool], seconds: float = 3) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def interrupt_soon() -> None:
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.15, signal.pthread_kill, [main, signal.SIGINT]).start()


def test_a_stream_that_is_left_ends_on_the_server(server: ProtocolServer) -> None:
    events = engine_on(server).stream(text_request("count", max_tokens=500))
    pieces = [next(events) for _ in range(4)]
    assert any(isinstance(piece, StreamDeltaEvent) for piece in pieces)
    events.close()
    assert until(lambda: server.requests[-1].disconnected)
    assert server.requests[-1].tokens < 100
    assert engine_on(server, "quick").complete(text_request("x")).text == "4"


def test_a_stream_through_all_layers_ends_on_the_server(server: ProtocolServer, tmp_path: Any) -> None:
    model = lm("ollama/m", host=server.url, cache=ReplyCache(tmp_path))
    events = model._stack.stream(text_request("count", max_tokens=500), 0)
    for _ in range(4):
        next(events)
    events.close()
    assert until(lambda: server.requests[-1].disconnected)
    assert model._stack.cache.stats().rows == 0, "half a reply is no reply"


def test_a_cancelled_task_ends_its_stream(server: ProtocolServer) -> None:
    model = lm("ollama/m", host=server.url, cache=False)

    async def read_some() -> None:
        events = AsyncFacade(model._stack).stream(text_request("count", max_tokens=500))
        async for event in events:
            if isinstance(event, StreamDeltaEvent):
                break
        await events.aclose()

    asyncio.run(read_some())
    assert until(lambda: server.requests[-1].disconnected)


def test_a_call_that_nobody_waits_for_ends_before_the_first_word() -> None:
    left = threading.Event()

    def check() -> None:
        if left.is_set():
            raise StopSignal(ModelUnavailable("nobody waits"))

    with ProtocolServer([FakeModel("slow", reply="4", delay=3)]) as server:
        model = lm("ollama/slow", host=server.url, cache=False)
        assert model.identity.digest
        threading.Timer(0.05, left.set).start()
        start = time.monotonic()
        with stoppable(check), pytest.raises(StopSignal):
            model("count")
        assert time.monotonic() - start < 2


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal: a process that was started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_a_call_at_once(server: ProtocolServer) -> None:
    engine = engine_on(server)
    assert engine.identity
    start = time.monotonic()
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        engine.complete(text_request("count", max_tokens=500))
    assert time.monotonic() - start < 2
    assert until(lambda: server.requests[-1].disconnected)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_a_stream_at_once(server: ProtocolServer) -> None:
    engine = engine_on(server)
    assert engine.identity
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        for _ in engine.stream(text_request("count", max_tokens=500)):
            pass
    assert until(lambda: server.requests[-1].disconnected)


class Stubborn(dspy.Module):
    """A program that takes every `Exception` for an answer."""

    def __init__(self, inner: dspy.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, **inputs: Any) -> dspy.Prediction:
        for _ in range(5):
            try:
                return self.inner(**inputs)
            except Exception:
                continue
        return dspy.Prediction(answer="I give up")


def best_of(program: dspy.Module) -> dspy.Module:
    return dspy.BestOfN(program, N=3, reward_fn=lambda inputs, prediction: 1.0, threshold=2.0, fail_count=9)


def search(query: str) -> str:
    """Look it up."""
    return "nothing"


PROGRAMS: dict[str, Callable[[], dspy.Module]] = {
    "catches everything": lambda: Stubborn(dspy.Predict("question -> answer")),
    "BestOfN": lambda: best_of(dspy.Predict("question -> answer")),
    "ReAct": lambda: dspy.ReAct("question -> answer", tools=[search], max_iters=4),
    "all of them": lambda: Stubborn(best_of(dspy.ReAct("question -> answer", tools=[search], max_iters=4))),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_end_of_a_budget_passes_through(server: ProtocolServer, name: str) -> None:
    model = lm("ollama/quick", host=server.url, cache=False)
    with (
        dspy.context(lm=model, adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)),
        metered(Meter(Budget(calls=0))),
        pytest.raises(StopSignal) as caught,
    ):
        PROGRAMS[name]()(question="2 + 2?")
    assert isinstance(caught.value.error, BudgetExceeded)
    assert chats(server) == []


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("missing", [False, True], ids=["server", "model"])
def test_the_models_absence_passes_through(server: ProtocolServer, name: str, missing: bool) -> None:
    engine = engine_on(server, "nowhere" if missing else "quick", policy=patient(attempts=2))
    model = build_lm("ollama/quick", engine, cache=None)
    if not missing:
        server.stop()
    with (
        dspy.context(lm=model, adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)),
        metered(Meter()),
        pytest.raises(StopSignal) as caught,
    ):
        PROGRAMS[name]()(question="2 + 2?")
    assert isinstance(caught.value.error, ModelMissing if missing else ModelUnavailable)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_budget_on_the_clock_ends_a_stream_and_the_server_sees_it(server: ProtocolServer, name: str) -> None:
    def clock() -> float:
        """Stand still until the server has been busy with a reply for a while."""
        asked = [entry.time for entry in server.requests if entry.path == "/api/chat"]
        return 100.0 if asked and time.time() - asked[0] > 0.1 else 0.0

    model = lm("ollama/m", host=server.url, cache=False)
    with (
        dspy.context(adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)),
        metered(Meter(Budget(wall_seconds=10), clock=clock)),
        pytest.raises(BudgetExceeded),
    ):
        list(stream(PROGRAMS[name](), lm=model, question="2 + 2?"))
    asked = [entry for entry in server.requests if entry.path == "/api/chat"]
    assert len(asked) == 1, "nobody asks again"
    assert until(lambda: asked[0].disconnected)
    assert asked[0].tokens < 400


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_an_interrupt_passes_through_and_the_server_sees_it(server: ProtocolServer, name: str, streamed: bool) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        until(lambda: bool(chats(server)), 30)
        signal.pthread_kill(main, signal.SIGINT)

    model = lm("ollama/m", host=server.url, cache=False)
    threading.Thread(target=interrupt, daemon=True).start()
    with (
        dspy.context(lm=model, adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)),
        pytest.raises(KeyboardInterrupt),
    ):
        if streamed:
            list(stream(PROGRAMS[name](), question="2 + 2?"))
        else:
            PROGRAMS[name]()(question="2 + 2?")
    assert len(chats(server)) == 1
    assert until(lambda: server.requests[-1].disconnected)
