"""When two texts say the same."""

import re
import string
import unicodedata
from collections.abc import Callable

from tunesmith.data import normalize_text
from tunesmith.metrics.digits import numbers_in, whole_number

__all__ = ["holds_text", "same_text"]

# What makes another name of the word before it: C++ and C#, A+ and A-, x > y. The hyphen of "well-known" does not.
_SIGNS = re.compile(r"(?<=\w)(?:[+#]+|-+(?!\w)| ?[<>=]+)")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def same_text(expected: str, got: str) -> bool:
    """Return whether two texts are equal after `normalize_text`, with four guards.

    Two texts that are numbers are compared as numbers ("1,234.50" is "1234.5"). Texts whose numbers
    differ never match ("3.5" is not "35", "-5" is not "5"), nor do those whose signs behind a word
    or between two differ ("C++" is not "C#", "A+" is not "A-"). A label that the normalisation would
    empty is compared with its articles, or its punctuation, left in ("A" is not "the").
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

    A text that is a number is contained where the number is: "1234" in "it is $1,234.00".
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
    """Return whether words in the script of `sign` are set apart by spaces (Chinese is not)."""
    return sign.isalnum() and unicodedata.east_asian_width(sign) not in ("W", "F")


def _normal_for(label: str) -> Callable[[str], str]:
    """Return the strongest normalisation that leaves something of `label`."""
    for normal in (normalize_text, _without_punctuation):
        if normal(label) != "":
            return normal
    return _folded


def _without_punctuation(text: str) -> str:
    return " ".join(_folded(text).translate(_NO_PUNCTUATION).split())


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower().strip()
