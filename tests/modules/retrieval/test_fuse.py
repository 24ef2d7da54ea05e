"""Several searches become one list."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError


def lists(**options: Any) -> ts.Fuse:
    return ts.Fuse(
        one=lambda query: ["a", "b"], two=lambda query: ["b", "c"], three=lambda query: ["c", "b"], **options
    )


def test_scores_are_the_sum_of_weights_by_rank() -> None:
    found = lists()("q")
    assert [one.text for one in found] == ["b", "c", "a"]
    assert found[0].score == pytest.approx(1 / 62 + 1 / 61 + 1 / 62)
    assert lists()("q", k=1) == found[:1] == asyncio.run(lists().acall("q", k=1))


def test_weights_decide_whose_order_counts() -> None:
    assert [one.text for one in lists(weights={"two": 0, "three": 0})("q")] == ["a", "b", "c"]
    assert [one.text for one in lists(weights={"one": 0, "two": 0})("q")] == ["c", "b", "a"]


def test_an_artifact_keeps_names_order_and_weights(tmp_path: Path) -> None:
    search = ts.Fuse({"z": 2.0}, z=ts.BM25(["a b"]), a=ts.BM25(["a c"]), m=ts.BM25(["a"]))
    ts.save(tmp_path / "a", ts.RAG(search))
    loaded = ts.load(tmp_path / "a").retrieve.retriever
    assert (loaded.parts.names, loaded.weights) == (["z", "a", "m"], {"z": 2.0})
    assert loaded("a") == search("a")


@each("options", [{"weights": {"four": 1.0}}, {"weights": {"one": -1}}, {"weights": {"one": "x"}}, {"order": ["one"]}])
def test_wrong_weights_and_names_are_refused(options: Any) -> None:
    with pytest.raises(UsageError):
        lists(**options)
    with pytest.raises(UsageError):
        ts.Fuse(one=lambda query: [])
