"""A project that was written by `init` and compiled once, against a server on the loopback."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.cli.server import Server, served
from tunesmith.cli import main
from tunesmith.experiments.demo import demo_data

REPORTS = Path(__file__).parents[2] / "tunesmith" / "experiments" / "template" / "data" / "reports.jsonl"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    answers = {row["report"]: row["team"] for row in rows(REPORTS)}
    answers |= {row["comment"]: row["topic"] for row in rows(demo_data())}
    with served(Server(answers, habit="streets")) as found:
        yield found


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "true")  # dspy downloads a price list otherwise
    monkeypatch.delenv("TUNESMITH_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    """Run the command line in this process, in the current folder."""
    return CliRunner().invoke(main, list(arguments), input=stdin)


def run_process(
    *arguments: str, stdin: str = "", folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [os.environ.get("TUNESMITH_TEST_PYTHON", sys.executable), "-m", "tunesmith", *arguments],
        input=stdin,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def check_failure(found: Result | subprocess.CompletedProcess[str], code: int, *, as_json: bool = False) -> str:
    """Check that a verb failed as it should, and return its message."""
    actual = found.exit_code if isinstance(found, Result) else found.returncode
    assert actual == code, found.stdout + found.stderr
    assert "Traceback" not in found.stdout + found.stderr
    errors = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, found.stderr
    message = errors[0].removeprefix("error: ")
    if as_json:
        assert set(json.loads(found.stdout)) == {"error"}
        assert json.loads(found.stdout)["error"]["message"].startswith(message)
    else:
        assert found.stdout == ""
    return message


def name_the_server(folder: Path, server: Server) -> None:
    file = folder / "tunesmith.toml"
    text = file.read_text(encoding="utf-8")
    text = text.replace('spec = "embedded"', f'spec = "openai/tiny"\nhost = "{server.address}"')
    file.write_text(text.replace("budget_calls = 240", "budget_calls = 120\nnum_candidates = 3"), encoding="utf-8")


@dataclass(frozen=True)
class Workspace:
    """A compiled project.

    Attributes:
        folder: of the project, which is the current folder.
        result: what `compile --json` printed.
    """

    folder: Path
    result: dict[str, Any]

    artifact = "runs/first/artifact"


@pytest.fixture(scope="session")
def _compiled(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "none")
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "true")
        patch.delenv("TUNESMITH_LM", raising=False)
        patch.chdir(folder)
        assert run("init").exit_code == 0
        name_the_server(folder, server)
        done = run("compile", "--json", "--quiet")
    assert done.exit_code == 0, done.stderr
    return Workspace(folder, json.loads(done.stdout))


@pytest.fixture
def workspace(_compiled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of the compiled project, as the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(_compiled.folder, folder)
    monkeypatch.chdir(folder)
    return Workspace(folder, _compiled.result)
