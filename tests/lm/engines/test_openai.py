"""OpenAI-compatible servers: what goes over the wire in each dialect, what comes back, and every fault."""

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dspy.lm15 import (
    FunctionTool,
    ImagePart,
    Reasoning,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)

from tests.each import each
from tests.lm.front import Act, Asked, Front, chat_reply, free_port, front
from tests.protocol import FakeModel, ProtocolServer
from tunesmith.errors import ContextOverflow, ModelMissing, ModelUnavailable, ParseError, RequestRefused, UsageError
from tunesmith.lm import Config, Message, Request, StreamDeltaEvent, StreamEndEvent, lm
from tunesmith.lm.engines.openai import openai_hosts
from tunesmith.lm.engines.openai.dialects import DIALECTS
from tunesmith.lm.engines.openai.engine import OpenAIEngine
from tunesmith.lm.problem import read_problem
from tunesmith.lm.waiting import Policy
from tunesmith.lm.wire import response_of, row_of

GOLDEN = Path(__file__).parent / "golden"
OBJECT = {
    "type": "object",
    "properties": {"label": {"enum": ["good", "bad"]}, "stars": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["label", "stars"],
    "additionalProperties": False,
}
LABEL = {"type": "string", "enum": ["good", "bad"]}
GRAMMAR = 'root ::= "good" | "bad"'


def asking(**config: Any) -> Request:
    settings = {"temperature": 0.0, "seed": 0, "max_tokens": 64, **config}
    return Request(
        model="m",
        system="Judge the text.",
        messages=(Message.user("Text: a joy"), Message.assistant("good"), Message.user("Text: ünfit\u2028")),
        config=Config(**settings),
    )


def schema(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "name": "judge", "schema": value}


def always(act: Act) -> Callable[[Asked], Act]:
    return lambda asked: act


def in_turn(*acts: Act) -> Callable[[Asked], Act]:
    """Play `acts` for the chat requests in order, the last one for all that follow; answer probes."""
    left = list(acts)

    def script(asked: Asked) -> Act:
        if asked.method == "GET":
            return Act(body={"object": "list", "data": [{"id": "m"}, {"id": "other"}]})
        return left.pop(0) if len(left) > 1 else left[0]

    return script


def engine(server: Front | str, **given: Any) -> OpenAIEngine:
    url = server if isinstance(server, str) else server.url
    how = {"attempts": given.pop("attempts", 4), "sleep": given.pop("sleep", lambda seconds: None)}
    own = {"dialect": "openai", "cloud": True}  # with leave, the server is not asked first
    return OpenAIEngine("m", base_url=url, policy=Policy(pause=0.5, **how), **{**own, **given})


# What goes out --------------------------------------------------------------------------------------------------

GOLDEN_REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"{name}_schema": (name, {"response_format": schema(OBJECT)}) for name in DIALECTS},
    **{f"{name}_label": (name, {"response_format": schema(LABEL)}) for name in ("tgi", "openai", "ollama")},
    **{f"{name}_grammar": (name, {"extensions": {"grammar": GRAMMAR}}) for name in ("vllm", "vllm-guided", "llamacpp")},
}


@each("name", sorted(GOLDEN_REQUESTS))
def test_the_request_of_each_dialect_is_the_committed_one(name: str) -> None:
    dialect, config = GOLDEN_REQUESTS[name]
    with front(always(Act(body=chat_reply()))) as server:
        engine(server, dialect=dialect).complete(asking(**config, logprobs=2, stop=("\n",), top_p=0.9))
    asked = server.asked[-1]
    found = {"method": asked.method, "path": asked.path, "body": asked.body}
    path = GOLDEN / f"openai_{name}.json"
    assert found == json.loads(path.read_text(encoding="utf-8"))
    looks = ["/api/show"] if dialect == "ollama" else []  # whether the model thinks
    assert [asked.path for asked in server.asked[:-1]] == looks, "a given dialect is not asked for"


def test_tools_and_pictures_go_out_in_the_protocols_shape() -> None:
    request = Request(
        model="m",
        messages=(
            Message.user((TextPart("What is this?"), ImagePart(data="aGk=", media_type="image/png"))),
            Message("assistant", (ToolCallPart("c1", "search", {"q": "cat"}),)),
            Message("tool", (ToolResultPart("c1", (TextPart("a cat"),)),)),
            Message.user("So?"),
        ),
        tools=(FunctionTool("search", "find", {"type": "object", "properties": {"q": {"type": "string"}}}),),
        config=Config(tool_choice=ToolChoice("required", ("search",), parallel=False)),
    )
    with front(always(Act(body=chat_reply()))) as server:
        engine(server).complete(request)
    assert server.asked[0].body == json.loads((GOLDEN / "openai_tools.json").read_text(encoding="utf-8"))


def test_options_of_one_server_go_out_as_they_are_and_top_k_only_where_it_is_known() -> None:
    with front(always(Act(body=chat_reply()))) as server:
        engine(server, dialect="vllm").complete(asking(top_k=3, extensions={"min_p": 0.1}))
        assert (server.asked[0].body["top_k"], server.asked[0].body["min_p"]) == (3, 0.1)
        with pytest.raises(RequestRefused, match="top_k"):
            engine(server).complete(asking(top_k=3))


@pytest.mark.parametrize(
    ("dialect", "effort", "sent"),
    [
        ("openai", "off", {"reasoning_effort": "none"}),
        ("openai", "low", {"reasoning_effort": "low"}),
        ("llamacpp", "off", {"chat_template_kwargs": {"enable_thinking": False}}),
        ("vllm", "high", {"chat_template_kwargs": {"enable_thinking": True}}),
    ],
)
def test_thinking_is_asked_for_as_the_server_knows_it(dialect: str, effort: Any, sent: dict[str, Any]) -> None:
    with front(always(Act(body=chat_reply()))) as server:
        engine(server, dialect=dialect).complete(asking(reasoning=Reasoning(effort)))
    assert sent.items() <= server.asked[0].body.items()


def test_a_schema_that_stops_servers_is_not_sent() -> None:
    with front(always(Act(body=chat_reply()))) as server:
        for dialect in DIALECTS:
            engine(server, dialect=dialect).complete(
                asking(response_format=schema({"type": "string", "pattern": "^(?=a)b$"}))
            )
    sent = {key for asked in server.asked for key in asked.body}
    assert not sent & {"response_format", "structured_outputs", "guided_json"}


def test_a_grammar_is_refused_where_the_server_knows_none() -> None:
    with front(always(Act(body=chat_reply()))) as server:
        with pytest.raises(RequestRefused, match="no GBNF grammar"):
            engine(server).complete(asking(extensions={"grammar": GRAMMAR}))
        assert not server.asked


def test_a_lone_surrogate_is_refused() -> None:
    request = Request(model="m", messages=(Message.user("broken \ud800"),))
    with pytest.raises(RequestRefused, match="surrogate"):
        engine("http://127.0.0.1:1").complete(request)
    with pytest.raises(RequestRefused, match="surrogate"):
        engine("http://127.0.0.1:1").embed(["broken \ud800"])


# Which server it is -----------------------------------------------------------------------------------------------


PAGES: list[tuple[str, dict[str, Any], str]] = [
    ("llamacpp", {"/props": {"default_generation_settings": {"n_ctx": 8}, "total_slots": 1}}, "llamacpp"),
    ("ollama", {"/api/version": {"version": "0.24.0"}}, "ollama"),
    ("tgi", {"/info": {"model_id": "m", "max_total_tokens": 99, "version": "3.0.0"}}, "tgi"),
    ("vllm", {"/version": {"version": "0.11.0"}}, "vllm"),
    ("old vllm", {"/version": {"version": "0.6.3.post1"}}, "vllm-guided"),
    ("vllm of a distant day", {"/version": {"version": "1.2.0"}}, "vllm"),
    ("an embedding server", {"/info": {"model_id": "m", "max_input_length": 512}}, "openai"),
    ("nobody known", {}, "openai"),
]


@pytest.mark.parametrize(("pages", "dialect"), [case[1:] for case in PAGES], ids=[case[0] for case in PAGES])
def test_a_server_is_known_by_its_own_pages(pages: dict[str, Any], dialect: str) -> None:
    def script(asked: Asked) -> Act:
        if asked.method == "POST":
            return Act(body=chat_reply())
        return Act(body=pages[asked.path]) if asked.path in pages else Act(status=404, body="404 page not found")

    with front(script) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = engine(server, dialect=None)
        found.complete(asking())
        found.complete(asking())
        assert found.dialect is DIALECTS[dialect]
    pages_asked = [asked.path for asked in server.asked if asked.method == "GET"]
    assert len(pages_asked) == len(set(pages_asked)) <= 4, "each page is asked for once"


def test_ollamas_v1_says_that_it_cuts_in_silence() -> None:
    def script(asked: Asked) -> Act:
        return Act(body={"version": "0.24.0"}) if asked.path == "/api/version" else Act(status=404, body="no")

    with front(script) as server, pytest.warns(RuntimeWarning, match="ollama/m"):
        assert engine(server, dialect=None).dialect.name == "ollama"


@pytest.mark.parametrize("version", ["0.24.0", "0.32.15"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_prompt_that_ollamas_v1_cut_is_found_out_afterwards(version: str, streamed: bool) -> None:
    long = (Message.user("word " * 3000),)
    demos = tuple(Message.user("Some words to read here. " * 8) for _ in range(40))
    with ProtocolServer([FakeModel("m")], version, num_ctx=512) as server:
        found = engine(f"{server.url}/v1", dialect="ollama")
        with pytest.warns(RuntimeWarning, match="cuts a prompt"):
            assert found.complete(Request(model="m", messages=(Message.user("short"),))).text == "ok"
        for messages in (long, demos):
            request = Request(model="m", messages=messages)
            with pytest.raises(ContextOverflow) as caught:
                _ = list(found.stream(request)) if streamed else found.complete(request)
            assert caught.value.context_tokens == 512
            assert caught.value.estimated


FEW = "Some words to read here, and some more of them. "
OVER = ("word " * 3000, FEW * 400)  # each far over 2,048 tokens
LATER = {
    "nothing is loaded": {"kind": "error", "status": 200, "body": {"models": []}},
    "another model is loaded": {
        "kind": "error",
        "status": 200,
        "body": {"models": [{"name": "o", "context_length": 9}]},
    },
    "it is loaded with more": {
        "kind": "error",
        "status": 200,
        "body": {"models": [{"name": "m:latest", "context_length": 16384}]},
    },
    "it is loaded with less": {
        "kind": "error",
        "status": 200,
        "body": {"models": [{"name": "m:latest", "context_length": 512}]},
    },
    "nobody answers": {"kind": "reset"},
}


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
@each("version", ["0.24.0", "0.32.15"])
@each("streamed", [False, True])
@each("later", LATER)
def test_a_cut_shows_though_another_client_has_had_the_model_loaded_anew(
    version: str, streamed: bool, later: str
) -> None:
    with ProtocolServer([FakeModel("m")], version, num_ctx=2048) as server:
        server.fault(path="/api/ps", times=None, **LATER[later])
        found = engine(f"{server.url}/v1", dialect="ollama")
        for text in OVER:
            request = Request(model="m", messages=(Message.user(text),))
            with pytest.raises(ContextOverflow):
                _ = list(found.stream(request)) if streamed else found.complete(request)


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
@each("version", ["0.24.0", "0.32.15"])
@each(
    ("later", "text"),
    [
        *((later, text) for later in LATER for text in ("word " * 1900, FEW * 120, "日本 " * 700)),
        *((later, text) for later in list(LATER)[:3] for text in ((" " * 39 + "x\n") * 230, ("=" * 40 + "\n") * 230)),
    ],
)
def test_a_prompt_that_fitted_is_not_taken_for_a_cut_one(version: str, later: str, text: str) -> None:
    with ProtocolServer([FakeModel("m")], version, num_ctx=8192) as server:
        server.fault(path="/api/ps", times=None, **LATER[later])
        request = Request(model="m", messages=(Message.user(text),))
        assert engine(f"{server.url}/v1", dialect="ollama").complete(request).text == "ok"


def test_what_a_server_can_do_is_told_even_while_it_is_away() -> None:
    away = engine(f"http://127.0.0.1:{free_port()}", dialect=None, slots=3)
    assert away.capabilities.constraints == {"json_object", "json_schema"}
    assert away.capabilities.slots == 3


def test_a_server_that_comes_up_is_known_at_its_first_call() -> None:
    port = free_port()
    found = engine(f"http://127.0.0.1:{port}", dialect=None)
    assert "grammar" not in found.capabilities.constraints

    def script(asked: Asked) -> Act:
        return Act(body={"default_generation_settings": {}}) if asked.path == "/props" else GOOD

    with front(script, port=port):
        assert found.complete(asking(extensions={"grammar": GRAMMAR})).text == "fine"
        assert "grammar" in found.capabilities.constraints


def test_an_unknown_dialect_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no dialect 'gpt'"):
        engine("http://127.0.0.1:1", dialect="gpt")


# What comes back ---------------------------------------------------------------------------------------------------


def test_a_reply_has_its_text_tokens_and_log_probabilities() -> None:
    top = [{"token": "g", "logprob": -0.1}, {"token": "b", "logprob": -2, "bytes": [98]}]
    found = {"content": [{"token": "good", "logprob": -0.1, "bytes": [103, 111, 111, 100], "top_logprobs": top}]}
    with front(always(Act(body=chat_reply("good", logprobs=found)))) as server:
        response = engine(server).complete(asking(logprobs=2))
    assert (response.text, response.usage.input_tokens, response.usage.output_tokens) == ("good", 7, 2)
    assert response.logprobs is not None
    assert [t.token for t in response.logprobs[0].top] == ["g", "b"]
    assert response.logprobs[0].top[0].bytes is None
    assert response_of(row_of(response, 0.0) or {}).logprobs == response.logprobs


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("eos_token", "stop"),
        ("content_filter", "content_filter"),
        (None, "stop"),
    ],
)
def test_why_a_reply_ended_is_known(said: str | None, reason: str) -> None:
    with front(always(Act(body=chat_reply("x", finish_reason=said)))) as server:
        assert engine(server).complete(asking()).finish_reason == reason


def test_tool_calls_and_thinking_are_parts_of_the_reply() -> None:
    calls = [{"id": "c7", "type": "function", "function": {"name": "search", "arguments": '{"q": "cat"}'}}]
    message = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": calls}
    with front(always(Act(body=chat_reply(message=message, finish_reason="stop")))) as server:
        response = engine(server).complete(asking())
    assert [part.type for part in response.message.parts] == ["thinking", "tool_call"]
    assert response.message.parts[1].input == {"q": "cat"}
    assert response.finish_reason == "tool_call"


def test_tool_arguments_that_are_no_object_cannot_be_read() -> None:
    calls = [{"id": "", "function": {"name": "search", "arguments": "{broken"}}]
    act = Act(body=chat_reply(message={"tool_calls": calls}))
    with front(always(act)) as server, pytest.raises(ParseError, match="not a JSON object"):
        engine(server).complete(asking())


@pytest.mark.parametrize("streamed", [False, True])
def test_a_token_that_cannot_be_has_a_very_small_log_probability(streamed: bool) -> None:
    logged = {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "b", "logprob": float("-inf")}]}]}
    body = sse(piece("a", finish_reason="stop", logprobs=logged)) if streamed else chat_reply("a", logprobs=logged)
    with front(always(Act(body=body))) as server:
        found = engine(server)
        if streamed:
            deltas = [event.delta for event in found.stream(asking(logprobs=1)) if isinstance(event, StreamDeltaEvent)]
            logprobs = deltas[0].logprobs
        else:
            logprobs = found.complete(asking(logprobs=1)).logprobs
    assert logprobs[0].top[0].logprob == -1e9


def test_a_tool_call_without_its_type_and_id_is_read() -> None:
    for more in ({}, {"type": None, "id": None}, {"type": "tool"}):
        calls = [{"function": {"name": "search", "arguments": {"q": 1}}, **more}]
        with front(always(Act(body=chat_reply(message={"content": "", "tool_calls": calls})))) as server:
            call = engine(server).complete(asking()).message.parts[-1]
        assert (call.id, call.name, call.input) == ("call_0", "search", {"q": 1})


@pytest.mark.parametrize(
    "message",
    [
        None,
        "",
        {"content": 5},
        {"content": {"text": "x"}},
        {"tool_calls": [{"function": {"name": "", "arguments": "{}"}}]},
    ],
)
def test_a_message_that_is_none_is_not_an_empty_reply(message: Any) -> None:
    with (
        front(always(Act(body=chat_reply(message=message)))) as server,
        pytest.raises(ModelMissing, match="no OpenAI-compatible API"),
    ):
        engine(server).complete(asking())


def test_a_reply_that_was_cut_in_its_tool_calls_says_so() -> None:
    calls = [{"id": "c7", "type": "function", "function": {"name": "search", "arguments": "{}"}}]
    with front(always(Act(body=chat_reply(message={"tool_calls": calls}, finish_reason="length")))) as server:
        assert engine(server).complete(asking()).finish_reason == "length"


def test_a_real_ollama_reply_is_read() -> None:
    recorded = json.loads((GOLDEN / "ollama_v1_chat_schema.json").read_text(encoding="utf-8"))["response"]
    with front(always(Act(status=recorded["status"], body=recorded["text"]))) as server:
        response = engine(server, dialect="ollama").complete(asking())
    assert json.loads(response.text) == {"sentiment": "negative"}
    assert (response.finish_reason, response.usage.input_tokens, response.usage.output_tokens) == ("length", 13, 20)


def test_embeddings_come_in_the_order_of_the_texts() -> None:
    data = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
    with front(always(Act(body={"data": data}))) as server:
        assert engine(server).embed(["a", "b"]) == [[1.0, 2.0], [3.0, 4.0]]
        assert engine(server).embed([]) == []
    assert server.asked[0].body == {"model": "m", "input": ["a", "b"]}


def test_embeddings_are_refused_where_there_are_none() -> None:
    with front(always(Act(status=501, body={"error": {"message": "This server does not support embeddings"}}))) as s:
        with pytest.raises(RequestRefused, match="does not support embeddings"):
            engine(s).embed(["a"])
        with pytest.raises(RequestRefused, match="has no embeddings"):
            engine(s, dialect="tgi").embed(["a"])


# Streams ---------------------------------------------------------------------------------------------------------------


def sse(*chunks: Any, done: bool = True) -> Iterator[str | None]:
    for chunk in chunks:
        yield None if chunk is None else f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
    if done:
        yield "data: [DONE]\n\n"


def piece(text: str, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None, **choice}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}


def test_a_stream_is_the_reply_piece_by_piece_whatever_line_ends_it_holds() -> None:
    texts = ["a\u2028b", "c\u0085d", " \n", "é"]
    whole = "".join(p or "" for p in sse(*(piece(t) for t in texts), piece("", finish_reason="length"), USAGE)).encode()
    # Cut anywhere, also inside of a character.
    pieces = (whole[i : i + 7] for i in range(0, len(whole), 7))
    with front(lambda asked: Act(body=pieces)) as server:
        events = list(engine(server).stream(asking()))
    assert "".join(e.delta.text for e in events if isinstance(e, StreamDeltaEvent)) == "".join(texts)
    assert isinstance(events[-1], StreamEndEvent)
    assert (events[-1].finish_reason, events[-1].usage.input_tokens) == ("length", 5)
    assert server.asked[0].body["stream_options"] == {"include_usage": True}


def test_tool_calls_and_thinking_come_as_deltas() -> None:
    first = {"choices": [{"delta": {"reasoning": "hm"}}]}
    call = {"index": 0, "id": "c1", "function": {"name": "search", "arguments": '{"q"'}}
    more = {"index": 0, "function": {"arguments": ": 1}"}}
    chunks = [
        first,
        *({"choices": [{"delta": {"tool_calls": [c]}}]} for c in (call, more)),
        piece("", finish_reason="tool_calls"),
    ]
    with front(lambda asked: Act(body=sse(*chunks))) as server:
        deltas = [e.delta for e in engine(server).stream(asking()) if isinstance(e, StreamDeltaEvent)]
    assert deltas[0].text == "hm"
    calls = [d for d in deltas if isinstance(d, ToolCallDelta)]
    assert calls[0].name == "search"
    assert "".join(d.input for d in calls) == '{"q": 1}'


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        ([piece("a"), {"error": {"message": "engine died"}}], ModelUnavailable),
        ([piece("a"), {"error": "Request failed", "error_type": "generation"}], ModelUnavailable),
        ([piece("a"), {"object": "error", "message": "maximum context length is 9 tokens"}], ContextOverflow),
        ([piece("a"), None], ModelUnavailable),
        ([piece("a")], ModelUnavailable),
        ([piece("a"), [1]], ModelUnavailable),
        ([piece("a"), {"choices": [5]}], ModelUnavailable),
        ([piece("a"), {"choices": [], "usage": "many"}], ModelUnavailable),
        ([piece("a"), {"choices": [{"delta": {"tool_calls": [{"index": "x"}]}}]}], ModelUnavailable),
        ([piece("a"), {"error": {"message": "x", "code": "context_length_exceeded"}}], ContextOverflow),
    ],
    ids=[
        "error",
        "tgi error",
        "overflow",
        "cut",
        "ends without a reason",
        "a list",
        "no choice",
        "no usage",
        "no tool call",
        "overflow by its code",
    ],
)
def test_a_stream_that_breaks_off_is_a_typed_error(chunks: list[Any], error: type[Exception]) -> None:
    with front(lambda asked: Act(body=sse(*chunks, done=False))) as server:
        got = []
        with pytest.raises(error):
            got.extend(engine(server).stream(asking()))
    assert len(got) == 2, "what came before is not lost"
    assert len(server.chats()) == 1, "nothing is sent again after the first piece"


@pytest.mark.parametrize("bad", [b"data: {broken\n\n", b'data: {"a": "\xff"}\n\n'], ids=["no JSON", "no UTF-8"])
def test_a_stream_that_cannot_be_read_is_a_typed_error(bad: bytes) -> None:
    pieces = [p.encode() for p in sse(piece("a"), done=False) if p]
    with (
        front(lambda asked: Act(body=iter([*pieces, bad]))) as server,
        pytest.raises(ModelUnavailable, match="broke its reply off"),
    ):
        list(engine(server).stream(asking()))


def test_a_stream_that_does_not_begin_is_asked_for_again() -> None:
    acts = [BUSY, Act("reset"), Act(body=sse(piece("a", finish_reason="stop")))]
    waited: list[float] = []
    with front(in_turn(*acts)) as server:
        events = list(engine(server, sleep=waited.append).stream(asking()))
    assert len(events) == 3
    assert waited == [0.5, 1.0]


def test_a_stream_that_is_left_closes_the_connection() -> None:
    more = threading.Event()

    def pieces() -> Iterator[str]:
        for _ in range(2000):
            yield from sse(piece("x" * 500), done=False)
            more.wait(0.002)

    with front(lambda asked: Act(body=pieces())) as server:
        events = engine(server).stream(asking())
        next(events)
        next(events)
        events.close()
        assert server.left.wait(5)


# Faults ------------------------------------------------------------------------------------------------------------------

BUSY = Act(status=429, body={"error": {"message": "slow down"}})
GOOD = Act(body=chat_reply("fine"))


@pytest.mark.parametrize(
    "fault",
    [
        BUSY,
        Act(status=503, body={"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
        Act(status=502, body="<html><body>Bad Gateway</body></html>"),
        Act(status=500, body="oops"),
        Act("reset"),
    ],
    ids=["busy", "loading", "gateway", "service weak", "reset"],
)
def test_what_passes_is_asked_again(fault: Act) -> None:
    waited: list[float] = []
    with front(in_turn(fault, GOOD)) as server:
        assert engine(server, sleep=waited.append).complete(asking()).text == "fine"
    assert len(server.chats()) == 2
    assert waited == [0.5]


def test_retry_after_is_obeyed_in_seconds_and_as_a_date() -> None:
    waited: list[float] = []
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 20))
    acts = [Act(status=429, body="", headers={"Retry-After": value}) for value in ("7", date)]
    with front(in_turn(*acts, GOOD)) as server:
        assert engine(server, sleep=waited.append).complete(asking()).text == "fine"
    assert waited[0] == 7
    assert 15 < waited[1] <= 20


def test_a_server_that_wants_an_hour_is_away() -> None:
    waited: list[float] = []
    act = Act(status=429, body="quota", headers={"Retry-After": "3600"})
    with front(always(act)) as server, pytest.raises(ModelUnavailable, match="3600 s"):
        engine(server, sleep=waited.append).complete(asking())
    assert waited == []
    assert len(server.asked) == 1


def test_retries_end() -> None:
    waited: list[float] = []
    with front(always(BUSY)) as server, pytest.raises(ModelUnavailable, match="slow down"):
        engine(server, sleep=waited.append).complete(asking())
    assert waited == [0.5, 1.0, 2.0]
    assert len(server.asked) == 4


def test_a_server_that_starts_late_is_waited_for() -> None:
    port, servers = free_port(), []

    def start(seconds: float) -> None:
        if not servers:
            servers.append(Front(always(GOOD), port=port))

    assert engine(f"http://127.0.0.1:{port}", sleep=start).complete(asking()).text == "fine"
    servers[0].stop()


def test_a_server_that_is_down_is_unavailable_and_says_what_to_do() -> None:
    with pytest.raises(ModelUnavailable, match="Check that it runs"):
        engine(f"http://127.0.0.1:{free_port()}").complete(asking())


def test_a_request_that_brought_the_server_down_is_not_sent_again() -> None:
    with front(in_turn(Act("crash"))) as server:
        with pytest.raises(ModelUnavailable):
            engine(server).complete(asking())
        assert len(server.chats()) == 1


def test_a_connection_that_breaks_twice_ends_it() -> None:
    with front(in_turn(Act("reset"))) as server, pytest.raises(ModelUnavailable):
        engine(server).complete(asking())
    assert len(server.chats()) == 2, "sent again once, for the server still answers"


def test_a_stalled_server_is_asked_once_more() -> None:
    with front(in_turn(Act("stall", seconds=2.0), GOOD)) as server:
        assert engine(server, timeout=0.5).complete(asking()).text == "fine"
    with front(in_turn(Act("stall", seconds=1.0))) as server, pytest.raises(ModelUnavailable, match="ReadTimeout"):
        engine(server, timeout=0.2).complete(asking())
    assert len(server.chats()) == 2


def test_a_local_servers_own_failure_is_about_the_request() -> None:
    act = Act(status=500, body={"error": {"message": "model runner has unexpectedly stopped"}})
    with front(in_turn(act)) as server, pytest.raises(RequestRefused, match="unexpectedly stopped"):
        engine(server, dialect="ollama").complete(asking())
    assert len(server.chats()) == 1


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (Act(status=401, body={"error": {"message": "Invalid API Key"}}), "refused the key"),
        (Act(status=403, body=""), "refused the key"),
        (Act(status=404, body="404 page not found"), "no OpenAI-compatible API"),
        (Act(status=301, body="", headers={"Location": "http://example.org/"}), "not followed"),
        (Act(body="<html>hello</html>"), "no OpenAI-compatible API"),
        (Act(body={"hello": "world"}), "no OpenAI-compatible API"),
        (Act(status=404, body={"error": {"message": "model 'm' not found"}}), "It has: m, other"),
    ],
    ids=["key", "forbidden", "path", "redirect", "page", "another api", "model"],
)
def test_what_only_the_user_can_mend_stops_at_once(act: Act, match: str) -> None:
    with front(in_turn(act)) as server, pytest.raises(ModelMissing, match=match):
        engine(server).complete(asking())
    assert len(server.chats()) == 1


OVERFLOWS: list[tuple[str, int, Any, tuple[int | None, int | None]]] = [
    (
        "openai",
        400,
        {
            "error": {
                "message": "This model's maximum context length is 8192 tokens. However, your messages resulted in "
                "8227 tokens. Please reduce the length of the messages.",
                "type": "invalid_request_error",
                "code": "context_length_exceeded",
            }
        },
        (8227, 8192),
    ),
    (
        "vllm",
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 6048 tokens. However, you requested 6616 tokens (568 in "
            "the messages, 6048 in the completion). Please reduce the length of the messages or completion.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        (568, 6048),
    ),
    (
        "vllm",
        400,
        {"error": {"message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096."}},
        (5000, 4096),
    ),
    (
        "tgi",
        422,
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 3474 `inputs` "
            "tokens and 60 `max_new_tokens`",
            "error_type": "validation",
        },
        (3474, 2048),
    ),
    (
        "tgi",
        422,
        {"error": "Input validation error: `inputs` must have less than 2048 tokens. Given: 2222", "error_type": "v"},
        (2222, 2048),
    ),
    (
        "llamacpp",
        400,
        {
            "error": {
                "code": 400,
                "message": "request (3031 tokens) exceeds the available context size (2048 tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 3031,
                "n_ctx": 2048,
            }
        },
        (3031, 2048),
    ),
    (
        "ollama",
        400,
        {
            "error": {
                "message": '{"error":{"code":400,"message":"request (831 tokens) exceeds","type":'
                '"exceed_context_size_error","n_prompt_tokens":831,"n_ctx":512}}',
                "type": "invalid_request_error",
            }
        },
        (831, 512),
    ),
    ("ollama", 400, {"error": {"message": "the input length exceeds the context length"}}, (None, None)),
]


@pytest.mark.parametrize("case", OVERFLOWS, ids=lambda case: case[0])
def test_a_prompt_that_does_not_fit_is_known_in_every_servers_words(case: tuple[str, int, Any, Any]) -> None:
    dialect, status, body, (prompt, context) = case
    with front(in_turn(Act(status=status, body=body))) as server, pytest.raises(ContextOverflow) as caught:
        engine(server, dialect=dialect).complete(asking())
    assert (caught.value.prompt_tokens, caught.value.context_tokens) == (prompt, context)
    assert len(server.chats()) == 1


@pytest.mark.parametrize("body", ["", "[1]", '"x"', "null", "{", '{"error": null}', '{"detail": [{"loc": 1}]}'])
def test_an_error_of_any_shape_is_read(body: str) -> None:
    problem = read_problem(body)
    assert str(problem)
    assert not problem.too_long
    with front(in_turn(Act(status=400, body=body))) as server, pytest.raises(RequestRefused):
        engine(server).complete(asking())


# Keys, addresses, connections ------------------------------------------------------------------------------------------


def test_the_key_goes_to_loopback_and_https_only() -> None:
    with front(always(GOOD)) as server:
        engine(server, api_key="secret").complete(asking())
    assert server.asked[0].headers["Authorization"] == "Bearer secret"
    OpenAIEngine("m", base_url="https://example.org/v1", api_key="secret")
    OpenAIEngine("m", base_url="http://example.org/v1")
    for given in ({"api_key": "secret"}, {"headers": {"authorization": "x"}}, {"headers": {"X-Api-Key": "x"}}):
        with pytest.raises(UsageError, match="clear text"):
            OpenAIEngine("m", base_url="http://example.org/v1", **given)


def test_no_secret_is_in_the_identity_or_in_an_error() -> None:
    with front(in_turn(Act(status=401, body="no"))) as server:
        found = engine(server, api_key="secret", revision="r1")
        with pytest.raises(ModelMissing) as caught:
            found.complete(asking())
    assert "secret" not in str(caught.value) + json.dumps(found.identity.to_json())
    assert found.identity.to_json()["verified"] is False
    assert found.identity.to_json()["details"] == {"address": server.url, "revision": "r1"}
    with pytest.raises(UsageError, match="written down"):
        OpenAIEngine("m", base_url="http://user:pass@localhost/v1")


ENVIRONMENT = {
    "OPENAI_API_KEY": "secret",
    "OPENAI_ADMIN_KEY": "secret",
    "OPENAI_ORG_ID": "secret",
    "OPENAI_PROJECT_ID": "secret",
    "OPENAI_BASE_URL": "http://127.0.0.1:1/secret",
    "OPENAI_CUSTOM_HEADERS": "X-Custom: secret",
}


@pytest.mark.parametrize("key", [None, "mine"])
def test_nothing_of_the_environment_that_is_for_openai_goes_to_another_server(
    key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with front(in_turn(GOOD)) as server:
        found = engine(server, dialect=None, api_key=key, headers={"X-Own": "1"})
        found.complete(asking())
        server.script = lambda asked: Act(body=sse(piece("a", finish_reason="stop")))
        list(found.stream(asking()))
    assert {asked.path for asked in server.asked} >= {"/v1/chat/completions", "/props"}
    for asked in server.asked:
        sent = {name.lower(): value for name, value in asked.headers.items()}
        assert "secret" not in json.dumps(sent)
        assert not [name for name in sent if name.startswith(("x-stainless", "openai"))]
        assert sent.get("authorization") == (None if key is None else "Bearer mine")
        assert sent["x-own"] == "1"


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x", "http://", "http://x:y/v1", "http://x/v1?a=b"])
def test_an_address_that_is_none_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="base_url"):
        OpenAIEngine("m", base_url=url)


def test_a_bare_host_gets_v1_and_proxies_do_not_touch_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    with front(always(GOOD)) as server:
        assert engine(server.url.removesuffix("/v1")).complete(asking()).text == "fine"
    assert server.asked[0].path == "/v1/chat/completions"


def test_a_connection_is_used_again() -> None:
    with front(always(GOOD)) as server:
        found = engine(server)
        for _ in range(20):
            found.complete(asking())
        found.close()
        found.complete(asking())
    assert server.connections == 2


# `ts.lm` -----------------------------------------------------------------------------------------------------------------


def test_the_spec_with_an_address_is_this_engine() -> None:
    with front(in_turn(GOOD)) as server:
        model = lm("openai/org/m", base_url=server.url, dialect="vllm", revision="r1", slots=4, cache=False)
        assert model("hello") == ["fine"]
        assert server.chats()[0].body["model"] == "org/m"
        assert (model.slots, model.capabilities.slots) == (4, 4)
        assert model.identity.backend == "openai"
    assert lm("openai/gpt-4o-mini", api_key="x", cache=False).identity.backend == "dspy"


def test_what_builds_the_engine_again_holds_no_secret() -> None:
    secret = {"api_key": "secret", "headers": {"X-Api-Key": "secret"}, "extra_headers": {"X": "secret"}}
    _, options = openai_hosts("m", {"base_url": "http://localhost:1/v1", **secret, "revision": "r1"}, 1)
    assert options == {"base_url": "http://localhost:1/v1", "revision": "r1"}


def test_an_option_that_this_engine_has_not_is_a_usage_error() -> None:
    for given in ({"api_version": "1"}, {"num_ctx": 5}, {"dialect": "gpt"}):
        with pytest.raises(UsageError):
            lm("openai/m", base_url="http://localhost:1/v1", **given)
    with pytest.raises(UsageError, match="base_url"):
        lm("openai/gpt-4o-mini", dialect="vllm")


# Thinking on Ollama -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["0.24.0", "0.32.15"])
def ollama(request: pytest.FixtureRequest) -> Iterator[ProtocolServer]:
    models = [FakeModel("m", reply="good", thinking=True, thought="Is it?"), FakeModel("plain", reply="good")]
    with ProtocolServer(models, request.param) as found:
        yield found


def bodies(server: ProtocolServer) -> list[dict[str, Any]]:
    return [entry.body for entry in server.requests if entry.path == "/v1/chat/completions"]


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
@pytest.mark.parametrize("dialect", [None, "ollama"])
def test_a_model_on_ollama_s_v1_thinks_only_if_it_is_asked_to(ollama: ProtocolServer, dialect: str | None) -> None:
    model = engine(ollama.url, dialect=dialect)
    replies = [model.complete(asking(reasoning=effort)) for effort in (None, Reasoning("off"), Reasoning("low"))]
    list(model.stream(asking()))
    assert [body["reasoning_effort"] for body in bodies(ollama)] == ["none", "none", "low", "none"]
    assert [reply.message.parts[0].type for reply in replies] == ["text", "text", "thinking"]


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
def test_nothing_of_thinking_is_sent_for_a_model_that_does_not_think(ollama: ProtocolServer) -> None:
    assert lm("openai/plain", base_url=ollama.url, cache=False)("Good or bad?") == ["good"]
    assert "reasoning_effort" not in bodies(ollama)[0]


@pytest.mark.filterwarnings("ignore:Ollama's `/v1`")
def test_a_reply_after_thoughts_on_ollama_s_v1_is_not_held_as_a_schema_would_empty_it(ollama: ProtocolServer) -> None:
    model = engine(ollama.url, dialect="ollama")
    request = asking(response_format=schema(LABEL), stop=("\n", "END"), reasoning=Reasoning("low"))
    assert (model.complete(request).text, model.capabilities.thinking) == ("good", True)
    assert ("response_format" in bodies(ollama)[0], bodies(ollama)[0]["stop"]) == (False, ["END"])
