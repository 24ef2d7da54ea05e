"""The cache's format: a key per request, and a JSON row per reply."""

import dataclasses
import hashlib
from typing import Any

from tunesmith.data import canonical_json
from tunesmith.lm.engine import (
    Config,
    FunctionTool,
    Identity,
    Message,
    Request,
    Response,
    TextPart,
    ThinkingPart,
    TokenLogprob,
    ToolCallPart,
    TopLogprob,
    Usage,
    message_text,
    with_messages,
)

__all__ = ["Prefix", "overflow_row", "request_key", "response_of", "row_of"]

_VERSION = 1


class Prefix:
    """The shared part of many requests: configuration, tools, system text, and all messages except the last.

    It stores the partial hash per model, so that a key has to hash only the last message, and one checked request, so
    that only the first request is checked.
    """

    __slots__ = ("_checked", "_hashers", "config", "messages", "model", "system", "tools")

    def __init__(
        self,
        model: str,
        system: str | None,
        messages: tuple[Message, ...],
        config: Config,
        tools: tuple[FunctionTool, ...] = (),
    ) -> None:
        self.model, self.system, self.messages, self.config, self.tools = model, system, messages, config, tools
        self._hashers: dict[str, Any] = {}
        self._checked: Request | None = None

    def request(self, final: Message) -> Request:
        """Return the whole request that ends with `final`."""
        messages = (*self.messages, final)
        if self._checked is not None:
            return with_messages(self._checked, messages)
        self._checked = self.before(messages)
        return self._checked

    def before(self, messages: tuple[Message, ...]) -> Request:
        """Return a request with these messages in place of its own."""
        return Request(model=self.model, messages=messages, system=self.system, tools=self.tools, config=self.config)

    def key(self, identity: Identity, final: Message, rollout: int) -> str:
        """Return the content key of `self.request(final)`, the same as `request_key` returns."""
        hasher = self._hashers.get(identity.key)
        if hasher is None:
            hasher = _head(identity, self.model, self.system, self.tools, self.config)
            for message in self.messages:
                hasher.update(_message_bytes(message))
            self._hashers[identity.key] = hasher
        hasher = hasher.copy()
        hasher.update(_message_bytes(final))
        hasher.update(b"\nrollout %d" % rollout)
        return hasher.hexdigest()


def request_key(identity: Identity, request: Request, rollout: int) -> str:
    """Return the sha256 of everything that can change the reply, in hex."""
    hasher = _head(identity, request.model, request.system, request.tools, request.config)
    for message in request.messages:
        hasher.update(_message_bytes(message))
    hasher.update(b"\nrollout %d" % rollout)
    return hasher.hexdigest()


def _head(identity: Identity, model: str, system: Any, tools: Any, config: Config) -> Any:
    head = {
        "v": _VERSION,
        "identity": identity.key,
        "model": model,
        "system": _plain(system),
        "tools": _plain(tools),
        "config": config_json(config),
    }
    return hashlib.sha256(canonical_json(head, escaped=True).encode())


def config_json(config: Config) -> dict[str, Any]:
    """Return the options that `config` sets, as JSON values."""
    plain = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value is not None and value != ():
            plain[field.name] = _plain(value)
    return plain


def _message_bytes(message: Message) -> bytes:
    text = message_text(message)
    if text is None:
        text = canonical_json(_plain(message.parts), escaped=True)
        return f"\n{message.role}/parts {len(text)} {text}".encode()
    # With the length in front, no text can imitate a following message.
    return f"\n{message.role} {len(text)} {text}".encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def row_of(response: Response, seconds: float) -> dict[str, Any] | None:
    """Return the cache row of `response`, or `None` if it has parts that a row cannot hold."""
    texts, thinking, calls = [], [], []
    for part in response.message.parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, ThinkingPart):
            thinking.append(part.text)
        elif isinstance(part, ToolCallPart):
            calls.append({"id": part.id, "name": part.name, "input": part.input})
        else:
            return None
    usage = response.usage
    row: dict[str, Any] = {
        "v": _VERSION,
        "text": "".join(texts) if texts else None,
        "finish": response.finish_reason,
        "model": response.model,
        "in": usage.input_tokens,
        "out": usage.output_tokens,
        "hit": usage.cache_read_tokens,
        "seconds": round(seconds, 4),
    }
    if thinking:
        row["thinking"] = "".join(thinking)
    if calls:
        row["calls"] = calls
    if response.logprobs is not None:
        row["logprobs"] = [
            [t.token, t.logprob, _bytes(t), [[a.token, a.logprob, _bytes(a)] for a in t.top]] for t in response.logprobs
        ]
    if response.provider_data is not None:
        row["data"] = response.provider_data
    return row


def overflow_row(
    prompt_tokens: int | None,
    context_tokens: int | None,
    estimated: bool = False,  # noqa: FBT001, FBT002
) -> dict[str, Any]:
    """Return the cache row of a prompt that does not fit the context. The same prompt never fits."""
    numbers = [prompt_tokens, context_tokens]
    return {"v": _VERSION, "overflow": [*numbers, True] if estimated else numbers}


def response_of(row: dict[str, Any]) -> Response:
    """Return the response that `row` holds.

    Raises:
        KeyError, TypeError, ValueError: the row has a different version or shape. Treat it as a miss.
    """
    if row["v"] != _VERSION:
        raise ValueError("a different version of the row format")
    parts: list[Any] = []
    if "thinking" in row:
        parts.append(ThinkingPart(row["thinking"]))
    if row["text"] is not None:
        parts.append(TextPart(row["text"]))
    parts += [ToolCallPart(c["id"], c["name"], c["input"]) for c in row.get("calls", ())]
    logprobs = row.get("logprobs")
    return Response(
        id=None,
        model=row["model"],
        message=Message(role="assistant", parts=tuple(parts)),
        finish_reason=row["finish"],
        usage=Usage(row["in"], row["out"], cache_read_tokens=row["hit"]),
        logprobs=None if logprobs is None else tuple(_token(item) for item in logprobs),
        provider_data=row.get("data"),
    )


def _bytes(token: TokenLogprob | TopLogprob) -> list[int] | None:
    return None if token.bytes is None else list(token.bytes)


def _token(item: list[Any]) -> TokenLogprob:
    token, logprob, raw, top = item
    return TokenLogprob(
        token,
        logprob,
        None if raw is None else tuple(raw),
        top=tuple(TopLogprob(text, value, None if b is None else tuple(b)) for text, value, b in top),
    )
