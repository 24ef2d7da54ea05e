"""The layers: rollout, meter, cache, engine."""

import asyncio
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.engine import EngineContract
from tests.each import each
from tests.scale import scaled
from tunesmith.errors import BudgetExceeded, ContextOverflow, ModelUnavailable, UsageError
from tunesmith.lm import (
    Budget,
    Capabilities,
    Config,
    Engine,
    FunctionLM,
    Identity,
    Message,
    Meter,
    Prefix,
    ReplyCache,
    Request,
    ScriptedLM,
    Seen,
    StopSignal,
    build_lm,
    effective,
    lm,
    metered,
    request_key,
    role,
)
from tunesmith.lm.doubles import FunctionEngine
from tunesmith.lm.engine import context_overflow, unavailable, user_message
from tunesmith.lm.wire import response_of, row_of


def echo(seen: Seen) -> str:
    return f"you said {seen.text}"


class TestFunctionEngine(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        def answer(seen: Seen) -> str:
            grammar = (seen.request.config.extensions or {}).get("grammar", "")
            if "nowhere" in grammar:
                from tunesmith.lm.engine import refused

                raise refused("no such rule")
            return "positive" if grammar else '"positive"'

        return FunctionLM(answer)._stack.engine


@pytest.fixture
def cache(tmp_path: Path) -> ReplyCache:
    return ReplyCache(tmp_path / "cache")


def test_it_is_a_dspy_lm_that_answers_text_messages_and_requests() -> None:
    model = FunctionLM(echo)
    assert isinstance(model, dspy.LM)
    assert model("hello") == ["you said hello"]
    assert model(Request(model="function", messages=(Message.user("x"),))).text == "you said x"
    assert asyncio.run(model.acall("hello")) == ["you said hello"]


def test_a_second_equal_request_is_answered_from_the_cache(cache: ReplyCache) -> None:
    model = FunctionLM(echo, cache=cache)
    assert model("hello") == model("hello")
    assert len(model.requests) == 1
    assert asyncio.run(model.acall("hello")) == ["you said hello"], "sync and async share entries"
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.5}, {"max_tokens": 7}, {"rollout_id": 3}, {"stop": ["x"]}, {"top_p": 0.5}, {"seed": 9}],
)
def test_every_option_that_can_change_the_reply_is_in_the_key(cache: ReplyCache, change: dict[str, object]) -> None:
    model = FunctionLM(echo, cache=cache)
    model("hello")
    model("hello", **change)
    assert len(model.requests) == 2


def test_another_model_does_not_share_replies(cache: ReplyCache) -> None:
    FunctionLM(echo, cache=cache, version="1")("hello")
    other = FunctionLM(echo, cache=cache, version="2")
    other("hello")
    assert len(other.requests) == 1


def test_a_rollout_gets_its_own_seed_and_a_temperature() -> None:
    model = FunctionLM(echo)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model("hello")
        model("hello", rollout_id=5)
        model("hello", rollout_id=5, temperature=0.2)
        model.copy(rollout_id=6)("hello")
    seen = [(r.config.temperature, r.config.seed, r.config.max_tokens) for r in model.requests]
    assert seen == [(0.0, 0, 512), (1.0, 5, 512), (0.2, 5, 512), (1.0, 6, 512)]


def test_what_the_caller_set_stays() -> None:
    config = Config(temperature=0.0, seed=3, max_tokens=9)
    assert effective(config, 4) is config


def test_identical_requests_in_flight_reach_the_engine_once(cache: ReplyCache) -> None:
    def slow(seen: Seen) -> str:
        time.sleep(0.1)
        return "done"

    model = FunctionLM(slow, cache=cache)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: model("same")[0], range(8)))
    assert replies == ["done"] * 8
    assert len(model.requests) == 1


def test_an_overflow_is_cached_and_an_absence_is_not(cache: ReplyCache) -> None:
    fail: list[Exception] = [context_overflow(prompt_tokens=9, context_tokens=5)]

    def answer(seen: Seen) -> str:
        raise fail[0]

    model = FunctionLM(answer, cache=cache)
    for _ in range(2):
        with pytest.raises(ContextOverflow) as caught:
            model("long")
        assert caught.value.prompt_tokens == 9
    assert len(model.requests) == 1
    fail[0] = unavailable("gone")
    for _ in range(2):
        with pytest.raises(ModelUnavailable):
            model("other")
    assert len(model.requests) == 3


def test_the_overflow_of_a_server_known_by_name_only_is_asked_again(cache: ReplyCache) -> None:
    """Its context may have been raised since, as the error advises, and no key of the cache would tell."""
    replies: list[Any] = [context_overflow(prompt_tokens=9, context_tokens=5), "fits"]

    def answer(seen: Seen) -> str:
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return str(reply)

    engine = FunctionEngine(answer, Identity("openai", "m"), Capabilities())
    model = build_lm("openai/m", engine, cache=cache)
    with pytest.raises(ContextOverflow):
        model("long")
    assert model("long") == ["fits"]


def test_dspy_modules_know_the_overflow_as_their_own() -> None:
    from dspy.utils.exceptions import ContextWindowExceededError

    model = ScriptedLM(context_overflow(prompt_tokens=None, context_tokens=None))
    with pytest.raises(ContextWindowExceededError):
        model("long")


def test_a_meter_charges_distinct_requests_and_pays_for_real_calls(cache: ReplyCache) -> None:
    model = FunctionLM(echo, cache=cache)
    first, second = Meter(), Meter()
    with metered(first):
        model("a")
        model("a")
        with role("judge"):
            model("b")
    with metered(second):
        model("a")
    assert (first.charged.calls, first.paid.calls, first.served) == (2, 2, 1)
    assert {name: spend.calls for name, spend in first.by_role()["charged"].items()} == {"task": 1, "judge": 1}
    assert (second.charged.calls, second.paid.calls) == (1, 0)
    assert second.charged.tokens == first.by_role()["charged"]["task"].tokens > 0


def test_prices_become_dollars() -> None:
    model = FunctionLM(lambda seen: "one two", price=(1.0, 10.0))
    meter = Meter()
    with metered(meter):
        model("a b c")
    assert meter.charged.usd == pytest.approx((3 * 1.0 + 2 * 10.0) / 1e6)


def test_a_budget_in_dollars_tokens_or_seconds_stops_before_the_next_call() -> None:
    for budget in (Budget(usd=0.0), Budget(tokens=3), Budget(wall_seconds=0.0)):
        model = FunctionLM(echo, price=(1.0, 1.0))
        meter = Meter(budget)
        with metered(meter), pytest.raises(StopSignal) as caught:
            for i in range(10):
                model(f"word {i}")
        assert isinstance(caught.value.error, BudgetExceeded)
        assert len(model.requests) <= 1


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_a_budget_of_calls_is_never_exceeded(threads: int) -> None:
    def slow(seen: Seen) -> str:
        time.sleep(0.001)
        return "x"

    model, meter = FunctionLM(slow), Meter(Budget(calls=20))

    def many(start: int) -> None:
        for i in range(50):
            model(f"{start + i % 25}")

    with metered(meter), ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(copy_context().run, many, 100 * t) for t in range(threads)]
        for future in futures:
            with pytest.raises(StopSignal):
                future.result()
    assert meter.charged.calls == 20


def test_a_stop_signal_passes_a_program_that_catches_every_exception() -> None:
    class Stubborn(dspy.Module):
        def forward(self, text: str) -> dspy.Prediction:
            try:
                return dspy.Prediction(answer=dspy.settings.lm(text)[0])
            except Exception:
                return dspy.Prediction(answer="swallowed")

    meter = Meter(Budget(calls=0))
    with metered(meter), dspy.context(lm=FunctionLM(echo)), pytest.raises(StopSignal):
        Stubborn()(text="x")


def test_inside_a_metered_run_the_models_absence_is_a_stop_signal() -> None:
    model = ScriptedLM(unavailable("gone"))
    with metered(Meter()), pytest.raises(StopSignal) as caught:
        model("x")
    assert isinstance(caught.value.error, ModelUnavailable)


def test_meters_are_exact_under_threads(cache: ReplyCache) -> None:
    model, meter = FunctionLM(echo, cache=cache), Meter()
    calls: list[object] = []
    with metered(meter, sink=calls.append), ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(copy_context().run, model, f"{i % 40}") for i in range(200)]
        for future in futures:
            future.result()
    assert (meter.charged.calls, meter.paid.calls) == (40, 40)
    assert len(calls) == 200


def test_a_stream_is_cached_and_replayed(cache: ReplyCache) -> None:
    model = FunctionLM(lambda seen: "one two three", cache=cache)
    request = Request(model="function", messages=(Message.user("x"),))
    first = list(model.engine.stream(request))
    second = list(model.engine.stream(request))
    assert len(model.requests) == 1
    assert "".join(e.delta.text for e in first if e.type == "delta") == "one two three"
    assert "".join(e.delta.text for e in second if e.type == "delta") == "one two three"


@pytest.mark.parametrize("logprobs", [None, 1])
def test_nothing_of_a_streamed_reply_is_lost(cache: ReplyCache, logprobs: int | None) -> None:
    from dspy.lm15 import ThinkingPart, TokenLogprob, ToolCallPart, materialize_response

    from tunesmith.lm import Response, TextPart, Usage

    whole = Response(
        id=None,
        model="function",
        message=Message("assistant", (ThinkingPart("hm"), TextPart("one two"), ToolCallPart("1", "f", {"a": [1]}))),
        finish_reason="tool_call",
        usage=Usage(1, 2),
        logprobs=None if logprobs is None else (TokenLogprob("one", -0.5), TokenLogprob(" two", -1.5)),
        provider_data={"seen": 1},
    )
    model = FunctionLM(lambda seen: whole, cache=cache)
    request = Request(model="function", messages=(Message.user("x"),), config=Config(logprobs=logprobs))

    streamed, replayed = (materialize_response(model.engine.stream(request), request) for _ in range(2))
    unstreamed = model.engine.complete(request)

    assert streamed == replayed == unstreamed == whole
    assert len(model.requests) == 1


def test_a_script_that_ends_says_so() -> None:
    model = ScriptedLM("a")
    model("x")
    with pytest.raises(dspy.utils.exceptions.LMError, match="replies of the script are used"):
        model("y")


texts = st.text(max_size=40)


@settings(max_examples=max(20, scaled(100)))
@given(system=texts | st.none(), turns=st.lists(texts, min_size=1, max_size=4), rollout=st.integers(0, 5))
def test_a_key_made_from_a_prefix_is_the_key_of_the_request(system: str | None, turns: list[str], rollout: int) -> None:
    identity = Identity("double", "m", "d")
    messages = tuple(Message.user(text or "-") for text in turns)
    prefix = Prefix("m", system or None, messages[:-1], Config(max_tokens=3))
    request = prefix.request(messages[-1])
    assert prefix.key(identity, messages[-1], rollout) == request_key(identity, request, rollout)


@settings(max_examples=max(20, scaled(100)))
@given(st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=2, max_size=5, unique_by=str))
def test_different_requests_have_different_keys(requests: list[tuple[str, list[str]]]) -> None:
    identity = Identity("double", "m", "d")
    keys = {
        request_key(
            identity,
            Request(model="m", system=s or None, messages=tuple(Message.user(t or "-") for t in turns)),
            0,
        )
        for s, turns in ((s, [t or "-" for t in turns]) for s, turns in requests)
    }
    distinct = {(s or None, tuple(t or "-" for t in turns)) for s, turns in requests}
    assert len(keys) == len(distinct)


def test_a_reply_survives_its_row() -> None:
    from dspy.lm15 import ThinkingPart, TokenLogprob, ToolCallPart, TopLogprob, Usage

    from tunesmith.lm import Response, TextPart

    response = Response(
        id=None,
        model="m",
        message=Message(
            role="assistant",
            parts=(ThinkingPart("hm"), TextPart("né\n"), ToolCallPart("1", "f", {"a": [1]})),
        ),
        finish_reason="length",
        usage=Usage(3, 4, cache_read_tokens=2),
        logprobs=(TokenLogprob("n", -0.5, (110,), top=(TopLogprob("n", -0.5, (110,)),)),),
    )
    row = row_of(response, 0.5)
    assert row is not None
    assert response_of(row) == response


@each(
    "call",
    [
        lambda: lm(""),
        lambda: lm("embeded"),
        lambda: lm(None),  # type: ignore[arg-type]
        lambda: lm("gguf:"),
        lambda: lm("embedded", slots=0),
        lambda: lm("embedded", num_ctx=-5),
        lambda: lm("embedded", threads="two"),  # type: ignore[arg-type]
        lambda: lm("embedded", price=3),  # type: ignore[arg-type]
        lambda: lm("embedded", host="http://x"),
        lambda: lm("ollama/m", keep_alive="long"),
        lambda: lm("openai/"),
        lambda: Budget(calls=-1),
        lambda: Budget(tokens=True),
        lambda: Budget(seconds=float("nan")),
    ],
)
def test_a_wrong_argument_is_a_usage_error(call: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        call()


def test_slots_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_SLOTS", "3")
    assert lm("openai/gpt-4o-mini", cache=False, api_key="x").slots == 3
    monkeypatch.setenv("TUNESMITH_SLOTS", "")  # empty is unset, as everywhere
    assert lm("openai/gpt-4o-mini", cache=False, api_key="x").slots == 1
    monkeypatch.setenv("TUNESMITH_SLOTS", "many")
    with pytest.raises(UsageError, match="TUNESMITH_SLOTS"):
        lm("openai/gpt-4o-mini", cache=False, api_key="x")


def test_any_other_spec_is_dspys_own_engine_cached_and_metered(cache: ReplyCache) -> None:
    from tunesmith.lm.engines.dspy import ForeignEngine
    from tunesmith.lm.model import as_lm, build_lm

    inner = FunctionLM(echo)
    model = build_lm("function", ForeignEngine.over(inner), cache=cache)
    meter = Meter()
    with metered(meter):
        assert model("hello") == model("hello") == ["you said hello"]
    assert (len(inner.requests), meter.paid.calls) == (1, 1)
    assert not model.identity.to_json()["verified"]
    assert as_lm(model) is model


def test_a_dspy_lm_of_the_same_name_on_another_server_is_asked() -> None:
    from tests.lm.front import Act, chat_reply, front
    from tunesmith.lm.model import as_lm

    with (
        front(lambda asked: Act(body=chat_reply("from one"))) as one,
        front(lambda asked: Act(body=chat_reply("from two"))) as two,
    ):
        models = [as_lm(dspy.LM("openai/m", api_base=at.url, api_key="k")) for at in (one, two, one)]
        assert [model("hello") for model in models] == [["from one"], ["from two"], ["from one"]]
        assert (len(one.asked), len(two.asked)) == (1, 1)
        assert models[0]("hello", cache=False) == ["from one"]
        assert len(one.asked) == 2


def test_copies_of_a_program_share_the_engine() -> None:
    import copy

    model = FunctionLM(echo)
    program = dspy.Predict("a -> b")
    program.set_lm(model)
    assert copy.deepcopy(program).lm._stack is model._stack


def test_histories_are_kept_in_dspys_form() -> None:
    model = FunctionLM(echo)
    with dspy.context(lm=model):
        model("hello")
    assert model.history[-1]["outputs"] == ["you said hello"]


def test_a_thread_that_fails_lets_the_next_one_try(cache: ReplyCache) -> None:
    first = threading.Event()

    def flaky(seen: Seen) -> str:
        if not first.is_set():
            first.set()
            time.sleep(0.05)
            raise unavailable("just now")
        return "fine"

    model = FunctionLM(flaky, cache=cache)

    def attempt(_: int) -> str:
        try:
            return str(model("same")[0])
        except ModelUnavailable:
            return "failed"

    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(attempt, range(4)))
    assert sorted(replies) == ["failed", "fine", "fine", "fine"]


def test_a_program_is_saved_with_its_lm_and_loaded_with_leave(tmp_path: Path) -> None:
    path, program = tmp_path / "program.json", dspy.Predict("question -> answer")
    program.set_lm(lm("openai/small", host="http://127.0.0.1:9", api_key="secret", slots=3, top_p=0.5, cache=False))
    program.save(path)

    loaded = dspy.Predict("question -> answer")
    with pytest.raises(ValueError, match="allow_unsafe_lm_state"):
        loaded.load(path)
    loaded.load(path, allow_unsafe_lm_state=True)

    assert "secret" not in path.read_text(encoding="utf-8")
    assert loaded.lm.identity == program.lm.identity
    assert loaded.lm.slots == 3
    assert loaded.lm.kwargs == program.lm.kwargs


def test_an_lm_over_an_object_says_that_it_has_no_text_form(tmp_path: Path) -> None:
    program = dspy.Predict("question -> answer")
    program.set_lm(FunctionLM(lambda messages: "yes"))

    with pytest.raises(UsageError, match="was not created by"):
        program.save(tmp_path / "program.json")


@pytest.mark.parametrize("text", ["a text", "", "Grüße \u2028 \ud800"])
def test_messages_that_are_made_unchecked_are_those_that_dspy_checks(text: str) -> None:
    assert user_message(text) == Message.user(text)

    prefix = Prefix("m", "system", (Message.user("q"), Message.assistant("a")), Config(temperature=0.5))
    for number in range(2):  # the first request of a prefix is checked, the second is not
        final = Message.user(f"{text}{number}")
        whole = Request(model="m", system="system", messages=(*prefix.messages, final), config=prefix.config)
        assert prefix.request(final) == whole
