"""A canonical request as the body of OpenAI's `POST /chat/completions`."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from tunesmith.lm.engine import (
    Config,
    Message,
    Request,
    function_tool,
    message_text,
    refused,
    sampling,
    sendable,
    system_text,
)
from tunesmith.lm.engines.openai.dialects import Dialect

__all__ = ["chat_body"]


def chat_body(request: Request, model: str, dialect: Dialect, *, stream: bool = False) -> dict[str, Any]:
    """Return the body that asks a server of `dialect` for `request`.

    Raises:
        RequestRefused: the request holds what the protocol or the dialect cannot carry; nothing was sent.
    """
    body: dict[str, Any] = {"model": model, "messages": _messages(request), **_options(request.config, dialect)}
    if request.tools:
        body["tools"] = [function_tool(tool) for tool in request.tools]
        body |= _tool_choice(request.config)
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _options(config: Config, dialect: Dialect) -> dict[str, Any]:
    extensions: dict[str, Any] = dict(config.extensions or {})
    grammar = extensions.pop("grammar", None)
    if config.top_k is not None and not dialect.top_k:
        raise refused(
            f"A server of the dialect `{dialect.name}` does not know `top_k`. Given: {config.top_k}. Leave it out, "
            "or name the server's dialect with `dialect=`."
        )
    if config.cache is not None:
        raise refused("This protocol has no field for a cache of prompts on the server. Leave `prompt_cache` out.")
    free = _thinks_on_ollama(config, dialect)
    options: dict[str, Any] = {
        **sampling(config),
        "stop": [text for text in config.stop if text != "\n" or not free] or None,
        "user": config.user_id,
        "store": config.store,
        "service_tier": config.service_tier,
        **dialect.constraint(None if free else config.response_format, grammar),
        **_thinking(config, dialect),
    }
    if config.logprobs is not None:
        # llama.cpp reports nothing at all for 0 alternatives.
        least = 1 if dialect.name == "llamacpp" else 0
        options |= {"logprobs": True, "top_logprobs": max(least, config.logprobs)}
    options |= extensions.pop("extra_body", None) or {}
    options |= extensions
    return {name: value for name, value in options.items() if value is not None}


def _thinks_on_ollama(config: Config, dialect: Dialect) -> bool:
    """Return whether thoughts come first, on a server that then breaks a reply by a schema or a line end as stop."""
    return dialect.name == "ollama" and config.reasoning is not None and config.reasoning.effort != "off"


def _thinking(config: Config, dialect: Dialect) -> dict[str, Any]:
    if config.reasoning is None:
        return {}
    effort = config.reasoning.effort
    if dialect.thinking == "effort":
        return {"reasoning_effort": "none" if effort == "off" else effort}
    if dialect.thinking == "template":
        return {"chat_template_kwargs": {"enable_thinking": effort != "off"}}
    raise refused(f"A server of the dialect `{dialect.name}` has no switch for thinking. Leave the setting out.")


def _messages(request: Request) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if request.system is not None:
        found.append({"role": "system", "content": system_text(request)})
    for message in request.messages:
        found += _turn(message)
    return found


def _turn(message: Message) -> list[dict[str, Any]]:
    text = message_text(message)
    # Chat templates of open models know no `developer`.
    role = "system" if message.role == "developer" else message.role
    if text is not None and role != "tool":
        return [{"role": role, "content": sendable(text)}]
    if role == "tool":
        return [_tool_result(part) for part in message.parts]
    if role == "assistant":
        return [_assistant(message)]
    return [{"role": role, "content": [_part(part) for part in message.parts]}]


def _assistant(message: Message) -> dict[str, Any]:
    texts, calls = [], []
    for part in message.parts:
        if part.type == "text":
            texts.append(part.text)
        elif part.type == "tool_call":
            function = {"name": part.name, "arguments": json.dumps(part.input, ensure_ascii=False)}
            calls.append({"id": part.id, "type": "function", "function": function})
        elif part.type == "data":
            texts.append(json.dumps(part.value, ensure_ascii=False))
        elif part.type != "thinking":  # earlier thinking is not sent back
            raise refused(f"An assistant message cannot carry a part of type `{part.type}` over this protocol.")
    found: dict[str, Any] = {"role": "assistant", "content": sendable("".join(texts)) if texts else None}
    return {**found, "tool_calls": calls} if calls else found


def _tool_result(part: Any) -> dict[str, Any]:
    texts = [item.text if item.type == "text" else json.dumps(_part(item)) for item in part.content]
    return {"role": "tool", "tool_call_id": part.id, "content": sendable("\n".join(texts))}


def _part(part: Any) -> dict[str, Any]:
    if part.type == "text":
        return {"type": "text", "text": sendable(part.text)}
    if part.type == "data":
        return {"type": "text", "text": json.dumps(part.value, ensure_ascii=False)}
    if part.type == "image":
        image = {"url": part.url if part.url is not None else f"data:{part.media_type};base64,{_data(part)}"}
        return {"type": "image_url", "image_url": image if part.detail is None else {**image, "detail": part.detail}}
    if part.type == "audio" and part.url is None:
        kind = part.media_type.rpartition("/")[2].removeprefix("x-")
        return {"type": "input_audio", "input_audio": {"data": _data(part), "format": kind}}
    raise refused(f"A message cannot carry a part of type `{part.type}` over this protocol.")


def _data(part: Any) -> str:
    if part.data is not None:
        return str(part.data)
    if part.path is None:
        raise refused(f"The {part.type} is named by a file id, which this server does not know. Give its data or URL.")
    try:
        return base64.b64encode(part.path.read_bytes()).decode()
    except OSError as error:
        raise refused(f"The {part.type} file {str(part.path)!r} cannot be read: {error.strerror}.") from error


def _tool_choice(config: Config) -> Mapping[str, Any]:
    choice = config.tool_choice
    if choice is None:
        return {}
    found: dict[str, Any] = {"tool_choice": choice.mode}
    if choice.mode == "required" and len(choice.allowed) == 1:
        found["tool_choice"] = {"type": "function", "function": {"name": choice.allowed[0]}}
    elif choice.allowed:
        raise refused("This protocol allows all tools or exactly one required tool. Pass only the tools you allow.")
    if choice.parallel is not None:
        found["parallel_tool_calls"] = choice.parallel
    return found
