"""What a server says went wrong, out of the shapes that servers use, and whether it is a prompt that does not fit."""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Problem", "read_problem"]

_DEEPEST = 5  # levels of JSON inside JSON
_LONGEST = 1000
_PLACES = ("error", "message", "detail")  # where the reason is

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
    """What is wrong, in the words of a server; as `str` shortened, and never empty.

    Attributes:
        text: its reason, empty if it gave none.
        fields: what JSON says beside the reason, of all levels.
        too_long: whether the prompt does not fit.
        prompt_tokens, context_tokens: if it says so.
    """

    text: str
    fields: Mapping[str, Any]
    too_long: bool
    prompt_tokens: int | None
    context_tokens: int | None

    def __str__(self) -> str:
        return "it sent an HTML page" if self.text.startswith("<") else self.text[:_LONGEST] or "it gave no reason"


def read_problem(body: str) -> Problem:
    """Return what the body of an error says, whatever its shape.

    Example:
        >>> read_problem('{"error": {"message": "server busy"}}').text
        'server busy'
    """
    text, fields = _unwrapped(body)
    prompt, context = fields.get("n_prompt_tokens"), fields.get("n_ctx")
    in_words = _CONTEXT.search(text)
    if in_words is not None and context is None:
        prompt, context = _number(_PROMPT.search(text)), _number(in_words)
    said = f"{text} {fields.get('type')} {fields.get('code')}".casefold()
    too_long = in_words is not None or any(sign in said for sign in _TOO_LONG)
    return Problem(text, fields, too_long, _whole(prompt), _whole(context))


def _unwrapped(body: str) -> tuple[str, dict[str, Any]]:
    """Return the innermost reason and all fields: some servers put another one's JSON into their own."""
    found: Any = body
    fields: dict[str, Any] = {}
    for _ in range(_DEEPEST):
        if isinstance(found, str) and found.lstrip().startswith("{"):
            with contextlib.suppress(ValueError, RecursionError):
                found = json.loads(found)
        if not isinstance(found, dict):
            break
        fields |= found
        found = next((found[name] for name in _PLACES if found.get(name) is not None), "")
    return (found.strip() if isinstance(found, str) else json.dumps(found)), fields


def _number(match: re.Match[str] | None) -> int | None:
    return None if match is None else next(int(group) for group in match.groups() if group is not None)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
