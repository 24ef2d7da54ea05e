"""Fields out of a reply that is still being written."""

import contextlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Protocol

from tunesmith.errors import FormatError, SignatureError
from tunesmith.lazy import lazy_pattern
from tunesmith.signatures import Signature, is_plain, labels, parse_text, render_json, render_text, validate_output

__all__ = [
    "FieldReader",
    "GrowingReader",
    "JsonReader",
    "Piece",
    "TextReader",
    "WholeReader",
    "marked",
    "settled",
]

Piece = tuple[str, str]
"""An output field's name, and text that comes behind what was read of it before."""


class FieldReader(Protocol):
    """Reads one reply, piece by piece. It never raises: whether a reply is good, its format's `read` decides.

    The pieces of a text field join to what `read` returns for it; those of any other field to a text of its value.
    """

    def feed(self, text: str) -> list[Piece]:
        """Return what more is known of the fields, now that `text` has come."""
        ...

    def finish(self) -> list[Piece]:
        """Return what is known of the fields only because nothing more comes."""
        ...


class WholeReader:
    """Knows nothing of any field before the reply has ended: right for every format."""

    def feed(self, text: str) -> list[Piece]:
        """Return nothing."""
        return []

    def finish(self) -> list[Piece]:
        """Return nothing."""
        return []


class TextReader:
    """The reply is the value of one field, without its outer white space."""

    def __init__(self, name: str) -> None:
        self._name, self._begun, self._held = name, False, ""

    def feed(self, text: str) -> list[Piece]:
        """Return what has come, but for white space that may turn out to be the end."""
        text = self._held + text
        if not self._begun:
            text = text.lstrip()
        said = text.rstrip()
        self._held = text[len(said) :]
        self._begun = self._begun or said != ""
        return [(self._name, said)] if said else []

    def finish(self) -> list[Piece]:
        """Return nothing: what is held is white space."""
        return []


class GrowingReader:
    """Reads all of the reply that is certain again and again: for formats that say what a part of a reply holds.

    Args:
        said: returns the text of each field that stands in the beginning of a reply, as far as it goes.
        certain: how many characters of such a beginning cannot come to mean something else.
    """

    def __init__(self, said: Callable[[str], Mapping[str, str]], certain: Callable[[str], int]) -> None:
        self._said, self._certain = said, certain
        self._text, self._read = "", 0
        self._sent: dict[str, str] = {}

    def feed(self, text: str) -> list[Piece]:
        """Return what more is certain."""
        self._text += text
        # A long reply is not read again for every word, so that the time it takes stays proportional to its length.
        if len(self._text) - self._read < self._read // 256:
            return []
        self._read = len(self._text)
        part = self._text[: self._certain(self._text)]
        if self._text.lstrip().startswith("`"):
            part = _unclosed(part)
        return self._more(part)

    def finish(self) -> list[Piece]:
        """Return what the end holds."""
        return self._more(self._text)

    def _more(self, text: str) -> list[Piece]:
        found = []
        for name, said in self._said(text).items():
            sent, said = self._sent.get(name, ""), said.rstrip()
            # What a later line has changed is said when the value is known.
            if len(said) > len(sent) and said.startswith(sent):
                found.append((name, said[len(sent) :]))
                self._sent[name] = said
        return found


def _unclosed(text: str) -> str:
    """Return a beginning without a last line that may close the fence around all of it."""
    inside = text.rstrip()
    last = inside.rfind("\n") + 1
    return text[:last] if inside[last:].startswith("`") else text


_MARK = lazy_pattern(r"\[\[ ## (\w+) ## \]\]")
_BEGUN = lazy_pattern(r"\[\[ ## \w*")


def marked(names: Collection[str]) -> FieldReader:
    """Return a reader of sections under `[[ ## field ## ]]` markers, exactly as DSPy's `ChatAdapter` reads them."""
    return GrowingReader(partial(_marked_sections, names), _without_begun_marker)


def _marked_sections(names: Collection[str], text: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        mark = _MARK.match(line.strip())
        if mark is None:
            lines.append(line)
        else:
            lines = [line[mark.end() :].strip()]
            if mark[1] in names:
                found.setdefault(mark[1], lines)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def _without_begun_marker(text: str) -> int:
    """Return the length of a beginning without a last line that may become a marker."""
    last = (text.splitlines(keepends=True) or [""])[-1]
    begun = last.strip()
    is_marker = "[[ ## ".startswith(begun) or _BEGUN.match(begun)
    return len(text) - len(last) if is_marker else len(text)


_OPENING = lazy_pattern(r"\s*(?:```[A-Za-z]{0,8}\s*)?")
_KEY = lazy_pattern(r'"((?:[^"\\]|\\.)*)"\s*:', re.DOTALL)
_LONGEST_KEY = 10_000
# The two halves of a surrogate pair come together.
_IN_TEXT = lazy_pattern(r'(?:[^"\\]++|\\[^u]|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u(?![dD][89abAB])....)*+', re.DOTALL)
_LONGEST_ESCAPE = 12
_IN_STRING = lazy_pattern(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_OUTSIDE = lazy_pattern(r'[^"{}\[\]]*+')
_END_OF_SCALAR = lazy_pattern(r"[\s,}\]`]")


class JsonReader:
    """Reads one JSON object with a key per field or, given `root`, the JSON value of that field alone.

    A text is read without its quotes and escapes, any other value as the JSON that it is.
    """

    # pydantic's `from_json(allow_partial=...)` does not do this: it gives objects, of which the text that was written
    # is not known, and it reads all of the reply again for each word.

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

    # Each step reads what it can. It returns `None` if it needs more text.

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
        name = _unescaped(match[1])
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
        end = _end_of(_IN_TEXT, self._text, 0)
        said, rest = self._said(_unescaped(self._text[:end])), self._text[end:]
        if rest[:1] == '"':
            self._text, self._step = rest[1:], self._behind
            return said
        self._text = rest
        if len(rest) >= _LONGEST_ESCAPE:  # it does not become one
            self._step = self._nothing
        return said or None

    def _nested(self) -> list[Piece] | None:
        text, at = self._text, 0
        while True:
            at = _end_of(_IN_STRING if self._quoted else _OUTSIDE, text, at)
            mark = text[at : at + 1]
            if mark in ("", "\\"):  # half of an escape
                break
            at += 1
            if mark == '"':
                self._quoted = not self._quoted
                continue
            self._depth += 1 if mark in "{[" else -1
            if self._depth == 0:
                self._step = self._behind
                break
        self._text = text[at:]
        return self._said(text[:at]) or (None if self._depth else [])

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


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _unescaped(inside: str) -> str:
    try:
        return str(json.loads(f'"{inside}"', strict=False))
    except ValueError:  # not JSON: the reply will not parse
        return ""


def settled(signature: type[Signature], name: str, value: Any, sent: str) -> tuple[str, bool] | None:
    """Return what is still to be said of a field whose typed value is known, and whether it replaces what was sent.

    A text field must have been sent exactly, a label as it was declared. For any other value, every text of it is as
    good as another; a text that is not of this value is replaced.
    """
    try:
        whole = _text_of(signature, name, value)
    except (FormatError, SignatureError):
        whole = None if sent else str(value)
    if whole is None or whole == sent or (isinstance(value, bool) and whole == sent.casefold()):
        return None
    if sent and _says(signature, name, value, sent):
        return None
    return (whole[len(sent) :], False) if whole.startswith(sent) else (whole, True)


def _text_of(signature: type[Signature], name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and labels(signature, name) is None:
        return value
    if is_plain(signature, name):
        return render_text(signature, name, value)
    return json.dumps(render_json(signature, name, value), ensure_ascii=False)


def _says(signature: type[Signature], name: str, value: Any, sent: str) -> bool:
    """Return whether `sent` is a text of a value that has several texts, such as a number or a list."""
    if isinstance(value, str) or labels(signature, name) is not None:
        return False
    readers: list[Callable[[], Any]] = [lambda: parse_text(signature, name, sent, raw=sent)]
    if not is_plain(signature, name):  # a string inside JSON was sent without its quotes
        readers.append(lambda: validate_output(signature, name, sent, raw=sent))
    for read in readers:
        with contextlib.suppress(Exception):  # a user's type may raise anything
            if bool(read() == value):
                return True
    return False
