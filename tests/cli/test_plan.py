"""What `tunesmith compile` says of its plan, before and during the run."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, run

LOOP = (
    "import dspy\n\nfrom program import RouteReport\n\n\n"
    "class Looping(dspy.Module):\n"
    "    def __init__(self):\n        super().__init__()\n        self.step = dspy.Predict(RouteReport)\n\n"
    "    def forward(self, report):\n"
    "        return [self.step(report=report) for _ in range(2)][-1]\n\n\n"
    "program = Looping()\n"
)


def test_the_live_line_says_how_long_what_is_planned_takes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.experiments.progress._PLAIN_EVERY", 0.0)  # seconds: every step is told
    options = ("compile", "--json", "--compiler", "random-search", "--budget-calls", "900")
    planned = json.loads(run(*options, "--dry-run", "--quiet").stdout)["calls"]
    assert planned["expected"] < 300
    found = run(*options, "--run", "other", "--seed", "7")
    assert found.exit_code == 0, found.stderr
    spent = [int(used) for used in re.findall(r"ETA \d+ s, (\d+) of 900 calls charged", found.stderr)]
    assert spent
    assert max(spent) < planned["expected"]


def test_a_plan_that_stands_on_an_estimate_says_so(workspace: Workspace) -> None:
    (workspace.folder / "loop.py").write_text(LOOP, encoding="utf-8")
    file = workspace.folder / "tunesmith.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("budget_calls = 120\n", ""), encoding="utf-8")
    options = ("compile", "--dry-run", "--quiet", "--program", "loop:program")
    assert "Calls per example are taken as 1: 1 of the program, 0 of the metric." in run(*options).stdout
    assert "Where several run at once, you wait less." in run(*options).stdout
    assert not json.loads(run(*options, "--json").stdout)["calls_per_example"]["known"]
    assert json.loads(run(*options, "--json", "--budget-calls", "200").stdout)["calls"]["worst"] <= 200


def test_a_compiler_of_the_projects_own_is_planned_with_its_options(workspace: Workspace) -> None:
    code = (Path(__file__).parents[1] / "compilers" / "asking.py").read_text(encoding="utf-8")
    (workspace.folder / "own_compiler.py").write_text(code, encoding="utf-8")
    options = ("compile", "--dry-run", "--quiet", "--compiler", "own_compiler:Asking", "--set", "proposals=3")
    assert "Proposals: 6, asked of the prompt model" in run(*options, "--set", "rounds=2").stdout
    assert json.loads(run(*options, "--json").stdout)["proposals"] == 3
    wrong = run(*options, "--set", "rounds=0")
    assert (wrong.exit_code, "`rounds` must be at least 1. Given: 0." in wrong.stderr) == (2, True)
    assert "There is no compiler 'magic'. Use one of: " in run("compile", "--compiler", "magic").stderr
    assert "`--set` takes `option=value`" in run("compile", "--set", "rounds").stderr
