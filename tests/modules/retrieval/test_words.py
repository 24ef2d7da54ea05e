"""A text is cut into words that a search can compare."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.each import each
from tunesmith.modules.retrieval import words_of


@each(
    ("text", "words"),
    [
        ("A b, c!", ["a", "b", "c"]),
        ("C++ 3.5 c# 1,000", ["c++", "3.5", "c#", "1,000"]),
        ("Straße CAFÉ café", ["strasse", "stras", "cafe", "cafe"]),
        ("snake_case don't", ["snake", "case", "don", "t"]),
        ("我的卡", ["我", "的", "卡", "我的", "的卡"]),
        ("iPhone手机", ["iphone", "iphon", "手", "机", "手机"]),
        ("हिन्दी भाषा।", ["हिन्दी", "हिन्द", "भाषा"]),
        ("दिल दाल 2.5 তারা", ["दिल", "दाल", "2.5", "তারা"]),
        ("😀 — …", []),
        ("", []),
    ],
)
def test_words_are_what_a_reader_compares(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_composed_and_decomposed_letters_are_the_same_word() -> None:
    assert words_of("caf\u00e9 \ud55c") == words_of("cafe\u0301 \u1112\u1161\u11ab")


@settings(max_examples=50)
@given(st.text())
def test_any_text_has_words_without_spaces_and_they_stay_as_they_are(text: str) -> None:
    words = words_of(text)

    assert not any(word.isspace() or not word for word in words)
    assert words == words_of(text)
