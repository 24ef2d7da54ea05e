"""Fields out of a JSON reply that is still being written."""

import json
import re
from collections.abc import Callable, Collection

from tunesmith.formats.incremental import Piece

__all__ = ["JsonReader"]

_OPENING = re.compile(r"\s*(?:```[A-Za-z]{0,8}\s*)?")
_ESCAPES = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u....|[^u])", re.DOTALL)
_KEY = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:', re.DOTALL)
_LONGEST_KEY = 10_000
_PLAIN = re.compile(r'[^"\\]+')
_END_OF_SCALAR = re.compile(r"[\s,}\]`]")
_NESTING = re.compile(r'["{}\[\]]')


class JsonReader:
    """One JSON object with a key per field, or where `root` is given the JSON value of that field alone.

    A text is read without its quotes and escapes, whatever else as the JSON it is.
    """

    def __init__(self, names: Collection[str], *, root: str | None = None) -> None:
        self._left, self._root = set(names), root
        self._text = ""  # not read yet
        self._name: str | None = None
        self._depth, self._quoted = 0, False
        self._step: Callable[[], list[Piece] | None] = self._opening

    def feed(self, text: str) -> list[Piece]:
        """Return what has come of the fields' values."""
        self._text += text
        found: list[Piece] = []
        while (more := self._step()) is not None:
            found += more
        return found

    def finish(self) -> list[Piece]:
        """Return nothing: all that was said has been read."""
        return []

    # Each step reads what it can. It returns `None` where it needs more text.

    def _opening(self) -> list[Piece] | None:
        match = _OPENING.match(self._text)
        rest = self._text[match.end() if match else 0 :]
        if not rest or set(rest) == {"`"}:
            return None
        self._text = rest
        if self._root is not None:
            self._name, self._step = self._root, self._value
        elif rest[0] == "{":
            self._text, self._step = rest[1:], self._key
        else:
            self._step = self._nothing
        return []

    def _nothing(self) -> list[Piece] | None:
        self._text = ""
        return None

    def _key(self) -> list[Piece] | None:
        text = self._text.lstrip(" \t\r\n,")
        if not text:
            return None
        match = _KEY.match(text)
        if match is None:
            if text[0] != '"' or len(text) > _LONGEST_KEY:
                self._step = self._nothing
                return []
            return None
        try:
            name = json.loads(f'"{match.group(1)}"')
        except ValueError:
            self._step = self._nothing
            return []
        self._name = name if name in self._left else None
        self._left.discard(name)
        self._text, self._step = text[match.end() :], self._value
        return []

    def _value(self) -> list[Piece] | None:
        text = self._text.lstrip()
        if not text:
            return None
        self._depth, self._quoted = 0, False
        if text[0] == '"':
            self._text, self._step = text[1:], self._string
        else:
            self._text = text
            self._step = self._nested if text[0] in "[{" else self._scalar
        return []

    def _string(self) -> list[Piece] | None:
        said, at, text = [], 0, self._text
        while at < len(text) and text[at] != '"':
            match = _PLAIN.match(text, at)
            if match is None:
                match = self._escape(at)
                if match is None:
                    break
                said.append(_unescaped(match.group()))
            else:
                said.append(match.group())
            at = match.end()
        ended = text[at : at + 1] == '"'
        self._text = text[at + ended :]
        if ended:
            self._step = self._behind
        found = self._said("".join(said))
        return found if ended or found else None

    def _escape(self, at: int) -> "re.Match[str] | None":
        """Return the escape that begins at `at`, `None` where it has not all come."""
        text = self._text
        match = _ESCAPES.match(text, at)
        high = text[at + 1 : at + 3].lower() == "ud" and text[at + 3 : at + 4].lower() in ("8", "9", "a", "b")
        if match is not None and high and match.end() - at == 6:
            rest = text[at + 6 : at + 12]
            if len(rest) < 6 and "\\u".startswith(rest[:2]):
                return None  # the other half of the pair may come
        return match

    def _nested(self) -> list[Piece] | None:
        text, at = self._text, 0
        while at < len(text):
            if self._quoted:
                at = self._skip_quoted(at)
                if self._quoted:
                    break
                continue
            match = _NESTING.search(text, at)
            if match is None:
                at = len(text)
                break
            at = match.end()
            mark = match.group()
            if mark == '"':
                self._quoted = True
            else:
                self._depth += 1 if mark in "{[" else -1
                if self._depth == 0:
                    self._text, self._step = text[at:], self._behind
                    return self._said(text[:at])
        self._text = text[at:]
        return self._said(text[:at]) or None

    def _skip_quoted(self, at: int) -> int:
        """Return where a string inside a value ends, or how far it is known to go on."""
        text = self._text
        while at < len(text):
            if text[at] == '"':
                self._quoted = False
                return at + 1
            if text[at] == "\\":
                if at + 1 == len(text):
                    return at
                at += 1
            at += 1
        return at

    def _scalar(self) -> list[Piece] | None:
        match = _END_OF_SCALAR.search(self._text)
        if match is None:
            said, self._text = self._text, ""
            return self._said(said) or None
        said, self._text = self._text[: match.start()], self._text[match.start() :]
        self._step = self._behind
        return self._said(said)

    def _behind(self) -> list[Piece] | None:
        self._name = None
        self._step = self._key if self._root is None else self._nothing
        return []

    def _said(self, text: str) -> list[Piece]:
        return [(self._name, text)] if self._name is not None and text else []


def _unescaped(escape: str) -> str:
    try:
        return str(json.loads(f'"{escape}"'))
    except ValueError:  # no JSON: the reply will not parse
        return ""
