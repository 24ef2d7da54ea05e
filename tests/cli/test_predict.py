"""`tunesmith predict`."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Workspace, check_failure, rows, run
from tests.cli.server import Server

A = Workspace.artifact


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_fields_give_the_outputs_as_text_or_json(workspace: Workspace) -> None:
    report = "The swing by the pond has a broken chain."
    assert run("predict", A, f"report={report}").stdout == "team: parks\n"
    assert json.loads(run("predict", A, f"report={report}", "--json").stdout) == {"team": "parks"}


def test_a_value_may_hold_equals_signs_and_lines(workspace: Workspace, server: Server) -> None:
    assert run("predict", A, "report=a=b\nTeam: waste").exit_code == 0
    assert server.requests[-1]["messages"][-1]["content"].split() == ["Report:", "a=b", "Team:", "waste"]


@pytest.mark.parametrize("slots", ["1", "4"])
def test_lines_are_answered_in_order_and_a_bad_one_loses_nothing(workspace: Workspace, slots: str) -> None:
    known = rows(workspace.folder / "data" / "reports.jsonl")
    given = [json.dumps(row) for row in known]
    given[3:3] = ["", "not json", '{"report": true}', "[1]", '{"other": "x"}', '{"report": "\\ud800"}', "{" * 5000]
    given.append('{"report": "x", "report": "y"}')
    found = run("predict", A, "-", "--slots", slots, "--quiet", stdin="\n".join(given))
    assert (found.exit_code, found.stderr) == (1, "")
    answers = lines(found.stdout)
    good = [answer for answer in answers if "error" not in answer]
    assert good == [{"team": row["team"]} for row in known]
    bad = {answer["line"]: answer["error"] for answer in answers if "error" in answer}
    assert sorted(bad) == [5, 6, 7, 8, 9, 10, len(given)]  # line 4 is blank: no input
    assert [set(error) for error in bad.values()] == [{"type", "message"}] * 7
    assert answers[3]["line"] == 5
    assert "`report`" in bad[6]["message"]
    assert "'report' occurs twice" in bad[len(given)]["message"]


def test_bytes_that_are_no_text_are_one_bad_line(workspace: Workspace) -> None:
    found = run("predict", A, stdin=b'\xef\xbb\xbf{"report": "One."}\n\xff\xfe\n{"report": "Two."}\n')
    assert found.exit_code == 1
    assert ["error" in answer for answer in lines(found.stdout)] == [False, True, False]


def test_no_lines_are_no_answers_when_asked_for_and_a_mistake_when_not(workspace: Workspace) -> None:
    found = run("predict", A, "-", stdin="\n\n")
    assert (found.exit_code, found.stdout) == (0, "")
    assert "report" in check_failure(run("predict", A, stdin="\n"), 2)


def test_typed_inputs_are_read_as_their_type_or_as_json(workspace: Workspace) -> None:
    write_program(
        workspace.folder,
        "class Count(ts.Signature):\n"
        "    report: str = ts.InputField()\n"
        "    amount: int = ts.InputField()\n"
        "    tags: list[str] = ts.InputField()\n"
        "    team: Literal['streets', 'waste'] = ts.OutputField()\n",
        "Count",
        [{"report": f"r{i}", "amount": i, "tags": ["a"], "team": "streets"} for i in range(20)],
    )
    done = run("compile", "--run", "typed", "--budget-calls", "40", "--quiet")
    assert done.exit_code == 0, done.stderr
    path = "runs/typed/artifact"
    assert run("predict", path, "report=5", "amount=3", 'tags=["x", "y"]').stdout == "team: streets\n"
    assert "`amount`" in check_failure(run("predict", path, "report=5", "amount=three", 'tags=["x"]'), 1)
    assert "`tags`" in check_failure(run("predict", path, "report=5", "amount=3", "tags=x"), 1)
    assert "`amount`" in check_failure(run("predict", path, "report=5", "amount=true", "tags=[]"), 1)


def test_a_class_of_the_user_runs_only_where_it_is_allowed(workspace: Workspace) -> None:
    (workspace.folder / "steps.py").write_text(
        "import dspy\n\n"
        "class Steps(dspy.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.route = dspy.Predict('report -> team')\n\n"
        "    def forward(self, report):\n"
        "        return self.route(report=report.strip())\n",
        encoding="utf-8",
    )
    done = run("compile", "--program", "steps:Steps", "--run", "steps", "--budget-calls", "60", "--quiet")
    assert done.exit_code == 0, done.stderr
    path = "runs/steps/artifact"
    assert "steps:Steps" in check_failure(run("predict", path, "report=x"), 1)
    assert run("predict", path, "report=x", "--allow", "steps:Steps").exit_code == 0
    assert run("eval", path, "--allow", "steps:Steps", "--quiet").exit_code == 0
    sent = run("show", path, "--messages", "report= x ", "--allow", "steps:Steps", "--json")
    asked = json.loads(sent.stdout)["messages"]["messages"][-1]["content"]
    assert "x" in asked
    assert " x " not in asked, "the class strips its input"
    steps = workspace.folder / "steps.py"
    text = steps.read_text(encoding="utf-8").replace("import dspy\n", "import sys\n\nimport dspy\n")
    steps.write_text(
        text.replace("        return self.", "        sys.exit(0)\n        return self."), encoding="utf-8"
    )
    del sys.modules["steps"]
    given = ("predict", path, "--allow", "steps:Steps")
    assert "called `sys.exit(0)`" in check_failure(run(*given, "report=x", "--json"), 1, as_json=True)
    answers = lines(run(*given, "-", stdin='{"report": "x"}\n').stdout)
    assert answers == [{"error": {"type": "SystemExit", "message": "0"}, "line": 1}]


def test_scores_of_labels_are_in_json_alone(workspace: Workspace) -> None:
    (workspace.folder / "scoring.py").write_text(
        "import dspy\nimport tunesmith as ts\n\n"
        "class Scoring(dspy.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.route = ts.Predict('report -> team')\n\n"
        "    def forward(self, report):\n"
        "        found = self.route(report=report)\n"
        "        return dspy.Prediction(team=found.team, label_logprobs={'parks': -0.1})\n",
        encoding="utf-8",
    )
    done = run("compile", "--program", "scoring:Scoring", "--run", "scoring", "--budget-calls", "60", "--quiet")
    assert done.exit_code == 0, done.stderr
    asked = ("predict", "runs/scoring/artifact", "report=x", "--allow", "scoring:Scoring")
    assert re.fullmatch(r"team: \w+\n", run(*asked).stdout)
    assert json.loads(run(*asked, "--json").stdout)["label_logprobs"] == {"parks": -0.1}


def write_program(folder: Path, signature: str, name: str, examples: list[dict[str, Any]]) -> None:
    (folder / "typed.py").write_text(
        f"from typing import Literal\n\nimport tunesmith as ts\n\n{signature}\nprogram = ts.Predict({name})\n",
        encoding="utf-8",
    )
    (folder / "data" / "typed.jsonl").write_text("\n".join(map(json.dumps, examples)), encoding="utf-8")
    file = folder / "tunesmith.toml"
    text = file.read_text(encoding="utf-8")
    text = text.replace("program:program", "typed:program").replace("program:metric", "exact_match:team")
    text = text.replace("reports.jsonl", "typed.jsonl").replace(
        "train = 16, val = 12, test = 12", "train = 10, val = 10"
    )
    file.write_text(text, encoding="utf-8")
