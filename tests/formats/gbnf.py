"""A GBNF grammar without recursion as a regular expression, to say which replies it allows."""

import re

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
