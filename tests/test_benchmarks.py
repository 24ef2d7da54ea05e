"""The committed figures: all are there, and what must hold does. Nothing is timed here."""

import json
import operator
from pathlib import Path
from typing import Any

import pytest

from tests.each import each
from tests.scripts import benchmark

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RESULTS = json.loads((BENCHMARKS / "results.json").read_text(encoding="utf-8"))
ROWS = {row["name"]: row for row in RESULTS["rows"]}

GOALS = benchmark("goals").goals()

REQUIRED = {
    "import",
    "help",
    "version",
    "completion",
    "verb_help",
    "calls_per_prediction",
    "memory_evaluate",
    "memory_load",
    "cache_lock_errors",
    "cache_lost_writes",
    "cache_single_flight",
    "ollama_call",
    "ollama_connections",
    "prefix_grouped",
    "slots_different",
}


def rows_of(goal: Any) -> list[Any]:
    """Return the rows of `results.json` that give the value of a goal."""
    start, figure, rest = goal.at.partition("].figure")
    if not figure or rest or goal.value is None:
        return []
    found: list[Any] = benchmark("goals").found(RESULTS, start + "]")
    return found


def test_every_row_has_a_goal_with_its_limit() -> None:
    held = [(row, goal) for goal in GOALS if goal.script.startswith("bench_") for row in rows_of(goal)]

    assert sorted(row["name"] for row, _ in held) == sorted(row["name"] for row in RESULTS["rows"])
    for row, goal in held:
        assert row["limit"] == goal.bound, row["name"]
        assert row["at_most"] == (goal.at_least is None), row["name"]
        compare = operator.le if row["at_most"] else operator.ge
        assert row["holds"] == compare(row["figure"], row["limit"]), row["name"]


def test_every_goal_is_measured_tested_or_still_to_do() -> None:
    for goal in GOALS:
        assert (goal.at_most is None) != (goal.at_least is None), goal
        assert sum(map(bool, (goal.at, goal.made_by, goal.test, goal.todo))) == 1, goal
        assert not goal.script or (BENCHMARKS / f"{goal.script}.py").exists(), goal
        if goal.test:
            file, _, name = goal.test.partition("::")
            assert f"def {name}(" in (BENCHMARKS.parent / file).read_text(encoding="utf-8"), goal


def test_a_goal_that_is_missed_says_what_holds_it_back() -> None:
    assert [goal for goal in GOALS if goal.met is False and not goal.why] == []


def test_a_place_that_is_not_in_the_results_is_an_error() -> None:
    goals = benchmark("goals")
    data = {"rows": [{"name": "one", "figures": [1, 2]}, {"name": "other", "figures": [3, 4]}]}

    assert goals.found(data, "rows[*].figures.1") == [2, 4]
    assert goals.found(data, "rows[name^=o].figures.0") == [1, 3]
    assert goals.found(data, "rows[name=one; figures.0=1].name") == ["one"]
    for wrong in ("rows[name=none].figures.0", "rows[*].figure", "lines", "rows[names=one]", "rows[*].figures.2"):
        with pytest.raises(ValueError, match=r"There is no|Nothing is at"):
            goals.found(data, wrong)


@each("name", sorted(REQUIRED))
def test_what_must_hold_holds(name: str) -> None:
    assert ROWS[name]["holds"], ROWS[name]


def test_a_prediction_on_the_embedded_model_is_exactly_one_call() -> None:
    details = ROWS["calls_per_prediction"]["details"]

    assert details["calls"] == details["predictions"] == 100


def test_the_results_say_what_they_were_measured_on() -> None:
    assert set(RESULTS["machine"]) == {"cores", "python", "platform"}
    assert set(RESULTS["versions"]) == {"tunesmith", "dspy", "diskcache", "pydantic", "xllamacpp"}
    assert all(_is_commit(row["commit"]) for row in RESULTS["rows"])


def test_every_row_comes_from_a_script() -> None:
    scripts = {path.stem.removeprefix("bench_") for path in BENCHMARKS.glob("bench_*.py")}

    assert {row["benchmark"] for row in RESULTS["rows"]} <= scripts == set(benchmark("run").NAMES)


def test_figures_of_this_commit_stay_and_others_are_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, now = benchmark("run"), {"commit": "b" * 40, "changed_since": False}
    old = [{"name": name, "benchmark": "start", "commit": "a" * 40, "figure": 1} for name in ("import", "help")]
    (tmp_path / "results.json").write_text(json.dumps({"rows": old}), encoding="utf-8")
    (tmp_path / "pal.json").write_text(json.dumps(now), encoding="utf-8")
    monkeypatch.setattr(run, "OUT", tmp_path / "results.json")
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "facts", lambda: now)
    monkeypatch.setattr(run, "DATA", tmp_path / "none")

    assert run.left_out("start", run.Results(), again=False) is None
    run.Results().add("start", [{"name": "help", "figure": 2}], 0.5)

    results = run.Results()
    assert {name: row["figure"] for name, row in results.rows.items()} == {"import": 1, "help": 2}
    assert "on this commit" in run.left_out("start", results, again=False)
    assert "on this commit" in run.left_out("pal", results, again=False)
    assert run.left_out("start", results, again=True) is run.left_out("react", results, again=False) is None
    assert "the data are missing" in run.left_out("modules", results, again=True)


def _is_commit(text: Any) -> bool:
    return isinstance(text, str) and len(text) == 40 and set(text) <= set("0123456789abcdef")
