"""`tunesmith data mine`."""

import json
from pathlib import Path

from tests.cli.conftest import Workspace, check_failure, rows, run


def test_the_hard_examples_are_shown_and_written(workspace: Workspace) -> None:
    found = run("data", "mine", "first", "-n", "3", "--to", "hard.jsonl")
    assert found.exit_code == 0, found.stderr
    assert found.stdout.splitlines()[0].split() == [
        "example",
        "label",
        "answers",
        "score",
        "other",
        "answers",
        "failed",
        "candidates",
    ]
    assert found.stdout.endswith("wrote hard.jsonl: 3 rows\n")
    made = rows(Path("hard.jsonl"))
    assert set(made[0]) == {"report", "team", "provenance"}
    scores = [row["provenance"]["score"] for row in made]
    assert scores == sorted(scores)
    assert scores[0] < 1
    assert made[0]["provenance"]["run"] == "first"


def test_json_has_every_answer(workspace: Workspace) -> None:
    found = json.loads(run("data", "mine", "first", "--by", "disagreement", "--json").stdout)
    one = found["examples"][0]
    assert one["disagreement"] > 0
    assert sum(one["answers"].values()) + one["failed"] == one["candidates"]
    assert found["written"] is None


def test_a_run_or_a_file_that_cannot_be_used_is_told(workspace: Workspace) -> None:
    assert "There is no run" in check_failure(run("data", "mine", "nothing"), 2)
    assert "exists" in check_failure(run("data", "mine", "first", "--to", "data/reports.jsonl"), 2)
    assert "scored by 900 candidates" in check_failure(run("data", "mine", "first", "--least", "900"), 1)
