"""What servers of OpenAI's protocol answer: replies, streams and errors, as canonical values."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from tunesmith.errors import ModelError, shown
from tunesmith.lm.engine import (
    LM15Error,
    Response,
    StreamDeltaEvent,
    StreamEvent,
    StreamStartEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    context_overflow,
    end_event,
    response_from_openai_chat,
    token_logprobs,
    tool_input,
    unavailable,
)
from tunesmith.lm.problem import read_problem

__all__ = ["broke_off", "read_events", "read_json", "read_reply"]

_LEAST = -1e9  # for a log-probability

_REASONS = {
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "content_filter": "content_filter",
}


def read_json(text: str | bytes) -> Any:
    """Return the JSON in `text`; servers in Python write `-Infinity` for a token that cannot be, which JSON has not.

    Raises:
        ValueError: it is not JSON.
    """
    return json.loads(text, parse_constant=lambda _: _LEAST)


def read_reply(data: Any, model: str) -> Response:
    """Return the response in a `chat.completion` object; `model` is what the caller asked for.

    Raises:
        ParseError: the model called a tool with arguments that are not a JSON object.
        KeyError, TypeError, ValueError, IndexError: `data` is not such an object.
    """
    choice = data["choices"][0]
    message = {**choice["message"]}
    if not isinstance(message.get("content"), str | list | None):
        raise TypeError("the content is not a text")  # which the reader would take for an empty one
    if message.get("tool_calls"):
        message["tool_calls"] = [_tool_call(call, index) for index, call in enumerate(message["tool_calls"])]
    found = _read({**data, "choices": [{**choice, "message": message}]})
    reason = _REASONS.get(choice.get("finish_reason") or "", found.finish_reason)
    return replace(found, id=None, model=model, finish_reason=reason, provider_data=None)  # type: ignore[arg-type]


def _tool_call(call: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return a tool call as the reader wants it, which leaves out in silence what it does not know."""
    function = call["function"]
    name, given = function["name"], function.get("arguments")
    tool_input(name, given)
    return {"id": str(call.get("id") or f"call_{index}"), "type": "function", "function": {**function, "name": name}}


def read_events(chunks: Iterable[Any], model: str) -> Iterator[StreamEvent]:
    """Yield the events in the chunks of a `chat.completion.chunk` stream.

    Raises:
        ContextOverflow, ModelUnavailable: the server reported an error on the way, or the stream ended too early.
    """
    yield StreamStartEvent(model=model)
    reason, usage = None, Usage()
    for chunk in chunks:
        if not isinstance(chunk, dict) or not chunk.keys() & {"choices", "usage"}:
            raise broke_off(json.dumps(chunk))
        choices = chunk.get("choices") or ()
        try:
            usage = _read({"usage": chunk["usage"]}).usage if chunk.get("usage") else usage
            deltas = [delta for choice in choices for delta in _deltas(choice)]
            reason = next((choice["finish_reason"] for choice in choices if choice.get("finish_reason")), reason)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise broke_off(f"it sent {shown(chunk)}") from error
        yield from map(StreamDeltaEvent, deltas)
    if reason is None:
        raise broke_off("it ended before it was whole")
    yield end_event(_REASONS.get(reason, "stop"), usage)


def broke_off(text: str) -> ModelError:
    """Return the error for a stream that ended with an error of the server, or broke."""
    problem = read_problem(text)
    if problem.too_long:
        return context_overflow(prompt_tokens=problem.prompt_tokens, context_tokens=problem.context_tokens)
    return unavailable(f"The server broke its reply off: {problem}. Run the same command again.")


def _deltas(choice: Mapping[str, Any]) -> Iterator[Any]:
    delta = choice.get("delta") or {}
    thinking = delta.get("reasoning_content") or delta.get("reasoning")
    if thinking:
        yield ThinkingDelta(thinking)
    if delta.get("content"):
        logprobs = token_logprobs((choice.get("logprobs") or {}).get("content"))
        yield TextDelta(delta["content"], logprobs=logprobs or ())
    for call in delta.get("tool_calls") or ():
        function = call.get("function") or {}
        yield ToolCallDelta(
            function.get("arguments") or "",
            part_index=1 + int(call.get("index") or 0),
            id=call.get("id") or None,
            name=function.get("name") or None,
        )


def _read(body: Mapping[str, Any]) -> Response:
    try:
        return response_from_openai_chat(body, model="m")
    except LM15Error as error:
        raise ValueError(str(error)) from error
