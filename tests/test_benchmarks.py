"""The committed figures: all are there, and what must hold does. Nothing is timed here."""

import json
import operator
from pathlib import Path
from typing import Any

from tests.each import each

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RESULTS = json.loads((BENCHMARKS / "results.json").read_text(encoding="utf-8"))
ROWS = {row["name"]: row for row in RESULTS["rows"]}

LIMITS = {
    "predict_0_demos": 0.30,
    "predict_4_demos": 0.13,
    "predict_16_demos": 0.07,
    "demo_cost": 1.25,
    "import": 0.05,
    "help": 0.12,
    "version": 0.15,
    "completion": 0.15,
    "verb_help": 0.15,
    "first_line": 1.25,
    "load_and_predict": 0.7,
    "cache_reads": 2.0,
    "cache_writes": 1.0,
    "evaluate_1_thread": 5.0,
    "evaluate_8_threads": 3.0,
    "embedded_wall": 0.5,
    "calls_per_prediction": 1.0,
    "slots": 1.35,
    "slots_different": 0,
    "memory_evaluate": 10.0,
    "memory_load": 10.0,
    "cache_lock_errors": 0,
    "cache_lost_writes": 0,
    "cache_single_flight": 1,
    "ollama_call": 0.55,
    "ollama_call_ms": 1.5,
    "ollama_predict": 0.55,
    "ollama_connections": 1,
    "prefix_grouped": 1.05,
    "prefix_alternating": 5.0,
    "demo": 0.55,
}
SETTINGS = [f"{demos}_demos_{threads}" for demos in (0, 8) for threads in ("1_thread", "8_threads")]
LIMITS |= {f"{name}_{setting}": 0.4 for setting in SETTINGS for name in ("compile", "compile_ledger")}
LIMITS |= {f"compile_lead_{setting}": 2.4 for setting in SETTINGS}
AT_LEAST = {
    "cache_reads",
    "cache_writes",
    "evaluate_1_thread",
    "evaluate_8_threads",
    "prefix_alternating",
    "slots",
    *(f"compile_lead_{setting}" for setting in SETTINGS),
}
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


def test_every_row_is_there_once() -> None:
    assert sorted(row["name"] for row in RESULTS["rows"]) == sorted(LIMITS)


@each("name", LIMITS)
def test_a_row_is_held_against_the_promised_limit(name: str) -> None:
    row = ROWS[name]

    compare = operator.ge if name in AT_LEAST else operator.le
    assert row["limit"] == LIMITS[name]
    assert row["required"] == (name in REQUIRED)
    assert row["holds"] == compare(row["figure"], LIMITS[name])


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
    assert {row["benchmark"] for row in RESULTS["rows"]} == {
        path.stem.removeprefix("bench_") for path in BENCHMARKS.glob("bench_*.py")
    }


def _is_commit(text: Any) -> bool:
    return isinstance(text, str) and len(text) == 40 and set(text) <= set("0123456789abcdef")
