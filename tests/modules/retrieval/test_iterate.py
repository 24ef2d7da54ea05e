"""A search goes on until nothing is missing."""

import asyncio
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tests.modules.retrieval.test_queries import Searched
from tunesmith.errors import ParseError
from tunesmith.lm import FunctionLM, Seen, StopSignal
from tunesmith.modules import calls_of

HOPS = ts.Corpus.of(
    {
        "roller": "The Lost Gravity roller coaster was built by Mack Rides.",
        "mack": "Mack Rides is a company from Waldkirch, Germany.",
        "other": "Waldkirch has an old castle.",
    }
)


def test_a_question_of_two_hops_is_searched_in_two_steps() -> None:
    """The question of Trivedi et al. 2022, figure 2: the second search needs the name that the first one found."""

    def reader(seen: Seen) -> str:
        if "from Waldkirch, Germany" in seen.text:
            return "enough"
        return "Where is the company Mack Rides from?" if "Mack Rides" in seen.text else "Lost Gravity"

    lm = FunctionLM(reader)
    search = ts.Iterate(ts.BM25(HOPS))
    question = "In what country was Lost Gravity manufactured?"
    with dspy.context(lm=lm):
        found = search(question, k=2)
        calls = len(lm.requests)
        again = asyncio.run(search.acall(question, k=2))
    assert [one.source for one in found] == ["roller", "mack"]
    assert found == again
    assert calls == 2
    assert "mack" not in [one.source for one in ts.BM25(HOPS)(question)]


@each(
    ("replies", "asked"),
    [
        (["Enough."], ["q"]),
        (["ENOUGH"], ["q"]),
        (["Q"], ["q"]),
        (["two", "two"], ["q", "two"]),
        (["same"], ["q", "same"]),
        (["two", "three", "four"], ["q", "two", "three", "four"]),
        ([ParseError("no", reason="invalid", raw="")], ["q"]),
    ],
)
def test_it_stops_by_each_rule(replies: list[Any], asked: list[str]) -> None:
    search = Searched(q=["a"], two=["b"], same=["a"], three=["c"], four=["d"])
    program = ts.Iterate(search, rounds=3)
    lm = ts.ScriptedLM(*replies)
    with dspy.context(lm=lm):
        found = program("q", k=9)
    assert search.asked == asked
    assert len(lm.requests) == len(replies) <= calls_of(program)[0] == 3
    assert {one.text for one in found} == {text for query in asked for text in search.found[query]}


def test_the_first_of_each_search_come_first_and_all_were_read() -> None:
    search = Searched(q=["a", "b", "c"], two=["d", "e"])
    lm = ts.ScriptedLM("two", "enough")
    with dspy.context(lm=lm):
        found = ts.Iterate(search)("q", k=3)
    assert {one.text for one in found[:2]} == {"a", "d"}
    assert all(f"] {text}" in lm.requests[1].messages[-1].text for text in "abcde")


def test_without_rounds_it_asks_nobody() -> None:
    with dspy.context(lm=ts.ScriptedLM()):
        assert [one.text for one in ts.Iterate(lambda query: ["a"], rounds=0)("q")] == ["a"]


def test_a_budget_that_ends_ends_the_search() -> None:
    meter, lm = ts.Meter(ts.Budget(calls=1)), ts.ScriptedLM("two", "three")
    with ts.metered(meter), dspy.context(lm=lm), pytest.raises(StopSignal):
        ts.Iterate(Searched(q=["a"], two=["b"]))("q")
    assert meter.charged.calls == 1
