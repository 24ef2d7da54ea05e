"""The vote without a model, against a slow reference of what scikit-learn's defaults mean."""

import math
import re
from collections import Counter

import dspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scale import FULL
from tunesmith.data import example_key
from tunesmith.errors import UsageError
from tunesmith.experiments import nearest_neighbour_vote


def examples(rows: list[tuple[str, str]]) -> list[dspy.Example]:
    return [dspy.Example(text=text, label=label).with_inputs("text") for text, label in rows]


def vectors(train: list[str], other: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return both as `TfidfVectorizer()` fitted on `train` makes them: words of two characters and more."""

    def words(text: str) -> list[str]:
        return re.findall(r"(?u)\b\w\w+\b", text.lower())

    vocabulary = sorted({word for text in train for word in words(text)})
    frequency = [sum(word in words(text) for text in train) for word in vocabulary]
    idf = np.array([math.log((1 + len(train)) / (1 + f)) + 1 for f in frequency])

    def matrix(texts: list[str]) -> np.ndarray:
        counts = np.array([[words(text).count(word) for word in vocabulary] for text in texts], dtype=float)
        weighted = counts.reshape(len(texts), len(vocabulary)) * idf
        lengths = np.linalg.norm(weighted, axis=1, keepdims=True)
        return np.divide(weighted, lengths, out=np.zeros_like(weighted), where=lengths > 0)

    return matrix(train), matrix(other)


def reference(train: list[tuple[str, str]], test: list[str], k: int) -> list[set[str]]:
    """Return per text the labels that may win: there are several where neighbours or votes are within rounding."""
    known, asked = vectors([text for text, _ in train], test)
    found = []
    for similarities in asked @ known.T:
        order = sorted(range(len(train)), key=lambda i: (-round(similarities[i], 9), i))[:k]
        votes = Counter(train[i][1] for i in order)
        closeness = {name: sum(similarities[i] for i in order if train[i][1] == name) for name in votes}
        best = max((votes[name], round(closeness[name], 9)) for name in votes)
        found.append({n for n in votes if votes[n] == best[0] and abs(closeness[n] - best[1]) < 1e-6})
    return found


WORDS = ["bed", "bar", "a", "i", "wifi", "towel", "noise", "Breakfast", "x1", "Zimmer", "größe"]
texts = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
labels = st.sampled_from(["room", "food", "staff"])


@settings(max_examples=80 if FULL else 20)
@given(
    st.lists(st.tuples(texts, labels), min_size=1, max_size=12),
    st.lists(texts, min_size=1, max_size=4),
    st.integers(1, 6),
)
def test_the_vote_is_that_of_the_reference(train: list[tuple[str, str]], asked: list[str], k: int) -> None:
    report = nearest_neighbour_vote(
        examples(train), examples([(text, "room") for text in asked]), field="text", label="label", neighbours=k
    )

    for row, allowed in zip(report.rows, reference(train, asked, k), strict=True):
        assert row.outputs is not None
        assert row.outputs["label"] in allowed
        assert row.score == float(row.outputs["label"] == "room")


def test_words_of_one_character_do_not_count() -> None:
    train = examples([("a a a towel", "room"), ("a bar", "food")])

    report = nearest_neighbour_vote(
        train, examples([("a a a a bar", "food")]), field="text", label="label", neighbours=1
    )

    assert report.mean == 1.0


def test_rare_words_weigh_more_than_common_ones() -> None:
    train = examples([("hotel wifi", "room"), ("hotel bar", "food"), ("hotel bar", "food"), ("hotel staff", "staff")])

    report = nearest_neighbour_vote(
        train, examples([("hotel wifi", "room")]), field="text", label="label", neighbours=1
    )

    assert report.rows[0].outputs == {"label": "room"}


def test_a_tie_goes_to_the_closer_label() -> None:
    train = examples([("bed noise", "room"), ("bed", "food"), ("towel", "staff")])

    report = nearest_neighbour_vote(train, examples([("bed", "food")]), field="text", label="label", neighbours=2)

    assert report.rows[0].outputs == {"label": "food"}


def test_the_report_is_shaped_like_any_other() -> None:
    train, test = (
        examples([("bed", "room"), ("bar", "food")]),
        examples([("bed", "room"), ("bar", "food"), ("x", "staff")]),
    )

    report = nearest_neighbour_vote(train, test, field="text", label="label", neighbours=1)

    assert [row.key for row in report.rows] == [example_key(example) for example in test]
    assert report.mean == pytest.approx(2 / 3)
    assert (report.n, report.errors, report.charged.calls, report.paid.calls) == (3, 0, 0, 0)
    assert set(report.summary()) == {"mean", "low", "high", "n", "errors"}


def test_there_must_be_something_to_look_among() -> None:
    with pytest.raises(UsageError, match="needs training examples"):
        nearest_neighbour_vote([], examples([("bed", "room")]), field="text", label="label")
