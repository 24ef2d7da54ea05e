"""What a search found is ordered anew: by windows, one by one, or by a function."""

import asyncio
import json
import math
import re
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.evaluation.replies import likely
from tunesmith.errors import ModelError, UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import calls_of, settings_of
from tunesmith.modules.retrieval.rerank import windows


def found_first(*texts: str) -> Any:
    """Return a search that finds these texts in this order."""
    return lambda query: list(texts)


def ask(search: Any, *replies: str, k: int = 99) -> list[str]:
    lm = ts.ScriptedLM(*replies)
    with dspy.context(lm=lm):
        return [one.text for one in search("query", k=k)]


def sorting(seen: Seen) -> str:
    """Return the order of a model that knows how good each passage is: as good as its number is low."""
    lines = re.findall(r"\[(\d+)\] (\d+)", seen.text)
    return json.dumps([int(place) for place, _ in sorted(lines, key=lambda one: int(one[1]))])


def test_a_window_of_four_that_moves_by_two_orders_eight_passages_as_in_the_paper() -> None:
    """Sun et al. 2023, figure 2: three windows from the end; the best passages come to the front."""
    assert windows(8, 4, 2) == [(4, 8), (2, 6), (0, 4)]
    search = ts.Rerank(found_first(*"87654321"), window=4, stride=2)
    lm = FunctionLM(sorting)
    with dspy.context(lm=lm):
        found = search("query", k=8)
    assert [one.text for one in found] == ["1", "2", "7", "8", "5", "6", "3", "4"]
    assert [one.score for one in found] == [1 / place for place in range(1, 9)]
    assert len(lm.requests) == 3


@each(
    ("count", "window", "stride"),
    [(20, 10, 5), (20, 10, 7), (3, 10, 5), (10, 10, 1), (21, 4, 9), (1, 2, 1), (100, 20, 10)],
)
def test_windows_cover_every_passage_and_are_as_many_as_the_formula_says(count: int, window: int, stride: int) -> None:
    made = windows(count, window, stride)
    assert set().union(*(range(*one) for one in made)) == set(range(count))
    assert len(made) == 1 + math.ceil(max(0, count - window) / min(stride, window))
    assert made[-1][0] == 0


@each(
    ("written", "order"),
    [
        ("[3, 1, 2]", "cab"),
        ("[2]", "bac"),
        ("[2, 2, 9, 0, -1, 3]", "bca"),
        ("[]", "abc"),
        ('["[3]", "b", null]', "cab"),
        ("the third", "abc"),
    ],
)
def test_an_order_with_gaps_and_mistakes_loses_no_passage(written: str, order: str) -> None:
    assert ask(ts.Rerank(found_first(*"abc")), written) == list(order)


def test_a_single_passage_and_none_need_no_call() -> None:
    assert ask(ts.Rerank(found_first("a"))) == ["a"]
    assert ask(ts.Rerank(found_first())) == []


def test_more_than_the_depth_follow_as_they_were_found() -> None:
    assert ask(ts.Rerank(found_first(*"abcd"), depth=2), "[2, 1]") == ["b", "a", "c", "d"]
    assert ask(ts.Rerank(found_first(*"abcd"), depth=2), "[2, 1]", k=1) == ["b"]


def test_grades_order_and_equal_ones_keep_their_order() -> None:
    search = ts.Rerank(found_first(*"abcd"), by="pointwise")
    replies = ("not relevant", "highly relevant", "somewhat relevant", "highly relevant")
    assert ask(search, *replies) == ["b", "d", "c", "a"]
    with dspy.context(lm=ts.ScriptedLM(*replies)):
        assert [one.score for one in search("query")] == [2, 2, 1, 0]


def test_a_reply_that_is_no_grade_is_no_point() -> None:
    assert ask(ts.Rerank(found_first("a", "b"), by="pointwise"), "?", "somewhat relevant") == ["b", "a"]


def test_with_probabilities_the_expected_points_order() -> None:
    """Zhuang et al. 2023, section 3: the sum of each label's points, weighted by its probability."""
    shares = {"a": (0.5, 0.2, 0.3), "b": (0.05, 0.9, 0.05)}
    labels = ("not relevant", "somewhat relevant", "highly relevant")

    def judged(seen: Seen) -> Any:
        text = re.findall(r"Passage: (\w)", seen.text)[0]
        return likely(seen, {label: math.log(share) for label, share in zip(labels, shares[text], strict=True)})

    with dspy.context(lm=FunctionLM(judged)):
        found = ts.Rerank(found_first("a", "b"), by="pointwise", scored=True)("query")
    assert [one.text for one in found] == ["b", "a"]
    assert [one.score for one in found] == pytest.approx([1.0, 0.8])


def test_a_function_scores_texts_of_its_own_accord() -> None:
    search = ts.Rerank(found_first("aa", "a", "aaa"), by=lambda query, texts: [len(text) for text in texts])
    assert ask(search, k=2) == ["aaa", "aa"]
    assert [one.text for one in asyncio.run(search.acall("query"))] == ["aaa", "aa", "a"]
    assert search("query")[0].score == 3.0


@each("given", [None, [1], [1, "x"], [1, float("nan")], "ab"])
def test_what_are_no_scores_is_refused(given: Any) -> None:
    with pytest.raises(ModelError, match="one finite number"):
        ts.Rerank(found_first("a", "b"), by=lambda query, texts: given)("query")


@each(
    ("search", "calls"),
    [
        (ts.Rerank(found_first(*"abcdefgh"), depth=8, window=4, stride=2), 3),
        (ts.Rerank(found_first(*"abcdefgh"), depth=8, by="pointwise"), 8),
        (ts.Rerank(found_first(*"abcdefgh"), depth=8, by=lambda query, texts: range(len(texts))), 0),
    ],
)
def test_the_plan_counts_what_a_run_calls(search: ts.Rerank, calls: int) -> None:
    lm = FunctionLM(lambda seen: "not relevant" if "Relevance" in seen.text else "[]")
    with dspy.context(lm=lm):
        search("query", k=3)
    assert (len(lm.requests), calls_of(search)[0]) == (calls, calls)


@each("by", ["listwise", "pointwise"])
def test_an_artifact_is_loaded_without_code(by: str, tmp_path: Path) -> None:
    program = ts.RAG(ts.Rerank(ts.BM25(["a b", "a c"]), by=by, depth=7))
    ts.save(tmp_path / "a", program)
    loaded = ts.load(tmp_path / "a")
    assert settings_of(loaded) == settings_of(program)
    assert ts.render(loaded, question="a").messages == ts.render(program, question="a").messages


@each("by", ["best", 3, None])
def test_another_way_is_refused(by: Any) -> None:
    with pytest.raises(UsageError, match="`by` must be"):
        ts.Rerank(found_first("a"), by=by)
