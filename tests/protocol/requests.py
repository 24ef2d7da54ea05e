"""Reading request bodies: which fields there are and what Go says when one has the wrong type."""

from collections.abc import Callable
from typing import Any

from tests.protocol.gojson import GoError, decode
from tests.protocol.options import keep_alive_seconds, think_value
from tests.protocol.outcomes import Refusal

_STRING, _BOOL, _INT = ("string", str), ("bool", bool), ("int", int)
_MAP = ("map[string]interface {}", dict)
_COMMON = {"model": _STRING, "stream": _BOOL, "options": _MAP, "truncate": _BOOL, "shift": _BOOL, "logprobs": _BOOL}
_FIELDS: dict[str, dict[str, tuple[str, type]]] = {
    "ChatRequest": {
        **_COMMON,
        "messages": ("[]api.Message", list),
        "tools": ("api.Tools", list),
        "top_logprobs": _INT,
        "_debug_render_only": _BOOL,
    },
    "GenerateRequest": {
        **_COMMON,
        "prompt": _STRING,
        "suffix": _STRING,
        "system": _STRING,
        "template": _STRING,
        "context": ("[]int", list),
        "raw": _BOOL,
        "images": ("[]api.ImageData", list),
        "top_logprobs": _INT,
        "_debug_render_only": _BOOL,
    },
    "EmbedRequest": {"model": _STRING, "truncate": _BOOL, "dimensions": _INT, "options": _MAP},
    "EmbeddingRequest": {"model": _STRING, "prompt": _STRING, "options": _MAP},
    "ChatCompletionRequest": {"model": _STRING, "messages": ("[]openai.Message", list), "stream": _BOOL},
    "CompletionRequest": {"model": _STRING, "prompt": _STRING, "stream": _BOOL},
}
_MESSAGE: dict[str, tuple[str, type]] = {"role": _STRING, "content": _STRING, "thinking": _STRING}
_SPECIAL: dict[str, Callable[[Any], Any]] = {"keep_alive": keep_alive_seconds, "think": think_value}


def read(raw: bytes, kind: str = "Request") -> dict[str, Any]:
    """Return the body as a mapping, without the fields that are null.

    Raises:
        Refusal: 400 with Go's text.
    """
    try:
        body = decode(raw)
        if not isinstance(body, dict):
            raise GoError(f"json: cannot unmarshal {_named(body)} into Go value of type api.{kind}")
        found = {name: value for name, value in body.items() if value is not None}
        _check(found, _FIELDS.get(kind, {"model": _STRING}), kind)
        if kind == "ChatRequest":
            for message in found.get("messages", []):
                _check_message(message, kind)
        for name, parse in _SPECIAL.items():
            if name in found:
                found[name] = parse(found[name])
    except EOFError:
        raise Refusal(400, "missing request body") from None
    except GoError as error:
        raise Refusal(400, str(error)) from None
    return found


def _check_message(message: Any, kind: str) -> None:
    if not isinstance(message, dict):
        raise GoError(
            f"json: cannot unmarshal {_named(message)} into Go struct field {kind}.messages of type api.Message"
        )
    present = {name: value for name, value in message.items() if value is not None}
    _check(present, _MESSAGE, f"{kind}.messages")


def _check(body: dict[str, Any], fields: dict[str, tuple[str, type]], kind: str) -> None:
    for name, (go_type, python_type) in fields.items():
        value = body.get(name)
        right = isinstance(value, python_type) and not (python_type is int and isinstance(value, bool))
        if value is not None and not right:
            raise GoError(
                f"json: cannot unmarshal {_named(value)} into Go struct field {kind}.{name} of type {go_type}"
            )


def _named(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {dict: "object", list: "array", str: "string", int: "number", float: "number"}.get(type(value), "value")
