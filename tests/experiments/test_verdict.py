"""Verdicts, and how often a test split was looked at."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.evaluation import Interval
from tunesmith.experiments import VERDICTS, verdict_of
from tunesmith.experiments.verdict import count_opening


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.2, "ship"),
        (0.0, 0.2, "no evidence"),
        (-0.1, 0.2, "no evidence"),
        (-0.2, 0.0, "no evidence"),
        (-0.2, -0.01, "regression"),
        (0.0, 0.0, "no evidence"),
    ],
)
def test_the_interval_decides(low: float, high: float, verdict: str) -> None:
    assert verdict_of(Interval((low + high) / 2, low, high, 100)) == verdict


def test_without_a_gain_it_is_untested() -> None:
    assert verdict_of(None) == "untested"
    assert verdict_of(Interval(None, None, None, 0)) == "untested"


@given(st.floats(-1, 1), st.floats(0, 1))
def test_every_interval_has_one_verdict(low: float, width: float) -> None:
    found = verdict_of(Interval(low + width / 2, low, low + width, 50))
    assert found in VERDICTS
    assert (found == "ship") == (low > 0)
    assert (found == "regression") == (low + width < 0)


def test_every_run_opens_a_split_once(home: Path) -> None:
    assert [count_opening("split", run) for run in ("a", "a", "b", "a", "c")] == [1, 1, 2, 2, 3]
    assert count_opening("another split", "a") == 1
    kept = json.loads((home / "test-splits.json").read_text(encoding="utf-8"))
    assert kept == {"split": ["a", "b", "c"], "another split": ["a"]}


@pytest.mark.parametrize("damaged", ["", "{", "[]", '"x"', '{"split": 3}', '{"split": null}'])
def test_a_damaged_count_begins_anew(home: Path, damaged: str) -> None:
    (home / "test-splits.json").write_text(damaged)
    assert count_opening("split", "a") == 1
    assert count_opening("split", "b") == 2


def test_openings_at_once_are_all_counted(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: count_opening("split", f"run {i}"), range(24)))
    assert count_opening("split", "run 0") == 24


def test_openings_of_another_process_count(home: Path) -> None:
    assert count_opening("split", "ours") == 1
    # What another process does is in the file, and nothing else is.
    (home / "test-splits.json").write_text('{"split": ["ours", "theirs"]}')
    assert count_opening("split", "ours too") == 3
