"""`/v1/chat/completions` for programs with one text input and one text output, in the shape of OpenAI's protocol."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Literal, NamedTuple, NotRequired

from pydantic_core import to_json
from typing_extensions import TypedDict

from tunesmith.lm import Call
from tunesmith.modules import Chat
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


class Model(TypedDict):
    """A program that answers as a chat model."""

    id: str
    object: str
    created: int
    owned_by: str


class Models(TypedDict):
    """The answer of `/v1/models`."""

    object: str
    data: list[Model]


class _Model(NamedTuple):
    """A program, its fields, and what reads its inputs."""

    endpoint: Endpoint
    fields: Chat
    read: Callable[[bytes], Any]


def chat_doors(endpoints: Iterable[Endpoint], desk: Desk) -> list[Door]:
    """Return the doors, none if no program has one text input and one text output."""
    models = {
        endpoint.name or _ROOT: _Model(endpoint, endpoint.contract.chat, reader_of(endpoint.contract.inputs))
        for endpoint in endpoints
        if endpoint.contract.chat is not None
    }
    if not models:
        return []
    created = int(time.time())
    about: dict[str, Model] = {
        name: {"id": name, "object": "model", "created": created, "owned_by": "tunesmith"} for name in models
    }

    async def listed(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": list(about.values())})

    def one(name: str) -> Door:
        async def told(_: Request) -> Response:
            return JSONResponse(about[name])

        text = "Return what `/v1/models` says of this program."
        return Door(f"/v1/models/{name}", told, name, "models", text, None, Model, method="GET")

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
        *map(one, models),
        Door(
            "/v1/chat/completions", _completions(models, desk, reader_of(body)), "", "chat",
            "Answer the last user message with a program. Earlier questions and answers are its history, if it takes "
            "one. Other messages and options of sampling are not used: the answer names them under `ignored`.",
            body, Completion, statuses=(404,),
        ),
    ]  # fmt: skip


def _completions(models: Mapping[str, _Model], desk: Desk, read: Callable[[bytes], Any]) -> Handler:
    async def completions(request: Request) -> Response:
        body = await read_inputs(request, desk, read)
        endpoint, fields, read_fields = _chosen(models, body.get("model"))
        question = _question(body)
        earlier, used = ([], set[int]()) if fields.history is None else _turns(body["messages"][:-1], fields)
        given = {fields.asked: question} | ({} if fields.history is None else {fields.history: {"messages": earlier}})
        inputs = read_fields(to_json(given))
        reply = _Reply(body, endpoint, fields, used)
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
        text = _answer(prediction, fields)
        if desk.shows_texts:
            visit.outputs = text
        return JSONResponse(reply.whole(text, visit.calls))

    return completions


def _chosen(models: Mapping[str, _Model], name: str | None) -> _Model:
    if name is None and len(models) == 1:
        return next(iter(models.values()))
    if name is None or name not in models:
        names = ", ".join(sorted(models))
        raise Refusal(404, "ModelNotFound", f"There is no program of that name. Give `model`: {names}.", field="model")
    return models[name]


def _question(body: Mapping[str, Any]) -> str:
    """Return the text of the last message, which must be the user's."""
    for name, is_set in _REFUSED.items():
        if name in body and is_set(body[name]):
            raise Refusal(422, "Unsupported", f"A program takes no `{name}`. Leave it out.", field=name)
    messages = body["messages"]
    if not messages or messages[-1]["role"] != "user":
        raise Refusal(422, "InvalidInput", "The last message must be the user's.", field="messages")
    text = _text(messages[-1])
    if not text:
        raise Refusal(422, "InvalidInput", "The last message has no text.", field="messages")
    return text


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else "".join(part["text"] for part in content or [])


def _turns(messages: Sequence[Mapping[str, Any]], fields: Chat) -> tuple[list[dict[str, str]], set[int]]:
    """Return the entries of a history, a question with its answer each, and the places of the messages they are of."""
    found, used, asked = list[dict[str, str]](), set[int](), None
    for place, message in enumerate(messages):
        if message["role"] == "user":
            asked = place
        elif message["role"] == "assistant" and asked is not None and _text(message):
            found.append({fields.asked: _text(messages[asked]), fields.answer: _text(message)})
            used |= {asked, place}
            asked = None
    return found, used


class _Reply:
    """Writes the answer to one request."""

    def __init__(self, body: Mapping[str, Any], endpoint: Endpoint, fields: Chat, used: Set[int]) -> None:
        self._fields, self._model = fields, endpoint.name or _ROOT
        self._id, self._created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
        earlier = [f"messages[{number}]" for number in range(len(body["messages"]) - 1) if number not in used]
        self._ignored = [*earlier, *sorted(name for name in body if name not in _READ and body[name] is not None)]
        self._with_usage = bool((body.get("stream_options") or {}).get("include_usage"))

    def whole(self, text: str | None, calls: list[Call]) -> dict[str, Any]:
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
            own = [
                delta
                for delta in deltas
                if delta.field == self._fields.answer and delta.call == 0 and not delta.restart
            ]
            text = "".join(delta.text for delta in own)
            sent += text
            yield self._piece({"content": text}) if text else b": waiting\n\n"
        try:
            whole = _answer(await feed.prediction(), self._fields) or ""
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


def _answer(prediction: Any, fields: Chat) -> str | None:
    """Return the answer, `None` if the program abstained."""
    found = prediction[fields.answer]
    return None if found is None else str(found)


def _check_kept(whole: str, sent: str) -> None:
    if not whole.startswith(sent):
        raise Refusal(502, "ReplyChanged", "The program changed its answer while it was sent. Ask again.")


def _usage(calls: list[Call]) -> dict[str, int]:
    read, wrote = (sum(getattr(call, name) or 0 for call in calls) for name in ("input_tokens", "output_tokens"))
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
