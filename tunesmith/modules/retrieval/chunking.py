"""Cut a document into pieces: by sentences, by headings or by tokens."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tunesmith.errors import UsageError, shown
from tunesmith.lazy import lazy_pattern
from tunesmith.modules.retrieval.words import JOINED

__all__ = ["Chunking", "sentences_of", "token_count"]

_TOKEN = lazy_pattern(rf"[{JOINED}]|[^\W{JOINED}]+|[^\w\s]")
_END = lazy_pattern(r"[.!?]+[\"'”’)\]]*(?=\s)|[。！？]+[”’」』）]*|\n\s*\n|\n(?=\s*(?:[-*#|]|\d+[.)]\s))")
# A heading, or else a block of code, in which a comment looks like one. A line such as "```x``` is" opens no block.
_HEADING = lazy_pattern(
    r"(?ms)^ {0,3}(```+(?=[^`\n]*$)|~~~+)[^\n]*$.*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)|^(#{1,6})[ \t]+\S[^\n]*$"
)

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Chunking:
    """How documents are cut. Each piece is a part of the document, unchanged but for white space at its ends.

    Attributes:
        by: `sentences` packs whole sentences, `headings` keeps the sections of a Markdown or HTML document apart and
            packs the sentences of each, `tokens` cuts anywhere between two tokens, `none` does not cut.
        size: most tokens of a piece. A token is a word, a mark, or one Chinese character. A longer sentence is cut.
        overlap: tokens that a piece has in common with the one before, at most; with `sentences` and `headings` these
            are whole sentences.
    """

    by: str = "sentences"
    size: int = 200
    overlap: int = 0

    def __post_init__(self) -> None:
        if self.by not in (*_CUTTERS, "none"):
            raise UsageError(f"`by` must be one of: {', '.join([*_CUTTERS, 'none'])}. Given: {shown(self.by)}.")
        for name, low in (("size", 1), ("overlap", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < low:
                raise UsageError(f"`{name}` must be a whole number of at least {low}. Given: {shown(value)}.")
        if self.overlap >= self.size:
            raise UsageError(f"`overlap` must be below `size`, {self.size}. Given: {self.overlap}.")

    def cut(self, text: str) -> list[str]:
        """Return the pieces of a document, in order; none of them is blank."""
        spans = [(0, len(text))] if self.by == "none" else _CUTTERS[self.by](self, text)
        return [piece for start, end in spans if (piece := text[start:end].strip())]

    def _tokens(self, text: str, start: int, end: int) -> list[Span]:
        return [found.span() for found in _TOKEN.finditer(text, start, end)]

    def _by_tokens(self, text: str, start: int = 0, end: int | None = None) -> Iterator[Span]:
        found = self._tokens(text, start, len(text) if end is None else end)
        for first in range(0, max(len(found) - self.overlap, 1), self.size - self.overlap):
            if found:
                yield found[first][0], found[min(first + self.size, len(found)) - 1][1]

    def _by_sentences(self, text: str, start: int = 0, end: int | None = None) -> Iterator[Span]:
        kept: list[tuple[int, int, int]] = []  # start, end and tokens of the sentences of one piece
        new = False
        for first, last in self._sentences(text, start, len(text) if end is None else end):
            length = len(self._tokens(text, first, last))
            if kept and sum(one[2] for one in kept) + length > self.size:
                if new:
                    yield kept[0][0], kept[-1][1]
                kept, new = self._overlapping(kept, length), False
            kept.append((first, last, length))
            new = True
        if kept and new:
            yield kept[0][0], kept[-1][1]

    def _overlapping(self, kept: list[tuple[int, int, int]], length: int) -> list[tuple[int, int, int]]:
        """Return the last sentences of a piece that the next one begins with, before a sentence of that length."""
        room = min(self.overlap, self.size - length)
        first = len(kept)
        while first > 0 and kept[first - 1][2] <= room:
            first -= 1
            room -= kept[first][2]
        return kept[first:]

    def _sentences(self, text: str, start: int, end: int) -> Iterator[Span]:
        ends = [found.end() for found in _END.finditer(text, start, end)]
        for first, last in zip([start, *ends], [*ends, end], strict=True):
            if len(self._tokens(text, first, last)) > self.size:
                yield from Chunking("tokens", self.size)._by_tokens(text, first, last)
            elif text[first:last].strip():
                yield first, last

    def _by_headings(self, text: str) -> Iterator[Span]:
        starts = [found.start() for found in _HEADING.finditer(text) if found[2]]
        for first, last in zip([0, *starts], [*starts, len(text)], strict=True):
            yield from self._by_sentences(text, first, last)


_CUTTERS: Mapping[str, Callable[..., Iterator[Span]]] = {
    "sentences": Chunking._by_sentences,
    "headings": Chunking._by_headings,
    "tokens": Chunking._by_tokens,
}


def token_count(text: str) -> int:
    """Return the number of tokens: words, marks and Chinese characters. A model counts its own, often a third more."""
    return sum(1 for _ in _TOKEN.finditer(text))


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text, in order, as `Chunking` tells them apart."""
    spans = Chunking(size=len(text) + 1)._sentences(text, 0, len(text))
    return [text[start:end].strip() for start, end in spans]
