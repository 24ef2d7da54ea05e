"""A graph finds nearly all that an exact search finds, and scores it exactly."""

import sys
from typing import Any

import numpy as np
import pytest

from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.modules import VectorIndex, Vectors

TEXTS = [str(number) for number in range(1500)]


def rows(count: int = len(TEXTS)) -> Any:
    return np.random.default_rng(0).standard_normal((count, 24), dtype=np.float32)


def embed(texts: list[str]) -> Any:
    return rows()[[int(text) for text in texts]]


@each("dtype", ["f32", "f16"])
def test_at_least_95_of_100_of_the_nearest_are_found(dtype: str) -> None:
    exact, graph = VectorIndex(TEXTS, embed), VectorIndex(TEXTS, embed, index="hnsw", dtype=dtype)
    found = [(exact.search(text, 10), graph.search(text, 10)) for text in TEXTS[::30]]

    assert sum(len(set(a) & set(b)) for a, b in found) >= 0.95 * 10 * len(found)
    scores = [dict(exact.search(text, len(TEXTS))) for text in TEXTS[::30]]
    pairs = zip(scores, found, strict=True)
    assert all(score == pytest.approx(known[p], abs=1e-6) for known, (_, b) in pairs for p, score in b)
    assert graph._graph is not None
    assert graph._graph.recall >= 0.95


def test_all_are_found_if_as_many_are_asked_for_and_skipped_ones_leave_their_place() -> None:
    graph = VectorIndex(TEXTS, embed, index="hnsw")

    assert len(graph.search("7", 1500)) == 1500
    even = [position for position, _ in VectorIndex(TEXTS, embed).search("7", 9) if position % 2 == 0]
    assert [position for position, _ in graph.search("7", 3, skip=lambda position: position % 2 == 1)] == even[:3]


def test_equal_vectors_hide_no_other_and_blank_ones_are_never_found() -> None:
    made = np.concatenate([np.repeat(rows(1), 800, axis=0), rows(601)[1:], np.zeros((2, 24))])
    index = VectorIndex(
        [f"t{n}" for n in range(len(made))], lambda texts: made[[int(t[1:]) for t in texts]], index="hnsw"
    )

    assert [index.search(f"t{n}", 1)[0][0] for n in range(800, 1400)] == list(range(800, 1400))
    assert [position for position, _ in index.search("t5", 5)] == [0, 1, 2, 3, 4]
    assert len(index.search("t5", 2000)) == 1400


def test_a_wrong_way_to_search_or_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="`index` must be one of: exact, hnsw"):
        Vectors(["a"], embed=embed, index="flat")
    with pytest.raises(UsageError, match="`dtype` must be one of: f32"):
        Vectors(["a"], embed=embed, index="hnsw", dtype="bf16")
    monkeypatch.setitem(sys.modules, "usearch", None)
    with pytest.raises(UsageError, match=r"pip install 'tunesmith\[hnsw\]'"):
        Vectors(["a"], embed=embed, index="hnsw")
    assert Vectors(["0"], embed=embed)("0")


def test_a_search_by_a_graph_says_so_in_its_spec() -> None:
    described = Vectors(["0"], embed=embed, index="hnsw").spec()
    assert (described["index"], described["dtype"]) == ("hnsw", "f32")
