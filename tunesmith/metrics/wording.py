"""Compare texts: equality and containment after normalisation."""

import re
import string
import unicodedata
from collections.abc import Callable

from tunesmith.data import normalize_text
from tunesmith.metrics.digits import numbers_in, whole_number

__all__ = ["holds_text", "same_text"]

# Signs that change the meaning of the word before them: C++ and C#, A+ and A-, x > y. The hyphen of "well-known" does
# not count.
_SIGNS = re.compile(r"(?<=\w)(?:[+#]+|-+(?!\w)| ?[<>=]+)")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def same_text(expected: str, got: str) -> bool:
    """Return whether two texts are equal after `normalize_text`, with four exceptions.

    Two texts that are numbers are compared as numbers ("1,234.50" is "1234.5"). Texts with different
    numbers never match ("3.5" is not "35", "-5" is not "5"). Texts with different signs after or
    between words never match ("C++" is not "C#", "A+" is not "A-"). A label that the normalisation
    would empty keeps its articles or punctuation ("A" is not "the").
    """
    one, other = whole_number(expected), whole_number(got)
    if one is not None and other is not None:
        return one == other
    if list(numbers_in(expected)) != list(numbers_in(got)) or _signs(expected) != _signs(got):
        return False
    normal = _normal_for(expected)
    return normal(expected) == normal(got)


def holds_text(expected: str, got: str) -> bool:
    """Return whether `got` contains `expected` as whole words, normalised as in `same_text`.

    If `expected` is a number, it matches the same number in another spelling: "1234" in "it is $1,234.00".
    """
    number = whole_number(expected)
    if number is not None:
        return number in numbers_in(got)
    if not set(numbers_in(expected)) <= set(numbers_in(got)) or not set(_signs(expected)) <= set(_signs(got)):
        return False
    normal = _normal_for(expected)
    words = normal(expected)
    return words != "" and re.search(_bounded(words), normal(got)) is not None


def _signs(text: str) -> list[str]:
    return [sign.strip() for sign in _SIGNS.findall(text)]


def _bounded(words: str) -> str:
    start = r"(?<!\w)" if _is_spaced(words[0]) else ""
    end = r"(?!\w)" if _is_spaced(words[-1]) else ""
    return f"{start}{re.escape(words)}{end}"


def _is_spaced(sign: str) -> bool:
    """Return whether the script of `sign` separates words with spaces (Chinese does not)."""
    return sign.isalnum() and unicodedata.east_asian_width(sign) not in ("W", "F")


def _normal_for(label: str) -> Callable[[str], str]:
    """Return the strongest normalisation that does not empty `label`."""
    for normal in (normalize_text, _without_punctuation):
        if normal(label) != "":
            return normal
    return _folded


def _without_punctuation(text: str) -> str:
    return " ".join(_folded(text).translate(_NO_PUNCTUATION).split())


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower().strip()
