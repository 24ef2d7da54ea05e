"""Convert requests to llama.cpp's chat route, and its answers to responses."""

import queue
from collections.abc import Callable, Iterator
from typing import Any

from tunesmith.lm.engine import (
    Config,
    Message,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEvent,
    StreamStartEvent,
    TextDelta,
    Usage,
    context_overflow,
    end_event,
    message_text,
    refused,
    sampling,
    sendable,
    system_text,
    text_response,
    token_logprobs,
)
from tunesmith.signatures import wide_integers

__all__ = ["body_of", "check_answer", "events_of", "forced_body", "messages_of", "response_of"]


def body_of(request: Request) -> dict[str, Any]:
    """Return the body of `request`.

    Raises:
        RequestRefused: the engine cannot answer it.
    """
    if request.tools:
        raise refused(
            "The in-process engine has no native tool calls. Describe the tools in the signature, as `dspy.ReAct` "
            "does, or use a server that has them."
        )
    return {"messages": messages_of(request), **_options(request.config)}


def forced_body(body: dict[str, Any], tokens: Callable[[str], list[int]]) -> tuple[dict[str, Any], int]:
    """Return the body of a request whose reply is given in `forced`, and how many tokens that has.

    A grammar of token numbers holds the reply to the very tokens that the model reads the text as: under one of
    characters the model would choose the tokens, and spell an unlikely word in pieces.

    Raises:
        RequestRefused: it is no text, or empty.
    """
    text = body["forced"]
    if not isinstance(text, str) or not text:
        raise refused("`forced` must be a text that is not empty: the reply whose log-probabilities are wanted.")
    found = tokens(sendable(text))
    rest = {name: value for name, value in body.items() if name not in ("forced", "response_format", "stop")}
    grammar = f"root ::= {' '.join(f'<[{token}]>' for token in found)}"
    logprobs = {"logprobs": True, "top_logprobs": max(1, body.get("top_logprobs", 1))}
    return {**rest, **logprobs, "grammar": grammar, "temperature": 0.0, "max_tokens": len(found) + 1}, len(found)


def messages_of(request: Request) -> list[dict[str, str]]:
    """Return the messages of `request`, with the system message first."""
    messages = []
    if request.system is not None:
        messages.append({"role": "system", "content": system_text(request)})
    messages += [{"role": message.role, "content": _text(message)} for message in request.messages]
    return messages


def _text(message: Message) -> str:
    text = message_text(message)
    if text is None:
        raise refused("The in-process engine reads only text, but the request holds other content.")
    return sendable(text)


def _options(config: Config) -> dict[str, Any]:
    body: dict[str, Any] = {
        **sampling(config),
        "response_format": _schema(config.response_format),
        "stop": list(config.stop) or None,
    }
    if config.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": max(1, config.logprobs)}
    body |= dict(config.extensions or {})
    return {name: value for name, value in body.items() if value is not None}


def _schema(wanted: Any) -> dict[str, Any] | None:
    """Convert a canonical `response_format` to llama.cpp's form."""
    if wanted is None or wanted.get("type") != "json_schema":
        return wanted
    schema = {"name": wanted.get("name", "reply"), "schema": wide_integers(wanted["schema"]), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def check_answer(reply: dict[str, Any]) -> None:
    """Raise the error in `reply`, if there is one.

    Raises:
        ContextOverflow: the prompt does not fit.
        RequestRefused: any other error.
    """
    error = reply.get("error")
    if error is None:
        return
    if isinstance(error, dict) and error.get("type") == "exceed_context_size_error":
        raise context_overflow(prompt_tokens=error.get("n_prompt_tokens"), context_tokens=error.get("n_ctx"))
    text = error.get("message", error) if isinstance(error, dict) else error
    raise refused(f"llama.cpp refused the request: {text}.")


def response_of(reply: dict[str, Any], request: Request) -> Response:
    """Return llama.cpp's answer as a response; raises the errors of `check_answer`."""
    check_answer(reply)
    choice = reply["choices"][0]
    usage = reply.get("usage", {})
    return text_response(
        choice["message"].get("content") or "",
        model=request.model,
        finish_reason="length" if choice["finish_reason"] == "length" else "stop",
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        cached_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens"),
        logprobs=token_logprobs((choice.get("logprobs") or {}).get("content")),
    )


def events_of(pieces: "queue.Queue[Any]", request: Request) -> Iterator[StreamEvent]:
    """Yield the events of an answer's pieces, up to the first `None`. Raises an exception among the pieces."""
    yield StreamStartEvent(model=request.model)
    reason, usage = "stop", Usage()
    while (chunk := pieces.get()) is not None:
        if isinstance(chunk, Exception):
            raise chunk
        for item in chunk if isinstance(chunk, list) else [chunk]:
            check_answer(item)
            if item.get("usage"):
                usage = Usage(item["usage"]["prompt_tokens"], item["usage"]["completion_tokens"])
            for choice in item.get("choices", ()):
                if text := choice.get("delta", {}).get("content"):
                    yield StreamDeltaEvent(TextDelta(text))
                if choice.get("finish_reason") == "length":
                    reason = "length"
    yield end_event(reason, usage)
