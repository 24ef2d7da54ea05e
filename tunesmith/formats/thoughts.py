"""What a model writes around its answer where nothing holds it to the answer alone."""

import re

from tunesmith.errors import ParseError

__all__ = ["begins_with_thoughts", "is_around", "without_thoughts"]

# Most models; Seed; Mistral; Kimi; Cohere; OpenThinker; gpt-oss, if its server does not read them.
_OPENS = (
    r"<(?:think|thinking|seed:think)>|\[THINK\]|◁think▷|<\|START_THINKING\|>"
    r"|<\|begin_of_thought\|>|<\|channel\|>(?:analysis|commentary)"
)
_CLOSES = (
    r"</(?:think|thinking|seed:think)>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>"
    r"|<\|end_of_thought\|>|<\|channel\|>final<\|message\|>"
)
_THOUGHTS = re.compile(rf"(?:\s*(?:{_OPENS}).*?(?:{_CLOSES}))+", re.DOTALL | re.IGNORECASE)
_OPENED = re.compile(rf"\s*(?:{_OPENS})", re.IGNORECASE)
_CLOSED = re.compile(_CLOSES, re.IGNORECASE)
_ANY = re.compile("[<[◁`]")  # without one of these there is neither a thought nor a fence


def without_thoughts(text: str, *, cut: bool = False) -> str:
    """Return a reply without the thoughts that it begins with.

    Thoughts are what stands between `<think>` and `</think>`, or what other models write for these. Some chat templates
    open them in the prompt, so that the reply only closes them.

    Raises:
        ParseError: the reply ends before its thoughts do.
    """
    if _ANY.search(text) is None:
        return text
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


def begins_with_thoughts(text: str) -> bool:
    """Return whether a reply opens thoughts before anything else."""
    said = text.lstrip()
    return said[:1] in ("<", "[", "◁") and _OPENED.match(said) is not None


def is_around(text: str) -> bool:
    """Return whether a reply begins with thoughts or a code fence rather than with an answer.

    Thoughts that only end in the reply, since the prompt has opened them, count too.
    """
    if _ANY.search(text) is None:
        return False
    if text.lstrip().startswith("```") or begins_with_thoughts(text):
        return True
    closed = _CLOSED.search(text)
    return closed is not None and _OPENED.search(text, 0, closed.start()) is None
