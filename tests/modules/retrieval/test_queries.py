"""A model writes what is searched for; the query itself stays if it writes nothing."""

from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import ParseError, UsageError
from tunesmith.modules import Passage, calls_of, settings_of


class Searched:
    """A search that notes its queries, and finds what is listed for each."""

    def __init__(self, **found: list[str]) -> None:
        self.found, self.asked = found, []  # type: dict[str, list[str]], list[str]

    def __call__(self, query: str, k: int) -> list[str]:
        self.asked.append(query)
        return self.found.get(query, [])


def ask(search: Any, *replies: Any, query: str = "q", k: int = 9) -> list[str]:
    lm = ts.ScriptedLM(*replies)
    with dspy.context(lm=lm):
        found = search(query, k=k)
    assert len(lm.requests) == len(replies)
    return [one.text for one in found]


def test_rag_fusion_adds_the_reciprocal_ranks_of_all_queries() -> None:
    """Three queries and the original, k = 60: `b` is second in three lists, so it beats the first of any one list."""
    search = Searched(q=["a", "b"], q1=["c", "b"], q2=["d", "b"], q3=["e"])
    found = ts.Expand(search)
    lm = ts.ScriptedLM("q1\nq2\nq3")
    with dspy.context(lm=lm):
        passages = found("q", k=3)
    assert search.asked == ["q", "q1", "q2", "q3"]
    assert [one.text for one in passages][0] == "b"
    assert [one.score for one in passages] == pytest.approx([3 / 62, 1 / 61, 1 / 61])
    assert "Count: 4" in lm.requests[0].messages[-1].text
    assert calls_of(found)[0] == 1


@each(
    ("written", "queries"),
    [
        ("1. one\n2) two\n- three\n* four\n\nfive", ["q", "one", "two", "three", "four"]),
        ('(1) "one"\nq\none', ["q", "one"]),
        ("3 monkeys\n1.5 miles", ["q", "3 monkeys", "1.5 miles"]),
        ("  \n", ["q"]),
    ],
)
def test_queries_are_read_from_lines(written: str, queries: list[str]) -> None:
    search = Searched()
    ask(ts.Expand(search), written if written.strip() else ParseError("blank", reason="invalid", raw=""))
    assert search.asked == queries


def test_a_clear_winner_needs_no_further_query() -> None:
    clear = ts.Expand(lambda query: [("a", 9.0), ("b", 1.0)], flat=0.5)
    assert ask(clear) == ["a", "b"]
    level = ts.Expand(lambda query: [("a", 9.0), ("b", 8.0)], flat=0.5)
    assert ask(level, "more") == ["a", "b"]
    assert ask(ts.Expand(lambda query: [], flat=0.5), "more") == []


@each(("kind", "asked"), [(ts.RewriteQuery, ["w"]), (ts.StepBack, ["q", "w"]), (ts.HyDE, ["q", "w"])])
def test_one_written_query_is_searched_for_alone_or_beside_the_original(kind: Any, asked: list[str]) -> None:
    search = Searched(q=["a", "b"], w=["b", "c"])
    found = ask(kind(search), "w")
    assert search.asked == asked
    assert found == (["b", "c"] if len(asked) == 1 else ["b", "a", "c"])

    lost = Searched(q=["a"])
    assert ask(kind(lost), ParseError("no", reason="invalid", raw="")) == ["a"]
    assert lost.asked == ["q"]


def test_several_searches_ask_for_more_passages_than_they_return() -> None:
    depths: list[int] = []

    def search(query: str, k: int) -> list[Passage]:
        depths.append(k)
        return []

    ask(ts.StepBack(search, depth=7), "w", k=2)
    ask(ts.RewriteQuery(search), "w", k=2)
    assert depths == [7, 7, 2]


@each("kind", [ts.Expand, ts.StepBack, ts.HyDE, ts.RewriteQuery])
def test_parts_are_put_into_each_other_and_loaded_without_code(kind: Any, tmp_path: Path) -> None:
    inside = kind(ts.Rerank(ts.Dedupe(ts.Hybrid(ts.BM25(["a"]), ts.BM25(["b"])))))
    program = ts.RAG(ts.Compress(inside))
    ts.save(tmp_path / "a", program)
    loaded = ts.load(tmp_path / "a")
    assert settings_of(loaded) == settings_of(program)
    assert [path for path, _ in loaded.named_predictors()] == [path for path, _ in program.named_predictors()]
    with pytest.raises(UsageError):
        kind(3)
