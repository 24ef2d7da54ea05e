"""A router chooses where a query is searched."""

from pathlib import Path
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.modules import calls_of


def part(*texts: str, **options: Any) -> ts.Retrieve:
    return ts.Retrieve(ts.BM25(texts), field="query", **options)


def route(**options: Any) -> ts.Route:
    given = {"descriptions": {"cards": "bank cards", "rooms": "hotel rooms"}, "rules": {"card": "cards"}} | options
    return ts.Route(ts.Router("query", cards=part("a red card", "a card"), rooms=part("a red room"), **given))


def ask(search: Any, query: str, *replies: str, k: int = 5) -> list[str]:
    with dspy.context(lm=ts.ScriptedLM(*replies)):
        return [one.text for one in search(query, k=k)]


def test_rules_and_the_model_choose_a_search() -> None:
    assert ask(route(), "red card") == ["a red card", "a card"]
    assert ask(route(), "red card", k=1) == ["a red card"]
    assert ask(route(), "something red", "rooms") == ["a red room"]
    assert ask(route(), "something red", "none") == []
    assert ask(route(default="rooms"), "something red", "none") == ["a red room"]
    assert calls_of(route()) == (1, True)


def test_the_least_score_of_a_part_counts() -> None:
    router = ts.Router("query", default="one", one=part("a b", min_score=99.0), two=part("a"), rules={"z": "two"})
    assert ask(ts.Route(router), "a z") == ["a"]
    assert ask(ts.Route(router), "a", "none") == []


def test_an_artifact_is_loaded_without_code(tmp_path: Path) -> None:
    program = ts.RAG(route())
    ts.save(tmp_path / "a", program)
    assert ask(ts.load(tmp_path / "a").retrieve.retriever, "red card") == ["a red card", "a card"]


@each(
    "router",
    [
        None,
        ts.Router("text", a=ts.Predict("text -> x"), b=ts.Predict("text -> x")),
        ts.Router("query", a=ts.Predict("query -> x"), b=ts.Predict("query -> x")),
    ],
)
def test_a_router_of_something_else_is_refused(router: Any) -> None:
    with pytest.raises(UsageError, match="`router` must be"):
        ts.Route(router)
