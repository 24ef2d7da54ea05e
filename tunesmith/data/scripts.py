"""Scripts of texts, such as Latin or Cyrillic: what of a text's language shows without a dictionary."""

import unicodedata
from collections import Counter
from collections.abc import Iterable

__all__ = ["scripts_of"]

_LETTERS = ("Lu", "Ll", "Lt", "Lo")
_ONE_SCRIPT = {"HIRAGANA": "JAPANESE", "KATAKANA": "JAPANESE", "CJK": "CHINESE"}


def scripts_of(texts: Iterable[str]) -> Counter[str]:
    """Return how many letters of each script there are.

    Example:
        >>> scripts_of(["Oslo, Москва"])
        Counter({'CYRILLIC': 6, 'LATIN': 4})
    """
    found = Counter[str]()
    for character, count in Counter(unicodedata.normalize("NFKC", " ".join(texts))).items():
        if unicodedata.category(character) in _LETTERS:
            script = unicodedata.name(character, "UNKNOWN").split()[0].split("-")[0]
            found[_ONE_SCRIPT.get(script, script)] += count
    return found
