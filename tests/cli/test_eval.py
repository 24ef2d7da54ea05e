"""`tunesmith eval`."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, check_failure, rows, run
from tests.cli.server import Server
from tunesmith.lm import reply_cache

A = Workspace.artifact


def test_the_project_is_scored_on_its_validation_split(workspace: Workspace) -> None:
    found = run("eval", "--json", "--quiet")
    assert found.exit_code == 0
    report = json.loads(found.stdout)
    assert (report["program"], report["metric"], report["data"]) == (
        "program:program",
        "exact_match(team)",
        "reports.val",
    )
    assert (report["n"], report["errors"], len(report["rows"])) == (12, 0, 12)
    assert report["low"] <= report["mean"] <= report["high"]
    assert report["mean"] == 0.25  # the server has one answer where no demo is shown
    assert report["paid"]["calls"] == 0  # the compile asked the same
    assert report["charged"]["calls"] == 12


def test_an_artifact_is_scored_on_any_file(workspace: Workspace) -> None:
    found = run("eval", A, "--data", "data/reports.jsonl", "--metric", "exact_match:team", "--json", "--quiet")
    assert json.loads(found.stdout)["mean"] == 1.0


def test_a_signature_is_a_program(workspace: Workspace) -> None:
    arguments = ("--data", "data/reports.jsonl", "--metric", "exact_match:team,normalize=false", "--json", "--quiet")
    found = json.loads(run("eval", "report -> team", *arguments).stdout)
    assert (found["program"], found["metric"], found["n"]) == ("report -> team", "exact_match(team)", 40)


def test_models_are_compared_on_the_same_examples(
    workspace: Workspace, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_LM_HOST", server.address)  # of [lm] in the file it would be of the model there
    models = ("--models", "openai/tiny,openai/other", "--models", "openai/third")
    found = json.loads(run("eval", *models, "--json", "--quiet").stdout)
    assert {row["name"] for row in found["rows"]} == set(found["models"])
    assert [row["ties"] for row in found["rows"][1:]] == [12, 12]
    assert {row["p_holm"] for row in found["rows"][1:]} == {1.0}
    assert len(found["models"]["openai/other"]["rows"]) == 12
    lines = run("eval", *models, "--quiet").stdout.splitlines()
    assert lines[0] == "exact_match(team) of program:program on reports.val"
    assert lines[1].startswith("model ")
    assert "0 / 12 / 0" in lines[4]


def test_a_model_that_is_down_takes_no_result_of_another_with_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("TUNESMITH_PATIENCE", "0")
    found = run("eval", "--models", "openai/tiny,ollama/none", "--quiet")
    assert found.exit_code == 3
    assert found.stdout.splitlines()[3].split()[:2] == ["openai/tiny", "0.250"]
    assert found.stderr.startswith("error: ollama/none: ")

    both = run("eval", "--models", "ollama/none,openai/tiny", "--json", "--quiet")
    document = json.loads(both.stdout)
    assert both.exit_code == 3
    assert ([row["name"] for row in document["rows"]], list(document["models"])) == (["openai/tiny"], ["openai/tiny"])
    assert document["failed"]["ollama/none"]["type"] == "ModelUnavailable"

    check_failure(run("eval", "--models", "ollama/none,ollama/other", "--json", "--quiet"), 3, as_json=True)


def test_ctrl_c_under_the_second_model_leaves_the_first(
    workspace: Workspace, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_LM_HOST", server.address)
    (workspace.folder / "stops.py").write_text(
        "seen = []\n\n"
        "def metric(example, prediction):\n"
        "    seen.append(1)\n"
        "    if len(seen) > 14:\n"
        "        raise KeyboardInterrupt\n"
        "    return example.team == prediction.team\n",
        encoding="utf-8",
    )
    found = run("eval", "--models", "openai/tiny,openai/other", "--metric", "stops:metric", "--slots", "1", "--quiet")
    assert found.exit_code == 3
    assert found.stdout.splitlines()[3].split()[:2] == ["openai/tiny", "0.250"]
    assert found.stderr.startswith("error: openai/other: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--models", "openai/tiny"), "--models compares two or more"),
        (("--models", "a,a"), "each given once"),
        (("--models", "a,b", "--lm", "c"), "--models and --lm exclude"),
        (("--models", "a,b", "--at-least", "0.5"), "--models and --at-least exclude"),
        (("--at-least", "nan"), "--at-least must be a finite number"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(
    arguments: tuple[str, ...], words: str, workspace: Workspace
) -> None:
    assert words in check_failure(run("eval", *arguments), 2)


def test_a_split_is_chosen_by_name(workspace: Workspace) -> None:
    found = {name: json.loads(run("eval", "--split", name, "--json").stdout) for name in ("train", "val", "test")}
    assert {name: report["n"] for name, report in found.items()} == {"train": 16, "val": 12, "test": 12}


def test_a_mean_below_the_gate_exits_with_four(workspace: Workspace) -> None:
    found = run("eval", "--at-least", "0.9", "--json", "--quiet")
    assert found.exit_code == 4
    assert found.stderr.startswith("error: the gate failed: the mean is below 0.9")
    assert json.loads(found.stdout)["gate"] == {"at_least": 0.9, "passed": False}
    assert run("eval", A, "--at-least", "0.9", "--quiet").exit_code == 0


def test_the_table_says_mean_interval_and_cost(workspace: Workspace) -> None:
    found = run("eval", "--quiet")
    assert "exact_match(team) on reports.val   mean   95 % interval   n  errors" in found.stdout
    assert "0.250  0.089 to 0.532  12       0" in found.stdout
    assert "charged" in found.stdout
    assert found.stderr == ""


def test_progress_goes_to_stderr_with_what_is_spent(workspace: Workspace) -> None:
    found = run("eval", "--json")
    assert json.loads(found.stdout)
    assert "evaluating 1/12" in found.stderr
    assert "calls charged" in found.stderr


def test_errors_of_the_program_are_shown_apart(workspace: Workspace) -> None:
    (workspace.folder / "fails.py").write_text(
        "import dspy\n\n"
        "class Fails(dspy.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.route = dspy.Predict('report -> team')\n\n"
        "    def forward(self, report):\n"
        "        raise KeyError('oops')\n",
        encoding="utf-8",
    )
    found = run("eval", "fails:Fails", "--quiet")
    assert found.exit_code == 0
    assert "Error of the program: KeyError: 'oops'" in found.stdout
    assert "... and 9 more; --json lists them all." in found.stdout


def test_without_a_project_everything_comes_from_options(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = "project/data/reports.jsonl"
    # Nobody asks this model: its name is all that is needed to see what else is missing.
    given = ("eval", "project/runs/first/artifact", "--lm", "openai/tiny")
    assert "no metric" in check_failure(run(*given, "--data", data), 2)
    assert "no data" in check_failure(run(*given, "--metric", "exact_match:team"), 2)
    assert "no program" in check_failure(run("eval", "--lm", "openai/tiny", "--data", data), 2)


def test_a_report_ends_with_what_went_wrong_with_the_cache(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    assert json.loads(run("eval", "--json", "--quiet").stdout)["cache"] == {"corrupt": 0, "lost_writes": 0}
    cache = reply_cache()
    with contextlib.closing(sqlite3.connect(cache.folder / "cache.db")) as database:
        database.execute("UPDATE Cache SET value = CAST('damaged' AS BLOB)")
        database.commit()
    found = run("eval", "--quiet")
    assert "Note: 12 cached replies were damaged and asked for again" in found.stdout

    blocked = tmp_path / "blocked"
    (blocked / "cache" / "cache.db").mkdir(parents=True)  # a folder where the file should be
    monkeypatch.setenv("TUNESMITH_HOME", str(blocked))
    found = run("compile", "--new", "--json", "--quiet")
    assert found.exit_code == 0
    assert json.loads(found.stdout)["cache"]["lost_writes"] > 12
    assert "Note: 12 replies could not be stored" in run("eval", "--quiet").stdout


def test_a_metric_that_fails_stops_with_its_own_error(workspace: Workspace) -> None:
    (workspace.folder / "wrong.py").write_text("def metric(example, prediction):\n    return 1 / 0\n", encoding="utf-8")
    assert "ZeroDivisionError" in check_failure(run("eval", "--metric", "wrong:metric", "--quiet"), 1)


def test_a_project_of_a_folder_above_is_found(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.folder / "data")
    found = run("eval", "--json", "--quiet")
    assert json.loads(found.stdout)["n"] == 12
    assert len(rows(Path("reports.jsonl"))) == 40


def test_macro_f1_is_shown_where_the_output_is_a_class(workspace: Workspace) -> None:
    classes = json.loads(run("eval", "--json", "--quiet").stdout)["classes"]

    assert (classes["field"], classes["macro_f1"]["n"]) == ("team", 12)
    assert {c["class"]: c["support"] for c in classes["classes"]} == {"parks": 3, "streets": 3, "waste": 3, "water": 3}
    assert "Macro F1 of `team`: 0.100 (" in run("eval", "--quiet").stdout  # one answer for all of four classes


@pytest.mark.parametrize(
    ("content", "option"),
    [
        ("report,team\nA café,parks\n".encode("cp1252"), "encoding = 'cp1252'"),
        (b"report^team\nA swing^parks\n", "delimiter = '^'"),
        (b"Report,team\nA swing,parks\n", "columns = { report = 'Report' }"),
        (b"Meldung;Amt\nA swing;parks\n", "columns = {report = 'Meldung', team = 'Amt'}"),
    ],
)
def test_the_error_of_a_file_is_enough_to_put_it_right(workspace: Workspace, content: bytes, option: str) -> None:
    (workspace.folder / "odd.csv").write_bytes(content)
    project = workspace.folder / "tunesmith.toml"

    message = check_failure(run("eval", "--data", "odd.csv", "--quiet"), 1)
    assert f"{option.split()[0]}=" in message
    assert f"`{option.split()[0]} = " in message.partition("In tunesmith.toml such an option stands under [data]")[2]
    if option == "columns = { report = 'Report' }":
        assert message.endswith(f"`{option}`.")

    project.write_text(project.read_text(encoding="utf-8").replace("[data]\n", f"[data]\n{option}\n"), encoding="utf-8")
    assert run("eval", "--data", "odd.csv", "--quiet").exit_code == 0


def test_a_metric_of_five_arguments_is_taken_by_name(workspace: Workspace) -> None:
    (workspace.folder / "gepa_metric.py").write_text(
        "import dspy\n\n"
        "def metric(gold, pred, trace, pred_name, pred_trace):\n"
        "    return dspy.Prediction(score=float(gold.team == pred.team), feedback=f'it is {gold.team}')\n",
        encoding="utf-8",
    )
    found = json.loads(run("eval", A, "--metric", "gepa_metric:metric", "--json", "--quiet").stdout)
    assert (found["mean"], found["rows"][0]["feedback"][:6]) == (1.0, "it is ")
    gate = run("check", A, "--metric", "gepa_metric:metric", "--min-score", "0.9", "--quiet")
    assert gate.exit_code == 0


def test_examples_run_in_worker_processes_if_asked(workspace: Workspace) -> None:
    here = json.loads(run("eval", "--json", "--quiet").stdout)
    there = json.loads(run("eval", "--executor", "processes", "--json", "--quiet").stdout)

    assert there == here


def test_an_unknown_executor_is_refused(workspace: Workspace) -> None:
    message = check_failure(run("eval", "--executor", "elsewhere"), 2)

    assert message.startswith("There is no executor 'elsewhere'. Use one of: threads, ")
