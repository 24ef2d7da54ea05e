"""Several draws of one call have a seed each: with one seed they would be one text."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.protocol import FakeModel, ProtocolServer
from tests.scale import FULL
from tunesmith.lm import LM, FunctionLM, ReplyCache, Seen, lm
from tunesmith.modules import with_default_formats

ONE = {"n": 3, "temperature": 1.0}


def by_seed(messages: list[dict[str, Any]], options: dict[str, Any]) -> str:
    return f"text {options['seed']}"


VERSIONS = ("0.24.0", "0.32.15")
ENGINES = ("ollama", "openai", "dialect", "dspy", "function", "pool")
# Every engine on every version in the slow run; in a short one the version makes a difference to Ollama's own alone.
PAIRS = [(name, version) for name in ENGINES for version in (VERSIONS if FULL or name == "ollama" else VERSIONS[1:])]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, ProtocolServer]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(ProtocolServer([FakeModel("m", by_seed)], name)) for name in VERSIONS}


@pytest.fixture(params=PAIRS, ids="-".join)
def model(request: pytest.FixtureRequest, servers: dict[str, ProtocolServer]) -> LM:
    """The same model behind every kind of engine."""
    name, version = request.param
    server = servers[version]
    v1 = f"{server.url}/v1"
    made: dict[str, Callable[[], LM]] = {
        "ollama": lambda: lm("ollama/m", host=server.url, cache=False),
        "openai": lambda: lm("openai/m", base_url=v1, dialect="ollama", cache=False),
        "dialect": lambda: lm("openai/m", base_url=v1, dialect="vllm", cache=False),
        "dspy": lambda: lm("openai/m", api_base=v1, api_key="none", cache=False),
        "function": lambda: FunctionLM(lambda seen: f"text {seen.request.config.seed}"),
        "pool": lambda: lm("ollama/m", host=[server.url], cache=False),
    }
    return made[name]()


def texts(prediction: Any) -> list[str]:
    return [one.strip('"') for one in prediction.completions.a]


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
class TestEveryWayToDraw:
    def test_a_call(self, model: LM) -> None:
        assert model("x", **ONE) == ["text 0", "text 1", "text 2"]
        assert model("x", temperature=1.0) == ["text 0"]

    def test_an_lm_that_always_draws(self, model: LM) -> None:
        assert model.copy(**ONE)("x") == ["text 0", "text 1", "text 2"]

    def test_an_asynchronous_call(self, model: LM) -> None:
        assert asyncio.run(model.acall("x", **ONE)) == ["text 0", "text 1", "text 2"]

    def test_a_seed_of_the_user_counts_on(self, model: LM) -> None:
        assert model("x", **ONE, seed=7) == ["text 7", "text 8", "text 9"]

    def test_a_rollout_counts_on(self, model: LM) -> None:
        assert model("x", **ONE, rollout_id=4) == ["text 4", "text 5", "text 6"]

    @pytest.mark.parametrize("make", [ts.Predict, lambda s, **c: with_default_formats(dspy.Predict(s, **c))])
    def test_a_predictor(self, model: LM, make: Any) -> None:
        with dspy.context(lm=model):
            assert len(set(texts(make("q -> a", **ONE)(q="x")))) == 3
            assert len(set(texts(make("q -> a")(q="x", config=ONE)))) == 3
            assert len(set(texts(make("q -> a", **ONE, seed=7)(q="x")))) == 3
            assert len(set(texts(asyncio.run(make("q -> a", **ONE).acall(q="x"))))) == 3


def reply(messages: list[dict[str, Any]], options: dict[str, Any]) -> str:
    return f"[[ ## a ## ]]\ntext {options['seed']}\n\n[[ ## completed ## ]]"


def test_dspy_s_own_adapter_draws_too() -> None:
    with ProtocolServer([FakeModel("m", reply)]) as server:
        found = dspy.Predict("q -> a", **ONE)
        with dspy.context(lm=lm("ollama/m", host=server.url, cache=False), adapter=dspy.ChatAdapter()):
            assert texts(found(q="x")) == ["text 0", "text 1", "text 2"]


def test_each_draw_is_kept_by_itself(tmp_path: Any) -> None:
    def echo(seen: Seen) -> str:
        return f"text {seen.request.config.seed}"

    model = FunctionLM(echo, cache=ReplyCache(tmp_path))
    first = model("x", **ONE)
    assert model("x", **ONE) == first
    assert model("x", n=2, temperature=1.0) == first[:2]
    assert len(model.requests) == 3


def test_two_calls_at_once_do_not_count_each_other_s_draws() -> None:
    model = FunctionLM(lambda seen: f"text {seen.request.config.seed}")

    async def both() -> list[Any]:
        return list(await asyncio.gather(model.acall("x", **ONE), model.acall("y", **ONE)))

    assert asyncio.run(both()) == [["text 0", "text 1", "text 2"]] * 2


@pytest.mark.model
def test_the_embedded_model_draws_several_texts() -> None:
    model = lm("embedded", cache=False, max_tokens=12)
    assert len(set(model("Name an animal and what it likes.", **ONE))) == 3
    assert len(set(model("Name an animal and what it likes.", **ONE, seed=5))) == 3
