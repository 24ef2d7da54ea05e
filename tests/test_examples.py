"""Every example runs as it is, on the model that the environment names; the long ones on a real one in `tests/live`."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.protocol import FakeModel, ProtocolServer, ServerProcess

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))

by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


def run_example(example: Path, folder: Path, spec: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an example in a process and a folder of its own, with the model `spec`."""
    given = {**os.environ, "PYTHONPATH": str(ROOT), "TUNESMITH_LM": spec, **environment}
    return subprocess.run(
        [sys.executable, str(example)], cwd=folder, env=given, capture_output=True, text=True, check=False, timeout=900
    )


def test_there_are_examples() -> None:
    assert {path.stem for path in EXAMPLES} >= {"first_compile", "judging", "streaming"}
    folders = {path.parent for path in EXAMPLES} - {ROOT / "examples"}
    assert {folder.name for folder in folders} >= {
        *("math_pal", "rag_docs", "react_tools", "router_experts", "ticket_triage"),
    }
    assert all((folder / "README.md").exists() for folder in folders)
    assert all("TUNESMITH_LM" in path.read_text(encoding="utf-8") for path in EXAMPLES)


def test_the_answers_about_the_docs_stand_in_their_pages() -> None:
    rows = [
        json.loads(line)
        for line in (ROOT / "examples" / "rag_docs" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    pages = {row["source"]: (ROOT / "docs" / row["source"]).read_text(encoding="utf-8") for row in rows}
    words = {name: " ".join(text.replace("`", "").split()) for name, text in pages.items()}
    assert not [row for row in rows if row["answer"] not in words[row["source"]]]
    assert len({row["question"] for row in rows}) == len(rows) > 50


def test_the_word_problems_are_whole_numbers_and_none_is_there_twice() -> None:
    text = (ROOT / "examples" / "math_pal" / "problems.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert {type(row["answer"]) for row in rows} == {int}
    assert len({row["question"] for row in rows}) == len(rows) == 48


@pytest.mark.slow
@by_name
def test_an_example_runs_on_a_server_whatever_its_model_says(example: Path, tmp_path: Path) -> None:
    with ProtocolServer([FakeModel("m")]) as server:
        found = run_example(example, tmp_path, "ollama/m", OLLAMA_HOST=server.url)
        assert found.returncode == 0, found.stderr
        assert found.stdout.strip()
        assert any(entry.path == "/api/chat" for entry in server.requests)


@pytest.mark.parametrize(
    "example", [one for one in EXAMPLES if one.parent.name == "examples"], ids=lambda path: path.stem
)
@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_short_example_prints_on_a_server_as_much_as_on_the_embedded_model(example: Path, tmp_path: Path) -> None:
    here = run_example(example, tmp_path, "embedded")
    assert here.returncode == 0, here.stderr
    assert here.stdout.strip()
    with ServerProcess("--embedded") as server:
        (tmp_path / "there").mkdir()
        there = run_example(example, tmp_path / "there", "ollama/smollm2", OLLAMA_HOST=server.url)
        assert there.returncode == 0, there.stderr
        assert len(there.stdout.splitlines()) == len(here.stdout.splitlines())
        assert any(entry["path"] == "/api/chat" for entry in server.requests())


@pytest.mark.slow
@by_name
def test_without_a_server_an_example_says_how_to_start_one_and_how_to_do_without(example: Path, tmp_path: Path) -> None:
    found = run_example(example, tmp_path, "ollama/m", OLLAMA_HOST="http://127.0.0.1:9")
    assert found.returncode != 0
    assert "ollama serve" in found.stderr
    assert "embedded" in found.stderr


def test_the_five_lines_of_the_readme_run(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```\w+\n(import dspy, tunesmith as ts\n.*?)```", readme, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 5
    [name] = re.findall(r"ollama/([\w.:-]+)", code)
    script = tmp_path / "five.py"
    script.write_text(code, encoding="utf-8")
    with ProtocolServer([FakeModel(name, reply="sunny")]) as server:
        found = run_example(script, tmp_path, "nothing", OLLAMA_HOST=server.url)
    assert (found.returncode, found.stdout.strip()) == (0, "sunny"), found.stderr
