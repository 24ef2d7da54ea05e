"""The engine protocol, and the only file of this package that imports DSPy.

An engine answers one canonical request with one response. It does not cache, retry or count. DSPy 3.4 calls an engine
through `dspy.LM(engine=...)`; the layers in `stack.py` are between the two.
"""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import Enum
from functools import cache
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from dspy import LM as DspyLM  # noqa: N811
from dspy.clients.base_lm import LM_CLASS_STATE_KEY, BaseLM
from dspy.dsp.utils.settings import settings as dspy_settings
from dspy.lm15 import (
    Config,
    DataPart,
    FunctionTool,
    ImagePart,
    LM15Error,
    Message,
    Reasoning,
    RefusalPart,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    TopLogprob,
    Usage,
    materialize_response,
    response_from_openai_chat,
    response_to_events,
)
from dspy.utils.exceptions import (
    ContextWindowExceededError,
    LMAuthError,
    LMConfigurationError,
    LMInvalidRequestError,
    LMRateLimitError,
    LMServerError,
    LMTimeoutError,
    LMTransportError,
    LMUnsupportedFeatureError,
    LMUnsupportedModelError,
)
from dspy.utils.exceptions import LMError as DspyLMError

from tunesmith.data import content_key
from tunesmith.errors import ContextOverflow, ModelMissing, ModelUnavailable, ParseError, RequestRefused

__all__ = [
    "BaseLM",
    "LM15Error",
    "LM_CLASS_STATE_KEY",
    "Capabilities",
    "Config",
    "ContextWindowExceededError",
    "DspyLM",
    "DspyLMError",
    "Engine",
    "FunctionTool",
    "Identity",
    "ImagePart",
    "LMAuthError",
    "LMConfigurationError",
    "LMInvalidRequestError",
    "LMRateLimitError",
    "LMServerError",
    "LMTimeoutError",
    "LMTransportError",
    "LMUnsupportedFeatureError",
    "LMUnsupportedModelError",
    "Message",
    "Reasoning",
    "OwnCacheLM",
    "RefusalPart",
    "Request",
    "Resend",
    "Response",
    "StreamDeltaEvent",
    "StreamEndEvent",
    "StreamEvent",
    "StreamStartEvent",
    "TextDelta",
    "TextPart",
    "ThinkingDelta",
    "ThinkingPart",
    "TokenLogprob",
    "ToolCallDelta",
    "ToolCallPart",
    "ToolResultPart",
    "TopLogprob",
    "Usage",
    "closed",
    "context_overflow",
    "dspy_settings",
    "end_event",
    "function_tool",
    "materialize_response",
    "response_from_openai_chat",
    "message_text",
    "missing_model",
    "refused",
    "resend_of",
    "sampling",
    "sendable",
    "system_text",
    "text_response",
    "token_logprobs",
    "tool_input",
    "unavailable",
    "user_message",
    "whole_events",
    "with_messages",
]

_set = object.__setattr__

StreamEvent = StreamStartEvent | StreamDeltaEvent | StreamEndEvent
"""A part of a reply that is still being written."""


class Capabilities(NamedTuple):
    """The abilities of an engine beyond plain text.

    Attributes:
        constraints: ways to constrain a reply: any of `json_object`, `json_schema`, `grammar` (GBNF).
        roots: what the root of a schema may be: `any` value, an object or a `closed` set of values, or only an
            `object`. Other schemas are not sent, and the reply is checked instead.
        logprobs: number of alternatives per token that it can report; 0 for none.
        logprobs_after: whether log-probabilities are those after the constraint: only allowed tokens have some. Else
            they are the model's own, and an allowed token may be missing among the alternatives.
        forced: whether the option `forced` holds the reply to a given text, token by token as the model reads it, and
            the response has the log-probabilities of these tokens, the model's own.
        embeddings, tools, thinking: whether it supports them.
        slots: number of concurrent requests.
    """

    constraints: frozenset[str] = frozenset()
    logprobs: int = 0
    embeddings: bool = False
    tools: bool = False
    thinking: bool = False
    slots: int = 1
    roots: Literal["any", "closed", "object"] = "any"
    logprobs_after: bool = False
    forced: bool = False

    def holds(self, schema: Mapping[str, Any]) -> bool:
        """Return whether the engine can constrain a reply by `schema`."""
        if "json_schema" not in self.constraints:
            return False
        if schema.get("type") == "object" or self.roots == "any":
            return True
        return self.roots == "closed" and "enum" in schema


class Identity(NamedTuple):
    """The model that answers, identified by its weights if the engine knows them.

    Attributes:
        backend: engine and version, for example `llamacpp b11549`.
        model: the name that the user gave.
        digest: sha256 of the weights, `None` if the engine does not know it.
        details: other settings that change replies (context length, template), as sorted pairs.
    """

    backend: str
    model: str
    digest: str | None = None
    details: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """The content key of the identity."""
        return _key_of(self)

    def to_json(self) -> dict[str, Any]:
        """Return the identity as JSON values. `verified` says whether the weights are known."""
        return {
            "backend": self.backend,
            "model": self.model,
            "digest": self.digest,
            "details": dict(self.details),
            "verified": self.digest is not None,
        }


@cache
def _key_of(identity: Identity) -> str:
    return content_key(identity.to_json(), escaped=True)


class OwnCacheLM(DspyLM):
    """A `dspy.LM` that never uses DSPy's cache, regardless of `cache`."""

    _cache_responses = False  # DSPy's switch for LMs that must not be cached


@runtime_checkable
class Engine(Protocol):
    """One way to call a model. `complete` may be called from many threads at once.

    An engine may have `request_options`, the names of its request options besides those that every engine takes.
    Without it, the server decides. It may have `own_turns`, the messages that its server adds to every prompt, and
    `count_tokens(request)`, which counts a prompt without an answer.
    """

    @property
    def identity(self) -> Identity:
        """The model that answers."""

    @property
    def capabilities(self) -> Capabilities:
        """The abilities of the engine."""

    def complete(self, request: Request) -> Response:
        """Answer `request` once.

        Raises:
            ContextOverflow: the prompt is longer than the context.
            RequestRefused: the engine does not accept the request.
            ModelMissing, ModelUnavailable: the model is missing, or does not answer.
        """

    def stream(self, request: Request) -> Iterator[StreamEvent]:
        """Answer `request` piece by piece. Closing the iterator stops the engine."""

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in order."""

    def close(self) -> None:
        """Free the engine's resources."""


def message_text(message: Message) -> str | None:
    """Return the text of a message, `None` if it has other content."""
    parts = message.parts
    if len(parts) == 1:
        part = parts[0]
        return part.text if type(part) is TextPart else None
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    return "".join(texts) if len(texts) == len(parts) else None


def system_text(request: Request) -> str:
    """Return the system text of a request that has one, as it can be sent.

    Raises:
        RequestRefused: it holds other content.
    """
    system = request.system
    text = system if isinstance(system, str) else message_text(Message("user", tuple(system or ())))
    if text is None:
        raise refused("A system message is text only; this one holds other content.")
    return sendable(text)


def sampling(config: Config) -> dict[str, Any]:
    """Return how a reply is sampled and how long it may be, by the names of OpenAI's protocol; `None` for unset."""
    return {
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
        "seed": config.seed,
        "top_p": config.top_p,
        "top_k": config.top_k,
        "frequency_penalty": config.frequency_penalty,
        "presence_penalty": config.presence_penalty,
    }


def user_message(text: str) -> Message:
    """Return `Message.user(text)` without DSPy's checks of roles and parts, which take six times as long."""
    part, message = object.__new__(TextPart), object.__new__(Message)
    _set(part, "text", text)
    _set(part, "continuation", ())
    _set(part, "type", "text")
    _set(message, "role", "user")
    _set(message, "parts", (part,))
    _set(message, "continuation", ())
    return message


def with_messages(request: Request, messages: tuple[Message, ...]) -> Request:
    """Return `request` with other messages. The rest of it was checked when `request` was made."""
    made = object.__new__(Request)
    _set(made, "model", request.model)
    _set(made, "messages", messages)
    _set(made, "system", request.system)
    _set(made, "tools", request.tools)
    _set(made, "config", request.config)
    return made


def function_tool(tool: Any) -> dict[str, Any]:
    """Return a tool as OpenAI's protocol and Ollama have it.

    Raises:
        RequestRefused: it is not a function.
    """
    if tool.type != "function":
        raise refused(f"The tool {tool.name!r} is a service of another provider. Give the tool as a function.")
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def tool_input(name: str, given: Any) -> dict[str, Any]:
    """Return the arguments of a call of the tool `name`, which a server gives as an object or as its text.

    Raises:
        ParseError: they are not a JSON object.
    """
    try:
        found = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise ParseError(
            f"The model called the tool {name!r} with arguments that are not a JSON object. Describe the tool more "
            "simply, or use a larger model.",
            reason="syntax",
            raw=str(given),
        )
    return dict(found)


def text_response(
    text: str,
    *,
    model: str,
    finish_reason: str = "stop",
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    cached_tokens: int | None = None,
    thinking: str | None = None,
    logprobs: tuple[TokenLogprob, ...] | None = None,
) -> Response:
    """Return a `Response` that holds `text`; unknown token counts are `None`."""
    parts: tuple[Any, ...] = (TextPart(text),)
    if thinking:
        parts = (ThinkingPart(thinking), *parts)
    return Response(
        id=None,
        model=model,
        message=Message(role="assistant", parts=parts),
        finish_reason=finish_reason,  # type: ignore[arg-type]  # a Literal upstream
        usage=Usage(input_tokens, output_tokens, cache_read_tokens=cached_tokens),
        logprobs=logprobs,
    )


def sendable(text: str) -> str:
    """Return `text`, which can be sent.

    Raises:
        RequestRefused: it holds a lone surrogate, which UTF-8 has no bytes for.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise refused(
            "The request holds a lone surrogate, which is not text. Repair the input first, for instance "
            "with `text.encode('utf-8', 'replace').decode()`."
        ) from error
    return text


def token_logprobs(found: Any) -> tuple[TokenLogprob, ...] | None:
    """Return the log-probabilities in a list of JSON objects, as OpenAI's protocol and Ollama have it.

    JSON has no -Infinity; some servers write it all the same, others a very small number: it is -1e9 here.

    Raises:
        KeyError, TypeError, ValueError: it is not such a list.
    """
    if found is None:
        return None
    return tuple(
        TokenLogprob(*_logprob(item), top=tuple(TopLogprob(*_logprob(top)) for top in item.get("top_logprobs") or ()))
        for item in found
    )


def _logprob(item: Mapping[str, Any]) -> tuple[str, float, tuple[int, ...] | None]:
    value, raw = float(item["logprob"]), item.get("bytes")
    return item["token"], value if math.isfinite(value) else -1e9, None if raw is None else tuple(raw)


@contextlib.contextmanager
def closed(events: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """Close `events` at the end, also after an error: a stored exception would keep the connection open."""
    try:
        yield events
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()


def end_event(reason: str, usage: Usage) -> StreamEndEvent:
    """Return the last event of a stream."""
    return StreamEndEvent(finish_reason=reason, usage=usage)  # type: ignore[arg-type]  # a Literal upstream


def whole_events(response: Response) -> Iterator[StreamEvent]:
    """Yield a stream of `response` in whole parts. Data become JSON text; refusals are left out."""
    parts: list[Any] = []
    for part in response.message.parts:
        if isinstance(part, DataPart):
            parts.append(TextPart(json.dumps(part.value, ensure_ascii=False)))
        elif not isinstance(part, RefusalPart):
            parts.append(part)
    message = replace(response.message, parts=tuple(parts) or (TextPart(""),))
    yield from response_to_events(replace(response, message=message))  # type: ignore[misc]  # none of them an error


# The errors of an engine are both: DSPy's modules catch DSPy's error types (ReAct shortens its trajectory on a context
# overflow), and tunesmith's callers catch tunesmith's.


class _ContextOverflow(ContextOverflow, ContextWindowExceededError):
    def __init__(self, problem: str, *, prompt_tokens: int | None, context_tokens: int | None, estimated: bool) -> None:
        # The parents take different arguments, so the attributes are set here instead of through `super()`.
        ContextWindowExceededError.__init__(self, message=problem)
        self.problem = problem
        self.prompt_tokens, self.context_tokens, self.estimated = prompt_tokens, context_tokens, estimated


class _Refused(RequestRefused, LMInvalidRequestError):
    pass


class _Missing(ModelMissing, LMUnsupportedModelError):
    pass


class Resend(Enum):
    """Whether a request without an answer may be sent again later."""

    FREELY = "freely"  # the server has not started to work on it
    ONCE = "once"  # the connection broke during the request, which may have crashed the server
    NEVER = "never"  # the server may still be working on it, or reports that waiting does not help


class _Unavailable(ModelUnavailable, LMTransportError):
    resend = Resend.FREELY


def context_overflow(
    *, prompt_tokens: int | None, context_tokens: int | None, estimated: bool = False
) -> ContextOverflow:
    """Return the error for a prompt that does not fit, with the known token counts.

    `estimated` says that `prompt_tokens` is an estimate from the prompt's length.
    """
    about = "about " if estimated else ""
    size = "The prompt" if prompt_tokens is None else f"The prompt of {about}{prompt_tokens} tokens"
    if estimated:
        size = f"{size} (an estimate: the server does not report it)"
    room = "the context" if context_tokens is None else f"the context of {context_tokens} tokens"
    return _ContextOverflow(
        f"{size} does not fit {room}. Use fewer or shorter demos, shorten the inputs, "
        "or raise the context length if the model allows it: `num_ctx=` for Ollama and models in this process, a "
        "setting of the server for others.",
        prompt_tokens=prompt_tokens,
        context_tokens=context_tokens,
        estimated=estimated,
    )


def refused(problem: str) -> RequestRefused:
    """Return the error for a request that the engine does not accept."""
    return _Refused(problem)


def missing_model(problem: str) -> ModelMissing:
    """Return the error for a missing model."""
    return _Missing(problem)


def unavailable(problem: str, *, resend: Resend = Resend.FREELY) -> ModelUnavailable:
    """Return the error for an engine that does not answer."""
    error = _Unavailable(problem)
    error.resend = resend
    return error


def resend_of(error: ModelUnavailable) -> Resend:
    """Return whether the request that caused `error` may be sent again later."""
    resend: Resend = getattr(error, "resend", Resend.FREELY)
    return resend
