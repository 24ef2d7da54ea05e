"""What says the same again is left out."""

import tunesmith as ts
from tests.each import each

LONG = "The card costs five euros a month and comes by mail within a week"


@each(
    ("found", "kept"),
    [
        (["a b c", "A, b; C!", "a b d"], ["a b c", "a b d"]),
        ([LONG, f"{LONG}.", f"Note: {LONG} or two"], [LONG]),
        (["five euros", LONG], ["five euros"]),  # the shorter one is contained
        (["!", "?", ""], ["!", "?", ""]),  # without words nothing is alike
        ([], []),
    ],
)
def test_a_passage_within_a_better_one_is_left_out(found: list[str], kept: list[str]) -> None:
    search = ts.Dedupe(lambda query: [(text, 9.0 - place) for place, text in enumerate(found)])
    assert [one.text for one in search("q", k=9)] == kept


def test_others_take_the_place_of_repetitions() -> None:
    asked: list[int] = []

    def search(query: str, k: int) -> list[str]:
        asked.append(k)
        return ["a b", "b a", "c d", "e f"][:k]

    assert [one.text for one in ts.Dedupe(search, depth=4)("q", k=2)] == ["a b", "c d"]
    assert [one.text for one in ts.Dedupe(search, similarity=1.5)("q", k=3)] == ["a b", "b a", "c d"]
    assert asked == [4, 20]
