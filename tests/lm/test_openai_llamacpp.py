"""The OpenAI-compatible engine against llama.cpp's own HTTP server, straight and through a front that makes faults."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import dspy
import pytest

import tunesmith as ts
from tests.contracts.engine import LABELS, EngineContract, ask
from tests.lm.front import FORWARD, Act, Asked, Front, front
from tests.scale import scaled
from tunesmith.errors import ContextOverflow, ModelMissing, ModelUnavailable
from tunesmith.lm import Config, Engine, Message, Request, lm
from tunesmith.lm.llamacpp import _cores, _serve
from tunesmith.lm.models import embedded_path
from tunesmith.lm.openai_engine import OpenAIEngine

pytestmark = pytest.mark.model

KEY = "a key of this run"
CONTEXT = 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        path = embedded_path()
    except ModelMissing:
        pytest.skip("the embedded weights are not there: run `tunesmith models pull embedded`")
    states: Path = tmp_path_factory.mktemp("states")
    served = _serve(path, CONTEXT, _cores(), states, KEY)
    yield f"{served.listening_address}/v1"
    del served


class TestOpenAIOnLlamaCpp(EngineContract):
    overflow = "word " * 1500

    @pytest.fixture
    def engine(self, server: str) -> Iterator[Engine]:
        engine = OpenAIEngine("smollm2", base_url=server, api_key=KEY)
        yield engine
        engine.close()

    def test_the_server_is_known_and_an_overflow_says_both_numbers(self, engine: OpenAIEngine) -> None:
        assert engine.dialect.name == "llamacpp"
        assert engine.capabilities.constraints == {"json_object", "json_schema", "grammar"}
        with pytest.raises(ContextOverflow) as caught:
            engine.complete(ask(engine, self.overflow))
        assert caught.value.prompt_tokens > caught.value.context_tokens == CONTEXT

    def test_log_probabilities_come_with_their_alternatives(self, engine: Engine) -> None:
        response = engine.complete(ask(engine, "I like it", extensions={"grammar": LABELS}, logprobs=5))
        assert response.logprobs
        assert len(response.logprobs[0].top) == 5
        assert "".join(token.token for token in response.logprobs) == response.text

    def test_a_wrong_key_stops_at_once(self, server: str) -> None:
        with pytest.raises(ModelMissing, match="refused the key"):
            OpenAIEngine("m", base_url=server, api_key="wrong").complete(
                Request(model="m", messages=(Message.user("x"),), config=Config(max_tokens=1))
            )

    def test_what_was_read_before_is_not_read_again(self, engine: Engine) -> None:
        engine.complete(ask(engine, "I like it"))
        usage = engine.complete(ask(engine, "I hate it")).usage
        assert usage.cache_read_tokens is not None
        assert usage.input_tokens is not None
        assert usage.cache_read_tokens > 0.7 * usage.input_tokens


class Mood(ts.Signature):
    """Say whether the text is positive or negative."""

    text: str = ts.InputField()
    mood: Literal["positive", "negative"] = ts.OutputField()


def test_a_program_runs_on_it(server: str) -> None:
    model = lm("openai/smollm2", base_url=server, api_key=KEY, cache=False)
    with dspy.context(lm=model):
        assert ts.Predict(Mood)(text="what a joy").mood in ("positive", "negative")


FAULTS = ("reset", "cut", "stall", "busy", "loading", "gateway")


def test_faults_on_the_way_cost_no_reply_and_few_requests(server: str) -> None:
    """10 % of the calls meet a fault at their first request, and each kind is there; all replies are right."""
    count = max(30, scaled(600))
    order = random.Random(3)
    planned = [*FAULTS, *(order.choice(FAULTS) for _ in range(max(0, count // 10 - len(FAULTS))))]
    faults = dict(zip(order.sample(range(count), len(planned)), planned, strict=True))
    met: Counter[str] = Counter()

    def script(asked: Asked) -> Act:
        if asked.method == "GET":
            return FORWARD
        kind = faults.pop(asked.body["seed"], None)  # greedy decoding ignores the seed: here it numbers the call
        if kind is None:
            return FORWARD
        met[kind] += 1
        return {
            "reset": Act("reset"),
            "cut": Act("cut"),
            "stall": Act("stall", seconds=0.1),
            "busy": Act(status=429, body={"error": {"message": "busy"}}, headers={"Retry-After": "0"}),
            "loading": Act(status=503, body={"error": {"code": 503, "message": "Loading model"}}),
            "gateway": Act(status=502, body="<html>Bad Gateway</html>"),
        }[kind]

    def request(number: int) -> Request:
        text = ("a joy", "a mess", "so so")[number % 3]
        return Request(
            model="m",
            system="Say whether the text is positive or negative.",
            messages=(Message.user(f"Text: {text}\nSentiment:"),),
            config=Config(temperature=0.0, seed=number, max_tokens=4, extensions={"grammar": LABELS}),
        )

    with front(script, upstream=server) as before:
        straight = OpenAIEngine("m", base_url=server, api_key=KEY)
        right = [straight.complete(request(number)).text for number in range(3)]
        engine = OpenAIEngine("m", base_url=before.url, api_key=KEY, waits=(0.01, 0.02, 0.05))
        with ThreadPoolExecutor(4) as threads:
            replies = list(threads.map(lambda number: engine.complete(request(number)).text, range(count)))
        assert replies == [right[number % 3] for number in range(count)]
        assert len(before.chats()) <= 1.2 * count
    assert set(met) == set(FAULTS)


def test_a_server_that_goes_away_for_good_is_a_typed_error_in_bounded_time(server: str) -> None:
    before = Front(lambda asked: FORWARD, upstream=server)
    engine = OpenAIEngine("m", base_url=before.url, api_key=KEY, waits=(0.01, 0.01))
    request = Request(model="m", messages=(Message.user("x"),), config=Config(max_tokens=1))
    assert engine.complete(request).finish_reason == "length"
    before.stop()
    engine.close()
    start = time.monotonic()
    with pytest.raises(ModelUnavailable, match="does not answer"):
        engine.complete(request)
    assert time.monotonic() - start < 5
