"""`benchmarks/compilers.py`: its cells, what it does with missing data and a torn line. The real runs are not made here."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.evaluation.replies import written
from tests.scripts import benchmark
from tunesmith.lm import FunctionLM


@pytest.fixture
def comparison() -> ModuleType:
    return benchmark("compilers")


def answering() -> FunctionLM:
    return FunctionLM(lambda seen: written(seen, topic="room"))


def test_the_first_arms_are_on_every_task_with_two_seeds(comparison: ModuleType) -> None:
    found = comparison.cells()

    assert len(set(found)) == len(found)
    for arm in ("as-given", "random-search", "joint-search", *comparison.DSPY):
        assert {(task, seed) for task, one, seed in found if one == arm} == {
            (task, seed) for task in comparison.TASKS for seed in (0, 1)
        }
    assert {(task, seed) for task, arm, seed in found if arm == "bootstrap-few-shot"} == {
        ("sentiment", 0),
        ("banking77", 0),
    }


def test_cells_are_chosen_by_patterns(comparison: ModuleType) -> None:
    assert list(comparison.chosen("demo:as-given:*")) == [("demo", "as-given", 0), ("demo", "as-given", 1)]
    with pytest.raises(SystemExit, match="No cell is like 'demo:nothing'"):
        list(comparison.chosen("demo:nothing"))


def test_a_cell_says_what_was_found_and_what_it_cost(comparison: ModuleType) -> None:
    row = comparison.run(("demo", "labeled-few-shot", 0), answering(), answering(), {})

    assert row["n"] == 200
    assert 0 < row["mean"] < 1
    assert row["calls"] <= comparison.CALLS
    assert row["tokens"] > row["calls"]
    json.dumps(row)


def test_an_optimizer_of_dspy_runs_under_both_adapters(comparison: ModuleType) -> None:
    for arm in comparison.DSPY[:2]:
        (cell,) = comparison.chosen(f"demo:{arm}:0")
        row = comparison.run(cell, answering(), answering(), {})
        assert row["n"] == 200, row
        assert 60 <= row["calls"] <= comparison.MOST


def test_a_third_of_the_calls_is_that_of_the_best_arm_of_dspy(comparison: ModuleType) -> None:
    one, other = comparison.DSPY[:2]
    found = [(one, 0, 0.5, 300), (one, 1, 0.1, 300), (other, 0, 0.4, 200), (other, 1, 0.4, 170)]  # `other` is better
    rows = {
        ("demo", arm, seed): {"cell": ("demo", arm, seed), "mean": mean, "calls": calls}
        for arm, seed, mean, calls in found
    }

    assert [comparison.third("demo", seed, rows) for seed in (0, 1)] == [66, 56]
    skipped = comparison.run(("demo", comparison.THIRD, 0), answering(), answering(), {})
    assert skipped["skipped"] == "no optimizer of DSPy is measured on this task"


def test_a_cell_without_data_says_so(comparison: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(comparison, "DATA", tmp_path)
    row = comparison.run(("antonyms", "random-search", 0), answering(), answering(), {})
    assert row["skipped"].startswith("the data are missing")


def test_committed_cells_are_done_and_a_torn_line_is_run_again(tmp_path: Path) -> None:
    measure = benchmark("measure")
    results, lines = tmp_path / "results.json", tmp_path / "rows.jsonl"
    results.write_text('{"rows": [{"cell": ["demo", "as-given", 0]}, {"cell": ["demo", "gepa", 0]}]}', encoding="utf-8")
    lines.write_text('{"cell": ["demo", "as-given", 0], "mean": 0.5}\n{"cell": ["demo", "as', encoding="utf-8")

    measure.add_line(lines, {"cell": ["demo", "ape", 0]})

    found = measure.finished(results, lines)
    assert list(found) == [("demo", "as-given", 0), ("demo", "gepa", 0), ("demo", "ape", 0)]
    assert found["demo", "as-given", 0]["mean"] == 0.5
