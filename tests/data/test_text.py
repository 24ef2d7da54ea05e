"""SQuAD's normalisation."""

import re
import string
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.data import normalize_text, tokens


def official(text: str) -> str:
    """`normalize_answer` of the official script, as published."""

    def remove_articles(text):
        return re.sub(r"\b(a|an|the)\b", " ", text)

    def white_space_fix(text):
        return " ".join(text.split())

    def remove_punc(text):
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    return white_space_fix(remove_articles(remove_punc(text.lower())))


@each(
    ("text", "normal"),
    [
        ("The Quick, brown  FOX!", "quick brown fox"),
        ("A", ""),
        ("an-other", "another"),
        ("cafe\u0301", "café"),
        ("  \n\t", ""),
        ("theatre a", "theatre"),
        ("“quoted”", "“quoted”"),
    ],
)
def test_text_is_normalised_as_in_squad(text: str, normal: str) -> None:
    assert normalize_text(text) == normal
    assert tokens(text) == normal.split()


@given(st.text(st.characters(codec="ascii")))
def test_ascii_text_is_normalised_by_the_official_steps(text: str) -> None:
    assert normalize_text(text) == official(text)


@given(st.text())
def test_composed_and_decomposed_text_are_equal(text: str) -> None:
    assert normalize_text(unicodedata.normalize("NFD", text)) == normalize_text(unicodedata.normalize("NFC", text))
