"""What servers of OpenAI's protocol answer: replies, streams and errors, as canonical values."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.errors import ModelError, shown
from tunesmith.lm.engine import (
    LM15Error,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    context_overflow,
    refused,
    response_from_openai_chat,
    token_logprobs,
    unavailable,
)

__all__ = ["Problem", "broke_off", "read_events", "read_json", "read_problem", "read_reply"]

_LEAST = -1e9  # for a log-probability

_REASONS = {
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "content_filter": "content_filter",
}

# How servers say that a prompt is too long: (context tokens, prompt tokens) if they give numbers.
_CONTEXT = re.compile(
    r"maximum (?:context|model) length (?:is|of) (\d+)|context length is only (\d+)"
    r"|`max_new_tokens` must be <= (\d+)|must have less than (\d+) tokens|available context size \((\d+) tokens\)"
)
_PROMPT = re.compile(
    r"(\d+) in the (?:messages|prompt)|resulted in (\d+) tokens|request has (\d+) input tokens"
    r"|passed (\d+) input tokens|Given: (\d+)|decoder prompt \(length (\d+)\)|request \((\d+) tokens\)"
)
_TOO_LONG = (
    "exceed_context_size",
    "context_length_exceeded",
    "exceeds the context length",
    "longer than the context length",
    "longer than the maximum model length",
    "exceeds the available context size",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in the words of a server.

    Attributes:
        text: in its words.
        too_long: whether the prompt does not fit.
        prompt_tokens, context_tokens: if it says so.
    """

    text: str
    too_long: bool = False
    prompt_tokens: int | None = None
    context_tokens: int | None = None


def read_problem(body: str) -> Problem:
    """Return what the body of an error says, whatever its shape."""
    found = _facts(body)
    text, code = str(found.get("message") or "")[:1000], f"{found.get('type')} {found.get('code')}"
    context, prompt = found.get("n_ctx"), found.get("n_prompt_tokens")
    in_words = _CONTEXT.search(text)
    if in_words is not None and context is None:
        context = _number(in_words)
        prompt = _number(_PROMPT.search(text))
    too_long = in_words is not None or any(sign in text or sign in code for sign in _TOO_LONG)
    return Problem(text or "it gave no reason", too_long, prompt, context)


def _facts(body: str) -> Mapping[str, Any]:
    """Return message, type, code and counts out of the shapes that servers use."""
    try:
        found = json.loads(body)
    except ValueError:
        page = body.lstrip().startswith("<")
        return {"message": "it sent an HTML page" if page else body.strip()[:300]}
    if not isinstance(found, dict):
        return {"message": str(found)}
    error = found.get("error", found)
    if isinstance(error, str):  # Ollama puts llama-server's own JSON into the text
        if error.lstrip().startswith("{"):
            return _facts(error)
        return {"message": error, "type": found.get("error_type")}
    if not isinstance(error, dict):
        return {"message": str(error)}
    message = error.get("message")
    if isinstance(message, str) and message.lstrip().startswith("{"):
        return _facts(message)
    if message is None and "detail" in error:
        return {"message": json.dumps(error["detail"])}
    return error


def _number(match: re.Match[str] | None) -> int | None:
    return None if match is None else next(int(group) for group in match.groups() if group is not None)


def read_json(text: str | bytes) -> Any:
    """Return the JSON in `text`; servers in Python write `-Infinity` for a token that cannot be, which JSON has not.

    Raises:
        ValueError: it is not JSON.
    """
    return json.loads(text, parse_constant=lambda _: _LEAST)


def read_reply(data: Any, model: str) -> Response:
    """Return the response in a `chat.completion` object; `model` is what the caller asked for.

    Raises:
        RequestRefused: the model called a tool with arguments that are not a JSON object.
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
    try:
        arguments = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise refused(
            f"The model called the tool {name!r} with arguments that are not a JSON object: {str(given)[:200]!r}. "
            "Describe the tool more simply, or use a larger model."
        )
    return {"id": str(call.get("id") or f"call_{index}"), "type": "function", "function": {**function, "name": name}}


def read_events(chunks: Iterable[Any], model: str) -> Iterator[StreamStartEvent | StreamDeltaEvent | StreamEndEvent]:
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
    yield StreamEndEvent(finish_reason=_REASONS.get(reason, "stop"), usage=usage)  # type: ignore[arg-type]  # a Literal


def broke_off(text: str) -> ModelError:
    """Return the error for a stream that ended with an error of the server, or broke."""
    problem = read_problem(text)
    if problem.too_long:
        return context_overflow(prompt_tokens=problem.prompt_tokens, context_tokens=problem.context_tokens)
    return unavailable(f"The server broke its reply off: {problem.text}. Run the same command again.")


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
