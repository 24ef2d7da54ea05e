"""What a GBNF grammar without left recursion allows: whether a reply, and replies drawn from it."""

import functools
import random
import re
from collections.abc import Iterator
from typing import Any

_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[A-Za-z][A-Za-z0-9-]*|\{[0-9]*,?[0-9]*\}|[()|*+?]|\s+', re.DOTALL
)


def allows(grammar: str, text: str) -> bool:
    """Return whether `text` is a whole reply under `grammar`."""
    return len(text) in _Match(_rules(grammar), text).ends("root", 0)


class _Match:
    """Where what a rule stands for may end in a text; each rule is looked at once for each beginning."""

    def __init__(self, rules: dict[str, Any], text: str) -> None:
        self._rules, self._text = rules, text
        self._found: dict[tuple[Any, int], frozenset[int]] = {}

    def ends(self, what: Any, at: int) -> frozenset[int]:
        key = (what if isinstance(what, str) else id(what), at)
        if key not in self._found:
            self._found[key] = frozenset(self._looked(what, at))
        return self._found[key]

    def _looked(self, what: Any, at: int) -> set[int]:
        if isinstance(what, str) and what[0] == '"':
            literal = _unquoted(what)
            return {at + len(literal)} if self._text.startswith(literal, at) else set()
        if isinstance(what, str) and what[0] == "[":
            return {at + 1} if at < len(self._text) and _class(what).fullmatch(self._text[at]) else set()
        choices = what if isinstance(what, list) else self._rules[what]
        return {end for parts in choices for end in self._sequence(parts, at)}

    def _sequence(self, parts: "list[_Part]", at: int) -> set[int]:
        here = {at}
        for what, least, most in parts:
            reached = set(here) if least == 0 else set()
            for count in range(1, (len(self._text) + 1 if most is None else most) + 1):
                here = {end for start in here for end in self.ends(what, start)}
                if count >= least:
                    reached |= here
                if not here:
                    break
            here = reached
        return here


@functools.cache
def _unquoted(literal: str) -> str:
    escape = re.compile(r"\\(x[0-9A-F]{2}|u[0-9A-F]{4}|U[0-9A-F]{8}|.)", re.DOTALL)
    return escape.sub(lambda m: _character(m.group(1)), literal[1:-1])


def _character(escape: str) -> str:
    if len(escape) > 1:
        return chr(int(escape[1:], 16))
    return "\n" if escape == "n" else escape


def written(grammar: str, chance: random.Random) -> str:
    """Return a reply that `grammar` allows, drawn so that the shortest and the longest ones are frequent."""
    rules = _rules(grammar)
    return _said(rules["root"], rules, chance, chance.choice(("least", "most", "any")))


@functools.lru_cache(maxsize=64)
def _rules(grammar: str) -> dict[str, Any]:
    lines = (line.split(" ::= ", 1) for line in grammar.split("\n"))
    return {name: _choices(iter(_tokens(body))) for name, body in lines}


def _tokens(body: str) -> list[str]:
    found = _TOKEN.findall(body)
    return [token for token in found if not token.isspace()]


_Part = tuple[Any, int, int | None]


def _choices(tokens: "Iterator[str]") -> list[list[_Part]]:
    """Return alternatives, each a list of (what, least, most); what is a text, a class, a rule or alternatives."""
    found: list[list[_Part]] = [[]]
    for token in tokens:
        if token == ")":
            break
        if token == "|":
            found.append([])
        elif token in "*+?" or token[0] == "{":
            what = found[-1].pop()[0]
            low, _, high = token[1:-1].partition(",")
            bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}
            counts = bounds.get(token) or (int(low), int(high or low) if high or "," not in token else None)
            found[-1].append((what, *counts))
        else:
            found[-1].append((_choices(tokens) if token == "(" else token, 1, 1))
    return found


def _said(choices: list[list[_Part]], rules: dict[str, Any], chance: random.Random, size: str) -> str:
    text = ""
    for what, least, most in chance.choice(choices):
        high = least + 5 if most is None else most
        middle = chance.randint(least, high)
        for _ in range({"least": least, "most": high, "any": middle}[size if chance.random() < 0.8 else "any"]):
            if isinstance(what, list):
                text += _said(what, rules, chance, size)
            elif what[0] == '"':
                text += _unquoted(what)
            elif what[0] == "[":
                text += chance.choice(_members(what))
            else:
                text += _said(rules[what], rules, chance, size)
    return text


@functools.cache
def _members(written: str) -> str:
    return "".join(char for char in (*map(chr, range(256)), "–", "日", "😀") if _class(written).fullmatch(char))


@functools.cache
def _class(written: str) -> "re.Pattern[str]":
    return re.compile(written.replace("[^[", r"[^\[").replace("[[", r"[\["))
