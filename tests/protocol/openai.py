"""Ollama's `/v1`: chat, completions, embeddings and models, in their basic form (openai/openai.go)."""

import itertools
import random
import time
from collections.abc import Iterator
from typing import Any

from tests.protocol import chat, embed
from tests.protocol.calls import Call
from tests.protocol.gojson import encode
from tests.protocol.outcomes import PLAIN_JSON, Json, Refusal, Stream

_KINDS = {400: "invalid_request_error", 404: "not_found_error"}
_EFFORTS = ("high", "medium", "low", "max", "none")


def refused(refusal: Refusal) -> Json:
    """Return an error in OpenAI's form."""
    kind = _KINDS.get(refusal.status, "api_error")
    error = {"message": refusal.text, "type": kind, "param": None, "code": None}
    return Json({"error": error}, refusal.status, PLAIN_JSON, newline=True)


def chat_completions(call: Call, body: dict[str, Any]) -> Json | Stream:
    """Answer `/v1/chat/completions` through `/api/chat`."""
    if not body.get("messages"):
        raise Refusal(400, "[] is too short - 'messages'")
    number = f"chatcmpl-{random.Random(call.entry.number).randrange(999)}"
    answer = call.play(chat.chat(call, _chat_body(body)))
    if isinstance(answer, Json):
        return Json(_completion(number, answer.body), content_type=PLAIN_JSON, newline=True)
    usage = bool((body.get("stream_options") or {}).get("include_usage"))
    first = next(answer.events)  # an error before the first chunk still has its status
    return Stream(_chunks(number, itertools.chain([first], answer.events), usage=usage), "text/event-stream")


def completions(call: Call, body: dict[str, Any]) -> Json:
    """Answer `/v1/completions` through `/api/generate`; never as a stream."""
    given = {"model": body.get("model", ""), "prompt": body.get("prompt", ""), "options": _options(body)}
    answer = chat.generate(call, {**given, "stream": False})
    assert isinstance(answer, Json)
    choice = {"text": answer.body["response"], "index": 0, "finish_reason": answer.body.get("done_reason")}
    found = {"id": f"cmpl-{call.entry.number}", "object": "text_completion", "created": int(time.time())}
    found |= {"model": answer.body["model"], "system_fingerprint": "fp_ollama", "choices": [choice]}
    return Json(found | {"usage": _usage(answer.body)}, content_type=PLAIN_JSON, newline=True)


def embeddings(call: Call, body: dict[str, Any]) -> Json:
    """Answer `/v1/embeddings`."""
    # What it has no field for, such as `truncate`, does not get through.
    found = embed.embed(call, {name: body[name] for name in ("model", "input", "dimensions") if name in body}).body
    data = [{"object": "embedding", "embedding": v, "index": n} for n, v in enumerate(found["embeddings"])]
    tokens = found.get("prompt_eval_count", 0)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Json({"object": "list", "data": data, "model": found["model"], "usage": usage}, content_type=PLAIN_JSON)


def models(call: Call, _body: dict[str, Any]) -> Json:
    """Answer `/v1/models`."""
    listed = call.world.library.all()
    data = [
        {"id": model.name, "object": "model", "created": model.modified // 10**9, "owned_by": "library"}
        for model in listed
    ]
    return Json({"object": "list", "data": data}, content_type=PLAIN_JSON, newline=True)


def _chat_body(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "model": body.get("model", ""),
        "messages": [message for given in body["messages"] for message in _messages(given)],
        "stream": body.get("stream", False),
        "options": _options(body),
        "tools": body.get("tools", []),
        "logprobs": body.get("logprobs", False),
        "top_logprobs": body.get("top_logprobs", 0),
    }
    form = body.get("response_format") or {}
    if form.get("type") == "json_object":
        found["format"] = "json"
    elif form.get("type") == "json_schema" and form.get("json_schema"):
        found["format"] = form["json_schema"].get("schema")
    effort = (body.get("reasoning") or {}).get("effort") or body.get("reasoning_effort")
    if effort:
        if effort not in _EFFORTS:
            listed = '"high", "medium", "low", "max", or "none"'
            raise Refusal(400, f"invalid reasoning value: '{effort}' (must be {listed})")
        found["think"] = effort != "none" and effort
    return found


def _messages(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one message per part of the content."""
    content = message.get("content")
    if isinstance(content, str):
        yield {"role": message["role"], "content": content}
        return
    if not isinstance(content, list):
        if not message.get("tool_calls"):
            raise Refusal(400, "invalid message content type: <nil>")
        yield {"role": message["role"], "content": ""}
        return
    for part in content:
        if part.get("type") == "text":
            yield {"role": message["role"], "content": part["text"]}
        elif part.get("type") == "image_url":
            yield {"role": message["role"], "content": "", "images": [part["image_url"]]}
        else:
            raise Refusal(400, "invalid message format")


def _options(body: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0}
    stop = body.get("stop")
    if stop is not None:
        options["stop"] = [stop] if isinstance(stop, str) else stop
    names = {"max_tokens": "num_predict", "seed": "seed", "temperature": "temperature", "top_p": "top_p"}
    names |= {"frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty"}
    return options | {ours: body[theirs] for theirs, ours in names.items() if body.get(theirs) is not None}


def _message(body: dict[str, Any]) -> dict[str, Any]:
    message = body.get("message", {"role": "assistant", "content": ""})
    found: dict[str, Any] = {"role": message["role"], "content": message["content"]}
    if message.get("thinking"):
        found["reasoning"] = message["thinking"]
    if message.get("tool_calls"):
        found["tool_calls"] = [
            {
                "id": made["id"],
                "index": made["function"]["index"],
                "type": "function",
                "function": {"name": made["function"]["name"], "arguments": encode(made["function"]["arguments"])},
            }
            for made in message["tool_calls"]
        ]
    return found


def _choice(body: dict[str, Any], word: str) -> dict[str, Any]:
    message = _message(body)
    reason = body.get("done_reason") or None
    reason = "tool_calls" if reason and message.get("tool_calls") else reason
    choice = {"index": 0, word: message, "finish_reason": reason}
    return choice | ({"logprobs": {"content": body["logprobs"]}} if body.get("logprobs") else {})


def _completion(number: str, body: dict[str, Any]) -> dict[str, Any]:
    head = {"id": number, "object": "chat.completion", "created": int(time.time()), "model": body["model"]}
    return head | {"system_fingerprint": "fp_ollama", "choices": [_choice(body, "message")], "usage": _usage(body)}


def _usage(body: dict[str, Any]) -> dict[str, int]:
    read, written = body.get("prompt_eval_count", 0), body.get("eval_count", 0)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _chunks(number: str, events: Iterator[dict[str, Any]], *, usage: bool) -> Iterator[str]:
    """Yield server-sent events; an error after the first chunk becomes an empty one, and nothing ends the stream."""
    head = {"id": number, "object": "chat.completion.chunk", "created": int(time.time())}
    try:
        for body in events:
            chunk = head | {"model": body["model"], "system_fingerprint": "fp_ollama"}
            yield f"data: {encode(chunk | {'choices': [_choice(body, 'delta')]})}\n\n"
            if body["done"]:
                if usage:
                    yield f"data: {encode(chunk | {'choices': [], 'usage': _usage(body)})}\n\n"
                yield "data: [DONE]\n\n"
    except Refusal:
        empty = {"model": "", "system_fingerprint": "fp_ollama", "choices": [_choice({}, "delta")]}
        yield f"data: {encode(head | empty)}\n\n"
