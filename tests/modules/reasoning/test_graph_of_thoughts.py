"""Thoughts are made, scored, kept and joined by a graph, as Besta et al. 2023 say; their sorting is replayed."""

import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen
from tunesmith.modules import Candidate, calls_of
from tunesmith.modules import operations as op

NUMBERS = [3, 7, 0, 2, 8, 1, 2, 2, 2, 4, 7, 8, 5, 5, 3, 9, 4, 3, 5, 6, 6, 4, 4, 5, 2, 0, 9, 3, 3, 9, 2, 1]


def halves(thought: Any) -> list[list[int]]:
    middle = len(thought.numbers) // 2
    return [thought.numbers[:middle], thought.numbers[middle:]]


def errors(numbers: list[int], found: list[int]) -> int:
    """Return the paper's error scope: pairs in the wrong order, and how often the numbers are not the same."""
    wrong = sum(one > two for one, two in pairwise(found))
    return wrong + sum(abs(Counter(found)[one] - Counter(numbers)[one]) for one in range(10))


def minus_errors(thought: Any) -> float:
    return -errors(thought.part if "part" in thought else thought.numbers, thought.found)


SORT = [
    op.Split("halves", function=halves),
    op.Generate("sorted", "sort", times=5),
    op.Score("scored", function=minus_errors),
    op.KeepBest("best of each half"),
    op.Aggregate("merged", "merge", reads={"lists": "found"}, times=10),
    op.Score("scored again", function=minus_errors),
    op.KeepBest("best merge"),
    op.Improve("mended", "mend", reads={"before": "found"}, times=10),
    op.Score("scored last", function=minus_errors),
    op.KeepBest("best"),
]


def sorter(seen: Seen) -> str:
    """A model that sorts right in every fourth draw, and loses a number when it merges, except in the last draw."""
    text = seen.request.messages[-1].text
    draw = seen.request.config.seed or 0
    lists = [json.loads(one) for one in re.findall(r"\[[\d, ]+\]", text)]
    if "Lists:" in text:
        merged = sorted([*lists[-2], *lists[-1]])
        return json.dumps(merged[1:] if draw != 9 else merged[2:])
    if "Before:" in text:
        return json.dumps(sorted(lists[0]) if draw == 4 else lists[1])
    return json.dumps(sorted(lists[0]) if draw % 4 == 3 else lists[0])


def sorting(**options: Any) -> ts.GraphOfThoughts:
    return ts.GraphOfThoughts(
        SORT,
        sort=ts.Predict("part: list[int] -> found: list[int]"),
        merge=ts.Predict("lists: list[list[int]] -> found: list[int]"),
        mend=ts.Predict("numbers: list[int], before: list[int] -> found: list[int]"),
        **options,
    )


def sort(program: dspy.Module) -> tuple[dspy.Prediction, ts.LM]:
    lm = FunctionLM(sorter)
    with dspy.context(lm=lm):
        return program(numbers=NUMBERS), lm


def test_sorting_is_split_merged_and_mended_as_in_the_paper() -> None:
    found, lm = sort(sorting())
    assert found.found == sorted(NUMBERS)
    assert (found.score, found.stopped) == (0.0, "done")
    # Without the split, which a function does here: two halves, ten merges, ten improvements.
    assert len(lm.requests) == calls_of(sorting())[0] == 5 * 2 + 10 + 10
    assert [(one["operation"], one["calls"], one["thoughts"]) for one in found.log] == [
        ("halves", 0, 2),
        ("sorted", 10, 10),
        ("scored", 0, 10),
        ("best of each half", 0, 2),
        ("merged", 10, 10),
        ("scored again", 0, 10),
        ("best merge", 0, 1),
        ("mended", 10, 11),
        ("scored last", 0, 11),
        ("best", 0, 1),
    ]
    assert [one["score"] for one in found.log if one["operation"].startswith("scored")] == [0.0, -1.0, 0.0]


def test_the_trace_is_the_way_to_the_best_thought() -> None:
    trace: list[Any] = []
    program = sorting()
    with dspy.context(lm=FunctionLM(sorter), trace=trace):
        program(numbers=NUMBERS)
    assert [step[0] for step in trace] == [program.sort, program.sort, program.merge, program.mend]
    assert [len(step[2].found) for step in trace] == [16, 16, 31, 32]


def test_a_budget_of_calls_leaves_the_best_whole_thought() -> None:
    found, lm = sort(sorting(max_calls=22))
    assert (len(found.found), found.score, found.stopped, len(lm.requests)) == (31, -1.0, "calls", 22)
    found, _ = sort(sorting(max_calls=10))
    assert (found.found, found.stopped) == (None, "calls")  # a half is no answer


def test_a_budget_of_the_caller_does_the_same() -> None:
    with ts.metered(ts.Meter(ts.Budget(calls=22))):
        found, _ = sort(sorting())
    assert (len(found.found), found.score, found.stopped) == (31, -1.0, "budget")
    assert sum(one["calls"] for one in found.log) == 22


def test_tries_may_be_bounded_by_a_setting() -> None:
    program = Candidate.of(sorting()).with_setting("self", "most_times", 3).apply(sorting())
    assert len(sort(program)[1].requests) == calls_of(program)[0] == 3 * 2 + 3 + 3


def ask(program: dspy.Module, *replies: str) -> dspy.Prediction:
    with dspy.context(lm=ts.ScriptedLM(*replies)):
        return program(text="t")


def test_an_improvement_that_is_worse_is_not_kept() -> None:
    graph = [
        op.Generate("first", "write"),
        op.Improve("second", "mend", reads={"draft": "title"}),
        op.Score("scored", "judge"),
        op.KeepBest("best"),
    ]
    program = ts.GraphOfThoughts(
        graph,
        write=ts.Predict("text -> title"),
        mend=ts.Predict("draft -> title"),
        judge=ts.Predict("title -> points: float"),
    )
    found = ask(program, "good", "bad", "0.9", "0.1")
    assert (found.toDict().keys(), found.title, found.score) == ({"title", "score", "log", "stopped"}, "good", 0.9)
    assert calls_of(program) == (4, True)


def test_thoughts_are_improved_until_they_are_valid() -> None:
    def valid(thought: Any) -> bool:
        return bool(thought.title.istitle())

    mend = op.ValidateAndImprove("valid", "mend", function=valid, reads={"was": "title"})
    program = ts.GraphOfThoughts(
        [op.Generate("first", "write"), mend], write=ts.Predict("text -> title"), mend=ts.Predict("was -> title")
    )
    assert calls_of(program) == (4, True)
    assert ask(program, "Snow").log[1]["calls"] == 0
    assert ask(program, "snow", "sNow", "Snow", "?").title == "Snow"
    assert ask(program, "a", "b", "c", "d").title == "d"


def test_a_module_may_split_and_a_reply_that_cannot_be_read_is_left_out() -> None:
    graph = [
        op.Split("parts", "cut", into="word", most=3),
        op.Generate("lengths", "count"),
        op.Aggregate("sum", "add", reads={"numbers": "length"}),
    ]
    program = ts.GraphOfThoughts(
        graph,
        cut=ts.Predict("text -> words: list[str]"),
        count=ts.Predict("word -> length: int"),
        add=ts.Predict("numbers: str -> total: int"),
    )
    lm = ts.ScriptedLM('["ab", "abc", "d", "left out"]', "2", "?", "1", "3")
    with dspy.context(lm=lm):
        assert program(text="ab abc d").total == 3
    assert "1. 2\n  2. 1" in lm.requests[-1].messages[-1].text
    assert calls_of(program) == (5, True)


def test_operations_run_after_those_that_they_name() -> None:
    def length(thought: Any) -> int:
        return len(thought.title)

    graph = [
        op.KeepBest("best", after=["plain", "scored"]),
        op.Generate("plain", "write", after="start"),
        op.Score("scored", function=length, after="again"),
        op.Generate("again", "write", after="start"),
        op.Generate("start", "read", after=[]),
    ]
    modules = {"read": ts.Predict("text -> gist"), "write": ts.Predict("gist -> title")}
    found = ask(ts.GraphOfThoughts(graph, **modules), "snow", "one", "two")
    assert [one["operation"] for one in found.log] == ["start", "plain", "again", "scored", "best"]
    assert (found.title, found.score, found.log[-1]["thoughts"]) == ("two", 3.0, 1)
    with pytest.raises(UsageError, match="circle"):
        ts.GraphOfThoughts([*graph[:-1], op.Generate("start", "read", after="best")], **modules)


def test_an_artifact_holds_the_graph_but_no_function(tmp_path: Path) -> None:
    program = sorting()
    ts.save(tmp_path / "one", program)
    loaded = ts.load(tmp_path / "one")
    assert [one.to_json() for one in loaded.operations] == [one.to_json() for one in program.operations]
    with pytest.raises(UsageError, match="`function` of the operation `halves`"):
        sort(loaded)
    assert sort(ts.load(tmp_path / "one", program=program))[0].score == 0.0


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: ts.GraphOfThoughts([]), "at least one"),
        (lambda: ts.GraphOfThoughts([{"kind": "Guess"}]), "one of Split"),
        (lambda: ts.GraphOfThoughts([op.Generate("x", "y")]), "y=ts.Predict"),
        (lambda: ts.GraphOfThoughts([op.KeepBest("x"), op.KeepBest("x")]), "Two operations"),
        (lambda: ts.GraphOfThoughts([op.KeepBest("x", after="z")]), "after `z`"),
        (lambda: ts.GraphOfThoughts([op.Generate("x", "y")], y=ts.Predict("q -> score")), "`score`"),
        (lambda: op.Generate("x"), "needs `by`"),
        (lambda: op.Score("x"), "`by`, or `function`"),
        (lambda: op.KeepBest("x", "y"), "no `by`"),
        (lambda: op.Score("x", function="f"), "must be a function"),
        (lambda: op.Generate("x", "y", times=0), "`times`"),
        (lambda: op.Generate(""), "has a name"),
    ],
)
def test_wrong_arguments_are_refused(made: Callable[[], object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        made()
