"""BM25 finds what shares words with the query, in an order that depends on nothing else."""

import copy
import math
import os
import subprocess
import sys

import pytest

from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.modules.retrieval import WordIndex

TEXTS = ["Where is my card?", "Close my account.", "My card was stolen.", "我的卡在哪里", "A C++ course"]


def positions(query: str, k: int = 9) -> list[int]:
    return [position for position, _ in WordIndex(TEXTS).search(query, k)]


@each(
    ("query", "found"),
    [
        ("stolen card", [2, 0]),
        ("MY", [0, 1, 2]),
        ("卡", [3]),
        ("c++", [4]),
        ("a", [4]),  # a word of one letter
        ("unknown words", []),
        ("", []),
        ("...", []),
    ],
)
def test_a_text_is_found_by_the_words_that_it_shares(query: str, found: list[int]) -> None:
    assert positions(query) == found


def test_the_best_come_first_and_ties_by_position() -> None:
    index = WordIndex(["a b", "a", "a", "c"])
    found = index.search("a", 9)

    assert [position for position, _ in found] == [1, 2, 0]
    assert found[0][1] == found[1][1] > found[2][1] > 0


def test_scores_are_those_of_the_formula() -> None:
    counts = [{"a": 1, "b": 1}, {"a": 2, "c": 1}, {"c": 1}, {"b": 3, "d": 2}]
    lengths = [2, 3, 1, 5]
    mean = sum(lengths) / 4

    def score(position: int, word: str) -> float:
        often, holders = counts[position].get(word, 0), sum(word in text for text in counts)
        idf = math.log(1 + (4 - holders + 0.5) / (holders + 0.5))
        return idf * often / (often + 1.5 * (1 - 0.75 + 0.75 * lengths[position] / mean))

    found = WordIndex(["a b", "a a c", "c", "b d b d b"]).search("b, a b?", 9)  # `b` counts once

    assert found == [(n, pytest.approx(score(n, "a") + score(n, "b"), rel=1e-6)) for n in (0, 1, 3)]


def test_without_scipy_the_tables_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{number % 7} word {number % 3} {'more ' * (number % 4)}" for number in range(50)]
    found = WordIndex([*texts, "6"]).search("1 more word 2", 50)
    monkeypatch.setattr("bm25s.SCIPY_AVAILABLE", False)

    assert WordIndex([*texts, "7"]).search("1 more word 2", 50) == found  # another text: tables of the same are kept


def test_no_more_than_k_are_found_and_k_may_be_larger_than_the_index() -> None:
    assert len(positions("my card", 1)) == 1
    assert len(positions("my card", 1000)) == 3
    assert positions("my card", 0) == []


def test_what_is_skipped_leaves_its_place_to_the_next() -> None:
    assert [p for p, _ in WordIndex(TEXTS).search("stolen card", 1, skip=lambda position: position == 2)] == [0]


@each("texts", [[], [""], ["...", " "]])
def test_an_index_without_words_finds_nothing(texts: list[str]) -> None:
    assert WordIndex(texts).search("a", 3) == []


@each("texts", ["a text", [1], [None], [b"x"]])
def test_what_is_no_list_of_texts_is_refused(texts: object) -> None:
    with pytest.raises(UsageError, match="must be a list of texts"):
        WordIndex(texts)  # type: ignore[arg-type]


def test_a_copy_is_the_index_itself() -> None:
    index = WordIndex(TEXTS)
    assert copy.deepcopy([index])[0] is index


@pytest.mark.whole
def test_every_process_finds_the_same() -> None:
    code = (
        f"from tunesmith.modules.retrieval import WordIndex; print(WordIndex({TEXTS!r}).search('is my card stolen', 9))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{WordIndex(TEXTS).search('is my card stolen', 9)}\n"}
