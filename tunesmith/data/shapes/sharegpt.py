"""ShareGPT and chat messages: conversations."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.data.shapes.registry import register_shape
from tunesmith.data.shapes.shape import Given, Shape

__all__ = ["ShareGpt"]

_LISTS = ("conversations", "messages", "conversation")
_ROLES = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "assistant", "model", "bot", "bing", "bard", "claude"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "function_call"), "tool"),
}


@register_shape
class ShareGpt(Shape):
    """A list of turns with `from` and `value`, or with `role` and `content`, as chat servers take them.

    The last reply becomes `answer`, the message before it `question`, what is before that `history`, as messages with
    `role` and `content`. Messages after the last reply are dropped, and so is a conversation without a reply to a user.
    """

    name = "sharegpt"
    about = "ShareGPT and chat messages: conversations with from and value, or messages with role and content"
    signature = "question -> answer"

    def fits(self, row: Mapping[str, Any], path: Path) -> bool:
        """Return whether there is a list of turns."""
        return any(isinstance(row.get(name), (list, tuple)) for name in _LISTS)

    def convert(self, row: Given, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the last reply with what was asked."""
        name = next((name for name in _LISTS if name in row.value), _LISTS[0])
        turns = [_message(row, turn) for turn in row.parts(name)]
        system = [turn["content"] for turn in turns if turn["role"] == "system"]
        talk = [turn for turn in turns if turn["role"] != "system"]
        while talk and talk[-1]["role"] != "assistant":
            talk.pop()
            row.drop("a message after the last reply")
        if len(talk) < 2 or talk[-2]["role"] != "user":
            row.drop("a conversation without a reply to a user")
            return
        *history, question, answer = talk
        found: dict[str, Any] = {"question": question["content"], "answer": answer["content"]}
        text = row.text("system", "") or "\n".join(system)
        if text:
            found["system"] = text
        if history:
            found["history"] = history
        if row.get("id") is not None:
            found["id"] = row.get("id")
        yield found


def _message(row: Given, turn: Given) -> dict[str, str]:
    named = "from" if "from" in turn.value else "role"
    role = turn.text(named)
    if role.casefold() not in _ROLES:
        raise turn.wrong(named, f"The role is unknown. Known are: {', '.join(_ROLES)}.", role)
    field = "value" if "value" in turn.value else "content"
    content = turn.get(field)
    if isinstance(content, list):  # parts, as servers take them for images
        texts = [part.text("text") for part in turn.parts(field) if part.get("type") in ("text", "input_text")]
        if len(texts) < len(content):
            row.drop("a part of a message that is no text", len(content) - len(texts))
        return {"role": _ROLES[role.casefold()], "content": "\n".join(texts)}
    if content is None and turn.get("tool_calls"):
        return {"role": _ROLES[role.casefold()], "content": ""}
    return {"role": _ROLES[role.casefold()], "content": turn.text(field)}
