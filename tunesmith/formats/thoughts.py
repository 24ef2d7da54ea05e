"""Thoughts and code fences around the answer in an unconstrained reply."""

import re

from tunesmith.errors import ParseError
from tunesmith.lazy import lazy_pattern

__all__ = ["begins_with_thoughts", "is_around", "only_thoughts", "without_thoughts"]

# Most models; Seed; Mistral; Kimi; Cohere; OpenThinker; gpt-oss, if its server does not parse them.
_OPENS = (
    r"<(?:think|thinking|seed:think)>|\[THINK\]|◁think▷|<\|START_THINKING\|>"
    r"|<\|begin_of_thought\|>|<\|channel\|>(?:analysis|commentary)"
)
_CLOSES = (
    r"</(?:think|thinking|seed:think)>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>"
    r"|<\|end_of_thought\|>|<\|channel\|>final<\|message\|>"
)
_THOUGHTS = lazy_pattern(rf"(?:\s*(?:{_OPENS}).*?(?:{_CLOSES}))+", re.DOTALL | re.IGNORECASE)
_OPENED = lazy_pattern(rf"\s*(?:{_OPENS})", re.IGNORECASE)
_CLOSED = lazy_pattern(_CLOSES, re.IGNORECASE)
_SIGNS = "<[◁`"  # every thought and every fence has one of these


def without_thoughts(text: str, *, cut: bool = False) -> str:
    """Return a reply without its leading thoughts.

    Thoughts are the text between `<think>` and `</think>`, or the tags that other models use. Some chat templates put
    the opening tag in the prompt, so that the reply has only the closing one.

    Raises:
        ParseError: the reply ends inside its thoughts.
    """
    if not any(sign in text for sign in _SIGNS):
        return text
    thoughts = _THOUGHTS.match(text)
    if thoughts is not None:
        return text[thoughts.end() :]
    if _OPENED.match(text) is not None:
        raise only_thoughts(text, cut=cut)
    closed = _CLOSED.search(text)
    return text if closed is None or _OPENED.search(text, 0, closed.start()) is not None else text[closed.end() :]


def only_thoughts(text: str, *, cut: bool) -> ParseError:
    """Return the error for a reply that ends inside its thoughts."""
    problem = "The reply ends inside the model's thoughts. Raise `max_tokens`, or tell the model not to think."
    return ParseError(problem, reason="truncated" if cut else "empty", raw=text)


def begins_with_thoughts(text: str) -> bool:
    """Return whether a reply starts with an opening tag of thoughts."""
    start = text.lstrip()
    return start[:1] in ("<", "[", "◁") and _OPENED.match(start) is not None


def is_around(text: str) -> bool:
    """Return whether a reply begins with thoughts or a code fence instead of an answer.

    Thoughts with only a closing tag count, too: the prompt holds the opening one.
    """
    if not any(sign in text for sign in _SIGNS):
        return False
    if text.lstrip().startswith("```") or begins_with_thoughts(text):
        return True
    closed = _CLOSED.search(text)
    return closed is not None and _OPENED.search(text, 0, closed.start()) is None
