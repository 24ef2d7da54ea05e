"""Scripts of texts."""

from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.data import scripts_of


@each(
    ("text", "found"),
    [
        ("Oslo, 12 Москва!", {"LATIN": 4, "CYRILLIC": 6}),
        ("カタかな", {"JAPANESE": 4}),
        ("顏色", {"CHINESE": 2}),
        ("12 %", {}),
    ],
)
def test_letters_are_counted_by_script(text: str, found: dict[str, int]) -> None:
    assert scripts_of([text]) == found


@given(st.lists(st.text(), max_size=3))
def test_there_are_never_more_letters_than_characters(texts: list[str]) -> None:
    assert sum(scripts_of(texts).values()) <= 20 * sum(map(len, texts))
