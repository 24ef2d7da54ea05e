"""`tunesmith demo`."""

import json
import random
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import check_failure, run, run_process
from tests.crash.killed_demo import check_kills
from tunesmith.experiments import DEMO_BUDGET


def test_a_run_of_something_else_is_left_alone_and_what_is_advised_can_be_done(tmp_path: Path) -> None:
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "run.json").write_text('{"program": "other"}', encoding="utf-8")
    told = check_failure(run("demo", "--lm", "openai/tiny", "--limit", "5", "--quiet"), 2)
    assert "runs/demo" in told
    options = run("demo", "--help").stdout
    assert {"--new", "--fork"} == set(re.findall(r"--\w+", told))
    assert "--new" in options
    assert "--fork" in options


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_demo_that_was_killed_four_times_ends_like_an_undisturbed_one_and_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model answers each question once: the undisturbed demo, and what is done below, finds its replies."""
    kills = sorted(random.Random(0).sample(range(45), 4))  # evaluations of 56; 5 examples of each split
    check_kills(tmp_path, kills, "--limit", "5")
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))

    check_result(run("demo", "--limit", "5", "--json", "--quiet"), tmp_path)
    again = run("demo", "--limit", "5", "--quiet")
    assert again.exit_code == 0, again.stderr
    for part in (
        "the program as declared",
        "one demo per topic, no search",
        "compiled",
        "vote of 5 similar comments, no LM",
        f"Budget: {DEMO_BUDGET} calls",
        "paid now",
        "What compiling changed",
        "tunesmith predict runs/demo/artifact comment=",
    ):
        assert part in again.stdout
    paid_now = next(line for line in again.stdout.splitlines() if line.startswith("paid now"))
    assert paid_now.split()[2] == "0"
    assert run("demo", "--limit", "6", "--quiet").exit_code == 2  # another run
    before = len(list((tmp_path / "runs").iterdir()))
    assert run("demo", "--limit", "5", "--quiet", "--new").exit_code == 0
    assert len(list((tmp_path / "runs").iterdir())) == before + 1

    told = run("predict", "runs/demo/artifact", "comment=The soup was cold.", "--lm", "embedded", "--json")
    assert json.loads(told.stdout)["topic"] in {"room", "food", "staff", "location", "price"}


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(900)
def test_it_compiles_on_the_embedded_model_in_an_empty_folder(tmp_path: Path) -> None:
    check_result(run_process("demo", "--limit", "5", "--json", "--quiet", folder=tmp_path), tmp_path)


def check_result(found: Result | subprocess.CompletedProcess[str], folder: Path) -> None:
    """Check what a demo on five examples of each split printed as JSON."""
    assert found.stdout, found.stderr
    result = json.loads(found.stdout)
    for row in ("baseline", "compiled", "labeled_few_shot", "no_lm"):
        assert set(result[row]) == {"mean", "low", "high", "n", "errors"}
        assert result[row]["n"] == 5
    assert set(result["gain"]) == {"mean", "low", "high", "n"}
    for cost in ("calls", "tokens", "seconds"):
        assert set(result[cost]) == {"charged", "paid"}
    assert result["verdict"] in {"ship", "no evidence", "regression"}
    assert Path(result["artifact"]["path"]) == (folder / "runs" / "demo" / "artifact").resolve()
