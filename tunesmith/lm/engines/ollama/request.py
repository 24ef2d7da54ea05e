"""Requests as arguments of the `ollama` client's `chat`, and its replies as responses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.lm.engine import (
    Config,
    ImagePart,
    Message,
    Request,
    Response,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
    function_tool,
    message_text,
    refused,
    sampling,
    sendable,
    system_text,
    token_logprobs,
    tool_input,
)
from tunesmith.lm.engines.ollama.facts import MOST_LOGPROBS, ModelFacts
from tunesmith.lm.options import OLLAMA
from tunesmith.signatures import server_schema, wide_integers

__all__ = [
    "BYTES_PER_TOKEN",
    "Settings",
    "arguments",
    "estimated_tokens",
    "is_shortened",
    "response_of_reply",
    "tool_calls",
]

BYTES_PER_TOKEN = 4  # a guess, for prompts that no server has counted
_TEMPLATE_TOKENS = 4  # around each message
_WORDS_JOINED = 0.9  # the fewest tokens that a word takes, on average over a long prompt
_USUAL_CONTEXTS = tuple(2**power for power in range(11, 19))
_LEVELS: dict[str, bool | str] = {
    "off": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What is the same for every request of an engine.

    Attributes:
        model: as the server knows it.
        num_ctx: tokens of context, `None` to leave it to the server (models that run elsewhere).
        think: whether the model may think, or how much; `False` for not at all.
        keep_alive: how long the model stays loaded; `None` for the server's default.
    """

    model: str
    num_ctx: int | None
    think: bool | str
    keep_alive: float | str | None


def arguments(
    request: Request, facts: ModelFacts, settings: Settings, *, constrained: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of `chat`, and the fields of the body that it has no argument for.

    Args:
        request: what is asked.
        facts: of the model.
        settings: of the engine.
        constrained: whether the schema may go out; off after it has stopped the runner.

    Raises:
        RequestRefused: the request holds what this model or server cannot take.
    """
    config = request.config
    think = _think(config, facts, settings)
    # Thinking and `format` break each other (the reply comes empty), so a reply after thinking is only validated here.
    schema = None if think or not constrained else _format(config.response_format, facts)
    found: dict[str, Any] = {
        "model": settings.model,
        "messages": _messages(request, facts),
        "format": schema,
        "options": _options(config, facts, settings, thinking=bool(think)),
        "think": think,
        "keep_alive": settings.keep_alive,
    }
    if config.logprobs is not None:
        found |= {"logprobs": True, "top_logprobs": _alternatives(config.logprobs)}
    patch: dict[str, Any] = {"truncate": False, "shift": False}
    tools = _tools(request)
    if tools:
        patch["tools"] = tools
    return found, patch


def estimated_tokens(request: Request) -> int:
    """Return a guess of how many tokens a request has, with what a chat template puts around each message."""
    written = sum(len(text.encode("utf-8", "replace")) for text in _texts(request))
    return written // BYTES_PER_TOKEN + _TEMPLATE_TOKENS * len(request.messages)


def _texts(request: Request) -> list[str]:
    system = request.system if isinstance(request.system, str) else ""
    return [
        system,
        *(part.text for message in request.messages for part in message.parts if isinstance(part, TextPart)),
    ]


def is_shortened(counted: int, request: Request, room: int | None) -> bool:
    """Return whether a prompt was plainly shortened by a server that does so in silence.

    It drops the oldest messages, then cuts the rest to the context, or to about half of it. A prompt that is a little
    too long and lost a message looks like one that fits.

    Args:
        counted: tokens of the prompt that the server read.
        request: what was sent.
        room: tokens of context; `None` if it is unknown, for instance because another client had the model loaded
            with another context right after.
    """
    # No tokenizer joins words, but for a few that join frequent pairs.
    if counted < _WORDS_JOINED * sum(len(text.split()) for text in _texts(request)):
        return True
    guess = estimated_tokens(request)
    if room is None or counted > room:  # more than fits: that was not the context
        return any(guess > usual and counted in (usual, *_halves(usual)) for usual in _USUAL_CONTEXTS)
    return counted >= room or (guess > room and (counted in _halves(room) or counted < guess // 2))


def _halves(room: int) -> set[int]:
    """Return what newer servers leave of a prompt that is too long."""
    return {room - (room - keep) // 2 for keep in (4, 5)}


def _think(config: Config, facts: ModelFacts, settings: Settings) -> bool | str | None:
    """Return what to send as `think`: nothing to a model that does not know it, off unless it was asked for."""
    wanted = settings.think if config.reasoning is None else _LEVELS[config.reasoning.effort]
    if facts.can("thinking"):
        return wanted
    if wanted and facts.capabilities is not None:
        raise refused(f"The model {facts.name!r} does not think. Leave `think` and `reasoning_effort` out.")
    return wanted or None


def _format(wanted: Any, facts: ModelFacts) -> Any:
    """Return what to send as `format`: a schema only if it harms no server."""
    if wanted is None or facts.remote:
        return None
    if wanted["type"] == "json_object":
        return "json"
    schema = None if facts.version.before(0, 5, 0) else server_schema(wanted["schema"])
    return schema if facts.version.before(0, 30, 0) else wide_integers(schema)


def _options(config: Config, facts: ModelFacts, settings: Settings, *, thinking: bool) -> dict[str, Any]:
    stop = [text for text in config.stop if text != "\n" or not thinking]  # thoughts have many lines
    if stop:  # the server would take them instead of the model's own
        stop += [text for text in facts.stops if text not in stop]
    found = sampling(config)
    found |= {
        "num_ctx": settings.num_ctx,
        "num_predict": found.pop("max_tokens"),
        "stop": stop or None,
        "repeat_penalty": facts.repeat_penalty,
    }
    for name, value in (config.extensions or {}).items():
        if name not in OLLAMA:
            raise refused(
                f"Ollama has no request option {name!r} that may change from call to call. It has: "
                f"{', '.join(sorted(OLLAMA))}; `num_ctx`, `think` and `keep_alive` are set once, in `ts.lm(...)`."
            )
        found[name] = value
    return {name: value for name, value in found.items() if value is not None}


def _alternatives(wanted: int) -> int:
    if wanted > MOST_LOGPROBS:
        raise refused(f"Ollama reports at most {MOST_LOGPROBS} alternatives per token. Asked for: {wanted}.")
    return wanted


def _tools(request: Request) -> list[dict[str, Any]]:
    choice = request.config.tool_choice
    if not request.tools or (choice is not None and choice.mode == "none"):
        return []
    if choice is not None and (choice.mode == "required" or choice.allowed):
        raise refused("Ollama has no setting for which tool to call. Leave `tool_choice` out, or set it to 'auto'.")
    return [function_tool(tool) for tool in request.tools]


def _messages(request: Request, facts: ModelFacts) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if request.system is not None:
        found.append({"role": "system", "content": system_text(request)})
    for message in request.messages:
        text = message_text(message)
        if text is None:
            found += _mixed(message, facts)
        else:
            role = "system" if message.role == "developer" else message.role
            found.append({"role": role, "content": sendable(text)})
    return found


def _mixed(message: Message, facts: ModelFacts) -> list[dict[str, Any]]:
    """Return a message with pictures, thoughts or tools; results of tools are messages of their own."""
    texts, images, calls, thoughts, results = [], [], [], [], []
    for part in message.parts:
        match part:
            case TextPart():
                texts.append(sendable(part.text))
            case ImagePart():
                images.append(_image(part, facts))
            case ToolCallPart():
                calls.append({"function": {"name": part.name, "arguments": part.input}})
            case ThinkingPart():
                thoughts.append(part.text)
            case ToolResultPart():
                results.append({"role": "tool", "content": _result(part), "tool_name": part.name})
            case _:
                raise refused(f"Ollama reads text and pictures; the request holds {part.type!r}.")
    found = {
        "role": "system" if message.role == "developer" else message.role,
        "content": "".join(texts),
        "images": images,
        "tool_calls": calls,
        "thinking": "".join(thoughts),
    }
    own = [found] if texts or images or calls or thoughts else []
    return [*own, *results]


def _image(part: ImagePart, facts: ModelFacts) -> bytes:
    if facts.can("vision") is False:
        raise refused(f"The model {facts.name!r} does not see pictures. Use one with the capability `vision`.")
    try:
        return part.bytes
    except (ValueError, OSError) as error:
        raise refused(f"Ollama takes pictures by content, not by address: {error}. Load the picture first.") from error


def _result(part: ToolResultPart) -> str:
    texts = [item.text if isinstance(item, TextPart) else None for item in part.content]
    known = [text for text in texts if text is not None]
    if len(known) < len(texts):
        raise refused("Ollama takes the result of a tool as text; this one holds other content.")
    return sendable("\n".join(known))


def response_of_reply(reply: Mapping[str, Any], request: Request) -> Response:
    """Return the reply of `/api/chat` as it came as a response.

    A reply that says `done: false` was broken off by the server because it repeated itself: it counts as cut by length,
    so that a format takes it only if its value is whole.
    """
    message = reply.get("message") or {}
    calls = tool_calls(message)
    parts: list[Any] = [ThinkingPart(message["thinking"])] if message.get("thinking") else []
    text = message.get("content") or ""
    if text or not calls:
        parts.append(TextPart(text))
    cut = reply.get("done_reason") == "length" or reply.get("done") is not True
    return Response(
        id=None,
        model=request.model,
        message=Message(role="assistant", parts=(*parts, *calls)),
        finish_reason="length" if cut else "tool_call" if calls else "stop",
        usage=Usage(
            reply.get("prompt_eval_count"),
            reply.get("eval_count"),
            cache_read_tokens=reply.get("prompt_eval_cached_count"),
        ),
        logprobs=token_logprobs(reply.get("logprobs")),
    )


def tool_calls(message: Mapping[str, Any], first: int = 0) -> list[ToolCallPart]:
    """Return the tool calls of a message; those without an id are numbered from `first`.

    Raises:
        ParseError: the arguments of one are not a JSON object.
    """
    found = []
    for number, call in enumerate(message.get("tool_calls") or (), first):
        function = call.get("function") or {}
        name = function.get("name") or "?"
        given = tool_input(name, function.get("arguments") or {})
        found.append(ToolCallPart(call.get("id") or f"call_{number}", name, given))
    return found
