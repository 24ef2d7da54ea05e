"""A GBNF grammar without recursion as a regular expression, to say which replies it allows."""

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
    return pattern_of(grammar).fullmatch(text) is not None


def pattern_of(grammar: str) -> "re.Pattern[str]":
    rules = dict(line.split(" ::= ", 1) for line in grammar.split("\n"))

    def inlined(body: str) -> str:
        out, at = [], 0
        while at < len(body):
            token = _TOKEN.match(body, at)
            assert token is not None, body[at:]
            text, at = token.group(), token.end()
            if text[0] == '"':
                out.append(f"(?:{re.escape(_unquoted(text))})")
            elif text[0].isalpha():
                out.append(f"(?:{inlined(rules[text])})")
            elif not text.isspace():
                out.append("(?:" if text == "(" else text)
        return "".join(out)

    return re.compile(inlined(rules["root"]))


def _unquoted(literal: str) -> str:
    escape = re.compile(r"\\(x[0-9A-F]{2}|u[0-9A-F]{4}|U[0-9A-F]{8}|.)", re.DOTALL)
    return escape.sub(lambda m: _character(m.group(1)), literal[1:-1])


def _character(escape: str) -> str:
    if len(escape) > 1:
        return chr(int(escape[1:], 16))
    return "\n" if escape == "n" else escape


def written(grammar: str, chance: random.Random) -> str:
    """Return a reply that `grammar` allows, drawn so that the shortest and the longest ones are frequent."""
    rules = {
        name: _choices(iter(_tokens(body))) for name, body in (line.split(" ::= ", 1) for line in grammar.split("\n"))
    }
    return _said(rules["root"], rules, chance, chance.choice(("least", "most", "any")))


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
    allowed = re.compile(written.replace("[^[", r"[^\[").replace("[[", r"[\["))
    return "".join(char for char in (*map(chr, range(256)), "–", "日", "😀") if allowed.fullmatch(char))
