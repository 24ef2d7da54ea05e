"""Counting tokens: the embedded model's own byte-pair encoding, or a simple stand-in.

`default_tokenizer()` is the first where the weight file is on this machine (its vocabulary is read from the file's
header, the model is not loaded), else `SimpleTokenizer`: one token per word, digit or mark, with the space before it.
"""

import functools
import itertools
import zlib
from typing import Protocol

import regex

from tests.protocol.weights import embedded_header

_WORDS = regex.compile(r"\p{N}|'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
_SIMPLE = regex.compile(r"<\|[a-z_]+\|>| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]|\s")


class Tokenizer(Protocol):
    """Text to token ids and pieces; `"".join` of the pieces' texts is the text again."""

    def ids(self, text: str) -> list[int]: ...

    def pieces(self, text: str) -> list[bytes]: ...

    def text(self, ids: list[int]) -> str: ...


class SimpleTokenizer:
    """One token per word, digit, mark or white-space character; an id is a checksum of the piece."""

    def __init__(self) -> None:
        self._seen: dict[int, str] = {}

    def ids(self, text: str) -> list[int]:
        found = _SIMPLE.findall(text)
        ids = [zlib.crc32(piece.encode("utf-8", "replace")) % 49152 for piece in found]
        self._seen.update(zip(ids, found, strict=True))
        return ids

    def pieces(self, text: str) -> list[bytes]:
        return [piece.encode("utf-8", "replace") for piece in _SIMPLE.findall(text)]

    def text(self, ids: list[int]) -> str:
        return "".join(self._seen.get(number, "") for number in ids)


class BytePairs:
    """Byte-pair encoding over a GPT-2 vocabulary, with SmolLM's way to split words (digits one by one).

    Args:
        vocabulary: the pieces, in the printable byte alphabet of GPT-2.
        merges: pairs `"a b"`, the most important first.
        special: pieces that are found in a text before it is split.
    """

    def __init__(self, vocabulary: list[str], merges: list[str], special: list[str]) -> None:
        self._alphabet = _printable_bytes()
        self._bytes = {char: byte for byte, char in self._alphabet.items()}
        self._vocabulary = vocabulary
        self._ids = {piece: number for number, piece in enumerate(vocabulary)}
        self._ranks = {tuple(pair.split(" ")): rank for rank, pair in enumerate(merges)}
        self._special = regex.compile("(" + "|".join(map(regex.escape, special)) + ")")
        self._word = functools.lru_cache(1 << 16)(self._merge)
        self._segment = functools.lru_cache(1 << 14)(self._split)

    def ids(self, text: str) -> list[int]:
        found: list[int] = []
        for segment in self._special.split(text):
            found += self._segment(segment)
        return found

    def pieces(self, text: str) -> list[bytes]:
        return [
            bytes(self._bytes[char] for char in part)
            for segment in self._special.split(text)
            for part in self._parts(segment)
        ]

    def text(self, ids: list[int]) -> str:
        words = (self._vocabulary[number] for number in ids)
        return b"".join(bytes(self._bytes[char] for char in word) for word in words).decode("utf-8", "replace")

    def _split(self, segment: str) -> list[int]:
        # a byte that is not in the vocabulary is dropped, as llama.cpp does
        return [self._ids[part] for part in self._parts(segment) if part in self._ids]

    def _parts(self, segment: str) -> list[str]:
        if segment in self._ids and self._special.fullmatch(segment):
            return [segment]
        return [part for word in _WORDS.findall(segment) for part in self._word(word)]

    def _merge(self, word: str) -> list[str]:
        parts = [self._alphabet[byte] for byte in word.encode("utf-8", "replace")]
        while len(parts) > 1:
            ranked = [(self._ranks.get(pair, 1 << 30), at) for at, pair in enumerate(itertools.pairwise(parts))]
            rank, at = min(ranked)
            if rank == 1 << 30:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return parts


@functools.cache
def default_tokenizer() -> Tokenizer:
    """Return the embedded model's tokenizer, or the simple one."""
    header = embedded_header()
    if header is None:
        return SimpleTokenizer()
    words, kinds = header.facts["tokenizer.ggml.tokens"], header.facts["tokenizer.ggml.token_type"]
    special = [word for word, kind in zip(words, kinds, strict=True) if kind == 3]
    return BytePairs(words, header.facts["tokenizer.ggml.merges"], special)


def _printable_bytes() -> dict[int, str]:
    """Return GPT-2's table from a byte to a printable character."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in plain}
    others = [byte for byte in range(256) if byte not in table]
    return table | {byte: chr(256 + number) for number, byte in enumerate(others)}
