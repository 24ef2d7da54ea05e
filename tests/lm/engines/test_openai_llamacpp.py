"""The OpenAI-compatible engine against llama.cpp's own HTTP server, straight and through a front that makes faults."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest
from pydantic import TypeAdapter

import tunesmith as ts
from tests.contracts.engine import LABELS, EngineContract, ask
from tests.each import each
from tests.formats.types import TYPES, OutputType, row_of, signature_of
from tests.lm.front import FORWARD, Act, Asked, Front, front
from tests.scale import FULL, scaled
from tunesmith.errors import ContextOverflow, ModelError, ModelMissing, ModelUnavailable, ParseError
from tunesmith.lm import Config, Engine, Message, Request, lm
from tunesmith.lm.engines.llamacpp.context import _serve
from tunesmith.lm.engines.openai.engine import OpenAIEngine
from tunesmith.lm.waiting import Policy
from tunesmith.lm.weights.models import embedded_path

pytestmark = pytest.mark.model

KEY = "a key of this run"
CONTEXT = 1024
PATIENCE = 3.0  # seconds for one attempt


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        path = embedded_path()
    except ModelMissing:
        pytest.skip("the embedded weights are not there: run `tunesmith models pull embedded`")
    states: Path = tmp_path_factory.mktemp("states")
    served = _serve(path, CONTEXT, 1, states, KEY)  # one thread: more wait for each other on a busy machine
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


QUICK = ("HttpUrl", "Literal with None", "float, ge=0, le=1", "list of models")
CHOSEN = [one for one in TYPES if one.name != "type" and (FULL or one.name in QUICK)]


@pytest.mark.timeout(900)
@each("one", CHOSEN, ids=str)
def test_a_type_is_held_in_its_default_format_or_listed(server: str, one: OutputType) -> None:
    """A reply is a value, fills a bound of ours, or is of a type that the docs list as not held."""
    model = lm("openai/smollm2", base_url=server, api_key=KEY, cache=False, max_tokens=128)
    program = ts.Predict(signature_of(one.kind))
    with dspy.context(lm=model):
        try:
            found = program(text="Ada paid 12.50 EUR on 2024-03-01, see https://example.org.").found
        except ParseError as error:
            if error.reason == "truncated" or row_of(one)[2] == "not held":
                return
            raise
    assert TypeAdapter(one.kind).validate_python(found) == found


FAULTS = ("refuse", "reset", "cut", "stall", "busy", "loading", "gateway", "crash")
ACTS = {
    "reset": Act("reset"),
    "cut": Act("cut"),
    "stall": Act("stall", seconds=4.0),
    "busy": Act(status=429, body={"error": {"message": "busy"}}, headers={"Retry-After": "0"}),
    "loading": Act(status=503, body={"error": {"code": 503, "message": "Loading model"}}),
    "gateway": Act(status=502, body="<html>Bad Gateway</html>"),
    "crash": Act(status=500, body={"error": {"code": 500, "message": "the runner stopped", "type": "server_error"}}),
}


def planned(count: int) -> dict[int, str]:
    """Return which call meets which fault: one in ten, each kind, and `crash`, which costs the reply, in one of 100."""
    order = random.Random(3)
    crashes, others = max(1, count // 100), FAULTS[:-1]
    kinds = ["crash"] * crashes + [others[n % len(others)] for n in range(max(len(others), count // 10 - crashes))]
    return dict(zip(order.sample(range(count), len(kinds)), kinds, strict=True))


def numbered(number: int) -> Request:
    """Return a request whose seed is its number, for greedy decoding ignores the seed."""
    text = ("a joy", "a mess", "so so")[number % 3]
    return Request(
        model="m",
        system="Say whether the text is positive or negative.",
        messages=(Message.user(f"Text: {text}\nSentiment:"),),
        config=Config(temperature=0.0, seed=number, max_tokens=4, extensions={"grammar": LABELS}),
    )


@pytest.mark.timeout(600)
def test_faults_on_the_way_cost_few_replies_and_few_requests(server: str) -> None:
    """All replies are right, but for those of requests that ended the server's work: these are typed, and not repeated."""
    count = max(30, scaled(300))
    plan, met, longest = planned(count), Counter[str](), 0.0

    def script(asked: Asked) -> Act:
        kind = None if asked.method == "GET" else plan.pop(asked.body["seed"], None)
        if kind is None:
            return FORWARD
        met[kind] += 1
        return ACTS[kind]

    with front(script, upstream=server) as before:
        straight = OpenAIEngine("m", base_url=server, api_key=KEY)
        right = [straight.complete(numbered(number)).text for number in range(3)]
        engine = OpenAIEngine(
            "m", base_url=before.url, api_key=KEY, policy=Policy(attempts=4, pause=0.1), timeout=PATIENCE
        )
        refused = 0
        for number in range(count):
            if plan.get(number) == "refuse":
                met[plan.pop(number)] += 1
                before.refuse(0.3)
            start = time.monotonic()
            try:
                assert engine.complete(numbered(number)).text == right[number % 3]
            except ModelError:
                refused += 1
            longest = max(longest, time.monotonic() - start)
        sent = Counter(asked.body["seed"] for asked in before.chats())
    assert set(met) == set(FAULTS)
    assert count < 300 or min(met.values()) >= 3
    assert refused <= met["crash"] <= max(1, 0.01 * count)
    assert sum(sent.values()) <= 1.2 * count + len(FAULTS)
    assert longest < 4 * PATIENCE + 0.7, "four attempts and the pauses between them"


def test_a_stream_that_breaks_off_is_typed_and_not_sent_again(server: str) -> None:
    acts = iter([Act("cut"), FORWARD])
    with front(lambda asked: FORWARD if asked.method == "GET" else next(acts), upstream=server) as before:
        engine = OpenAIEngine("m", base_url=before.url, api_key=KEY)
        with pytest.raises(ModelUnavailable):
            list(engine.stream(ask(engine, "I like it", max_tokens=40)))
        assert len(before.chats()) == 1
        assert list(engine.stream(ask(engine, "I like it")))


HARMFUL: list[dict[str, Any]] = [
    {"type": "string", "pattern": "^(?=a)b$"},
    {"type": "string", "pattern": r"^\d{3}$"},
    {"type": "string", "pattern": "[0-9]+"},
    {"type": "string", "maxLength": 3000},
    {"not": {"type": "string"}},
    {"type": "banana"},
    {"$ref": "#/$defs/X"},
    {"enum": []},
    {"enum": [f"label {n}" for n in range(500)]},
]


@pytest.mark.parametrize("harmful", HARMFUL, ids=lambda schema: str(schema)[:40])
def test_a_schema_that_harms_a_server_never_leaves(server: str, harmful: dict[str, Any]) -> None:
    schema = {"type": "json_schema", "name": "reply", "schema": harmful}
    with front(lambda asked: FORWARD, upstream=server) as before:
        engine = OpenAIEngine("m", base_url=before.url, api_key=KEY)
        assert engine.complete(ask(engine, "I like it", response_format=schema)).text
        body = before.chats()[0].body
        sent = body.get("response_format", {}).get("json_schema", {}).get("schema")
        assert sent in (None, {"type": "string"})
        assert "grammar" not in body


def test_a_server_that_goes_away_for_good_is_a_typed_error_in_bounded_time(server: str) -> None:
    before = Front(lambda asked: FORWARD, upstream=server)
    engine = OpenAIEngine("m", base_url=before.url, api_key=KEY, policy=Policy(attempts=3, pause=0.01))
    request = Request(model="m", messages=(Message.user("x"),), config=Config(max_tokens=1))
    assert engine.complete(request).finish_reason == "length"
    before.stop()
    engine.close()
    start = time.monotonic()
    with pytest.raises(ModelUnavailable, match="does not answer"):
        engine.complete(request)
    assert time.monotonic() - start < 5
