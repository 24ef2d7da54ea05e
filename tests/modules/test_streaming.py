"""`stream`: fields while they are written."""

import asyncio
import gc
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import dspy
import pytest
from dspy.lm15 import ThinkingDelta

from tests.contracts.format import MODES, TEXTUAL, predictor, reply_of
from tests.contracts.module import answering
from tests.each import each
from tests.modules.plain_programs import Pipeline
from tests.protocol import FakeModel, ProtocolServer
from tests.protocol.backends import FunctionBackend, Job, Reply
from tests.strategies import by_name
from tunesmith.errors import BudgetExceeded, ModelMissing, ModelUnavailable, ParseError, UsageError
from tunesmith.lm import (
    LM,
    Budget,
    Capabilities,
    FunctionLM,
    Identity,
    Meter,
    ReplyCache,
    Request,
    Response,
    ScriptedLM,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    Usage,
    build_lm,
    lm,
    metered,
    text_response,
)
from tunesmith.modules import FieldDelta, Finished, Module, Predict, bind, run_told, stream

POEM = "Roses are red,\nviolets are blue"
TWO = Predict("text -> answer: str, sure: bool")


def joined(events: list[Any]) -> dict[tuple[str, int, str], str]:
    """Return the text of each field by predictor, call and name."""
    found: dict[tuple[str, int, str], str] = defaultdict(str)
    for event in events:
        if isinstance(event, FieldDelta):
            key = (event.predictor, event.call, event.field)
            found[key] = event.text if event.restart else found[key] + event.text
    return dict(found)


def read(program: Module, **given: Any) -> list[Any]:
    return list(stream(program, **given))


def read_async(program: Module, **given: Any) -> list[Any]:
    async def run() -> list[Any]:
        return [event async for event in stream(program, **given)]

    return asyncio.run(run())


class Slow:
    """An engine that says one word at a time and keeps count of who listens."""

    def __init__(self, *words: str, capabilities: Capabilities = MODES["none"]) -> None:
        self.identity, self.capabilities = Identity("slow", "slow", "0"), capabilities
        self.words, self.said, self.closed = words, 0, 0
        self.gates: dict[int, threading.Event] = {}

    def complete(self, request: Request) -> Response:
        return text_response("".join(self.words), model=request.model)

    def stream(self, request: Request) -> Iterator[Any]:
        yield StreamStartEvent(model=request.model)
        try:
            for number, word in enumerate(self.words):
                gate = self.gates.get(number)
                assert gate is None or gate.wait(10), "the first delta was not read"
                self.said += 1
                yield StreamDeltaEvent(TextDelta(word))
            yield StreamEndEvent(finish_reason="stop", usage=Usage(3, len(self.words)))
        finally:
            self.closed += 1

    def embed(self, texts: list[str]) -> list[list[float]]:
        return []

    def close(self) -> None:
        pass


def spoken(engine: Any, **options: Any) -> LM:
    return build_lm("slow", engine, **options)


@each("read_all", [read, read_async])
@each("name", TEXTUAL)
@each("mode", MODES)
def test_deltas_join_to_the_fields(name: str, mode: str, read_all: Callable[..., list[Any]]) -> None:
    case = by_name("Poem" if name.startswith("bare") else "Two")
    values = {"poem": POEM} if name.startswith("bare") else {"answer": POEM, "sure": True}
    reply = reply_of(case, name, mode, values)
    model = FunctionLM(lambda seen: reply, capabilities=MODES[mode])
    program = predictor(case, name)
    with dspy.context(lm=model):
        plain = program(text="b")

    *events, last = read_all(program, lm=model, text="b")

    assert isinstance(last, Finished)
    assert dict(last.prediction.items()) == dict(plain.items())
    found = joined(events)
    first = next(iter(values))
    assert found["self", 0, first] == plain[first]
    assert not any(event.restart for event in events)
    assert sum(event.field == first for event in events) > 2
    assert model.requests[1] == model.requests[0]


class Pieces(Slow):
    """An engine whose stream has these events."""

    def __init__(self, *events: Any) -> None:
        super().__init__()
        self.events = events

    def stream(self, request: Request) -> Iterator[Any]:
        yield from self.events


@each(
    "events",
    [
        [TextDelta("Ro"), ThinkingDelta("hm", part_index=1), TextDelta("ses", part_index=2)],
        [ThinkingDelta("hm"), TextDelta("Ro", part_index=1), ThinkingDelta("so", part_index=2), TextDelta("ses", 3)],
        [TextDelta("Ro"), TextDelta("ses")],
    ],
)
@each("end", [[StreamEndEvent(finish_reason="stop")], [StreamEndEvent()], []])
def test_the_texts_of_a_stream_are_one_with_or_without_an_end(events: list[Any], end: list[Any]) -> None:
    engine = Pieces(*map(StreamDeltaEvent, events), *end)

    *_, last = read(Predict("text -> poem"), lm=spoken(engine), text="b")

    assert last.prediction.poem == "Roses"


def test_an_event_comes_before_the_next_word_is_asked_for() -> None:
    engine = Slow("Roses ", "are red")
    engine.gates[1] = threading.Event()
    events = stream(Predict("text -> poem: str"), lm=spoken(engine), text="x")

    assert next(events) == FieldDelta("self", "poem", "Roses")
    assert engine.said == 1
    engine.gates[1].set()
    assert next(events) == FieldDelta("self", "poem", " are red")
    assert next(events).prediction.poem == "Roses are red"
    assert list(events) == []


def close_now(engine: Slow) -> None:
    events = stream(Predict("text -> poem: str"), lm=spoken(engine), text="x")
    next(events)
    events.close()
    assert list(events) == []


def leave_a_block(engine: Slow) -> None:
    with stream(Predict("text -> poem: str"), lm=spoken(engine), text="x") as events:
        next(events)


def drop_it(engine: Slow) -> None:
    gc.freeze()  # what there was before need not be looked at
    for _ in stream(Predict("text -> poem: str"), lm=spoken(engine), text="x"):
        break
    gc.collect()
    gc.unfreeze()


def raise_in_the_loop(engine: Slow) -> None:
    with pytest.raises(KeyError), stream(Predict("text -> poem: str"), lm=spoken(engine), text="x") as events:
        for _ in events:
            raise KeyError


def close_async(engine: Slow) -> None:
    async def run() -> None:
        async with stream(Predict("text -> poem: str"), lm=spoken(engine), text="x") as events:
            await anext(events)

    asyncio.run(run())


def close_async_without_aforward(engine: Slow) -> None:
    class Plain(Module):
        def __init__(self) -> None:
            super().__init__()
            self.write = Predict("text -> poem: str")

        def forward(self, text: str) -> Any:
            return self.write(text=text)

    async def run() -> None:
        async with stream(Plain(), lm=spoken(engine), text="x") as events:
            assert (await anext(events)).predictor == "write"

    asyncio.run(run())


@each(
    "leave",
    [close_now, leave_a_block, drop_it, raise_in_the_loop, close_async, close_async_without_aforward],
    ids=lambda leave: leave.__name__,
)
def test_who_leaves_early_stops_the_engine_at_once(leave: Callable[[Slow], None]) -> None:
    engine = Slow("Roses ", "are ", "red")
    engine.gates[1] = threading.Event()  # never set: nothing more would come

    started = time.monotonic()
    leave(engine)
    while engine.closed == 0 and time.monotonic() < started + 3:
        time.sleep(0.005)

    assert engine.closed == 1
    assert engine.said == 1


def test_a_stream_that_was_never_read_asks_nobody() -> None:
    model = answering()
    stream(TWO, lm=model, text="x").close()
    assert model.requests == []


def test_streams_can_be_read_side_by_side() -> None:
    model = FunctionLM(lambda seen: "one two three", cache=None)
    one, other = (stream(Predict("text -> poem: str"), lm=model, text="same") for _ in range(2))

    pairs = list(zip(one, other, strict=True))

    assert all(a == b for a, b in pairs[:-1])
    assert len(pairs) == 4


def test_many_coroutines_stream_at_once() -> None:
    model = FunctionLM(lambda seen: "one two three")

    async def one(text: str) -> list[Any]:
        return [event async for event in stream(Predict("text -> poem: str"), lm=model, text=text)]

    async def run() -> list[Any]:
        return await asyncio.gather(*(one(f"text {number}") for number in range(40)))

    assert [events[-1].prediction.poem for events in asyncio.run(run())] == ["one two three"] * 40


def test_a_cached_reply_is_one_delta_per_field(tmp_path: Any) -> None:
    model = ScriptedLM('{"answer": "forty two it is", "sure": true}', cache=ReplyCache(tmp_path))
    first, second = read(TWO, lm=model, text="x"), read(TWO, lm=model, text="x")

    assert len(first) > 4
    assert second[:-1] == [FieldDelta("self", "answer", "forty two it is"), FieldDelta("self", "sure", "true")]
    assert joined(first) == joined(second)
    with dspy.context(lm=model):
        assert TWO(text="x").answer == "forty two it is"
    assert len(model.requests) == 1


def test_what_was_streamed_is_in_the_cache_meter_and_history(tmp_path: Any) -> None:
    model = ScriptedLM('{"answer": "a b", "sure": true}', cache=ReplyCache(tmp_path))
    meter = Meter()
    with metered(meter):
        read(TWO, lm=model, text="x")
        read(TWO, lm=model, text="x")

    assert (meter.charged.calls, meter.paid.calls, meter.served) == (1, 1, 1)
    assert meter.charged.output_tokens == 5
    assert len(model.history) == 2


@pytest.mark.parametrize("read_all", [read, read_async])
def test_every_predictor_of_a_program_is_heard(read_all: Callable[..., list[Any]]) -> None:
    *events, last = read_all(Pipeline(), lm=answering(), message="my bill")

    found = joined(events)
    assert {path for path, _, _ in found} == {"route.predict", "parts['draft'].write.predict"}
    assert found["parts['draft'].write.predict", 0, "draft"] == last.prediction.draft
    assert found["route.predict", 0, "queue"] == "billing"
    assert list(found)[0] == ("route.predict", 0, "reasoning")


def test_calls_of_one_predictor_are_told_apart() -> None:
    replies = iter(["first poem", "second poem", "third poem"])
    model = FunctionLM(lambda seen: next(replies))
    best = dspy.BestOfN(
        Predict("text -> poem: str"), N=3, reward_fn=lambda given, found: "third" in found.poem, threshold=1
    )

    *events, last = read(best, lm=model, text="x")

    assert list(joined(events).values()) == ["first poem", "second poem", "third poem"]
    assert [call for _, call, _ in joined(events)] == [0, 1, 2]
    assert last.prediction.poem == "third poem"


def test_an_agent_is_heard() -> None:
    agent = dspy.ReAct("message -> queue", tools=[])

    *events, last = read(agent, lm=answering(), message="x")

    assert joined(events)["extract.predict", 0, "queue"] == last.prediction.queue
    assert ("react", 0, "next_thought") in joined(events)


def test_a_frozen_part_is_heard() -> None:
    class Outer(Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Pipeline()
            self.inner._compiled = True

        def forward(self, message: str) -> Any:
            return self.inner(message=message)

    found = joined(read(Outer(), lm=answering(), message="x"))

    assert ("inner.route.predict", 0, "queue") in found


def test_several_draws_are_several_calls() -> None:
    replies = iter(["one poem", "two poems"])
    model = FunctionLM(lambda seen: next(replies))

    *events, last = read(Predict("text -> poem: str", n=2), lm=model, text="x")

    assert joined(events) == {("self", 0, "poem"): "one poem", ("self", 1, "poem"): "two poems"}
    assert last.prediction.completions.poem == ["one poem", "two poems"]


class Careless(Module):
    """Catches every exception, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Predict("text -> poem: str"), Predict("text -> poem: str")

    def forward(self, text: str) -> Any:
        for number, step in enumerate((self.first, self.second)):
            try:
                step(text=f"{text} {number}")
            except Exception:
                continue
        return dspy.Prediction(poem="nothing happened")


@pytest.mark.parametrize("read_all", [read, read_async])
def test_the_end_of_a_budget_ends_the_stream(read_all: Callable[..., list[Any]]) -> None:
    model = FunctionLM(lambda seen: "one two")
    with metered(Meter(Budget(calls=1))), pytest.raises(BudgetExceeded):
        read_all(Careless(), lm=model, text="x")
    assert len(model.requests) == 1


@pytest.mark.parametrize("read_all", [read, read_async])
def test_a_budget_on_the_clock_ends_a_reply_in_the_middle(read_all: Callable[..., list[Any]]) -> None:
    engine, now = Slow("one ", "two ", "three "), [0.0]
    meter = Meter(Budget(wall_seconds=10), clock=lambda: now[0])

    class Ticking(Slow):
        def stream(self, request: Request) -> Iterator[Any]:
            for event in Slow.stream(engine, request):
                now[0] += 4
                yield event

    with metered(meter), pytest.raises(BudgetExceeded):
        read_all(Careless(), lm=spoken(Ticking()), text="x")

    assert engine.said == 2
    assert engine.closed == 1
    assert meter.charged.calls == 0


@pytest.mark.parametrize("away", [ModelUnavailable("gone"), ModelMissing("none")])
def test_a_model_that_goes_away_ends_a_metered_stream(away: Exception) -> None:
    model = ScriptedLM(away, "one")
    with metered(Meter()), pytest.raises(type(away)):
        read(Careless(), lm=model, text="x")
    assert len(model.requests) == 1


@pytest.mark.parametrize("read_all", [read, read_async])
def test_a_reply_that_does_not_parse_raises_after_its_deltas(read_all: Callable[..., list[Any]]) -> None:
    model = ScriptedLM('{"answer": "so far so good", "sure": "perhaps"}')

    events: list[Any] = []
    with pytest.raises(ParseError):
        for event in read_all(TWO, lm=model, text="x") if read_all is read_async else stream(TWO, lm=model, text="x"):
            events.append(event)

    if read_all is read:
        assert joined(events)["self", 0, "answer"] == "so far so good"


def test_a_label_in_other_letters_is_said_again() -> None:
    program = predictor(by_name("Sentiment"), "lines")
    model = FunctionLM(lambda seen: "Mood: Mixed Feelings", capabilities=MODES["none"])

    *events, last = read(program, lm=model, text="x")

    assert events[-1] == FieldDelta("self", "mood", "mixed feelings", restart=True)
    assert last.prediction.mood == "mixed feelings"


def test_logprobs_come_as_unstreamed() -> None:
    reply = text_response("one two", model="m", logprobs=())
    model = FunctionLM(lambda seen: reply, logprobs=3)

    *events, last = read(Predict("text -> poem: str"), lm=model, text="x")

    assert events == [FieldDelta("self", "poem", "one two")]
    assert "logprobs" in last.prediction


def test_an_lm_of_the_users_own_comes_in_one_piece() -> None:
    *events, last = read(dspy.Predict("text -> poem: str"), lm=dspy.utils.DummyLM([{"poem": "one two"}]), text="x")

    assert events == [FieldDelta("self", "poem", "one two")]
    assert last.prediction.poem == "one two"


def test_the_program_is_left_as_it_was() -> None:
    program = Predict("text -> poem: str")
    before = dict(vars(program))
    read(program, lm=ScriptedLM("one"), text="x")
    assert vars(program) == before


def test_the_settings_of_its_making_hold() -> None:
    with dspy.context(lm=ScriptedLM("one")):
        events = stream(Predict("text -> poem: str"), text="x")
    assert [type(event) for event in events] == [FieldDelta, Finished]


def test_what_is_no_program_is_refused() -> None:
    with pytest.raises(UsageError, match="Pass an instance"):
        stream(Predict, text="x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="must be an LM"):
        stream(TWO, lm="embedded", text="x")  # type: ignore[arg-type]


def test_a_stream_is_read_one_way() -> None:
    events = stream(TWO, lm=ScriptedLM('{"answer": "a b c", "sure": true}'), text="x")
    next(events)
    with pytest.raises(UsageError, match="async for"):
        asyncio.run(anext(events))
    events.close()


def test_streamify_without_listeners_still_works() -> None:
    program = Predict("text -> poem: str")
    bind(program, "lines")

    async def run() -> list[Any]:
        with dspy.context(lm=ScriptedLM("Poem: one two three")):
            return [chunk async for chunk in dspy.streamify(program)(text="x")]

    *chunks, last = asyncio.run(run())
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert "".join(texts) == "Poem: one two three"
    assert last.poem == "one two three"


# On the wire ---------------------------------------------------------------------------------------------------


class Withholding(FunctionBackend):
    """Says a beginning, and the rest when the gate opens."""

    def __init__(self, reply: str, cut: int) -> None:
        super().__init__(lambda messages, options: reply)
        self.gate, self._cut = threading.Event(), cut

    def _texts(self, reply: Reply, job: Job) -> Iterator[str]:
        yield reply.text[: self._cut]
        while not self.gate.wait(0.005):
            job.gone()
        yield reply.text[self._cut :]


@each("way", ["sync", "async"])
@each("name", TEXTUAL)
def test_the_first_delta_is_read_before_the_second_chunk_is_sent(name: str, way: str) -> None:
    case = by_name("Poem" if name.startswith("bare") else "Two")
    values = {"poem": POEM} if name.startswith("bare") else {"answer": POEM, "sure": True}
    reply = reply_of(case, name, "schema", values)
    backend = Withholding(reply, reply.index("red"))
    program, events = predictor(case, name), []

    def take(event: Any) -> None:
        events.append(event)
        if isinstance(event, FieldDelta):
            backend.gate.set()

    with ProtocolServer(models=[FakeModel("m", reply=backend)]) as server:
        model = lm("ollama/m", host=server.url, cache=False)
        if way == "sync":
            for event in stream(program, lm=model, text="x"):
                take(event)
        else:

            async def run() -> None:
                async for event in stream(program, lm=model, text="x"):
                    take(event)

            asyncio.run(run())

    assert events[0].text.rstrip() == "Roses are"
    assert not any(event.restart for event in events[:-1])
    assert {field: text.casefold() for (_, _, field), text in joined(events[:-1]).items()} == {
        field: str(value).casefold() for field, value in values.items()
    }
    assert dict(events[-1].prediction.items()) == values


@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_server_sees_at_once_that_the_reader_has_gone(way: str) -> None:
    backend = Withholding('"one two three four"', 8)
    with ProtocolServer(models=[FakeModel("m", reply=backend)]) as server:
        model = lm("ollama/m", host=server.url, cache=False)
        events = stream(Predict("text -> poem: str"), lm=model, text="x")
        if way == "sync":
            next(events)
            events.close()
        else:

            async def run() -> None:
                await anext(events)
                await events.aclose()

            asyncio.run(run())
        entry = next(entry for entry in server.requests if entry.path == "/api/chat")
        until = time.monotonic() + 3
        while not entry.disconnected and time.monotonic() < until:
            time.sleep(0.005)
        assert entry.disconnected


@pytest.mark.model
@pytest.mark.parametrize("name", ["bare", "lines"])
def test_the_embedded_model_is_heard(name: str) -> None:
    model = lm("embedded", cache=False, max_tokens=24)
    program, events = predictor(by_name("Poem"), name, {"text": "the sea", "poem": "Blue and deep."}), []

    def outcome(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except ParseError as error:  # it is a small model
            return error.raw

    def streamed() -> str:
        for event in stream(program, lm=model, text="roses"):
            events.append(event)
        return events[-1].prediction.poem

    with dspy.context(lm=model):
        plain = outcome(lambda: program(text="roses").poem)
    assert outcome(streamed) == plain
    if events and isinstance(events[-1], Finished):
        assert joined(events) == {("self", 0, "poem"): plain}
        assert len(events) > 3


def test_a_program_can_be_run_here_and_tell_its_fields() -> None:
    told: list[FieldDelta] = []
    program = Predict("q -> a")
    with dspy.context(lm=ScriptedLM("one two")):
        assert run_told(program, told.append, q="?").a == "one two"
    assert "".join(delta.text for delta in told) == "one two"
