"""GBNF for the texts that a regular expression matches, in a JSON string or as plain text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from typing import Any

from tunesmith.signatures.regex import Chars, Choice, Node, Repeat, Sequence, longest, read_regex, shortest

Ranges = tuple[tuple[int, int], ...]

__all__ = ["fills_pattern", "pattern_rules"]

_ESCAPES = {0x22: r"\\\"", 0x5C: r"\\\\", 0xA: r"\\n", 0x9: r"\\t", 0xD: r"\\r"}
_SPACES = (
    (0x0, 0x20),
    (0x7F, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200B),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
)
_NEVER = ((0x0, 0x1F), (0x7F, 0x9F), (0x2028, 0x2029), (0xD800, 0xDFFF))
_LAST = 0x10FFFF
_MOST_REPEATS = 5000
_MOST_WAYS = 100


def pattern_rules(
    held: Mapping[str, Any], rule: str, *, json: bool, avoid: str = "", edge_avoid: str = ""
) -> tuple[str, list[str]] | None:
    """Return the body of a rule for the texts of a pattern, and the further rules it uses; `None` if impossible.

    Args:
        held: `pattern`; `least` and `most`, the length of the text; `own`, our bound for an unbounded count;
            `sent`, that bound in a schema.
        rule: prefix for the names of further rules.
        json: whether the text is inside a JSON string; else it is plain, without outer white space.
        avoid: characters that the text must not contain.
        edge_avoid: characters that it must not start or end with.
    """
    tree = _bounded(held)
    if tree is None:
        return None
    writer = _Writer(rule, json, avoid)
    try:
        if not json:
            edge = (*_SPACES, *((ord(char), ord(char)) for char in edge_avoid))
            tree = _reversed(_edged(_reversed(_edged(tree, edge)), edge))
        return writer.written(tree), writer.lines
    except _UnwritableError:
        return None


def fills_pattern(held: Mapping[str, Any], text: str) -> bool:
    """Return whether a text has the length that our own bounds allow, so that it was probably cut."""
    if held.get("most") is not None:
        return False
    return any(low <= len(text) <= high for low, high in _filled(held["pattern"], held["own"], held.get("sent")))


@lru_cache(maxsize=256)
def _filled(pattern: str, own: int, sent: int | None) -> tuple[tuple[int, int], ...]:
    """Return the least and the most characters of a text that fills our bound of a grammar, and of a schema."""
    tree = read_regex(pattern)
    if tree is None or _open(tree) == 0:
        return ()
    found = []
    # A grammar divides its bound among the counts, a schema has it at each.
    for each in (max(1, own // _open(tree)), *([] if sent is None else [sent])):
        least = shortest(_closed(tree, each, full=True)) if _open(tree) == 1 else each + shortest(tree)
        found.append((least, longest(_closed(tree, each)) or 0))
    return tuple(found)


class _UnwritableError(Exception):
    """The grammar cannot express the texts."""


def _bounded(held: Mapping[str, Any]) -> Node | None:
    """Return the tree with all counts bounded and within the length bounds."""
    tree = read_regex(held["pattern"])
    if tree is None:
        return None
    own = max(1, held["own"] // max(1, _open(tree)))
    least, most = held.get("least", 0), held.get("most")
    options = tree.options if isinstance(tree, Choice) else (tree,)
    found = [one for option in options for one in _sized(option, least, most, own)]
    return None if not found else found[0] if len(found) == 1 else Choice(tuple(found))


def _open(node: Node) -> int:
    """Return the number of unbounded counts."""
    match node:
        case Chars():
            return 0
        case Sequence(parts):
            return sum(map(_open, parts))
        case Choice(options):
            return sum(map(_open, options))
        case Repeat(part, _, most):
            return _open(part) + (most is None)


def _closed(node: Node, own: int, *, full: bool = False) -> Node:
    """Return the tree with `own` as the bound of each unbounded count; with `full`, as the exact count."""
    match node:
        case Chars():
            return node
        case Sequence(parts):
            return Sequence(tuple(_closed(part, own, full=full) for part in parts))
        case Choice(options):
            return Choice(tuple(_closed(option, own, full=full) for option in options))
        case Repeat(part, least, most):
            high = max(least, own)
            low = high if full and most is None else least
            return Repeat(_closed(part, own, full=full), low, high if most is None else most)


def _sized(node: Node, least: int, most: int | None, own: int) -> list[Node]:
    """Return variants of the tree that keep to the length bounds; empty if there is no such variant."""
    wide = _closed(node, own if most is None else max(own, most))
    high = longest(wide)
    if shortest(wide) >= least and (most is None or (high is not None and high <= most)):
        return [_closed(node, own)]
    parts: list[Node] = list(node.parts) if isinstance(node, Sequence) else [node]
    loose = [at for at, part in enumerate(parts) if shortest(part) != longest(part)]
    counted = loose and all(_is_counted(parts[at]) for at in loose)
    return (_ways(parts, loose, least, own if most is None else most, own) if counted else []) or _narrowed(
        node, least, most
    )


def _narrowed(node: Node, least: int, most: int | None) -> list[Node]:
    """Return the tree with bounds on open counts so low that no text is too long; it matches fewer texts."""
    if most is None or shortest(node) < least:
        return []
    fitting = [own for own in range(1, most + 1) if (longest(_closed(node, own)) or 0) <= most]
    return [_closed(node, fitting[-1])] if fitting else []


def _is_counted(node: Node) -> bool:
    return isinstance(node, Repeat) and shortest(node.part) == longest(node.part) == 1


def _ways(parts: list[Node], loose: list[int], least: int, most: int, own: int) -> list[Node]:
    fixed = sum(shortest(part) for at, part in enumerate(parts) if at not in loose)
    *listed, last = loose
    ranges = [_counts(parts[at], most) for at in listed]
    if sum(1 for _ in zip(product(*ranges), range(_MOST_WAYS + 1), strict=False)) > _MOST_WAYS:
        return []
    found: list[Node] = []
    for counts in product(*ranges):
        taken = fixed + sum(counts)
        span = _counts(parts[last], max(most, own))
        low, high = max(span.start, least - taken), min(span.stop - 1, most - taken)
        if low <= high:
            chosen = dict(zip(listed, ((count, count) for count in counts), strict=True)) | {last: (low, high)}
            found.append(Sequence(tuple(_recounted(part, chosen.get(at)) for at, part in enumerate(parts))))
    return found


def _counts(node: Node, most: int) -> range:
    assert isinstance(node, Repeat)
    return range(node.least, (most if node.most is None else min(node.most, most)) + 1)


def _recounted(node: Node, counts: tuple[int, int] | None) -> Node:
    return replace(node, least=counts[0], most=counts[1]) if counts is not None and isinstance(node, Repeat) else node


def _reversed(node: Node) -> Node:
    match node:
        case Chars():
            return node
        case Sequence(parts):
            return Sequence(tuple(_reversed(part) for part in reversed(parts)))
        case Choice(options):
            return Choice(tuple(map(_reversed, options)))
        case Repeat(part, _, _):
            return replace(node, part=_reversed(part))


def _edged(node: Node, edge: Ranges) -> Node:
    """Return a tree of the texts whose first character is not in `edge`.

    Raises:
        _UnwritableError: there is no such text.
    """
    found = _edge(node, edge)
    if found is None:
        raise _UnwritableError
    return found


def _edge(node: Node, edge: Ranges) -> Node | None:
    match node:
        case Chars():
            left = _without(_included(node), edge)
            return Chars(left) if left else None
        case Choice(options):
            return _either(_edge(option, edge) for option in options)
        case Repeat(part, least, most):
            first = None if most == 0 else _edge(part, edge)
            rest = replace(node, least=max(0, least - 1), most=None if most is None else most - 1)
            return None if first is None else Sequence((first, rest))
        case Sequence(parts):
            found = []
            for at, part in enumerate(parts):
                first = _edge(part, edge)
                found.append(None if first is None else Sequence((first, *parts[at + 1 :])))
                if shortest(part):
                    break
            return _either(found)


def _either(nodes: Iterable[Node | None]) -> Node | None:
    found = tuple(node for node in nodes if node is not None)
    return None if not found else found[0] if len(found) == 1 else Choice(found)


def _included(chars: Chars) -> Ranges:
    return _without(((0, _LAST),), chars.ranges) if chars.negated else chars.ranges


def _without(ranges: Ranges, taken: Ranges) -> Ranges:
    found = list(ranges)
    for low, high in taken:
        found = [
            part
            for start, end in found
            for part in (
                ((start, min(end, low - 1)), (max(start, high + 1), end))
                if low <= end and high >= start
                else ((start, end),)
            )
            if part[0] <= part[1]
        ]
    return tuple(found)


@dataclass(slots=True)
class _Writer:
    rule: str
    json: bool
    avoid: str
    lines: list[str] = field(default_factory=list)
    repeats: int = 0

    def written(self, node: Node) -> str:
        match node:
            case Chars():
                return self._chars(node)
            case Sequence(parts):
                return " ".join(text for text in map(self._grouped, parts) if text) or '""'
            case Choice(options):
                return " | ".join(map(self.written, options))
            case Repeat():
                return self._repeat(node)

    def _grouped(self, node: Node) -> str:
        text = self.written(node)
        return f"({text})" if isinstance(node, Choice) and len(node.options) > 1 else text

    def _repeat(self, node: Repeat) -> str:
        least, most = node.least, node.most
        self.repeats += most or least
        if most == 0:
            return ""
        if self.repeats > _MOST_REPEATS:
            raise _UnwritableError
        part = self.written(node.part)
        if not isinstance(node.part, Chars) or " " in part:
            name = f"{self.rule}-p{len(self.lines)}"
            self.lines.append(f"{name} ::= {part}")
            part = name
        if (least, most) == (1, 1):
            return part
        return (
            f"{part}?"
            if (least, most) == (0, 1)
            else f"{part}{{{least}}}"
            if least == most
            else f"{part}{{{least},{most}}}"
        )

    def _chars(self, node: Chars) -> str:
        taken = (*_NEVER, *((ord(char), ord(char)) for char in self.avoid))
        if self.json:
            taken = (*taken, (0x22, 0x22), (0x5C, 0x5C))
        members = _included(node)
        plain = _without(members, taken)
        escaped = (
            [f'"{text}"' for code, text in _ESCAPES.items() if any(low <= code <= high for low, high in members)]
            if self.json and not node.negated
            else []
        )
        if len(plain) == 1 and plain[0][0] == plain[0][1] and not escaped:
            return f'"{_literal(plain[0][0])}"'
        parts = [*([f"[{''.join(map(_range, plain))}]"] if plain else []), *escaped]
        if not parts:
            raise _UnwritableError
        return parts[0] if len(parts) == 1 else f"({' | '.join(parts)})"


def _range(pair: tuple[int, int]) -> str:
    low, high = pair
    return _member(low) if low == high else f"{_member(low)}-{_member(high)}"


def _member(code: int) -> str:
    """Return a character escaped for a class."""
    char = chr(code)
    return char if char.isascii() and (char.isalnum() or char in " _.,:;@#%&=~!<>'`/$(){}*+?|") else _hex(code)


def _literal(code: int) -> str:
    char = chr(code)
    return "\\" + char if char in '"\\' else char if char.isprintable() else _hex(code)


def _hex(code: int) -> str:
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
