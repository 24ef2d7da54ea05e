"""The page on judges shows the committed figures."""

import json
from pathlib import Path

from tests.scripts import benchmark

ROOT = Path(__file__).parents[2]


def test_the_table_is_the_committed_results() -> None:
    page = (ROOT / "docs" / "judge.md").read_text(encoding="utf-8")
    assert benchmark("judge_agreement").rendered(page) == page, "run `python benchmarks/judge_agreement.py --docs`"


def test_every_judge_has_agreement_with_interval_and_pairs_have_flips() -> None:
    found = json.loads((ROOT / "benchmarks" / "judge.json").read_text(encoding="utf-8"))
    for row in found["rows"]:
        agreement = row["agreement"]
        assert agreement["low"] <= agreement["mean"] <= agreement["high"]
        assert (row["flips"] is not None) == row["judge"].startswith("pairwise")
