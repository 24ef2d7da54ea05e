"""`docs/tutorial.md`: what it says to type works, on a server and on the embedded model."""

import csv
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import REPORTS, rows, run
from tests.protocol import FakeModel, ProtocolServer
from tests.scale import FULL

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:as `([\w./]+)`:\n\n)?```(\w+)\n(.*?)```", PAGE, re.DOTALL)
SPEC = "ollama/qwen3:4b"


def walk(change: Callable[[str], str]) -> list[str]:
    """Save the files and type the commands of the page, each text changed by `change`; return what was printed."""
    printed = []
    for name, language, text in BLOCKS:
        if name:
            Path(name).write_text(change(text), encoding="utf-8")
        elif language == "python":
            exec(compile(change(text), "tutorial.md", "exec"), {})
        else:
            printed += [typed(shlex.split(line)) for line in change(text).splitlines()]
    return printed


def typed(words: list[str]) -> str:
    match words:
        case ["cd", folder]:
            os.chdir(folder)  # the fixture of every test here goes back
        case ["tunesmith", *arguments]:
            done = run(*arguments)
            assert done.exit_code == 0, (arguments, done.stdout, done.stderr)
            return done.stdout
        case _:
            assert words in (["make", "demo"], [".", ".venv/bin/activate"])
    return ""


def smaller(text: str) -> str:
    """Return the text with a budget of a few candidates."""
    return text.replace("budget_calls = 240", "budget_calls = 75")


def ollama(answers: dict[str, str], habit: str) -> ProtocolServer:
    """Return a server whose model knows the answers if the prompt has a demo, and else says its habit."""

    def reply(messages: list[dict[str, Any]], options: dict[str, Any]) -> str:
        known = [answer for text, answer in answers.items() if text in messages[-1]["content"]]
        return known[0] if known and len(messages) > 2 else habit

    return ProtocolServer([FakeModel(SPEC.removeprefix("ollama/"), reply=reply)])


@pytest.fixture
def answers() -> dict[str, str]:
    table = next(text for name, _, text in BLOCKS if name == "data/mails.csv")
    return {row["text"]: row["topic"] for row in csv.DictReader(table.splitlines())}


def test_the_tutorial_works_with_a_model_of_ollama_after_one_line_is_changed(
    answers: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ollama(answers, "repair") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        printed = walk(lambda text: (str if FULL else smaller)(text.replace('"embedded"', f'"{SPEC}"')))
    assert "No findings" in "".join(printed)
    assert Path("runs/first/report.html").is_file()
    assert "second" in printed[-1]
    assert capsys.readouterr().out == "repair\n"


@pytest.mark.model
@pytest.mark.slow
def test_the_tutorial_works_on_the_embedded_model() -> None:
    printed = walk(lambda text: smaller(text.replace(SPEC, "embedded")))
    assert "second" in printed[-1]


@pytest.mark.slow
@pytest.mark.parametrize("spec", [pytest.param("embedded", marks=pytest.mark.model), SPEC])
def test_a_new_project_compiles_and_reports_unchanged_and_on_ollama_after_one_line(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(["tunesmith", "init", "demo"])
    typed(["cd", "demo"])
    toml = Path("tunesmith.toml")
    toml.write_text(toml.read_text(encoding="utf-8").replace('spec = "embedded"', f'spec = "{spec}"'), encoding="utf-8")
    with ollama({row["report"]: row["team"] for row in rows(REPORTS)}, "streets") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        printed = typed(["tunesmith", "compile"]) + typed(["tunesmith", "report"])
    assert "Verdict `" in printed
    assert "report.html" in printed
