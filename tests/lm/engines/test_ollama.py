"""The Ollama engine against the protocol server: what goes out, what comes back."""

import asyncio
import base64
import json
import os
import threading
from collections.abc import Iterator
from typing import Any, Literal

import dspy
import pytest
from dspy.lm15 import FunctionTool, ImagePart, Reasoning, ToolCallDelta

import tunesmith as ts
from tests.contracts.engine import EngineContract, ask
from tests.protocol import FakeModel, ProtocolServer, Reply, embedded_backend, scripted
from tunesmith.errors import ContextOverflow, ModelMissing, RequestRefused, UsageError
from tunesmith.lm import LM, Config, Engine, Message, ReplyCache, Request, StreamDeltaEvent, lm
from tunesmith.lm.engine import StreamEndEvent, ToolCallPart
from tunesmith.lm.engines.ollama import transport as ollama_transport
from tunesmith.lm.engines.ollama.client import POLICY
from tunesmith.lm.engines.ollama.engine import OllamaEngine, server_at
from tunesmith.lm.waiting import Policy
from tunesmith.lm.weights.models import embedded_path

VERSIONS = ("0.24.0", "0.32.15")
PIXEL = base64.b64encode(b"\x89PNG not really").decode()


def patient(**given: Any) -> Policy:
    """Return the policy of an Ollama server with some of its numbers replaced."""
    return POLICY._replace(**given)


def engine_on(server: ProtocolServer, model: str = "m", *, policy: Policy = POLICY, **options: Any) -> OllamaEngine:
    return OllamaEngine(model, server_at(server.url, policy), **options)


def text_request(text: str, **config: Any) -> Request:
    return Request(model="m", messages=(Message.user(text),), config=Config(**{"max_tokens": 20, **config}))


def chats(server: ProtocolServer) -> list[dict[str, Any]]:
    return [entry.body for entry in server.requests if entry.path == "/api/chat"]


def schema(**fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "name": "reply", "schema": fields}


def sentiment(messages: list[dict[str, Any]], options: dict[str, Any]) -> str:
    text = messages[-1]["content"]
    return json.dumps("negative" if "mess" in text else "positive")


def serving(version: str) -> ProtocolServer:
    models = [
        FakeModel("m", reply=sentiment),
        FakeModel("thinker", reply="It is so.", thinking=True),
        FakeModel("tools", reply=[Reply("", tool_calls=[{"name": "add", "arguments": {"a": 1}}])], tools=True),
        FakeModel("eyes", reply="a pixel", vision=True),
        FakeModel("vectors", embeddings=True),
        FakeModel("small", reply="fits", context_length=512),
        FakeModel("far:cloud", reply="hello", remote=True),
    ]
    return ProtocolServer(models, version)


@pytest.fixture(params=VERSIONS if os.environ.get("TUNESMITH_SLOW") else VERSIONS[:1])
def server(request: pytest.FixtureRequest) -> Iterator[ProtocolServer]:
    with serving(request.param) as found:
        yield found


@pytest.fixture(params=VERSIONS)
def either(request: pytest.FixtureRequest) -> Iterator[ProtocolServer]:
    """A server of each version, for what these differ in."""
    with serving(request.param) as found:
        yield found


@pytest.fixture(scope="module")
def embedded_server() -> Iterator[ProtocolServer]:
    try:
        embedded_path()
    except ModelMissing:
        pytest.skip("the embedded weights are not there: run `tunesmith models pull embedded`")
    with ProtocolServer([FakeModel("m", embedded_backend(), weights="embedded")], "0.24.0") as found:
        yield found


class TestOllamaEngine(EngineContract):
    overflow = "word " * 9000

    @pytest.fixture
    def engine(self, server: ProtocolServer) -> Engine:
        return engine_on(server)


@pytest.mark.model
class TestOllamaEngineOnTheEmbeddedModel(EngineContract):
    overflow = "word " * 9000

    @pytest.fixture
    def engine(self, embedded_server: ProtocolServer) -> Engine:
        return engine_on(embedded_server)


# What goes out ----------------------------------------------------------------------------------------------


def test_nothing_is_asked_before_it_is_needed_and_facts_are_read_once(server: ProtocolServer) -> None:
    model = lm("ollama/m", host=server.url, cache=False)
    assert server.requests == []
    assert model.identity.key == model.identity.key
    engine = model._stack.engine
    for text in ("one", "two"):
        engine.complete(text_request(text))
    assert [entry.path for entry in server.requests] == [
        "/api/version", "/api/tags", "/api/show", "/api/chat", "/api/chat"
    ]  # fmt: skip


def test_the_identity_holds_version_digest_and_what_else_changes_replies(either: ProtocolServer) -> None:
    identity = engine_on(either).identity
    assert identity.backend == f"ollama {either.world.reported_version}"
    assert identity.digest == either.world.library.get("m").digest  # type: ignore[union-attr]
    assert {name for name, _ in identity.details} == {"num_ctx", "parameters", "repeat_penalty", "template"}
    assert engine_on(either, num_ctx=1024).identity.key != identity.key
    assert engine_on(either, "thinker", think=True).identity.key != engine_on(either, "thinker").identity.key
    assert engine_on(either, keep_alive="1h").identity.key == identity.key


def test_a_request_carries_what_the_client_cannot_say(server: ProtocolServer) -> None:
    engine = engine_on(server, keep_alive="10m")
    engine.complete(text_request("a mess", seed=3, temperature=0.0, top_p=0.5, extensions={"min_p": 0.1}))
    body = chats(server)[-1]
    assert (body["truncate"], body["shift"], body["stream"], body["keep_alive"]) == (False, False, False, "10m")
    assert body["options"] == {
        "num_ctx": 8192, "temperature": 0.0, "seed": 3, "num_predict": 20, "top_p": 0.5, "min_p": 0.1,
        "repeat_penalty": 1.0,
    }  # fmt: skip
    assert "think" not in body
    assert "format" not in body


@pytest.mark.parametrize("streamed", [False, True])
def test_no_default_of_the_server_punishes_repetition(either: ProtocolServer, streamed: bool) -> None:
    engine = engine_on(either)
    _ = list(engine.stream(text_request("x"))) if streamed else engine.complete(text_request("x"))
    assert chats(either)[-1]["options"]["repeat_penalty"] == 1.0


def test_a_penalty_that_the_user_set_stays(either: ProtocolServer) -> None:
    made = lm("ollama/m", host=either.url, cache=False, repeat_penalty=1.2)
    made("x")
    lm("ollama/m", host=either.url, cache=False)("x", repeat_penalty=1.3)
    with dspy.context(lm=made):
        ts.Predict("text -> label", repeat_penalty=1.4)(text="x")
    assert [body["options"]["repeat_penalty"] for body in chats(either)] == [1.2, 1.3, 1.4]


def test_a_penalty_that_the_model_was_made_with_stays(either: ProtocolServer) -> None:
    either.create("mine", "FROM m\nPARAMETER repeat_penalty 1.15\n")
    engine = engine_on(either, "mine")
    engine.complete(text_request("x"))
    assert "repeat_penalty" not in chats(either)[-1]["options"]
    assert "repeat_penalty" not in dict(engine.identity.details)


def test_replies_under_the_server_s_own_penalty_are_not_taken_for_those_without(either: ProtocolServer) -> None:
    assert dict(engine_on(either).identity.details)["repeat_penalty"] == "1.0"


def test_the_context_is_one_size_for_the_whole_run(server: ProtocolServer) -> None:
    engine = engine_on(server, num_ctx=1000)
    for number in range(3):
        engine.complete(text_request(f"text {number}"))
    engine_small = engine_on(server, "small")
    engine_small.complete(text_request("x"))
    assert {body["options"]["num_ctx"] for body in chats(server)[:3]} == {1000}
    assert chats(server)[-1]["options"]["num_ctx"] == 512
    assert server.loads == {"m:latest": 1, "small:latest": 1}


def test_a_stop_is_joined_to_the_models_own(server: ProtocolServer) -> None:
    engine = engine_on(server)
    engine.complete(text_request("x", stop=("\n",), response_format=schema(type="string", maxLength=20)))
    assert chats(server)[-1]["options"]["stop"] == ["\n", "<|im_start|>", "<|im_end|>"]
    engine.complete(text_request("x"))
    assert "stop" not in chats(server)[-1]["options"]


@pytest.mark.parametrize(
    "harmful",
    [
        {"type": "string", "pattern": "^(?=a)b$"},
        {"type": "string", "pattern": r"^\d{3}$"},
        {"type": "string", "pattern": "[0-9]+"},
        {"not": {"type": "string"}},
        {"type": "banana"},
        {"$ref": "#/$defs/X"},
        {"enum": [f"label {n}" for n in range(500)]},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?=a)b$"}}},
    ],
    ids=str,
)
def test_a_schema_that_harms_a_server_never_leaves(either: ProtocolServer, harmful: dict[str, Any]) -> None:
    engine = engine_on(either)
    assert engine.complete(text_request("x", response_format=schema(**harmful))).text == '"positive"'
    assert list(engine.stream(text_request("x", response_format=schema(**harmful))))
    assert all("format" not in body for body in chats(either))
    assert either.is_running


def test_a_length_that_a_runner_dies_of_is_left_out(server: ProtocolServer) -> None:
    engine_on(server).complete(text_request("x", response_format=schema(type="string", maxLength=3000)))
    assert chats(server)[-1]["format"] == {"type": "string"}


def test_thinking_is_off_unless_it_is_asked_for(server: ProtocolServer) -> None:
    engine_on(server, "thinker").complete(text_request("x"))
    assert chats(server)[-1]["think"] is False
    response = engine_on(server, "thinker", think=True).complete(text_request("x", max_tokens=100))
    assert chats(server)[-1]["think"] is True
    assert (response.text, response.message.parts[0].type) == ("It is so.", "thinking")
    engine_on(server, "thinker").complete(text_request("x", reasoning=Reasoning("low")))
    assert chats(server)[-1]["think"] == "low"
    engine_on(server).complete(text_request("x"))
    assert "think" not in chats(server)[-1]


def test_a_reply_after_thinking_is_not_empty_though_a_schema_was_given(either: ProtocolServer) -> None:
    engine = engine_on(either, "thinker", think=True)
    request = text_request("x", max_tokens=100, stop=("\n",), response_format=schema(type="string", maxLength=20))
    assert engine.complete(request).text == "It is so."
    assert "format" not in chats(either)[-1]
    assert engine_on(either, "thinker").complete(request).text == '"It is so."'
    assert chats(either)[-1]["format"] == {"type": "string", "maxLength": 20}


def test_a_model_that_cannot_think_is_not_asked_to(server: ProtocolServer) -> None:
    with pytest.raises(RequestRefused, match="does not think"):
        engine_on(server, think=True).complete(text_request("x"))
    assert chats(server) == []


def test_logprobs_come_with_bytes_and_alternatives(either: ProtocolServer) -> None:
    response = engine_on(either).complete(text_request("x", logprobs=3))
    assert response.logprobs
    assert bytes(response.logprobs[0].bytes or ()).decode() == response.logprobs[0].token
    assert len(response.logprobs[0].top) == 3
    with pytest.raises(RequestRefused, match="at most 20"):
        engine_on(either).complete(text_request("x", logprobs=30))


def test_tools_are_called(either: ProtocolServer) -> None:
    nested = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0}}, "required": ["a"]}
    tool = FunctionTool(name="add", description="adds", parameters=nested)
    request = Request(model="tools", messages=(Message.user("x"),), tools=(tool,), config=Config(max_tokens=9))
    engine = engine_on(either, "tools")
    response = engine.complete(request)
    call = next(part for part in response.message.parts if isinstance(part, ToolCallPart))
    assert (call.name, call.input, response.finish_reason) == ("add", {"a": 1}, "tool_call")
    assert call.id
    assert chats(either)[-1]["tools"][0]["function"]["parameters"] == nested
    deltas = [event.delta for event in engine.stream(request) if isinstance(event, StreamDeltaEvent)]
    assert [(d.name, d.input) for d in deltas if isinstance(d, ToolCallDelta)] == [("add", '{"a":1}')]
    follow = Request(
        model="tools",
        messages=(
            Message.user("x"),
            Message("assistant", (call,)),
            Message.tool(call.id, "3"),
        ),
        tools=(tool,),
    )
    engine.complete(follow)
    assert [message["role"] for message in chats(either)[-1]["messages"]] == ["user", "assistant", "tool"]
    with pytest.raises(RequestRefused, match="does not support tools"):
        engine_on(either).complete(Request(model="m", messages=(Message.user("x"),), tools=(tool,)))


def test_pictures_go_to_models_that_see(server: ProtocolServer) -> None:
    parts = (dspy.lm15.TextPart("What is it?"), ImagePart(data=PIXEL))
    request = Request(model="eyes", messages=(Message("user", parts),), config=Config(max_tokens=9))
    assert engine_on(server, "eyes").complete(request).text == "a pixel"
    assert chats(server)[-1]["messages"] == [{"role": "user", "content": "What is it?", "images": [PIXEL]}]
    with pytest.raises(RequestRefused, match="does not see pictures"):
        engine_on(server).complete(request)
    far = Request(model="eyes", messages=(Message("user", (ImagePart(url="https://x.org/a.png"),)),))
    with pytest.raises(RequestRefused, match="by content"):
        engine_on(server, "eyes").complete(far)


def test_embeddings_come_in_order_and_in_batches(either: ProtocolServer) -> None:
    engine = engine_on(either, "vectors")
    texts = [f"text {n}" for n in range(150)]
    vectors = engine.embed(texts)
    assert len(vectors) == 150
    assert engine.embed([texts[140]])[0] == pytest.approx(vectors[140])
    sent = [entry.body for entry in either.requests if entry.path == "/api/embed"]
    assert [len(body["input"]) for body in sent] == [64, 64, 22, 1]
    assert all(body["truncate"] is False for body in sent)
    with pytest.raises(ContextOverflow):
        engine.embed(["word " * 9000])


def test_a_chat_model_gives_vectors_where_the_server_lets_it(either: ProtocolServer) -> None:
    engine = engine_on(either)
    assert engine.capabilities.embeddings == (either.world.reported_version == "0.24.0")
    if not engine.capabilities.embeddings:
        with pytest.raises(RequestRefused):
            engine.embed(["x"])


def test_load_options_cannot_change_from_call_to_call(server: ProtocolServer) -> None:
    for name in ("num_ctx", "num_gpu", "grammar", "banana"):
        with pytest.raises(RequestRefused, match=name):
            engine_on(server).complete(text_request("x", extensions={name: 1}))
    assert chats(server) == []


def test_a_lone_surrogate_is_refused(server: ProtocolServer) -> None:
    with pytest.raises(RequestRefused, match="surrogate"):
        engine_on(server).complete(text_request("broken \ud800 text"))


# What does not fit ------------------------------------------------------------------------------------------


def test_a_prompt_that_does_not_fit_says_how_many_tokens_there_are(either: ProtocolServer) -> None:
    with pytest.raises(ContextOverflow) as caught:
        engine_on(either).complete(text_request("word " * 9000))
    error, exact = caught.value, either.world.reported_version == "0.32.15"  # which gives the numbers
    assert error.context_tokens == 8192
    assert error.prompt_tokens is not None
    assert error.prompt_tokens > 8192
    assert error.estimated is not exact
    assert ("an estimate" in str(error)) is not exact


def test_many_demos_are_never_dropped_in_silence(either: ProtocolServer) -> None:
    turns = [
        turn for n in range(60) for turn in (Message.user(f"great fun {n} times"), Message.assistant('"positive"'))
    ]
    request = Request(model="m", messages=(*turns, Message.user("now")), config=Config(max_tokens=9))
    with pytest.raises(ContextOverflow):
        engine_on(either, num_ctx=512).complete(request)
    with pytest.raises(ContextOverflow):
        list(engine_on(either, num_ctx=512).stream(request))


@pytest.mark.parametrize("long", ["one message", "many"])
def test_a_server_too_old_for_the_field_is_found_out(monkeypatch: pytest.MonkeyPatch, long: str) -> None:
    """A server that knows no `truncate`, as one that ignores it: the field is taken out on the way."""
    monkeypatch.setattr(ollama_transport, "_patched", lambda content, patch: content)
    turns = [turn for n in range(100) for turn in (Message.user(f"great fun {n} times"), Message.assistant("positive"))]
    messages = (Message.user("word " * 3000),) if long == "one message" else (*turns, Message.user("now"))
    request = Request(model="m", messages=messages, config=Config(max_tokens=9))
    with ProtocolServer([FakeModel("m", reply="yes")], "0.24.0", reported_version="0.11.0") as server:
        engine = engine_on(server, num_ctx=512)
        with pytest.raises(ContextOverflow, match="an estimate"):
            engine.complete(request)
        with pytest.raises(ContextOverflow, match="an estimate"):
            list(engine.stream(request))
        assert engine.complete(text_request("short")).text == "yes"


def test_an_overflow_is_cached_with_its_mark(either: ProtocolServer, tmp_path: Any) -> None:
    model = lm("ollama/m", host=either.url, cache=ReplyCache(tmp_path), num_ctx=512)
    for _ in range(2):
        with pytest.raises(ContextOverflow) as caught:
            model.send(text_request("word " * 900))
        assert caught.value.estimated is (either.world.reported_version == "0.24.0")
    assert len(chats(either)) == 1


# As a `dspy.LM` ---------------------------------------------------------------------------------------------


class Mood(ts.Signature):
    """Say how the text sounds."""

    text: str = ts.InputField()
    mood: Literal["positive", "negative"] = ts.OutputField()


def test_programs_run_on_it_in_every_way(server: ProtocolServer) -> None:
    model = lm("ollama/m", host=server.url, cache=False)
    program = ts.Predict(Mood)
    with dspy.context(lm=model):
        assert program(text="what a mess").mood == "negative"
        assert asyncio.run(program.acall(text="what a joy")).mood == "positive"
    body = chats(server)[0]
    assert body["format"] == {"enum": ["positive", "negative"]}
    assert "\n" not in body["options"].get("stop", ())  # white space may come first, and the stop would end the reply


def test_plain_calls_and_streams_of_dspy_work(either: ProtocolServer) -> None:
    model = lm("ollama/m", host=either.url, cache=False)
    assert model("what a mess") == ['"negative"']
    assert asyncio.run(model.acall("what a joy")) == ['"positive"']
    either.world.library.add(FakeModel("marked", reply="[[ ## answer ## ]]\nbecause\n\n[[ ## completed ## ]]"))
    program = dspy.streamify(dspy.Predict("question -> answer"))

    async def collect() -> list[Any]:
        with dspy.context(lm=lm("ollama/marked", host=either.url, cache=False), adapter=dspy.ChatAdapter()):
            return [piece async for piece in program(question="why")]

    pieces = asyncio.run(collect())
    assert len(pieces) > 3
    assert pieces[-1].answer == "because"
    assert chats(either)[-1]["stream"]


def test_what_was_cached_is_not_asked_again(server: ProtocolServer, tmp_path: Any) -> None:
    for _ in range(2):
        model = lm("ollama/m", host=server.url, cache=ReplyCache(tmp_path))
        assert model.send(text_request("what a mess")).text == '"negative"'
    assert len(chats(server)) == 1


def test_saved_programs_find_their_server_again(server: ProtocolServer) -> None:
    model = lm("ollama/m", host=server.url, num_ctx=1024, think=False, timeout=60, cache=False)
    state = json.loads(json.dumps(model.dump_state()))
    again = LM.load_state(state, allow_custom_lm_class=True)

    assert {"host": server.url, "num_ctx": 1024, "think": False, "timeout": 60}.items() <= state.items()
    assert again.identity == model.identity


@pytest.mark.parametrize(
    ("spec", "options", "says"),
    [
        ("ollama/", {}, "needs a model"),
        ("ollama/m", {"host": "ftp://x"}, "http or https"),
        ("ollama/m", {"host": "http://x:port"}, "not an address"),
        ("ollama/m", {"think": "a lot"}, "think"),
        ("ollama/m", {"keep_alive": True}, "keep_alive"),
        ("ollama/m", {"timeout": 0}, "timeout"),
        ("ollama/m", {"cloud": "yes"}, "cloud"),
        ("ollama/m", {"num_ctx": 0}, "num_ctx"),
        ("gguf:/none.gguf", {"num_ctx": 15}, "num_ctx` is a whole number from 16"),
    ],
)
def test_options_that_cannot_be_are_refused(spec: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        lm(spec, **options)


def test_connections_are_used_again(server: ProtocolServer) -> None:
    engine = engine_on(server)
    seen: set[Any] = set()
    for number in range(20):
        engine.complete(text_request(f"text {number}"))
        seen |= set(server.connections)
    assert len(seen) == 1


def test_threads_share_an_engine(server: ProtocolServer) -> None:
    engine = engine_on(server)
    found: dict[int, str | None] = {}

    def one(number: int) -> None:
        text = "a mess" if number % 2 else "a joy"
        found[number] = engine.complete(ask(engine, f"{number} {text}")).text

    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: '"negative"' if number % 2 else '"positive"' for number in range(16)}
    assert sum(entry.path == "/api/show" for entry in server.requests) == 1


def test_closing_opens_again_at_the_next_call(server: ProtocolServer) -> None:
    engine = engine_on(server)
    engine.complete(text_request("x"))
    engine.close()
    engine.close()
    assert engine.complete(text_request("y")).text


def test_scripted_replies_in_order(server: ProtocolServer) -> None:
    server.world.library.add(FakeModel("order", reply=scripted(["one", "two"])))
    engine = engine_on(server, "order")
    assert [engine.complete(text_request("x")).text for _ in range(3)] == ["one", "two", "two"]
    end = list(engine.stream(text_request("x", max_tokens=1)))[-1]
    assert isinstance(end, StreamEndEvent)
    assert end.finish_reason == "length"
