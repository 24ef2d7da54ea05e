"""Text of somebody else's in a prompt: data, which no reader takes for a part of the prompt."""

from tunesmith.formats import plain_text

__all__ = ["fenced"]


def fenced(text: str) -> str:
    r"""Return a text whose further lines are indented, so that none begins a part of a list. See `plain_text`.

    Example:
        >>> fenced("first\n[2] second")
        'first\n  [2] second'
    """
    return "\n  ".join(plain_text(text).split("\n"))
