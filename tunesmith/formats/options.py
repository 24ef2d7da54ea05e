"""The parts of a request besides its messages: the constraint of the reply, and sampling options."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from tunesmith.errors import FormatError, UsageError
from tunesmith.lm import LM, NEVER_SENT, BaseLM, Config, FunctionTool, check_options, plain_options

__all__ = ["Constraint", "check_call", "request_config"]


class Constraint(NamedTuple):
    """How a reply is constrained: by a GBNF grammar or a JSON Schema, and by stop texts.

    Attributes:
        grammar, schema: at most one of them.
        stop: texts that end the reply.
        max_tokens: default limit of the reply; the caller's goes first.
        alternatives: number of alternatives per token to request, with their log-probabilities.
        tools: that the model may call instead of writing.
    """

    grammar: str | None = None
    schema: Mapping[str, Any] | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    alternatives: int = 0
    tools: tuple[FunctionTool, ...] = ()

    def defaults(self) -> dict[str, Any]:
        """Return the options that a request has unless the caller sets them."""
        options = {"max_tokens": self.max_tokens, "logprobs": self.alternatives or None}
        return {name: value for name, value in options.items() if value is not None}


_CONFIG_NAMES = frozenset(field.name for field in fields(Config)) - {
    "extensions",
    "response_format",
    "stop",
}
_OTHER_NAMES = {"max_completion_tokens": "max_tokens", "prompt_cache": "cache", "user": "user_id"}
# Options that a format sets itself.
_SHAPE = ("grammar", "parallel_tool_calls", "response_format", "tool_choice", "tools")
_LEFT_OUT = NEVER_SENT | {"cache", *_SHAPE}


def check_call(given: Mapping[str, Any], lm: BaseLM, format_name: str) -> None:
    """Check that the options of a predictor's call can be sent and do not overlap with the format's.

    Args:
        given: options of the predictor and the call.
        lm: the model that is called. Its own options are checked for overlap, too.
        format_name: for the error text.

    Raises:
        UsageError: an option cannot be sent, or the format sets it.
    """
    names = [name for name, value in given.items() if value is not None]
    if isinstance(lm, LM):
        lm.check_options(names)
    else:
        check_options(names, None, f"A request to {lm.model!r}")
    taken = {**lm.kwargs, **given}
    shape = next((name for name in _SHAPE if taken.get(name) not in (None, [], ())), None)
    if shape is not None:
        raise UsageError(
            f"The format `{format_name}` defines the shape of a reply, so `{shape}` cannot be set. Leave it out and "
            "declare typed outputs, use `dspy.ReAct` for tools, or use the format `chat`, which takes it."
        )


def request_config(options: dict[str, Any], constraint: Constraint) -> Config:
    """Return the configuration of a request: options as `dspy.LM` takes them, and the constraint.

    Raises:
        FormatError: an option has a wrong type or value.
        UsageError: an option needs another one that is missing.
    """
    options = {
        name: value for name, value in plain_options(options).items() if value is not None and name not in _LEFT_OUT
    }
    known = constraint.defaults()
    extensions: dict[str, Any] = {}
    for name, value in options.items():
        if name in _OTHER_NAMES:
            known[_OTHER_NAMES[name]] = value
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
