"""On which line each key of a TOML text stands: `tomllib` keeps no places."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Keys", "key_lines"]

Keys = tuple[str | int, ...]
"""The way to a value: names of keys, and places in arrays, from 0."""

_TOKEN = re.compile(
    r"""(?P<skip>[^\S\n]+|\#[^\n]*)
    | (?P<text>\"\"\"(?:\\[\s\S]|(?!\"\"\")[^\\])*\"{3,5} | '''(?:(?!''')[\s\S])*'{3,5}
        | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
    | (?P<mark>[\n\[\]{}=,.])
    | (?P<bare>[^\s\[\]{}=,.\#"']+)""",
    re.VERBOSE,
)


def key_lines(text: str) -> dict[Keys, int]:
    """Return the line, from 1, of each key and each item of an array in `text`, which `tomllib` has read.

    Example:
        >>> key_lines("a.b = [{c = 1}]")
        {('a',): 1, ('a', 'b'): 1, ('a', 'b', 0): 1, ('a', 'b', 0, 'c'): 1}
    """
    finder = _Finder(list(_tokens(text)))
    finder.read()
    return finder.lines


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line = 1
    for found in _TOKEN.finditer(text):
        if found.lastgroup != "skip":
            yield found[0], line
        line += found[0].count("\n")


@dataclass
class _Finder:
    tokens: list[tuple[str, int]]
    lines: dict[Keys, int] = field(default_factory=dict)
    arrays: dict[Keys, int] = field(default_factory=dict)  # of each array of tables, how many it has so far
    at: int = 0

    def read(self) -> None:
        table: Keys = ()
        while self.at < len(self.tokens):
            if self._next == "\n":
                self.at += 1
            elif self._next == "[":
                table = self._header()
            else:
                self._pair(table)

    @property
    def _next(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def _take(self) -> tuple[str, int]:
        self.at += 1
        return self.tokens[self.at - 1]

    def _header(self) -> Keys:
        line = self._take()[1]
        several = self._next == "["
        self.at += several
        *above, last = self._key()
        self.at += 1 + several
        table: Keys = ()
        for name in above:
            table = self._inside((*table, name), line)
        table = (*table, last)
        if several:
            self.lines.setdefault(table, line)
            self.arrays[table] = self.arrays.get(table, 0) + 1
            table = (*table, self.arrays[table] - 1)
        self.lines[table] = line  # also if a table below it was named before
        return table

    def _inside(self, table: Keys, line: int) -> Keys:
        """Return the table of this name; of an array of tables the last."""
        self.lines.setdefault(table, line)
        return (*table, self.arrays[table] - 1) if table in self.arrays else table

    def _key(self) -> list[str]:
        names = [_name(self._take()[0])]
        while self._next == ".":
            self.at += 1
            names.append(_name(self._take()[0]))
        return names

    def _pair(self, table: Keys) -> None:
        line = self.tokens[self.at][1]
        for name in self._key():
            table = (*table, name)
            self.lines.setdefault(table, line)
        self.at += 1  # the sign
        self._value(table)

    def _value(self, path: Keys) -> None:
        if self._next == "[":
            self._items(path)
        elif self._next == "{":
            self.at += 1
            while self._next != "}":
                if self._next in (",", "\n"):
                    self.at += 1
                else:
                    self._pair(path)
            self.at += 1
        else:
            while self._next not in (",", "]", "}", "\n", ""):  # a number or a date may be several tokens
                self.at += 1

    def _items(self, path: Keys) -> None:
        self.at, count = self.at + 1, 0
        while self._next != "]":
            if self._next in (",", "\n"):
                self.at += 1
            else:
                self.lines[(*path, count)] = self.tokens[self.at][1]
                self._value((*path, count))
                count += 1
        self.at += 1


def _name(token: str) -> str:
    return str(tomllib.loads(f"name = {token}")["name"]) if token[0] in "\"'" else token
