"""What servers of OpenAI's protocol answer: replies, streams and errors, as canonical values."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.lm.engine import (
    Message,
    RefusalPart,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
    TopLogprob,
    Usage,
    context_overflow,
    refused,
    unavailable,
)

__all__ = ["Problem", "read_events", "read_problem", "read_reply", "sse_payloads"]

_REASONS = {
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "content_filter": "content_filter",
}

# How servers say that a prompt is too long: (context tokens, prompt tokens) where they give numbers.
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
    """What a server said was wrong.

    Attributes:
        text: in its words.
        too_long: whether the prompt does not fit.
        prompt_tokens, context_tokens: where it says so.
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


def read_reply(data: Any, model: str) -> Response:
    """Return the response in a `chat.completion` object; `model` is what the caller asked for.

    Raises:
        RequestRefused: the model called a tool with arguments that are no JSON object.
        KeyError, TypeError, ValueError, IndexError: it is no such object.
    """
    choice = data["choices"][0]
    message = choice["message"]
    parts: list[Any] = []
    thinking = message.get("reasoning_content") or message.get("reasoning")
    if thinking:
        parts.append(ThinkingPart(thinking))
    calls = [_tool_call(call, index) for index, call in enumerate(message.get("tool_calls") or ())]
    if message.get("refusal"):
        parts.append(RefusalPart(message["refusal"]))
    elif message.get("content") is not None or not calls:
        parts.append(TextPart(message.get("content") or ""))
    reason = _REASONS.get(choice.get("finish_reason") or "", "stop")
    return Response(
        id=None,
        model=model,
        message=Message("assistant", (*parts, *calls)),
        finish_reason="tool_call" if calls and reason == "stop" else reason,  # type: ignore[arg-type]  # a Literal
        usage=_usage(data.get("usage")),
        logprobs=_logprobs(choice),
    )


def _tool_call(call: Mapping[str, Any], index: int) -> ToolCallPart:
    function = call["function"]
    given = function.get("arguments")
    try:
        arguments = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise refused(
            f"The model called the tool {function['name']!r} with arguments that are no JSON object: "
            f"{str(given)[:200]!r}. Describe the tool more simply, or use a larger model."
        )
    return ToolCallPart(str(call.get("id") or f"call_{index}"), function["name"], arguments)


def _usage(given: Any) -> Usage:
    if not given:
        return Usage()
    details = given.get("prompt_tokens_details") or {}
    thought = (given.get("completion_tokens_details") or {}).get("reasoning_tokens")
    return Usage(
        given.get("prompt_tokens"),
        given.get("completion_tokens"),
        cache_read_tokens=details.get("cached_tokens"),
        reasoning_tokens=thought,
    )


def _logprobs(choice: Mapping[str, Any]) -> tuple[TokenLogprob, ...] | None:
    content = (choice.get("logprobs") or {}).get("content")
    if content is None:
        return None
    return tuple(
        TokenLogprob(
            item["token"],
            float(item["logprob"]),
            _bytes(item),
            top=tuple(
                TopLogprob(top["token"], float(top["logprob"]), _bytes(top)) for top in item.get("top_logprobs") or ()
            ),
        )
        for item in content
    )


def _bytes(item: Mapping[str, Any]) -> tuple[int, ...] | None:
    return None if item.get("bytes") is None else tuple(item["bytes"])


def sse_payloads(chunks: Iterable[bytes]) -> Iterator[str]:
    r"""Yield the data of server-sent events.

    Lines end at `\n` alone: a reply may hold U+2028 or U+0085, which other line readers split at.
    """
    left, data = b"", []
    for chunk in itertools.chain(chunks, (b"\n\n",)):
        *lines, left = (left + chunk).split(b"\n")
        for raw in lines:
            line = raw.rstrip(b"\r")
            name, _, value = line.partition(b":")
            if name in (b"data", b"error"):  # old llama.cpp sends errors under a name of their own
                data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
            elif not line and data:
                yield "\n".join(data)
                data = []


def read_events(payloads: Iterable[str], model: str) -> Iterator[StreamStartEvent | StreamDeltaEvent | StreamEndEvent]:
    """Yield the events in the data of a `chat.completion.chunk` stream.

    Raises:
        ContextOverflow, ModelUnavailable: the server reported an error on the way, or the stream ended too early.
    """
    yield StreamStartEvent(model=model)
    reason: str | None = None
    usage, ended = Usage(), False
    for payload in payloads:
        if payload.strip() == "[DONE]":
            ended = True
            break
        chunk = _chunk(payload)
        if chunk.get("usage"):
            usage = _usage(chunk["usage"])
        for choice in chunk.get("choices") or ():
            for delta in _deltas(choice):
                yield StreamDeltaEvent(delta)
            if choice.get("finish_reason"):
                reason = _REASONS.get(choice["finish_reason"], "stop")
    if reason is None and not ended:
        raise unavailable("The server ended its reply before it was whole. Run the same command again.")
    yield StreamEndEvent(finish_reason=reason or "stop", usage=usage)  # type: ignore[arg-type]  # a Literal upstream


def _chunk(payload: str) -> Mapping[str, Any]:
    try:
        chunk = json.loads(payload)
    except ValueError:
        chunk = None
    if isinstance(chunk, dict) and not chunk.keys() & {"error", "error_type"} and chunk.get("object") != "error":
        if "choices" in chunk or "usage" in chunk:
            return chunk
        # llama.cpp's older servers send the error object itself
        payload = json.dumps({"error": chunk})
    problem = read_problem(payload)
    if problem.too_long:
        raise context_overflow(prompt_tokens=problem.prompt_tokens, context_tokens=problem.context_tokens)
    raise unavailable(f"The server broke its reply off: {problem.text}. Run the same command again.")


def _deltas(choice: Mapping[str, Any]) -> Iterator[Any]:
    delta = choice.get("delta") or {}
    thinking = delta.get("reasoning_content") or delta.get("reasoning")
    if thinking:
        yield ThinkingDelta(thinking)
    if delta.get("content"):
        yield TextDelta(delta["content"], logprobs=_logprobs(choice) or ())
    for call in delta.get("tool_calls") or ():
        function = call.get("function") or {}
        yield ToolCallDelta(
            function.get("arguments") or "",
            part_index=1 + int(call.get("index") or 0),
            id=call.get("id") or None,
            name=function.get("name") or None,
        )
