"""GBNF for literals and for a choice among many texts."""

import itertools
from collections.abc import Sequence

__all__ = ["choice_body", "gbnf_literal"]

_LISTED = 200
_DEEPEST = 30  # nested groups; llama.cpp reads a group within a group by recursion


def choice_body(texts: Sequence[str]) -> str:
    """Return an expression for any one of `texts`.

    More than 200 texts are grouped by what they begin with. llama.cpp tries every alternative for every token, so a
    list of 300 alternatives takes a second per reply, and the same texts in groups take the time of ten.
    """
    if len(texts) <= _LISTED:
        return " | ".join(map(gbnf_literal, texts))
    return _grouped(sorted(set(texts)), 0)


def _grouped(texts: Sequence[str], depth: int) -> str:
    """Return an expression for sorted texts; an empty one comes first."""
    found = []
    rest = texts[1:] if not texts[0] else texts
    for same in (list(group) for _, group in itertools.groupby(rest, key=lambda text: text[0])):
        start = _common_start(same[0], same[-1])
        ends = [text[len(start) :] for text in same]
        if len(ends) == 1:
            found.append(gbnf_literal(start))
        elif depth < _DEEPEST:
            found.append(f"{gbnf_literal(start)} {_grouped(ends, depth + 1)}")
        else:
            found += map(gbnf_literal, same)
    body = " | ".join(found)
    if rest is not texts:
        return f"({body})?"
    return body if depth == 0 else f"({body})"


def _common_start(first: str, last: str) -> str:
    count = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:count]


def gbnf_literal(text: str) -> str:
    """Return `text` as a literal of a grammar."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
