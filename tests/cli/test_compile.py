"""`tunesmith compile`."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, check_failure, run
from tests.cli.server import Server
from tunesmith.cli.reports import say_next

A = Workspace.artifact


def test_the_result_is_written_and_printed(workspace: Workspace) -> None:
    result = workspace.result
    assert (result["split"], result["verdict"], result["seed"]) == ("test", "ship", 0)
    assert result["baseline"]["mean"] == 0.25
    assert result["compiled"]["mean"] == 1.0
    assert result["gain"]["low"] > 0
    assert result["calls"]["charged"] <= 120
    assert "+demo" in result["diff"]
    written = json.loads((workspace.folder / "runs" / "first" / "result.json").read_text(encoding="utf-8"))
    assert written == {name: value for name, value in result.items() if name not in ("cache", "diff")}


def test_the_same_command_makes_no_call_and_ends_in_the_same_artifact(workspace: Workspace, server: Server) -> None:
    before = len(server.requests)
    again = json.loads(run("compile", "--json", "--quiet").stdout)
    assert len(server.requests) == before
    assert again["artifact"]["sha256"] == workspace.result["artifact"]["sha256"]
    assert again["calls"] == {"charged": workspace.result["calls"]["charged"], "paid": 0}


def test_people_are_told_table_verdict_cost_diff_and_what_to_type_next(workspace: Workspace) -> None:
    text = run("compile", "--quiet").stdout
    assert "on test" in text
    assert (
        "Verdict `ship`. Ship it: the compiled program scores 0.750 more than the program as given on 12 test examples "
        "(95 % interval +0.500 to +1.000)." in text
    )
    assert re.search(r"This test split was looked at (once|\d+ times) so far\.", text)
    assert "paid now" in text
    assert "+demo output team: " in text
    assert "  tunesmith predict runs/first/artifact report=..." in text


def test_what_to_type_next_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    say_next(Path("runs/my first/artifact"), "report=...")
    assert "  tunesmith show 'runs/my first/artifact'" in capsys.readouterr().out


def test_progress_says_what_is_spent_of_the_budget(workspace: Workspace) -> None:
    found = run("compile", "--json")
    assert json.loads(found.stdout)
    assert " of 120 calls charged" in found.stderr


def test_events_are_a_document_per_line_and_the_result_comes_last(workspace: Workspace) -> None:
    found = run("compile", "--events")
    *events, last = [json.loads(line) for line in found.stdout.splitlines()]
    assert (last["event"], last["verdict"]) == ("result", "ship")
    stands = [event for event in events if event["event"] == "candidate"]
    assert {event["candidate"] for event in stands} >= {"program as given", "candidate 1"}
    whole = [event for event in stands if event["n"] == event["of"]]
    assert max(event["mean"] for event in whole) == 1.0
    assert any(event["event"] == "progress" and event["charged_calls"] > 0 for event in events)
    assert "candidate 1 (" in found.stderr, "people are told without a terminal, too"
    failed = run("compile", "--events", "--budget-calls", "0")
    assert json.loads(failed.stdout)["event"] == "error"


def test_a_compile_that_found_nothing_says_so_and_fails_the_gate(workspace: Workspace) -> None:
    options = ("compile", "--quiet", "--gate", "--run", "none", "--program", "plain:program")
    (workspace.folder / "plain.py").write_text(
        "import tunesmith as ts\n\nfrom program import RouteReport\n\n"
        "program = ts.LabeledFewShot(k=4).compile(\n"
        "    ts.Predict(RouteReport),\n"
        "    trainset=ts.Dataset.load('data/reports.jsonl', signature=RouteReport),\n"
        ")\n",
        encoding="utf-8",
    )
    found = run(*options)
    assert found.exit_code == 4, found.stderr
    assert "Verdict `no evidence`. There is nothing to ship: no candidate beat the program as given" in found.stdout
    assert "Nothing: no candidate beat" in found.stdout
    assert "error: the verdict is `no evidence`, not `ship`" in found.stderr


def test_a_dry_run_prints_the_plan_and_makes_no_call(workspace: Workspace, server: Server) -> None:
    before = len(server.requests)
    plan = json.loads(run("compile", "--dry-run", "--json", "--quiet").stdout)
    assert len(server.requests) == before
    assert plan["candidates"] == 13, "at most: four races of three, and the program as given"
    assert plan["examples"] == {"train": 16, "val": 12, "test": 12}
    assert plan["calls"]["expected"] <= plan["calls"]["worst"] <= 120
    assert plan["budget"] == {"calls": 120}
    assert (plan["tokens"], plan["seconds"]) == (None, None)  # the model is not on this machine
    text = run("compile", "--dry-run", "--quiet").stdout
    assert "unknown" in text
    assert not (workspace.folder / "runs" / "compile").exists()


def test_a_dry_run_needs_no_weights(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(workspace.folder / "home"))
    plan = json.loads(run("compile", "--dry-run", "--json", "--quiet", "--lm", "embedded").stdout)
    assert plan["seconds"] is None
    assert "tunesmith models pull embedded" in plan["notes"][-1]


def test_options_come_before_the_project_file(workspace: Workspace) -> None:
    data = workspace.folder / "data"
    lines = (data / "reports.jsonl").read_text(encoding="utf-8").splitlines()
    for name, part in (("a", lines[0::3]), ("b", lines[1::3]), ("c", lines[2::3])):
        (data / f"{name}.jsonl").write_text("\n".join(part), encoding="utf-8")
    files = ("--train", "data/a.jsonl", "--val", "data/b.jsonl", "--test", "data/c.jsonl")
    found = run("compile", *files, "--run", "runs/deep/other", "--seed", "3", "--budget-calls", "100", "--json", "-q")
    assert found.exit_code == 0, found.stderr
    result = json.loads(found.stdout)
    assert (result["baseline"]["n"], result["seed"]) == (13, 3)
    assert (workspace.folder / "runs" / "deep" / "other" / "artifact" / "manifest.json").is_file()


def test_each_compiler_can_be_named(workspace: Workspace) -> None:
    file = workspace.folder / "tunesmith.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("num_candidates = 3\n", ""), encoding="utf-8")
    for compiler in ("labeled-few-shot", "bootstrap-few-shot"):
        found = run("compile", "--compiler", compiler, "--run", compiler, "--json", "--quiet")
        assert found.exit_code == 0, found.stderr
        assert json.loads(found.stdout)["verdict"] in {"ship", "no evidence"}


def test_a_run_of_something_else_is_named(workspace: Workspace) -> None:
    assert "another compiler, seed" in check_failure(run("compile", "--seed", "9", "--quiet"), 2)


def test_a_budget_that_ends_before_the_first_score_is_a_stop(workspace: Workspace) -> None:
    file = workspace.folder / "tunesmith.toml"
    text = file.read_text(encoding="utf-8").replace("budget_calls = 120", "budget_tokens = 1")
    file.write_text(text, encoding="utf-8")
    for _ in range(2):
        said = check_failure(run("compile", "--run", "poor", "--quiet"), 3)
        assert "budget of 1 tokens" in said
        assert "--fork NAME" in said
    shown = run("runs", "show", "poor").stdout
    assert "Its budget of 1 tokens is used up." in shown
    assert "Go on" not in shown
    file.write_text(text.replace("budget_tokens = 1", "budget_tokens = 1000000"), encoding="utf-8")
    assert "--fork NAME" in check_failure(run("compile", "--run", "poor", "--quiet"), 2)
    assert run("compile", "--run", "poor", "--fork", "rich", "--quiet").exit_code == 0


def test_what_is_to_stay_is_checked_before_any_call_and_stays(workspace: Workspace, server: Server) -> None:
    file, before = workspace.folder / "tunesmith.toml", len(server.requests)
    assert "`freeze` names 'other'" in check_failure(run("compile", "--quiet", "--freeze", "other"), 2)
    assert "protected text 'nowhere'" in check_failure(run("compile", "--quiet", "--protect", "nowhere"), 2)
    assert "another freeze" in check_failure(run("compile", "--quiet", "--freeze", "self.format"), 2)
    text = file.read_text(encoding="utf-8").replace("budget_calls = 120", "budget_calls = 120\nfreeze = ['other']")
    file.write_text(text, encoding="utf-8")
    assert "`freeze` names 'other'" in check_failure(run("compile", "--quiet", "--dry-run"), 2)
    assert len(server.requests) == before
    found = run("compile", "--quiet", "--json", "--run", "frozen", "--freeze", "self", "--freeze", "self.demos")
    assert json.loads(found.stdout)["diff"] == ""


def test_bad_cases_are_read_checked_and_followed(workspace: Workspace, server: Server) -> None:
    file, bad = workspace.folder / "tunesmith.toml", workspace.folder / "bad.jsonl"
    rows = [json.loads(line) for line in (workspace.folder / "data/reports.jsonl").read_text("utf-8").splitlines()]
    said = check_failure(run("compile", "--quiet", "--bad-cases", "nowhere.jsonl"), 2)
    assert "nowhere.jsonl" in said
    split = {"report": "The door of room 7 does not close.", "team": rows[0]["team"], "remark": "Look again."}
    bad.write_text(json.dumps(split) + "\n", encoding="utf-8")
    found = run("compile", "--quiet", "--json", "--run", "bad", "--bad-cases", "bad.jsonl")
    assert json.loads(found.stdout)["bad_cases"]["total"] == 1, found.stderr
    text = file.read_text(encoding="utf-8").replace("[data]", "[data]\nbad_cases = 'bad.jsonl'")
    file.write_text(text, encoding="utf-8")
    assert run("compile", "--quiet", "--run", "bad").exit_code == 0
    assert "bad cases are right now" in run("compile", "--quiet", "--run", "bad").stdout


def test_an_empty_instruction_is_refused_before_any_call(workspace: Workspace, server: Server) -> None:
    file, before = workspace.folder / "tunesmith.toml", len(server.requests)
    text = file.read_text(encoding="utf-8").replace("budget_calls = 120", "budget_calls = 120\ninstructions = ['']")
    file.write_text(text, encoding="utf-8")
    for options in (("--dry-run",), ("--run", "other")):
        assert "`instructions` holds" in check_failure(run("compile", "--quiet", *options), 2)
    assert len(server.requests) == before
    assert not (workspace.folder / "runs" / "other").exists()
