"""The group of verbs: quick to start, one message for every way to fail."""

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from tests.cli.conftest import Workspace, check_failure, name_the_server, rows, run
from tests.cli.server import Server, served
from tests.scale import FULL
from tunesmith import errors
from tunesmith.cli.application import VERBS, main
from tunesmith.cli.failures import exit_code, report_failure


def test_help_lists_every_verb_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from tunesmith.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'dspy', 'optuna', 'rich', 'pydantic', 'numpy', 'litellm'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert all(f"\n  {verb} " in found.stdout for verb in VERBS)


def every_command() -> list[tuple[str, ...]]:
    """Return every group, verb and verb of a group, as it is typed."""
    context = click.Context(main)
    found: list[tuple[str, ...]] = [()]
    for verb in VERBS:
        command = main.get_command(context, verb)
        inner = list(command.commands) if isinstance(command, click.Group) else []
        found += [(verb,), *((verb, name) for name in inner)]
    return found


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_the_help_of_every_command_shows_its_examples_on_lines_of_their_own(command: tuple[str, ...]) -> None:
    text = run(*command, "--help").stdout
    assert "Usage: tunesmith" in text
    assert "\\b" not in text
    assert "\b" not in text
    examples = [line.strip() for line in text.splitlines() if line.strip().startswith("tunesmith ")]
    assert all(line.count("tunesmith ") == 1 for line in examples), examples


def test_the_version_is_shown() -> None:
    assert run("--version").stdout.startswith("tunesmith, version ")


@pytest.mark.parametrize("arguments", [(), ("cache",), ("models",), ("runs",)], ids=" ".join)
def test_a_group_without_a_verb_shows_its_help_and_counts_as_usage(arguments: tuple[str, ...]) -> None:
    found = run(*arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr.startswith("Usage: tunesmith")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.TunesmithError("x"), 1),
        (errors.DataError("x"), 1),
        (errors.ArtifactError("x"), 1),
        (errors.ModelMissing("x"), 1),
        (errors.CacheError("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.RunMismatch("x"), 2),
        (click.UsageError("x"), 2),
        (click.Abort(), 3),
        (errors.Interrupted("x"), 3),
        (errors.ModelUnavailable("x"), 3),
        (errors.BudgetExceeded("x"), 3),
        (errors.LedgerError("x"), 3),
        (KeyError("x"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_an_unexpected_error_says_how_to_see_where_it_came_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report_failure(KeyError("lost"), as_json=False) == 1
    assert capsys.readouterr().err == (
        "error: unexpected KeyError: 'lost'. Set TUNESMITH_DEBUG=1 to see where it came from.\n"
    )
    monkeypatch.setenv("TUNESMITH_DEBUG", "1")
    try:
        raise KeyError("lost")
    except KeyError as error:
        report_failure(error, as_json=False)
    assert "test_application.py" in capsys.readouterr().err


def test_a_reader_that_stops_reading_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tunesmith", "cache", "stats", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    assert (process.wait(60), said) == (1, b"")


@pytest.mark.parametrize("code", ["", "0", "3"])
def test_code_that_ends_the_process_ends_no_verb_in_silence(workspace: Workspace, code: str) -> None:
    Path("leaves.py").write_text(f"import sys\n\ndef make():\n    sys.exit({code})\n", encoding="utf-8")
    message = check_failure(run("eval", "leaves:make", "--json"), 1, as_json=True)
    assert f"called `sys.exit({code or None})`" in message


@pytest.mark.parametrize("again", [0.0, 0.2] if FULL else [0.2])
def test_ctrl_c_stops_with_one_message_and_the_same_command_goes_on(tmp_path: Path, again: float) -> None:
    run("init")
    count = 12
    with served(Server({}, habit="water", delay=0.25)) as slow:
        name_the_server(tmp_path, slow)
        process = subprocess.Popen(
            [sys.executable, "-m", "tunesmith", "eval", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Whoever starts the tests in the background lets them ignore Ctrl-C, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 60
        while len(slow.requests) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(again)
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        found = subprocess.CompletedProcess([], process.returncode, "", stderr)
        assert "the same command goes on" in check_failure(found, 3)
        assert '"Interrupted"' in stdout
        before = len(slow.requests)
        assert before < count
        slow.delay = 0.0
        assert run("eval").exit_code == 0
        # The call that was on its way may be lost; the others are not made again.
        assert len(slow.requests) <= count + 1


def test_a_model_that_does_not_answer_stops_resumably(workspace: Workspace) -> None:
    file = workspace.folder / "empty.gguf"
    file.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 0, 0))  # a header, and no model behind it
    assert "could not load" in check_failure(run("eval", "--quiet", "--lm", f"gguf:{file}"), 3)
    lines = '{"report": "One."}\n{"report": "Two."}\n'
    check_failure(run("predict", workspace.artifact, "-", "--lm", f"gguf:{file}", stdin=lines), 3)


def test_the_model_comes_from_the_option_then_the_variable_then_the_project(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("eval", "--quiet").exit_code == 0  # the project's
    monkeypatch.setenv("TUNESMITH_LM", "nonsense")
    assert "'nonsense' is not an LM spec" in check_failure(run("eval"), 2)
    assert "'rubbish' is not an LM spec" in check_failure(run("eval", "--lm", "rubbish"), 2)
    monkeypatch.setenv("TUNESMITH_LM", "")  # counts as unset
    assert run("eval", "--quiet").exit_code == 0


def test_without_any_model_the_message_names_all_three_places(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = check_failure(run("predict", f"project/{workspace.artifact}", "report=x"), 2)
    assert all(place in message for place in ("--lm", "TUNESMITH_LM", "tunesmith.toml (there is none"))


@pytest.mark.parametrize("place", ["option", "variable"])
def test_the_projects_model_keeps_its_address_whatever_names_it(
    workspace: Workspace, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `--lm openai/m` would send the texts to OpenAI, and not to the server under [lm]."""
    (workspace.folder / "tunesmith.toml").write_text(
        "[lm]\nspec = 'openai/tiny'\nbase_url = 'http://127.0.0.1:9/v1'\ndialect = 'vllm'\n", encoding="utf-8"
    )
    options = ("--lm", "openai/tiny") if place == "option" else ()
    monkeypatch.setenv("TUNESMITH_LM", "openai/tiny" if place == "variable" else "")

    assert "127.0.0.1:9" in check_failure(run("predict", workspace.artifact, *options, "report=x"), 3)


@pytest.mark.parametrize(
    ("spec", "advice"),
    [("openai/tiny", "`base_url` under [lm]"), ("olama/qwen3:4b", "Did you mean `ollama/qwen3:4b`?")],
)
def test_a_model_that_dspy_refuses_is_met_with_advice(
    spec: str, advice: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.folder / "tunesmith.toml").unlink()
    for name in ("OPENAI_API_KEY", "OPENAI_API_BASE", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    message = check_failure(run("predict", workspace.artifact, "--lm", spec, "report=x"), 1)
    assert advice in message
    assert message.count("\n") <= 1


def test_rows_of_the_template_are_what_the_server_knows(server: Server, workspace: Workspace) -> None:
    assert {row["report"] for row in rows(workspace.folder / "data" / "reports.jsonl")} <= set(server.answers)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without a device that is always full")
def test_a_full_disk_under_the_output_is_one_message() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tunesmith", "runs", "ls", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: There is no room to write")
