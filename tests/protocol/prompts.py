"""From messages to token ids: rendering, dropping the oldest messages, cutting what is too long."""

from collections.abc import Callable
from typing import Any

from tests.protocol.models import FakeModel
from tests.protocol.outcomes import Refusal
from tests.protocol.schema import nested

TOO_LONG = "the input length exceeds the context length"
NO_SHIFT = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)
_IMAGE_TOKENS = 768


# What the embedded model's own jinja template puts first where the messages do not begin with a system message.
NATIVE_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def render(messages: list[dict[str, Any]], *, style: str = "go", thinking: bool = False, think: bool = False) -> str:
    """Return the prompt in ChatML.

    Args:
        messages: role and content; a last message of the assistant with `thinking` is left open after its thought.
        style: `go`: a Go template over `.Messages`, which gets neighbours of one role as one message; `legacy`: a Go
            template over `.System`, `.Prompt` and `.Response`, which leaves empty turns out; `native`: the GGUF's own
            jinja template, which takes the messages as they are.
        thinking: the model can think, so that its template opens or closes the thought.
        think: it shall.
    """
    open_thought = bool(messages) and messages[-1]["role"] == "assistant" and messages[-1].get("thinking")
    turns = [(m["role"], m.get("content") or "") for m in (messages[:-1] if open_thought else messages)]
    turns = _native(turns) if style == "native" else _collated(turns)
    if style == "legacy":
        turns = [turn for turn in turns if turn[1]]
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    text += "<|im_start|>assistant\n"
    if open_thought:
        return f"{text}<think>\n{messages[-1]['thinking']}\n</think>\n\n"
    if thinking:
        text += "<think>" if think else "<think></think>"
    return text


def _native(turns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return turns if turns and turns[0][0] == "system" else [("system", NATIVE_SYSTEM), *turns]


def _collated(turns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join neighbours of one role with an empty line (template/template.go, `collate`)."""
    found: list[tuple[str, str]] = []
    for role, content in turns:
        if found and found[-1][0] == role != "tool":
            found[-1] = (role, f"{found[-1][1]}\n\n{content}")
        else:
            found.append((role, content))
    return found


def fitting(
    messages: list[dict[str, Any]], num_ctx: int, count: Callable[[list[dict[str, Any]]], int]
) -> list[dict[str, Any]]:
    """Drop messages from the front until the rest fits, but never one of the system and never the last."""
    for first in range(len(messages)):
        kept = [message for message in messages[:first] if message["role"] == "system"] + messages[first:]
        images = sum(len(message.get("images") or ()) for message in kept)
        if count(kept) + _IMAGE_TOKENS * images <= num_ctx or first == len(messages) - 1:
            return kept
    return messages


def cut(
    ids: list[int], options: dict[str, Any], *, model: FakeModel, new: bool, chat: bool, truncate: bool, shift: bool
) -> list[int]:
    """Return the prompt as the runner reads it.

    0.24 keeps `num_keep` tokens and the end, `num_ctx` in all. The newer ones leave room for half the window once the prompt
    has `num_ctx` tokens or more; its native chat path refuses.

    Raises:
        Refusal: too long, and not to be cut.
    """
    num_ctx = options["num_ctx"]
    if len(ids) <= (num_ctx - 1 if new else num_ctx):
        return ids
    keep = len(ids) if options["num_keep"] < 0 else options["num_keep"]
    keep = min(keep, num_ctx - 1)
    if not new:
        if not truncate:
            raise Refusal(400, TOO_LONG)
        return ids[:keep] + ids[len(ids) - (num_ctx - keep) :]
    if not truncate or (model.native and chat):
        raise exceeded(len(ids), num_ctx)
    if not shift:
        raise Refusal(400, NO_SHIFT)
    limit = num_ctx - max((num_ctx - keep) // 2, 1)
    return ids[:keep] + ids[len(ids) - (limit - keep) :]


def exceeded(tokens: int, num_ctx: int) -> Refusal:
    """Return llama-server's words for a prompt that does not fit, in Ollama's wrapping."""
    message = f"request ({tokens} tokens) exceeds the available context size ({num_ctx} tokens), try increasing it"
    return nested(400, message, "exceed_context_size_error", n_prompt_tokens=tokens, n_ctx=num_ctx)
