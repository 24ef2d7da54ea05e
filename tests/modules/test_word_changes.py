"""How one text became another, word by word."""

from time import process_time

from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.modules.word_changes import TextChange

TEXTS = st.text(st.sampled_from("ab .\n\tÄ語é"), max_size=40)


@each(
    ("before", "after", "wanted"),
    [
        ("Name the label.", "Name the one label.", [" Name the {+one +}label."]),
        ("Say it in one word.", "Say it in two words.", [" Say it in [-one word-]{+two words+}."]),
        ("Route it.", "Route it.\nBe quick.", [" Route it.", " {+Be quick.+}"]),
        ("Name the label.", "Answer with JSON only!", ["-Name the label.", "+Answer with JSON only!"]),
        ("", "New.", ["+New."]),
        ("Old.", "", ["-Old."]),
        ("one two", "one  two", [" one[- -]{+  +}two"]),
        ("one\ntwo", "one two", [" one[-\\n-]{+ +}two"]),
        ("one two", "one\ntwo", [" one[- -]{+\\n+}", " two"]),
        ("same", "same", []),
    ],
)
def test_the_lines_of_a_change(before: str, after: str, wanted: list[str]) -> None:
    assert [line for line in TextChange(before, after).lines() if line != " …"] == wanted


def test_lines_far_from_the_change_are_left_out() -> None:
    lines = [f"Rule {number} of the house." for number in range(9)]
    after = [*lines[:4], "Rule 4 of the town.", *lines[5:]]

    assert TextChange("\n".join(lines), "\n".join(after)).lines() == [
        " …",
        " Rule 3 of the house.",
        " Rule 4 of the [-house-]{+town+}.",
        " Rule 5 of the house.",
        " …",
    ]


@given(TEXTS, TEXTS)
def test_the_pieces_make_up_both_texts(before: str, after: str) -> None:
    change = TextChange(before, after)
    words = change.words()

    assert "".join(run.text for run in words if run.kind != "added") == before
    assert "".join(run.text for run in words if run.kind != "removed") == after
    assert all(run.text for run in words)
    assert bool([line for line in change.lines() if line != " …"]) == (before != after)


def test_texts_of_any_size_are_compared_in_a_moment() -> None:
    start = process_time()
    before = " ".join(["the word"] * 100_000)
    words = TextChange(before, f"A {before} B").words()

    assert "".join(run.text for run in words if run.kind != "removed") == f"A {before} B"
    assert process_time() - start < 5
