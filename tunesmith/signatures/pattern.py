r"""Rewrite a regular expression into the few forms that every known engine enforces.

A look-ahead crashes one server and `\d` its runner. An engine that copies a class into its grammar
would let the class match a quote, which ends the JSON string. So an expression is sent only if it is
anchored at both ends and consists of literals, plain classes and bounded counts.
"""

from tunesmith.lazy import lazy_pattern
from tunesmith.signatures.bounds import MOST_CHARACTERS

__all__ = ["OWN_COUNT", "rewrite_pattern"]

# Characters that need no escape in any grammar notation: outside a class, and inside one.
_LITERALS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _-,:;/@#%&=~!<>'`")
_IN_CLASS = _LITERALS | frozenset(".$(){}*+?|")
_SHORTHANDS = {"d": "0-9", "w": "A-Za-z0-9_", "s": " "}
_MOST_COUNT = 100
OWN_COUNT = 97
"""Our bound for an unbounded count; an odd number, because a text of this length counts as cut."""
_OPEN = {"+": 1, "*": 0}
_MOST_PARTS = 100
_COUNT = lazy_pattern(r"\{([0-9]{1,4})(,([0-9]{1,4})?)?\}")


class _RefusedError(Exception):
    """The expression is outside the subset."""


def rewrite_pattern(pattern: str) -> str | None:
    r"""Return `pattern` in the safe notation, or `None` if that is impossible.

    The result matches a subset of `pattern`: `\d`, `\w` and `\s` become ASCII, and an unbounded count gets a bound.
    """
    if len(pattern) < 2 or pattern[0] != "^" or pattern[-1] != "$":
        return None
    try:
        return _rewrite(pattern[1:-1])
    except _RefusedError:
        return None


def _rewrite(body: str) -> str:
    parts: list[str] = []
    longest, at = 0, 0
    while at < len(body):
        atom, at = _atom(body, at)
        count, most, at = _count(body, at)
        if count and len(atom) == 1:
            atom = f"[{atom}]"
        parts.append(atom + count)
        longest += most
    if longest > MOST_CHARACTERS or len(parts) > _MOST_PARTS:
        raise _RefusedError
    found = f"^{''.join(parts)}$"
    if "(?" in found:  # harmless inside a class, but it crashes a server anywhere else
        raise _RefusedError
    return found


def _atom(body: str, at: int) -> tuple[str, int]:
    """Return one literal or class, and the position after it."""
    char = body[at]
    if char == "[":
        return _class(body, at + 1)
    if char == "\\":
        return _escaped(body, at)
    if char not in _LITERALS:
        raise _RefusedError
    return char, at + 1


def _escaped(body: str, at: int) -> tuple[str, int]:
    char = body[at + 1 : at + 2]
    if char in _SHORTHANDS:
        return f"[{_SHORTHANDS[char]}]", at + 2
    # An escaped letter or digit is a class, an anchor or a back-reference.
    if not char or char.isalnum() or char not in _IN_CLASS:
        raise _RefusedError
    return (char if char in _LITERALS else f"[{char}]"), at + 2


def _class(body: str, at: int) -> tuple[str, int]:
    """Return the class that starts after a bracket. A literal hyphen goes last."""
    ranges: list[str] = []
    hyphen = False
    while True:
        low, at = _member(body, at)
        if low == "]":
            break
        if len(low) > 1:  # a shorthand
            ranges.append(low)
        elif body[at : at + 1] == "-" and body[at + 1 : at + 2] not in ("]", ""):
            high, at = _member(body, at + 1)
            ranges.append(_range(low, high))
        elif low == "-":
            hyphen = True
        else:
            ranges.append(low)
    if not ranges and not hyphen:
        raise _RefusedError
    return f"[{''.join(ranges)}{'-' if hyphen else ''}]", at


def _member(body: str, at: int) -> tuple[str, int]:
    """Return one character of a class, a shorthand's ranges, or `]` at its end."""
    char = body[at : at + 1]
    if char == "]":
        return char, at + 1
    if char == "\\":
        escaped = body[at + 1 : at + 2]
        if escaped in _SHORTHANDS:
            return _SHORTHANDS[escaped], at + 2
        if not escaped or escaped.isalnum() or escaped not in _IN_CLASS:
            raise _RefusedError
        return escaped, at + 2
    # `&&`, `--`, `~~` and `[` are set operations in some dialects.
    if not char or char not in _IN_CLASS or body[at : at + 2] in ("&&", "--", "~~", "||"):
        raise _RefusedError
    return char, at + 1


def _range(low: str, high: str) -> str:
    same_kind = any(
        low in kind and high in kind
        for kind in ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    )
    # A range across kinds of characters, such as ` -~`, may include a quote or a backslash.
    if len(high) != 1 or not same_kind or low > high:
        raise _RefusedError
    return f"{low}-{high}"


def _count(body: str, at: int) -> tuple[str, int, int]:
    """Return the count after an atom, its maximum, and the position after it."""
    if body[at : at + 1] == "?":
        count, most, after = "?", 1, at + 1
    elif body[at : at + 1] in _OPEN and at < len(body):
        low, most, after = _OPEN[body[at]], OWN_COUNT, at + 1
        count = f"{{{low},{most}}}"
    elif (found := _COUNT.match(body, at)) is not None:
        low = int(found[1])
        most = low if found[2] is None else int(found[3] or max(OWN_COUNT, low))
        if not low <= most <= _MOST_COUNT or most == 0:
            raise _RefusedError
        count, after = (f"{{{low}}}" if low == most else f"{{{low},{most}}}"), found.end()
    else:
        return "", 1, at
    if body[after : after + 1] in ("?", "+", "*", "{"):  # lazy, possessive or stacked
        raise _RefusedError
    return count, most, after
