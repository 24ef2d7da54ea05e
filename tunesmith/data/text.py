"""The text normalisation of SQuAD, for comparing answers."""

import re
import string
import unicodedata

__all__ = ["normalize_text", "tokens"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_text(text: str) -> str:
    """Return `text` in lower case, without ASCII punctuation, English articles and extra space.

    It follows `normalize_answer` in the official SQuAD v1.1 script (Rajpurkar et al., 2016, "SQuAD:
    100,000+ Questions for Machine Comprehension of Text", `evaluate-v1.1.py`), with one difference:
    the text is first converted to Unicode NFC, so that an accented letter typed as one character
    equals the same letter typed as two.

    As in SQuAD, "C++" equals "C", "3.5" equals "35", and the answer "A" becomes empty. The metrics
    guard against the last two.
    """
    lowered = unicodedata.normalize("NFC", text).lower()
    return " ".join(_ARTICLES.sub(" ", lowered.translate(_NO_PUNCTUATION)).split())


def tokens(text: str) -> list[str]:
    """Return the words of `normalize_text(text)`, split at white space as SQuAD's F1 does."""
    return normalize_text(text).split()
