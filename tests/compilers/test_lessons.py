"""Lessons: which are general, and which say the same."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.scale import scaled
from tunesmith.compilers._lessons import distinct, general

CASES = [{"text": "The train to Oslo was 40 minutes late, said Ms. Berg"}, {"text": "A fine film"}]


@each(
    "text",
    [
        "",
        "  ",
        "Say that the train to Oslo was late.",  # four words of a case
        "Mention the 40 minutes.",
        'Look for "Ms. Berg" in the text.',
        "Look for `fine film`.",
        "x" * 300,
    ],
)
def test_a_lesson_that_names_its_case_is_left_out(text: str) -> None:
    assert general([text], CASES) == []


@each(
    ("text", "kept"),
    [
        ("Answer in one word.", "Answer in one word."),
        ("- Answer in\n  one word.", "Answer in one word."),
        ("Say why.", "Say why."),
        ("2. Give 3 labels at most.", "Give 3 labels at most."),
        ('"Name the delay."', "Name the delay."),
    ],
)
def test_a_general_lesson_stays_in_one_line(text: str, kept: str) -> None:
    assert general([text], CASES) == [kept]


def test_lessons_that_say_the_same_are_one_and_the_most_frequent_come_first() -> None:
    texts = ["Be brief.", "Answer in one word.", "Answer in one single word.", "In one word, answer."]
    assert distinct(texts) == ["Answer in one word.", "Be brief."]


@settings(max_examples=scaled(100), deadline=None)
@given(st.lists(st.text()), st.lists(st.text()))
def test_any_text_is_survived_and_nothing_is_invented(texts: list[str], cases: list[str]) -> None:
    found = distinct(general(texts, cases))
    assert len(found) <= len(texts)
    assert all("\n" not in text for text in found)
