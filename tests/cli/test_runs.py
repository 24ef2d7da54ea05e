"""`tunesmith runs`, and the options of `compile` that are about a run."""

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from filelock import FileLock

from tests.cli.conftest import REPORTS, Workspace, check_failure, rows, run
from tests.cli.server import Server
from tunesmith.cli import main


def listed() -> dict[str, dict[str, Any]]:
    return {info["run"]: info for info in json.loads(run("runs", "ls", "--json").stdout)["runs"]}


def test_runs_are_listed_with_what_they_hold(workspace: Workspace) -> None:
    info = listed()["first"]
    assert (info["state"], info["verdict"]) == ("done", "ship")
    assert info["path"] == "runs/first"
    assert info["command"]["arguments"] == ["compile", "--run", "first"]
    assert info["ledger"]["rows"] > 24
    assert info["ledger"]["damaged"] == 0
    text = run("runs", "ls").stdout
    assert "first" in text
    assert "ship" in text


def test_without_runs_it_says_how_to_make_one() -> None:
    assert "tunesmith compile" in run("runs", "ls").stdout
    assert json.loads(run("runs", "ls", "--json").stdout) == {"runs": []}


def test_a_run_is_shown_with_its_candidates(workspace: Workspace) -> None:
    found = json.loads(run("runs", "show", "first", "--json").stdout)
    assert set(found["identity"]) >= {"program", "source", "metric", "lm", "trainset", "valset", "testset", "seed"}
    assert found["result"]["verdict"] == "ship"
    best = found["candidates"][0]
    assert best["rows"] == 24
    assert 0 <= best["mean"] <= 1
    text = run("runs", "show", "first").stdout
    assert "share counts for each here, and is charged once" in text
    assert "started by: tunesmith compile --run first" in text
    assert "metric: exact_match(team)" in text
    assert "examples: 16 training, 12 validation, 12 test" in text
    assert text.index("Candidates") < text.index("Identity"), "what people read first stands first"


def test_what_a_finished_run_has_lost_is_told_and_written_again(workspace: Workspace) -> None:
    folder = workspace.folder / "runs" / "first"
    for name in ("candidates.json", "run.db"):
        for path in folder.glob(f"{name}*"):
            path.unlink()
        assert f"Its {name} is " in run("runs", "show", "first").stdout
        assert run("report", "first").exit_code == 0
        assert f"Its {name} is " in (folder / "report.html").read_text(encoding="utf-8")
        assert "Run the compile that made it again" in check_failure(run("compare", "first"), 2)
        assert run("compile", "--quiet").exit_code == 0
        assert f"Its {name} is " not in run("runs", "show", "first").stdout
        assert run("compare", "first").exit_code == 0


def test_an_artifact_without_its_manifest_is_made_again_as_advised(workspace: Workspace) -> None:
    folder = workspace.folder / "runs" / "first" / "artifact"
    (folder / "manifest.json").unlink()
    assert "remove the folder and compile again" in check_failure(run("show", workspace.artifact), 1)
    assert "or remove the folder" in check_failure(run("compile", "--quiet"), 2)
    shutil.rmtree(folder)
    assert run("compile", "--quiet").exit_code == 0
    assert run("show", workspace.artifact).exit_code == 0


def candidate_lines() -> list[str]:
    text = run("runs", "show", "first").stdout
    lines = text[text.index("Candidates\n") :].splitlines()[3:]
    return lines[: lines.index("")] if "" in lines else lines


def test_what_a_run_returns_stands_first_then_the_program_as_given_then_the_others(workspace: Workspace) -> None:
    found = json.loads(run("runs", "show", "first", "--json").stdout)
    one, two, *others = found["candidates"]
    assert (one["chosen"], one["given"]) == (True, False)
    assert (two["chosen"], two["given"]) == (False, True)
    assert not any(other["chosen"] or other["given"] for other in others)
    lines = candidate_lines()
    assert ", returned " in lines[0]
    assert "demos" in lines[0], "what differs from the program as given"
    assert lines[1].startswith("program as given ")
    assert len({line.split("  ")[0] for line in lines}) == len(found["candidates"])
    assert not any(one["candidate"][:8] in line for line in lines for one in found["candidates"])


def test_means_of_validation_and_test_stand_apart_and_are_those_of_the_result(workspace: Workspace) -> None:
    found = json.loads(run("runs", "show", "first", "--json").stdout)
    result = found["result"]
    for shown, name in zip(found["candidates"], ("compiled", "baseline"), strict=False):
        assert (shown["mean"], shown["n"]) == (result["validation"][name]["mean"], result["validation"][name]["n"])
        assert shown["test"] == {"mean": result[name]["mean"], "n": result[name]["n"]}
    assert all(shown["test"] is None for shown in found["candidates"][2:])
    assert all(shown["n"] <= 12 for shown in found["candidates"])


def test_a_run_that_was_stopped_says_what_its_candidates_are(workspace: Workspace) -> None:
    folder = workspace.folder / "runs" / "first"
    (folder / "result.json").unlink()
    notes = json.loads((folder / "candidates.json").read_text(encoding="utf-8"))
    (folder / "candidates.json").write_text(json.dumps({**notes, "chosen": None}), encoding="utf-8")
    lines = candidate_lines()
    assert lines[0].startswith("program as given ")
    assert not any("returned" in line for line in lines)
    assert any("demos" in line for line in lines[1:])


@pytest.mark.parametrize(
    "notes", [None, "", "[]", '{"splits": 5, "candidates": [], "chosen": {}}', '{"splits": {"validation": [[]]}}']
)
def test_a_run_without_notes_of_its_candidates_is_shown_all_the_same(workspace: Workspace, notes: str | None) -> None:
    path = workspace.folder / "runs" / "first" / "candidates.json"
    path.unlink()
    if notes is not None:
        path.write_text(notes, encoding="utf-8")
    lines = candidate_lines()
    assert lines[0].startswith("program as given ")
    assert json.loads(run("runs", "show", "first", "--json").stdout)["candidates"][0]["given"]


def test_looking_changes_nothing_of_when_a_run_was_written(workspace: Workspace) -> None:
    folder = workspace.folder / "runs" / "first"
    for path in folder.iterdir():
        os.utime(path, (1.5e9, 1.5e9))
    for verb in (("show", "first"), ("ls",)):
        for _ in range(2):
            assert "2017-07-14T02:40:00+00:00" in run("runs", *verb).stdout


def test_private_data_is_in_no_note_of_a_run(workspace: Workspace) -> None:
    assert run("compile", "--run", "quiet", "--no-store", "--json", "-q").exit_code == 0
    notes = (workspace.folder / "runs" / "quiet" / "candidates.json").read_text(encoding="utf-8")
    assert not [row for row in rows(REPORTS) if row["report"] in notes]


def test_a_run_that_was_stopped_goes_on_from_anywhere_in_the_project(
    workspace: Workspace, server: Server, tmp_path: Path
) -> None:
    folder = workspace.folder / "runs" / "first"
    shutil.rmtree(folder / "artifact")
    (folder / "result.json").unlink()
    assert listed()["first"]["state"] == "stopped"
    assert "Go on:  tunesmith runs resume first" in run("runs", "show", "first").stdout
    before = len(server.requests)
    os.chdir(workspace.folder / "data")

    found = run("runs", "resume", str(folder), "--json")

    assert found.exit_code == 0, found.stderr
    assert "tunesmith compile --run first" in found.stderr
    assert len(server.requests) == before
    again = json.loads(found.stdout)
    assert again["artifact"]["sha256"] == workspace.result["artifact"]["sha256"]
    assert again["calls"]["paid"] == 0
    os.chdir(workspace.folder)
    assert listed()["first"]["state"] == "done"


def test_the_run_of_a_copied_project_is_resumed_in_the_copy(workspace: Workspace, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(workspace.folder, copy)
    (copy / "runs" / "first" / "result.json").unlink()
    before = (workspace.folder / "runs" / "first" / "result.json").read_bytes()
    os.chdir(copy)
    assert run("runs", "resume", "first", "--json").exit_code == 0
    assert (copy / "runs" / "first" / "result.json").is_file()
    assert (workspace.folder / "runs" / "first" / "result.json").read_bytes() == before
    shutil.copytree(copy / "runs" / "first", tmp_path / "alone")
    assert "would not find the run from there" in check_failure(run("runs", "resume", str(tmp_path / "alone")), 2)


def test_a_run_with_a_path_is_resumed_at_that_path_only(workspace: Workspace) -> None:
    inside, copy = workspace.folder / "data", workspace.folder / "out" / "r"
    shutil.copytree(workspace.folder / "runs" / "first", copy)
    (copy / "result.json").unlink()
    path = copy / "run.json"
    command = {"arguments": ["compile", "--run", "./out/r"], "folder": str(inside)}
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "command": command}), encoding="utf-8")

    found = run("runs", "resume", "./out/r", "--json")

    assert found.exit_code == 0, found.stderr
    assert (copy / "result.json").is_file()
    assert not (inside / "out").exists()


def test_the_command_is_kept_with_the_options_that_make_the_run(workspace: Workspace) -> None:
    given = ("compile", "--run", "other", "--seed", "3", "--budget-calls", "90", "--lm", "openai/tiny", "--dry-run")
    assert run(*given, "--json", "--quiet").exit_code == 0
    assert "other" not in listed(), "a plan is no run"
    assert run("compile", "--run", "other", "--seed", "3", "--compiler", "random-search", "--json", "-q").exit_code == 0
    assert listed()["other"]["command"]["arguments"] == [
        *("compile", "--compiler", "random-search", "--seed", "3", "--run", "other")
    ]


def test_a_run_from_python_is_resumed_in_python(workspace: Workspace) -> None:
    path = workspace.folder / "runs" / "first" / "run.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    for command, message in (
        (None, "not started from the command line"),
        ({"arguments": ["models", "pull"], "folder": "."}, "no command that can be resumed"),
        ({"arguments": ["compile"], "folder": "/not/there"}, "would not find the run from there"),
    ):
        path.write_text(json.dumps({**stored, "command": command}), encoding="utf-8")
        assert message in check_failure(run("runs", "resume", "first"), 2)


def test_a_run_is_removed_after_a_question(workspace: Workspace) -> None:
    kept = CliRunner().invoke(main, ["runs", "rm", "first"], input="n\n")
    assert "nothing was removed" in kept.stdout
    assert (workspace.folder / "runs" / "first").exists()
    gone = CliRunner().invoke(main, ["runs", "rm", "first", "--json"], input="y\n")
    assert json.loads(gone.stdout) == {"removed": "runs/first"}
    assert not (workspace.folder / "runs" / "first").exists()
    assert listed() == {}


def test_a_folder_that_is_no_run_is_never_removed(workspace: Workspace) -> None:
    for name in ("../data", ".", "data", str(workspace.folder)):
        check_failure(run("runs", "rm", name, "--yes"), 2)
    assert (workspace.folder / "data").is_dir()


def test_a_run_that_is_a_link_is_left_alone(workspace: Workspace) -> None:
    shutil.move("runs/first", "elsewhere")
    Path("runs/first").symlink_to("../elsewhere")
    message = check_failure(run("runs", "rm", "first", "--yes", "--json"), 2, as_json=True)
    assert "is a link to " in message
    assert "Delete the link itself" in message
    assert Path("elsewhere/run.json").is_file()


def test_a_run_that_is_held_is_running_and_not_removed(workspace: Workspace) -> None:
    with FileLock(workspace.folder / "runs" / "first" / ".lock"):
        assert listed()["first"]["state"] == "running"
        assert "held by a process" in check_failure(run("runs", "rm", "first", "--yes"), 2)


def test_a_damaged_ledger_is_no_reason_to_list_nothing(workspace: Workspace) -> None:
    path = workspace.folder / "runs" / "first" / "run.db"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE rows SET score = 0.5 WHERE seq = 1")
    connection.commit()
    connection.close()
    assert listed()["first"]["ledger"]["damaged"] == 1
    path.write_bytes(b"nothing")
    assert listed()["first"]["ledger"] is None
    assert "what can be read is saved" in check_failure(run("runs", "show", "first"), 3)
    assert run("compile", "--quiet").exit_code == 0
    assert listed()["first"]["ledger"]["rows"] > 24


JUNK = {
    "empty": "",
    "no JSON": "{",
    "a list": "[]",
    "gone": None,
}


@pytest.mark.parametrize("identity", JUNK.values(), ids=list(JUNK))
def test_a_run_that_lost_its_identity_is_listed_shown_and_not_taken_over(
    workspace: Workspace, identity: str | None
) -> None:
    folder = workspace.folder / "runs" / "first"
    before = (folder / "artifact" / "manifest.json").read_bytes()
    (folder / "run.json").unlink()
    if identity is not None:
        (folder / "run.json").write_text(identity)

    assert listed()["first"]["state"] == "damaged"
    shown = run("runs", "show", "first").stdout
    assert "Nothing says what it is a run of: its run.json is" in shown
    assert "Identity" not in shown
    assert "Put that file back" in check_failure(run("runs", "resume", "first"), 2)
    assert "--fork NAME" in check_failure(run("compile", "--seed", "7", "--json", "-q"), 2, as_json=True)
    assert (folder / "artifact" / "manifest.json").read_bytes() == before
    assert json.loads(run("runs", "rm", "first", "--yes", "--json").stdout) == {"removed": "runs/first"}


WRONG_TYPES: dict[str, dict[str, Any]] = {
    "a command that is a number": {"command": 5},
    "arguments that are a number": {"command": {"arguments": 5, "folder": 5}},
    "arguments of numbers": {"command": {"arguments": ["compile", 5], "folder": "."}},
    "a budget that is a list": {"budget": [1]},
    "limits that are texts": {"budget": {"calls": "many", "tokens": None, "seconds": True}},
    "parts of every type": {"seed": {"a": [1]}, "lm": [[]], "metric": None, "source": True, "compiler": "x"},
    "deep": {"compiler": json.loads('{"a":' * 300 + "1" + "}" * 300)},
    "nothing": {"identity": {}},
}


RESULTS = (None, "[]", '{"verdict": 5}', '{"verdict": ["ship"], "calls": 7}')


@pytest.mark.parametrize(
    ("changes", "result"),
    list(zip(WRONG_TYPES.values(), itertools.cycle(RESULTS), strict=False)),
    ids=list(WRONG_TYPES),
)
def test_values_of_other_types_in_a_runs_files_are_no_crash(
    workspace: Workspace, changes: dict[str, Any], result: str | None
) -> None:
    folder = workspace.folder / "runs" / "first"
    stored = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    (folder / "run.json").write_text(json.dumps({**stored, **changes}), encoding="utf-8")
    (folder / "result.json").unlink()
    if result is not None:
        (folder / "result.json").write_text(result)
    for verb in (("ls",), ("show", "first")):
        for form in ((), ("--json",)):
            found = run("runs", *verb, *form)
            assert found.exit_code == 0, found.stderr
    if "command" in changes:
        check_failure(run("runs", "resume", "first"), 2)


# compile's options ----------------------------------------------------------------------------------------------


def test_another_seed_is_refused_set_aside_or_forked(workspace: Workspace, server: Server) -> None:
    assert "another compiler, seed" in check_failure(run("compile", "--seed", "7"), 2)
    forked = run("compile", "--seed", "7", "--fork", "second", "--json", "--quiet")
    assert forked.exit_code == 0, forked.stderr
    assert listed()["second"]["command"]["arguments"] == ["compile", "--seed", "7", "--run", "second"]
    assert run("compile", "--seed", "7", "--new", "--json", "--quiet").exit_code == 0
    assert set(listed()) == {"first", "first.old-1", "second"}


def test_a_changed_metric_scores_the_stored_outputs(workspace: Workspace, server: Server) -> None:
    before = len(server.requests)
    changed = ("compile", "--metric", "contains:team", "--json", "--quiet")
    assert "--rescore" in check_failure(run(*changed), 2, as_json=True)
    found = run(*changed, "--rescore")
    assert found.exit_code == 0, found.stderr
    assert len(server.requests) == before
    assert json.loads(found.stdout)["baseline"]["mean"] is not None


@pytest.mark.parametrize("option", ["--fork", "--run"])
def test_a_folder_with_other_files_is_not_made_a_run(workspace: Workspace, option: str) -> None:
    before = {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}
    assert "is not a run's: it holds reports.jsonl" in check_failure(run("compile", option, "./data"), 2)
    assert {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()} == before


def test_a_folder_in_the_place_of_the_ledger_is_said_to_be_one(workspace: Workspace) -> None:
    path = workspace.folder / "runs" / "first" / "run.db"
    path.unlink()
    path.mkdir()
    assert listed()["first"]["ledger"] is None
    assert "run.db is a folder and has to be a file" in check_failure(run("compile", "--json", "-q"), 3, as_json=True)
    assert "run.db is a folder and has to be a file" in check_failure(run("runs", "show", "first"), 3)


def test_on_a_terminal_of_80_columns_no_line_of_a_table_is_wider(workspace: Workspace) -> None:
    columns, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    command = [sys.executable, "-m", "tunesmith", "runs", "show", "first"]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    shown = subprocess.Popen(command, stdout=theirs, env=environment)
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError), os.fdopen(columns, "rb", buffering=0) as screen:
        while part := screen.read(4096):
            text += part
    assert shown.wait() == 0
    tables = text.decode()[text.decode().index("Candidates") :].splitlines()
    assert len(tables) > 15
    assert not [line for line in tables if len(line) > 80]


def test_what_a_run_is_of_is_shown_in_words(workspace: Workspace) -> None:
    lines = run("runs", "show", "first").stdout.splitlines()
    (group,) = [line for line in lines if line.startswith("group ")]
    assert group.split() == ["group", "none"]
    assert not any("[" in line for line in lines[lines.index("Candidates") :])


def test_a_report_goes_to_stdout_as_its_file_has_it(workspace: Workspace) -> None:
    assert run("report", "first").exit_code == 0
    assert run("report", "first", "--out", "-").stdout_bytes == Path("runs/first/report.html").read_bytes()
    assert not Path("-").exists()


@pytest.mark.whole
def test_a_run_is_exported_to_a_folder_of_mlflow(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place = (workspace.folder / "tracked").as_uri()
    found = json.loads(run("runs", "export", "first", "--to", "mlflow", "--at", place, "--json").stdout)
    (kept,) = (workspace.folder / "tracked").glob(f"*/{found['id']}/params/compiler")
    assert kept.read_text() in ("RandomSearch", "JointSearch", "Portfolio")
    assert "mlflow ui" in run("runs", "export", "first", "--to", "mlflow", "--at", place).stdout


def test_old_runs_are_shown_then_removed(workspace: Workspace) -> None:
    run_folder = workspace.folder / "runs" / "first"
    assert "nothing to remove" in run("runs", "gc").stdout
    shown = run("runs", "gc", "--keep", "0", "--dry-run").stdout
    assert "old run" in shown
    assert "it would free" in shown
    assert "nothing was removed" in CliRunner().invoke(main, ["runs", "gc", "--keep", "0"], input="n\n").stdout
    assert run_folder.is_dir()
    found = json.loads(run("runs", "gc", "--keep", "0", "--yes", "--json").stdout)
    assert (found["removed"], [one["what"] for one in found["found"]]) == (True, ["old run"])
    assert not run_folder.exists()
