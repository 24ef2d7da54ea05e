"""`tunesmith doctor`."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, check_failure, run


def test_it_says_versions_places_and_the_project(workspace: Workspace) -> None:
    found = json.loads(run("doctor", "--json").stdout)
    assert found["versions"]["dspy"].startswith("3.4.")
    assert found["home"]["folder"] == os.environ["TUNESMITH_HOME"]
    assert found["cache"]["rows"] > 0
    assert found["project"] == str(workspace.folder / "tunesmith.toml")
    assert (found["problems"], "probe" in found) == ([], False)
    text = run("doctor").stdout
    assert all(word in text for word in ("package", "home:", "models:", "cache:", "project:", "TUNESMITH_HOME="))


def test_problems_are_listed_and_exit_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "file"))
    (tmp_path / "tunesmith.toml").write_text("programm = 'a:b'\n", encoding="utf-8")
    found = run("doctor", "--json")
    assert found.exit_code == 1
    problems = json.loads(found.stdout)["problems"]
    assert any("TUNESMITH_HOME" in problem for problem in problems)
    assert any("Did you mean `program`?" in problem for problem in problems)
    assert found.stderr.startswith("error: 4 problems found.")
    assert run("doctor").stdout.count("Problem: ") == 4


@pytest.mark.parametrize("spec", ["nonsense", "gguf:nowhere.gguf", "ollama/a b"])
def test_a_spec_that_cannot_be_used_is_a_problem(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    found = run("doctor", "--lm", spec, "--json")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["problems"]


def test_probing_without_any_model_names_every_way_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    message = check_failure(run("doctor", "--probe"), 2)
    assert all(way in message for way in ("--lm", "TUNESMITH_LM", "tunesmith.toml", "models pull embedded"))


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_probing_measures_the_embedded_model_and_says_what_to_set(tmp_path: Path) -> None:
    probe = json.loads(run("doctor", "--probe", "--json", "--quiet").stdout)["probe"]
    assert probe["spec"] == "embedded"
    assert probe["prompt_tokens_per_second"] > 10
    assert probe["generation_tokens_per_second"] > 1
    assert 0.3 < probe["speedup"] < 3
    assert probe["slots"] in (1, 2)
    assert "TUNESMITH_SLOTS" in probe["advice"]
