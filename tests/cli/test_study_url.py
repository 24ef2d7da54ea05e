"""`tunesmith compile --study-url`: the search in a database of the user's."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, check_failure, run


def studies(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        return [name for (name,) in connection.execute("SELECT study_name FROM studies")]


def test_the_search_is_shown_where_the_url_says_and_the_url_is_not_kept(workspace: Workspace) -> None:
    database = workspace.folder / "all.db"
    done = run("compile", "--json", "--quiet", "--study-url", f"sqlite:///{database}?timeout=77")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["artifact"]["sha256"] == workspace.result["artifact"]["sha256"]

    (name,) = studies(database)
    assert name.startswith("first-")
    assert studies(workspace.folder / "runs" / "first" / "study.db") == ["first"], "the first compile's, left alone"
    kept = (workspace.folder / "runs" / "first" / "run.json").read_text(encoding="utf-8")
    assert "timeout=77" not in kept


def test_the_environment_may_name_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    database = workspace.folder / "all.db"
    monkeypatch.setenv("TUNESMITH_STUDY_URL", f"sqlite:///{database}")
    for _ in range(2):
        assert run("compile", "--quiet").exit_code == 0
    assert len(studies(database)) == 1, "a run repeated writes its own study anew"


def test_a_url_that_cannot_be_opened_is_refused(workspace: Workspace) -> None:
    message = check_failure(run("compile", "--quiet", "--study-url", "sqlite:////no/such/place.db"), 2)
    assert "The search cannot be mirrored to 'sqlite:////no/such/place.db'" in message
