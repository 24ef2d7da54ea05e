"""Cut a text into words that can be compared."""

import unicodedata
from collections.abc import Sequence
from itertools import chain, pairwise

from tunesmith.lazy import lazy_pattern

__all__ = ["JOINED", "pieces_of", "words_of", "words_of_piece"]

# Scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana, and Chinese characters.
JOINED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUN = lazy_pattern(rf"[{JOINED}]+")
# Letters and vowel signs of Indian scripts, without the stop `।`: `\w` does not match a sign.
_INDIC = "\u0900-\u0963\u0966-\u0dff"
_PIECE = lazy_pattern(rf"[{JOINED}]+|\d+(?:[.,:]\d+)+|(?:[^\W_{JOINED}]|[{_INDIC}])+(?:\+\+|#)?")
# The same for ASCII, in half the time: first a letter, which most pieces begin with.
_ASCII_PIECE = lazy_pattern(r"[a-z][a-z0-9]*(?:\+\+|#)?|[0-9]+(?:[.,:][0-9]+)+|[0-9][a-z0-9]*(?:\+\+|#)?")

_MARKS = ("Mn", "Mc", "Me")  # accents; in Indian scripts vowels, which tell words apart
_STEM = 5  # letters that a word has in common with its other forms; measured on intents of banking77


def words_of(text: str) -> list[str]:
    """Return the words of a text in order, without case and accents.

    One-character words, numbers such as `3.5`, and `C++` are words. A long word is followed by its first five letters,
    so that `account` and `accounts` have something in common. A script that puts no space between words gives each
    character and each pair of neighbours.

    Example:
        >>> words_of("C++ since 1.5: Café!")
        ['c++', 'since', '1.5', 'cafe']
        >>> words_of("My accounts")
        ['my', 'accounts', 'accou']
        >>> words_of("iPhone手机")
        ['iphone', 'iphon', '手', '机', '手机']
    """
    return list(chain.from_iterable(map(words_of_piece, pieces_of(text))))


def pieces_of(text: str) -> list[str]:
    """Return what stands between the spaces and marks of a text, without case and accents."""
    if text.isascii():
        return _ASCII_PIECE.findall(text.lower())
    parts = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in parts if unicodedata.category(char) not in _MARKS or "\u0900" <= char <= "\u0dff")
    return _PIECE.findall(bare.casefold())


def words_of_piece(piece: str) -> Sequence[str]:
    """Return the words of one of the `pieces_of` a text."""
    if not piece.isascii() and _RUN.match(piece) is not None:
        return [*piece, *map("".join, pairwise(piece))]
    return (piece, piece[:_STEM]) if len(piece) > _STEM else (piece,)
