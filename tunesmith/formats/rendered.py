"""Messages in the form of DSPy's histories, and a request in readable form."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from tunesmith.errors import brief
from tunesmith.lm import Message, Prefix, Request, message_text, user_message

__all__ = ["Rendered", "message_of", "request_of"]


class Rendered(NamedTuple):
    """The exact content of a request.

    Attributes:
        messages: `{"role", "content"}` of every message, the system text first.
        constraint: `{"grammar": ...}` or `{"schema": ...}`, `None` if the reply is not constrained.
        options: temperature, seed, max_tokens and all others that are set.
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
        turns = [{"role": m.role, "content": message_text(m) or ""} for m in request.messages]
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
        return cls((*system, *turns), constraint, {**options, **extensions}, request)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return all parts as JSON values."""
        return {
            "messages": list(self.messages),
            "constraint": None if self.constraint is None else dict(self.constraint),
            "options": {n: list(v) if isinstance(v, tuple) else v for n, v in self.options.items()},
        }


def message_of(given: Mapping[str, str]) -> Message:
    """Return the message of a turn in the form of DSPy's histories."""
    return user_message(given["content"]) if given["role"] == "user" else Message.assistant(given["content"])


def request_of(prefix: Prefix, turns: Sequence[Mapping[str, str]], final: Message) -> Request:
    """Return the request that ends with `turns` and `final`."""
    if not turns:
        return prefix.request(final)
    messages = (*prefix.messages, *map(message_of, turns), final)
    return Request(model=prefix.model, messages=messages, system=prefix.system, config=prefix.config)
