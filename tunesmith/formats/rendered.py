"""Messages in the form of DSPy's histories, and a request in readable form."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from tunesmith.data import canonical_json
from tunesmith.errors import brief
from tunesmith.lm import (
    Message,
    Prefix,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    message_text,
    user_message,
)

__all__ = ["Rendered", "call_turn", "message_of", "request_of", "result_turn"]


class Rendered(NamedTuple):
    """The exact content of a request.

    Attributes:
        messages: `{"role", "content"}` of every message, the system text first.
        constraint: `{"grammar": ...}` or `{"schema": ...}`, `None` if the reply is not constrained.
        options: temperature, seed, max_tokens and all others that are set, and the names of tools.
        request: the request itself.
    """

    messages: tuple[dict[str, str], ...]
    constraint: Mapping[str, Any] | None
    options: Mapping[str, Any]
    request: Request

    def __repr__(self) -> str:
        held = "free" if self.constraint is None else f"held by a {next(iter(self.constraint))}"
        return brief(self, f"{len(self.messages)} messages", held)

    def __str__(self) -> str:
        return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in self.messages)

    @classmethod
    def of(cls, request: Request) -> "Rendered":
        """Return `request` in readable form."""
        system = [] if request.system is None else [{"role": "system", "content": request.system}]
        turns = [{"role": m.role, "content": _shown(m)} for m in request.messages]
        config = request.config
        extensions = dict(config.extensions or {})
        grammar = extensions.pop("grammar", None)
        constraint: dict[str, Any] | None = None if grammar is None else {"grammar": grammar}
        if config.response_format is not None:
            constraint = {"schema": config.response_format.get("schema", config.response_format)}
        options = {
            f.name: getattr(config, f.name)
            for f in fields(config)
            if f.name not in ("response_format", "extensions") and getattr(config, f.name) not in (None, ())
        }
        tools = {"tools": [tool.name for tool in request.tools]} if request.tools else {}
        every = {**options, **extensions, **tools}
        return cls((*system, *turns), constraint, every, request)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return all parts as JSON values."""
        return {
            "messages": list(self.messages),
            "constraint": None if self.constraint is None else dict(self.constraint),
            "options": {n: list(v) if isinstance(v, tuple) else v for n, v in self.options.items()},
        }


def message_of(given: Mapping[str, Any]) -> Message:
    """Return the message of a turn in the form of DSPy's histories, which is that of OpenAI's protocol."""
    text, role = given["content"], given["role"]
    if role == "user":
        return user_message(text)
    if role == "tool":
        return Message("tool", (ToolResultPart(given["tool_call_id"], (TextPart(text),), name=given["name"]),))
    if "tool_calls" not in given:
        return Message.assistant(text)
    calls = [(call["id"], call["function"]) for call in given["tool_calls"]]
    parts = [ToolCallPart(number, made["name"], json.loads(made["arguments"])) for number, made in calls]
    return Message("assistant", (*((TextPart(text),) if text else ()), *parts))


def call_turn(text: str, name: str, arguments: Mapping[str, Any], number: str) -> dict[str, Any]:
    """Return the turn of a model that calls a tool; `message_of` reads it.

    Args:
        text: beside the call.
        name: of the tool.
        arguments: of the call.
        number: its id.
    """
    function = {"name": name, "arguments": canonical_json(arguments)}
    calls = [{"id": number, "type": "function", "function": function}]
    return {"role": "assistant", "content": text, "tool_calls": calls}


def result_turn(text: str, name: str, number: str) -> dict[str, Any]:
    """Return the turn of what the tool `name` returned to the call with the id `number`; `message_of` reads it."""
    return {"role": "tool", "content": text, "tool_call_id": number, "name": name}


def request_of(prefix: Prefix, turns: Sequence[Mapping[str, str]], final: Message) -> Request:
    """Return the request that ends with `turns` and `final`."""
    if not turns:
        return prefix.request(final)
    return prefix.before((*prefix.messages, *map(message_of, turns), final))


def _shown(message: Message) -> str:
    """Return a message as text: a call of a tool as its name and arguments, a result as its text."""
    whole = message_text(message)
    if whole is not None:
        return whole
    found = []
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            found.append(f"{part.name} {canonical_json(part.input)}")
        inside = part.content if isinstance(part, ToolResultPart) else (part,)
        found += [item.text for item in inside if isinstance(item, TextPart)]
    return "\n".join(found)
