r"""Parse regular expressions into trees of characters, sequences, choices and counts.

The parser accepts only syntax with the same meaning in every dialect: literals, classes, groups, choices, counts,
anchors at the ends and `(?i)` at the start. It rejects look-around, back-references, word boundaries and other flags,
which a grammar could not express. A tree matches a subset of its expression, since `\d`, `\s` and the other case of a
letter become ASCII.
"""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ANY", "Choice", "Chars", "Node", "Repeat", "Sequence", "longest", "read_regex", "shortest"]

_LAST = 0x10FFFF
_FIRST_WIDE = 0x80
_MOST_COUNT = 1000
_MOST_DEPTH = 30


@dataclass(frozen=True, slots=True)
class Chars:
    """One character inside, or outside, of ranges of code points."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """Parts one after another."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    options: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A repeated part; `most` is `None` without a limit."""

    part: "Node"
    least: int
    most: int | None


Node = Chars | Sequence | Choice | Repeat

_DIGIT = ((0x30, 0x39),)
# Letters of the most common scripts, which are word characters in every dialect.
_LETTERS = (
    (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F), (0x391, 0x3A1), (0x3A3, 0x3A9), (0x3B1, 0x3C9), (0x400, 0x481),
    (0x48A, 0x52F), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
)  # fmt: skip
_WORD = (*_DIGIT, (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A), *_LETTERS)
_SHORT = {"d": _DIGIT, "w": _WORD, "s": ((0x20, 0x20),)}
# Ranges that `\S` and `\W` exclude. They exclude more than the dialects do, so they match less.
_SPACES = ((0x9, 0xD), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200D), (0x2028, 0x2029))
_WIDE_SPACES = (*_SPACES, (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000))
_ASCII_OTHERS = ((0x20, 0x2F), (0x3A, 0x40), (0x5B, 0x5E), (0x60, 0x60), (0x7B, 0x7E))
_OTHERS = {
    "D": ((0x20, 0x2F), (0x3A, 0x7E), (0xC0, 0x24F)),
    "W": _ASCII_OTHERS,
    "S": ((0x21, 0x7E), (0xA1, 0x167F), (0x1681, 0x1FFF), (0x2030, 0x205E), (0x2060, 0x2FFF), (0x3001, _LAST)),
}
_CONTROLS = {"n": 0xA, "t": 0x9, "r": 0xD, "f": 0xC, "v": 0xB}
_NEWLINE = ((0xA, 0xA), (0xD, 0xD))
ANY = Chars(_NEWLINE, negated=True)
"""The characters that a dot matches."""


class _RefusedError(Exception):
    """The expression is not supported."""


def read_regex(pattern: str) -> Node | None:
    """Return the tree of the texts that contain a match of `pattern`, or `None` if it is not supported.

    Without anchors, any characters except line ends may precede or follow the match.
    """
    try:
        return _Reader(pattern).whole()
    except _RefusedError:
        return None


def shortest(node: Node) -> int:
    """Return the length of the shortest text."""
    match node:
        case Chars():
            return 1
        case Sequence(parts):
            return sum(map(shortest, parts))
        case Choice(options):
            return min(map(shortest, options))
        case Repeat(part, least, _):
            return least * shortest(part)


def longest(node: Node) -> int | None:
    """Return the length of the longest text, or `None` without a limit."""
    match node:
        case Chars():
            return 1
        case Sequence(parts):
            return _sum(map(longest, parts))
        case Choice(options):
            found = [longest(option) for option in options]
            return None if None in found else max(size for size in found if size is not None)
        case Repeat(part, _, most):
            size = longest(part)
            return 0 if size == 0 else None if most is None or size is None else most * size


def _sum(sizes: Iterable[int | None]) -> int | None:
    total = 0
    for size in sizes:
        if size is None:
            return None
        total += size
    return total


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._text, self._at, self._depth = pattern, 0, 0
        self._any_case = self._take("(?i)")

    def whole(self) -> Node:
        options = []
        while True:
            options.append(self._anchored())
            if not self._take("|"):
                break
        if self._at < len(self._text):
            raise _RefusedError
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _anchored(self) -> Node:
        start = self._take("^") or self._take("\\A")
        parts = self._parts()
        end = self._take("$") or self._take("\\z") or self._take("\\Z")
        loose = Repeat(ANY, 0, None)
        return Sequence((*(() if start else (loose,)), *parts, *(() if end else (loose,))))

    def _choice(self) -> Node:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise _RefusedError
        options = [Sequence(self._parts())]
        while self._take("|"):
            options.append(Sequence(self._parts()))
        self._depth -= 1
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _parts(self) -> tuple[Node, ...]:
        parts: list[Node] = []
        while self._at < len(self._text) and self._peek() not in ("|", ")", "$", "^") and not self._is_end():
            atom = self._atom()
            parts.append(self._counted(_in_any_case(atom) if self._any_case and isinstance(atom, Chars) else atom))
        return tuple(parts)

    def _is_end(self) -> bool:
        return self._text.startswith(("\\z", "\\Z"), self._at)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, mark: str) -> bool:
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) * found
        return found

    def _next(self) -> str:
        char = self._peek()
        if not char:
            raise _RefusedError
        self._at += 1
        return char

    def _atom(self) -> Node:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == ".":
            return ANY
        if char == "\\":
            return self._escape()
        if char in "*+?{}])":
            raise _RefusedError
        return _one(ord(char))

    def _group(self) -> Node:
        if self._take("?"):
            if self._take("P<") or (self._take("<") and self._peek() not in ("=", "!")):
                while self._next() != ">":
                    pass
            elif not self._take(":"):
                raise _RefusedError
        found = self._choice()
        if not self._take(")"):
            raise _RefusedError
        return found

    def _escape(self) -> Chars:
        char = self._next()
        if char in _SHORT:
            return Chars(_SHORT[char])
        if char in _OTHERS:
            return Chars(_OTHERS[char])
        return _one(self._code(char))

    def _code(self, char: str) -> int:
        """Return the character of an escape."""
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in ("x", "u"):
            size = 2 if char == "x" else 4
            digits, self._at = self._text[self._at : self._at + size], self._at + size
            try:
                return int(digits, 16) if len(digits) == size and digits.isalnum() else _refused()
            except ValueError:
                return _refused()
        # An escaped letter or digit is a class, an anchor or a back-reference.
        return _refused() if char.isalnum() or not char.isascii() else ord(char)

    def _class(self) -> Chars:
        negated, ranges = self._take("^"), list[tuple[int, int]]()
        while not self._take("]"):
            # `&&`, `--`, `~~` and `[` are set operations in some dialects.
            if self._text.startswith(("&&", "--", "~~", "||", "["), self._at):
                raise _RefusedError
            low = self._member()
            if (
                isinstance(low, int)
                and self._peek() == "-"
                and self._text[self._at + 1 : self._at + 2] not in ("]", "")
            ):
                self._at += 1
                high = self._member()
                if not isinstance(high, int) or high < low:
                    raise _RefusedError
                ranges.append((low, high))
            else:
                ranges += [(low, low)] if isinstance(low, int) else self._within(low, negated=negated)
        if not ranges:
            raise _RefusedError
        return Chars(tuple(ranges), negated)

    def _within(self, short: str, *, negated: bool) -> tuple[tuple[int, int], ...]:
        if short in "DWS":
            return () if negated and _refused() else _OTHERS[short]
        if short == "s" and negated:  # exclude everything that is a space in some dialect
            return _WIDE_SPACES
        if short in "dw" and negated:
            return ((0x30, 0x39), (0x80, _LAST)) if short == "d" else (*_WORD[:4], (0x80, _LAST))
        return _SHORT[short]

    def _member(self) -> int | str:
        char = self._next()
        if char != "\\":
            return ord(char)
        escaped = self._next()
        return escaped if escaped in "dwsDWS" else self._code(escaped)

    def _counted(self, node: Node) -> Node:
        counts = {"?": (0, 1), "*": (0, None), "+": (1, None)}
        mark = self._peek()
        if mark in counts and mark:
            self._at += 1
            least, most = counts[mark]
        elif mark == "{":
            least, most = self._braces()
        else:
            return node
        self._take("?")  # a lazy count matches the same texts
        if self._peek() in ("*", "+", "?", "{"):
            raise _RefusedError
        return Repeat(node, least, most)

    def _braces(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : end].partition(",")
        self._at = end + 1
        if (
            end < 0
            or not (low.isdecimal() and low.isascii())
            or not (high == "" or (high.isdecimal() and high.isascii()))
        ):
            raise _RefusedError
        least, most = int(low), int(high) if high else (None if comma else int(low))
        if max(least, most or 0) > _MOST_COUNT or (most is not None and most < least):
            raise _RefusedError
        return least, most


def _in_any_case(chars: Chars) -> Chars:
    """Return characters with ASCII letters in both cases."""
    if chars == ANY:
        return chars
    if chars.negated and any(high >= _FIRST_WIDE for _, high in chars.ranges):
        raise _RefusedError  # the dialects differ on other letters
    both = [
        (max(low, start) + shift, min(high, end) + shift)
        for low, high in chars.ranges
        for start, end, shift in ((0x41, 0x5A, 0x20), (0x61, 0x7A, -0x20))
        if low <= end and high >= start
    ]
    # Two letters beyond ASCII fold to `s` and `k`.
    return Chars((*chars.ranges, *both, *(((0x17F, 0x17F), (0x212A, 0x212A)) if chars.negated else ())), chars.negated)


def _one(code: int) -> Chars:
    return Chars(((code, code),))


def _refused() -> int:
    raise _RefusedError
