"""The order in which a raced compile sends its calls: what a server with one slot reads of their prompts."""

import hashlib
import json
from typing import Any

import pytest

from tests.protocol import embedded_backend
from tests.protocol.backends import FunctionBackend
from tests.scripts import benchmark

_TOPICS = ("room", "food", "staff", "location", "price")


tokens = benchmark("race_tokens")


def guess(messages: list[dict[str, Any]], _options: dict[str, Any]) -> str:
    """Answer by chance, but equally where the same candidate is asked the same."""
    text = messages[-1]["content"] + messages[min(1, len(messages) - 1)]["content"]
    return json.dumps(_TOPICS[hashlib.sha256(text.encode()).digest()[0] % len(_TOPICS)])


@pytest.fixture(scope="module")
def counted() -> dict[str, Any]:
    """What a server reads that keeps its last prompt, token by token as llama.cpp does."""
    few, short = tokens.SMALL
    found: dict[str, Any] = tokens.measured(
        lambda: FunctionBackend(guess), candidates=few, examples=short, in_turn=True
    )
    return found


@pytest.mark.slow
def test_a_race_reads_at_most_half_of_what_it_would_example_by_example(counted: dict[str, Any]) -> None:
    assert tokens.broken([counted]) == []
    assert counted["of_example_by_example"] > 0
    assert len(counted["blocks"]) > 2


@pytest.mark.slow
def test_no_order_block_by_block_reads_less_than_the_best(counted: dict[str, Any]) -> None:
    assert counted["best_order"] <= counted["race"] < counted["example_by_example"], counted


@pytest.mark.slow
def test_a_race_reads_hardly_more_than_the_best_order() -> None:
    rows = [tokens.measured(lambda: FunctionBackend(guess), seed) for seed in range(5)]
    assert sum(row["race"] for row in rows) <= tokens.MOST_OVER_BEST * sum(row["best_order"] for row in rows), rows


def test_the_committed_figures_on_the_embedded_model_keep_the_promise() -> None:
    rows = json.loads(tokens.OUT.read_text(encoding="utf-8"))["rows"]
    assert [row["seed"] for row in rows] == [0, *tokens.SEEDS]
    assert [row["candidates"] for row in rows[1:]] == [tokens.CANDIDATES] * len(tokens.SEEDS)
    assert "of_example_by_example" in rows[0]
    assert tokens.broken(rows) == []


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_on_the_embedded_model_a_race_reads_at_most_half_of_example_by_example() -> None:
    found = tokens.measured(embedded_backend, candidates=3, examples=8, in_turn=True)
    assert tokens.broken([found]) == []
    assert found["best_order"] <= found["race"], found
