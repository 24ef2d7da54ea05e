"""Options of DSPy's LMs and predictors: each is honoured, or refused with words that say what to use instead."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.protocol.models import FakeModel
from tests.protocol.server import ProtocolServer
from tunesmith.errors import RequestRefused, UsageError
from tunesmith.formats import get_format
from tunesmith.lm import LM, FunctionLM, ReplyCache, as_lm, build_lm, listening
from tunesmith.lm import lm as make_lm
from tunesmith.lm.engines.openai.dialects import get_dialect
from tunesmith.lm.engines.openai.request import chat_body

ADAPTERS = {"tunesmith": None, "dspy": dspy.ChatAdapter()}
REPLIES = {"tunesmith": "good", "dspy": "[[ ## a ## ]]\ngood\n\n[[ ## completed ## ]]"}


@pytest.fixture
def cache(tmp_path: Path) -> ReplyCache:
    return ReplyCache(tmp_path)


def say(_: Any) -> str:
    return "good"


def call(model: LM, **options: Any) -> None:
    model("hello", **options)


def call_async(model: LM, **options: Any) -> None:
    asyncio.run(model.acall("hello", **options))


def call_copy(model: LM, **options: Any) -> None:
    model.copy(**options)("hello")


def call_predictor(model: LM, **options: Any) -> None:
    with dspy.context(lm=model):
        ts.Predict("q -> a", **options)(q="hello")


def call_config(model: LM, **options: Any) -> None:
    with dspy.context(lm=model):
        ts.Predict("q -> a")(q="hello", config=options)


def call_predictor_async(model: LM, **options: Any) -> None:
    with dspy.context(lm=model):
        asyncio.run(ts.Predict("q -> a", **options).acall(q="hello"))


def call_with_a_callback(model: LM, **options: Any) -> None:
    with dspy.context(lm=model, callbacks=[dspy.utils.callback.BaseCallback()]):
        ts.Predict("q -> a", **options)(q="hello")


def call_stream(model: LM, **options: Any) -> None:
    list(ts.stream(ts.Predict("q -> a", **options), lm=model, q="hello"))


def call_listening(model: LM, **options: Any) -> None:
    listening(model, lambda: lambda text: None)("hello", **options)


PLACES = [
    call, call_async, call_copy, call_predictor, call_config, call_predictor_async, call_with_a_callback, call_stream,
    call_listening,
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_cache_false_asks_the_model_again_and_keeps_nothing(cache: ReplyCache, place: Any) -> None:
    model = FunctionLM(say, cache=cache)
    place(model, cache=False)
    assert cache.stats().rows == 0
    place(model)
    place(model)
    assert len(model.requests) == 2
    place(model, cache=False)
    assert len(model.requests) == 3


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_cache_false_of_dspys_own_predictor_is_honoured_under_every_adapter(cache: ReplyCache, adapter: str) -> None:
    model = FunctionLM(lambda _: REPLIES[adapter], cache=cache, version="1")
    with dspy.context(lm=model, adapter=ADAPTERS[adapter] or get_format("bare")):
        for _ in range(3):
            dspy.Predict("q -> a", cache=False)(q="hello")
    assert len(model.requests) == 3


def test_an_explicit_request_honours_cache_false(cache: ReplyCache) -> None:
    model = FunctionLM(say, cache=cache)
    request = dspy.lm15.Request(model="function", messages=(dspy.lm15.Message.user("hello"),))
    model(request, cache=False)
    model(request, cache=False)
    assert len(model.requests) == 2


def test_an_explicit_request_with_a_misspelt_option_is_refused() -> None:
    config = dspy.lm15.Config(extensions={"tempratur": 0.3})
    request = dspy.lm15.Request(model="function", messages=(dspy.lm15.Message.user("hello"),), config=config)
    for options in ({"prompt": request}, {"request": request}):
        with pytest.raises(UsageError, match="`temperature`"):
            FunctionLM(say)(**options)


@each("count", [0, -1, 2.5, "two", True])
def test_a_number_of_draws_that_cannot_be_is_refused(count: Any) -> None:
    with pytest.raises(UsageError, match="whole number from 1"):
        FunctionLM(say)("hello", n=count)


def test_hosted_options_reach_a_server_that_speaks_openai() -> None:
    config = dspy.lm15.Config(user_id="me", store=False, service_tier="flex", extensions={"extra_body": {"best_of": 2}})
    request = dspy.lm15.Request(model="m", messages=(dspy.lm15.Message.user("hello"),), config=config)
    body = chat_body(request, "m", get_dialect("vllm"))
    assert (body["user"], body["store"], body["service_tier"], body["best_of"]) == ("me", False, "flex", 2)
    cached = replace(request, config=dspy.lm15.Config(cache=dspy.lm15.CacheConfig()))
    with pytest.raises(RequestRefused, match="prompt_cache"):
        chat_body(cached, "m", get_dialect("vllm"))


def test_the_attribute_cache_says_and_decides_whether_replies_are_kept(cache: ReplyCache) -> None:
    model = FunctionLM(say, cache=cache)
    assert model.cache is True
    assert FunctionLM(say).cache is False
    model.cache = False
    model("hello")
    model("hello")
    assert len(model.requests) == 2
    assert not model.caches


def test_a_copy_may_turn_a_cache_on_again_that_its_lm_has_off(cache: ReplyCache) -> None:
    off = FunctionLM(say, cache=cache).copy(cache=False)
    on = off.copy(cache=True)
    on("hello")
    on("hello")
    off("hello")
    assert len(on.requests) == 2


def test_an_lm_without_a_cache_refuses_cache_true() -> None:
    with pytest.raises(UsageError, match="cannot store its replies"):
        FunctionLM(say)("hello", cache=True)
    with pytest.raises(UsageError, match="true or false"):
        FunctionLM(say)("hello", cache="no")


def test_an_lm_made_with_cache_false_keeps_replies_of_calls_with_cache_true() -> None:
    with ProtocolServer(models=[FakeModel("m", reply="good")]) as server:
        model = make_lm("ollama/m", host=server.url, cache=False)
        model("say it twice", cache=True)
        model("say it twice", cache=True)
        assert len([one for one in server.requests if one.path == "/api/chat"]) == 1
        model("say it twice")
        assert len([one for one in server.requests if one.path == "/api/chat"]) == 2


def test_a_saved_lm_remembers_that_its_cache_is_off() -> None:
    assert LM.load_state(make_lm("ollama/m", cache=False).dump_state()).caches is False
    assert LM.load_state(make_lm("ollama/m").copy(cache=False).dump_state()).caches is False
    assert LM.load_state(make_lm("ollama/m").dump_state()).caches is True


class Counting:
    """An engine of DSPy's that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def complete(self, request: Any) -> Any:
        self.calls += 1
        message = dspy.lm15.Message(role="assistant", parts=(dspy.lm15.TextPart("good"),))
        return dspy.lm15.Response(
            id=None, model=request.model, message=message, finish_reason="stop", usage=dspy.lm15.Usage(1, 1)
        )


def test_cache_false_reaches_the_cache_of_an_lm_made_elsewhere(tmp_path: Path) -> None:
    asked = str(tmp_path)  # DSPy's cache outlives a run of the tests
    engine = Counting()
    model = as_lm(dspy.LM("openai/own", engine=engine, cache=True))
    model(asked)
    model(asked)
    assert engine.calls == 1
    model(asked, cache=False)
    call_predictor(model, cache=False)
    call_predictor(model, cache=False)
    assert engine.calls == 4


@each("place", PLACES)
@each(
    ("name", "value", "hint"),
    [
        ("tempratur", 0.3, "`temperature`"),
        ("max_token", 9, "`max_tokens`"),
        ("rollout", 1, "`rollout_id`"),
        ("timeout", 3, "connection"),
        ("num_retries", 2, "patience="),
        ("headers", {"a": "b"}, "connection"),
        ("api_base", "http://other", "connection"),
        ("model_type", "text", r"dspy\.LM"),
        ("num_ctx", 100, r"ts\.lm"),
        ("num_generations", 2, "`n`"),
        ("top_logprobs", 2, "logprobs=True"),
        ("drop_params", True, "It has: cache"),
    ],
)
def test_an_option_that_no_request_carries_is_refused(place: Any, name: str, value: Any, hint: str) -> None:
    model = FunctionLM(say)
    with pytest.raises(UsageError, match=hint) as caught:
        place(model, **{name: value})
    assert f"`{name}`" in str(caught.value)
    assert model.requests == []


@each("place", [call, call_async, call_copy, call_predictor, call_listening])
@each("option", [{"temperature": "hot"}, {"max_tokens": -1}, {"seed": "x"}, {"top_p": 2}, {"stop": 5}])
def test_a_value_that_no_request_can_have_is_refused(place: Any, option: dict[str, Any]) -> None:
    model = FunctionLM(say)
    with pytest.raises(UsageError, match=f"`{next(iter(option))}`"):
        place(model, **option)
    with pytest.raises(UsageError, match=f"`{next(iter(option))}`"):
        FunctionLM(say, **option)
    assert model.requests == []


@each("place", [call_predictor, call_config, call_predictor_async, call_with_a_callback, call_stream])
@each("name", ["response_format", "tools", "tool_choice", "grammar"])
def test_a_format_refuses_options_that_say_what_it_says(place: Any, name: str) -> None:
    with pytest.raises(UsageError, match=f"so `{name}` cannot be set"):
        place(FunctionLM(say), **{name: "auto"})


def test_the_same_options_reach_the_model_without_a_format() -> None:
    model = FunctionLM(say)
    model("hello", response_format={"type": "json_object"})
    assert model.requests[0].config.response_format == {"type": "json_object"}


@each("place", PLACES)
def test_an_option_of_the_engine_reaches_it_from_everywhere(place: Any) -> None:
    model = FunctionLM(say)
    place(model, min_p=0.1)
    assert model.requests[0].config.extensions["min_p"] == 0.1


@each("place", PLACES)
def test_an_option_with_two_names_is_one(place: Any) -> None:
    model = FunctionLM(say)
    place(model, max_completion_tokens=7, user="me", logit_bias={5: -1})
    config = model.requests[0].config
    assert (config.max_tokens, config.user_id, config.extensions["logit_bias"]) == (7, "me", {"5": -1})


def test_options_of_the_lm_itself_count_as_those_of_a_call() -> None:
    model = FunctionLM(say, min_p=0.2, max_tokens=9)
    model("hello")
    assert model.requests[0].config.extensions == {"min_p": 0.2}
    assert [entry["model"] for entry in model.history] == ["function"]


@each("option", ["tempratur", "timeout", "num_retries", "engine", "async_engine", "model", "provider"])
def test_a_double_refuses_a_wrong_option_when_it_is_made(option: str) -> None:
    with pytest.raises(UsageError, match=f"no option `{option}`"):
        ts.ScriptedLM("a", **{option: 1})


@each("option", ["tempratur", "num_retries", "engine", "api_key", "headers", "user", "extra_body"])
def test_ollama_refuses_a_wrong_option_when_it_is_made(option: str) -> None:
    with pytest.raises(UsageError, match=f"`{option}`"):
        make_lm("ollama/m", **{option: 1})


@each("option", ["tempratur", "num_retries", "engine", "api_base"])
def test_a_server_that_speaks_openai_refuses_a_wrong_option_when_it_is_made(option: str) -> None:
    with pytest.raises(UsageError, match=f"`{option}`"):
        make_lm("openai/m", base_url="http://127.0.0.1:1/v1", **{option: 1})


def test_a_server_that_speaks_openai_may_have_options_of_its_own() -> None:
    assert (
        make_lm("openai/m", base_url="http://127.0.0.1:1/v1", repetition_penalty=1.1, min_tokens=3).kwargs["min_tokens"]
        == 3
    )


def test_a_model_of_dspys_own_engine_takes_what_dspy_takes() -> None:
    model = make_lm("anthropic/claude-sonnet-4-5", num_retries=1, timeout=5, engine="litellm", model_type="chat")
    assert LM.load_state(model.dump_state()).model == model.model
    with pytest.raises(UsageError, match="`num_ctx`"):
        make_lm("anthropic/claude-sonnet-4-5", num_ctx=100)
    with pytest.raises(UsageError, match="`threads`"):
        make_lm("ollama/m", threads=2)


@pytest.mark.model
@pytest.mark.parametrize("option", ["tempratur", "timeout", "num_retries", "store", "think"])
def test_the_embedded_model_refuses_a_wrong_option_when_it_is_made(option: str) -> None:
    with pytest.raises(UsageError, match=f"`{option}`"):
        make_lm("embedded", **{option: 0.3})


@each(
    ("option", "hint"),
    [("api_base", "host="), ("base_url", "host="), ("api_key", "OLLAMA_API_KEY"), ("headers", "needs none")],
)
def test_ollama_says_what_stands_for_an_option_of_dspys(option: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"`{option}`.*{hint}"):
        make_lm("ollama/m", **{option: "http://here"})


def test_an_engine_of_ones_own_has_another_door() -> None:
    with pytest.raises(UsageError, match="build_lm"):
        make_lm("own/m", engine=Counting())


def test_build_lm_takes_no_other_kind_of_cache() -> None:
    engine = Counting()
    with pytest.raises(UsageError, match="`ReplyCache`"):
        build_lm("m", engine, cache="here")  # type: ignore[arg-type]
