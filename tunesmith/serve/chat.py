"""`/v1/chat/completions` for programs with one text input and one text output, in the shape of OpenAI's protocol."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from tunesmith.lm import Call
from tunesmith.serve.attempt import Watch
from tunesmith.serve.contract import reader_of, typed_object
from tunesmith.serve.desk import Desk
from tunesmith.serve.endpoint import Endpoint
from tunesmith.serve.events import Feed, event
from tunesmith.serve.predicting import attempts_of, read_inputs, streamed, visit_of
from tunesmith.serve.problem import Refusal
from tunesmith.serve.route import Door, Handler
from tunesmith.serve.visit import KEY, Visit
from tunesmith.serve.web import JSONResponse, Request, Response

__all__ = ["chat_doors"]

_ROOT = "default"
_READ = {"messages", "model", "stream", "stream_options"}
# What would change the shape of the answer, so that it cannot be left out silently.
_REFUSED: Mapping[str, Callable[[Any], bool]] = {
    "n": lambda value: value not in (None, 1),
    "tools": bool,
    "functions": bool,
    "logprobs": bool,
    "response_format": lambda value: value is not None and value != {"type": "text"},
    "audio": bool,
}


class _Part(TypedDict):
    type: Literal["text"]
    text: str


class _Message(TypedDict):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: NotRequired[str | list[_Part] | None]


class _StreamOptions(TypedDict):
    include_usage: NotRequired[bool]


class Completion(TypedDict):
    """An answer, or one piece of a stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: NotRequired[dict[str, int]]
    ignored: NotRequired[list[str]]


class Models(TypedDict):
    """The answer of `/v1/models`."""

    object: str
    data: list[dict[str, Any]]


def chat_doors(endpoints: Iterable[Endpoint], desk: Desk) -> list[Door]:
    """Return the doors, none if no program has one text input and one text output."""
    models = {endpoint.name or _ROOT: endpoint for endpoint in endpoints if endpoint.contract.chat is not None}
    if not models:
        return []
    created = int(time.time())

    async def listed(_: Request) -> Response:
        data = [{"id": name, "object": "model", "created": created, "owned_by": "tunesmith"} for name in models]
        return JSONResponse({"object": "list", "data": data})

    body = typed_object(
        "ChatRequest",
        {
            "messages": list[_Message],
            "model": NotRequired[str],
            "stream": NotRequired[bool | None],
            "stream_options": NotRequired[_StreamOptions | None],
        },
        "allow",
    )
    return [
        Door("/v1/models", listed, "", "models", "List the programs that answer as chat models.", None, Models,
             method="GET"),
        Door(
            "/v1/chat/completions", _completions(models, desk, reader_of(body)), "", "chat",
            "Answer the last user message with a program. Earlier messages and options of sampling are not used: the "
            "answer names them under `ignored`.", body, Completion, statuses=(404,),
        ),
    ]  # fmt: skip


def _completions(models: Mapping[str, Endpoint], desk: Desk, read: Callable[[bytes], Any]) -> Handler:
    async def completions(request: Request) -> Response:
        body = await read_inputs(request, desk, read)
        endpoint = _chosen(models, body.get("model"))
        asked, answer = endpoint.contract.chat or ("", "")
        inputs = {asked: _question(body, desk.limits.text)}
        reply = _Reply(body, endpoint, answer)
        if body.get("stream"):
            response = await streamed(request, endpoint, desk, inputs, reply.events)
            request.scope[KEY].program = endpoint.name
            return response
        with desk.seat():
            [attempt] = attempts_of(request, endpoint, desk)
            visit = visit_of(request, inputs, desk)
            visit.program = endpoint.name
            with Watch(request.receive, attempt.stop):
                prediction = await attempt.result(lambda: endpoint.run(inputs, attempt))
        text = str(prediction[answer])
        if desk.shows_texts:
            visit.outputs = text
        return JSONResponse(reply.whole(text, visit.calls))

    return completions


def _chosen(models: Mapping[str, Endpoint], name: str | None) -> Endpoint:
    if name is None and len(models) == 1:
        return next(iter(models.values()))
    if name is None or name not in models:
        names = ", ".join(sorted(models))
        raise Refusal(404, "ModelNotFound", f"There is no program of that name. Give `model`: {names}.", field="model")
    return models[name]


def _question(body: Mapping[str, Any], longest: int) -> str:
    """Return the text of the last message, which must be the user's."""
    for name, is_set in _REFUSED.items():
        if name in body and is_set(body[name]):
            raise Refusal(422, "Unsupported", f"A program takes no `{name}`. Leave it out.", field=name)
    messages = body["messages"]
    if not messages or messages[-1]["role"] != "user":
        raise Refusal(422, "InvalidInput", "The last message must be the user's.", field="messages")
    content = messages[-1].get("content")
    text = content if isinstance(content, str) else "".join(part["text"] for part in content or [])
    if not text:
        raise Refusal(422, "InvalidInput", "The last message has no text.", field="messages")
    if len(text) > longest:
        raise Refusal(422, "TextTooLong", f"The last message is longer than {longest} characters. Shorten it.")
    return text


class _Reply:
    """Writes the answer to one request."""

    def __init__(self, body: Mapping[str, Any], endpoint: Endpoint, answer: str) -> None:
        self._answer, self._model = answer, endpoint.name or _ROOT
        self._id, self._created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
        earlier = [f"messages[{number}]" for number in range(len(body["messages"]) - 1)]
        self._ignored = [*earlier, *sorted(name for name in body if name not in _READ and body[name] is not None)]
        self._with_usage = bool((body.get("stream_options") or {}).get("include_usage"))

    def whole(self, text: str, calls: list[Call]) -> dict[str, Any]:
        """Return the answer in one piece."""
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        found = self._object("chat.completion", [choice]) | {"usage": _usage(calls)}
        return found | ({"ignored": self._ignored} if self._ignored else {})

    async def events(self, feed: Feed, visit: Visit, desk: Desk) -> AsyncIterator[bytes]:
        """Yield the answer in pieces."""
        sent = ""
        yield self._piece({"role": "assistant", "content": ""})
        async for deltas in feed.deltas():
            # Of a repeated call nothing is sent: what was sent before cannot be taken back.
            own = [delta for delta in deltas if delta.field == self._answer and delta.call == 0 and not delta.restart]
            text = "".join(delta.text for delta in own)
            sent += text
            yield self._piece({"content": text}) if text else b": waiting\n\n"
        try:
            whole = str((await feed.prediction())[self._answer])
            _check_kept(whole, sent)
        except Exception as error:  # noqa: BLE001 - the status is sent already, so it becomes an event
            yield event(desk.failed(error, visit).body(visit.id))
            return
        if desk.shows_texts:
            visit.outputs = whole
        if whole != sent:
            yield self._piece({"content": whole[len(sent) :]})
        yield self._piece({}, "stop")
        if self._with_usage:
            yield event(self._object("chat.completion.chunk", []) | {"usage": _usage(visit.calls)})
        yield event("[DONE]")

    def _piece(self, delta: dict[str, str], finish: str | None = None) -> bytes:
        return event(self._object("chat.completion.chunk", [{"index": 0, "delta": delta, "finish_reason": finish}]))

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model, "choices": choices}


def _check_kept(whole: str, sent: str) -> None:
    if not whole.startswith(sent):
        raise Refusal(502, "ReplyChanged", "The program changed its answer while it was sent. Ask again.")


def _usage(calls: list[Call]) -> dict[str, int]:
    read, wrote = (sum(getattr(call, name) or 0 for call in calls) for name in ("input_tokens", "output_tokens"))
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
