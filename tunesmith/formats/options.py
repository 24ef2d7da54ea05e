"""What a request carries beside its messages: the constraint of the reply, and sampling options."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tunesmith.errors import FormatError
from tunesmith.lm import Config

__all__ = ["Constraint", "request_config"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """How a reply is held to its shape: a GBNF grammar or a JSON Schema, and where it stops."""

    grammar: str | None = None
    schema: Mapping[str, Any] | None = None
    stop: tuple[str, ...] = ()


_CONFIG_NAMES = frozenset(field.name for field in fields(Config)) - {
    "extensions",
    "response_format",
    "stop",
}
# What DSPy's own engines read from the LM itself, and what only messages= calls know.
_NOT_SENT = frozenset(
    {
        "api_key", "api_base", "base_url", "timeout", "headers", "extra_headers", "cache", "num_retries",
        "num_generations", "response_format", "tools", "tool_choice", "parallel_tool_calls", "prediction",
        "model_list", "api_version", "prompt_cache",
    }
)  # fmt: skip


def request_config(options: dict[str, Any], constraint: Constraint) -> Config:
    """Return the configuration of a request: options as `dspy.LM` takes them, and the constraint.

    Raises:
        FormatError: an option of a wrong type or value.
    """
    options = {name: value for name, value in options.items() if value is not None and name not in _NOT_SENT}
    known: dict[str, Any] = {}
    extensions: dict[str, Any] = {}
    for name, value in options.items():
        if name == "max_completion_tokens":
            known["max_tokens"] = value
        elif name == "logprobs" and value is not False:
            known["logprobs"] = options.get("top_logprobs") or (5 if value is True else value)
        elif name in ("stop", "logprobs", "top_logprobs"):
            continue
        elif name in _CONFIG_NAMES:
            known[name] = value
        else:
            extensions[name] = value
    if constraint.grammar is not None:
        extensions["grammar"] = constraint.grammar
    if constraint.schema is not None:
        known["response_format"] = {
            "type": "json_schema",
            "name": "reply",
            "schema": dict(constraint.schema),
            "strict": True,
        }
    stop = options.get("stop", ())
    stop = (stop,) if isinstance(stop, str) else stop
    try:
        known["stop"] = (*stop, *(text for text in constraint.stop if text not in stop))
        return Config(**known, extensions=extensions or None)
    except (TypeError, ValueError) as error:
        raise FormatError(
            f"A request option cannot be used: {error}. Given: {json.dumps(options, default=repr)}."
        ) from error
