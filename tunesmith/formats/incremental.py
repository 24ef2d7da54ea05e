"""Fields out of a reply that is still being written."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from tunesmith.errors import FormatError, SignatureError
from tunesmith.signatures import Signature, is_plain, labels, render_json, render_text

__all__ = [
    "FieldReader",
    "GrowingReader",
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


_MARK = re.compile(r"\[\[ ## (\w+) ## \]\]")
_BEGUN = re.compile(r"\[\[ ## \w*")


class _MarkerReader:
    """Sections under DSPy's `[[ ## field ## ]]` markers, exactly as `dspy.ChatAdapter` reads them."""

    def __init__(self, names: Collection[str]) -> None:
        self._left = set(names)
        self._name: str | None = None
        self._text, self._sent, self._open = "", 0, ""

    def feed(self, text: str) -> list[Piece]:
        lines = (self._open + text).splitlines(keepends=True)
        # A carriage return may be the first half of a line's end.
        ended = not lines or (lines[-1][-1:] != "\r" and lines[-1] != _bare(lines[-1]))
        self._open = "" if ended else lines.pop()
        found: list[Piece] = []
        for line in lines:
            found += self._line(_bare(line))
        last = _bare(self._open)
        begun = last.strip()
        if not ("[[ ## ".startswith(begun) or _BEGUN.match(begun)):  # else it may be a marker when it is whole
            found += self._more(self._joined(last))
        return found

    def finish(self) -> list[Piece]:
        last, self._open = _bare(self._open), ""
        return self._line(last) if last else []

    def _line(self, line: str) -> list[Piece]:
        mark = _MARK.match(line.strip())
        if mark is None:
            self._text = self._joined(line)
        else:
            name = mark.group(1)
            self._name = name if name in self._left else None
            self._left.discard(name)
            self._text, self._sent = line[mark.end() :].strip(), 0
        return self._more(self._text)

    def _joined(self, line: str) -> str:
        return f"{self._text}\n{line}" if self._text else line.lstrip()

    def _more(self, text: str) -> list[Piece]:
        if self._name is None:
            return []
        text = text.rstrip()
        new, self._sent = text[self._sent :], max(self._sent, len(text))
        return [(self._name, new)] if new else []


def _bare(line: str) -> str:
    found = line.splitlines()
    return found[0] if found else ""


def marked(names: Collection[str]) -> FieldReader:
    """Return a reader of DSPy's `[[ ## field ## ]]` markers."""
    return _MarkerReader(names)


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


def settled(signature: type[Signature], name: str, value: Any, sent: str) -> tuple[str, bool] | None:
    """Return what is still to be said of a field whose typed value is known, and whether it replaces what was sent.

    A text field must have been said exactly, a label as it was declared. Of every other value one text is as good as
    another, and only what was not said at all is said.
    """
    try:
        whole = _text_of(signature, name, value, said=sent != "")
    except (FormatError, SignatureError):
        whole = None if sent else str(value)
    if whole is None or whole == sent or (isinstance(value, bool) and whole == sent.casefold()):
        return None
    if whole.startswith(sent):
        return whole[len(sent) :], False
    return whole, True


def _text_of(signature: type[Signature], name: str, value: Any, *, said: bool) -> str | None:
    if value is None:
        return None
    if labels(signature, name) is not None:
        return render_text(signature, name, value)
    if isinstance(value, str):
        return value
    if said:
        return None
    if is_plain(signature, name):
        return render_text(signature, name, value)
    return json.dumps(render_json(signature, name, value), ensure_ascii=False)
