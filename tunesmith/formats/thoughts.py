"""What a model writes around its answer where nothing holds it to the answer alone."""

import re

from tunesmith.errors import ParseError

__all__ = ["is_around", "without_thoughts"]

_NAMES = "think|thinking"
_THOUGHTS = re.compile(rf"\s*<({_NAMES})>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPENED = re.compile(rf"\s*<(?:{_NAMES})>", re.IGNORECASE)
_CLOSED = re.compile(rf"</(?:{_NAMES})>", re.IGNORECASE)


def without_thoughts(text: str, *, cut: bool = False) -> str:
    """Return a reply without the thoughts that it begins with.

    Thoughts are what stands between `<think>` and `</think>`. Some chat templates open them in the prompt, so that the
    reply only closes them.

    Raises:
        ParseError: the reply ends before its thoughts do.
    """
    thoughts = _THOUGHTS.match(text)
    if thoughts is not None:
        return text[thoughts.end() :]
    if _OPENED.match(text) is not None:
        raise ParseError(
            "The reply ends before the model has finished its thoughts. Raise `max_tokens`, or ask the model not to "
            "think.",
            reason="truncated" if cut else "empty",
            raw=text,
        )
    closed = _CLOSED.search(text)
    return text if closed is None or _OPENED.search(text, 0, closed.start()) is not None else text[closed.end() :]


def is_around(text: str) -> bool:
    """Return whether a reply begins with thoughts or a code fence rather than with an answer."""
    said = text.lstrip()
    return said.startswith("```") or (said.startswith("<") and _OPENED.match(said) is not None)
