"""`--no-store`: no reply is kept, and none that was kept is used."""

from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, run
from tests.cli.server import Server
from tunesmith.lm import reply_cache

A = Workspace.artifact


@pytest.fixture
def home(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nothing was cached yet."""
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", A, "report=My private swing is broken."),
        ("eval",),
        ("compile", "--run", "private"),
        ("compile", "--dry-run"),
        ("demo", "--limit", "5"),
    ],
    ids=" ".join,
)
def test_no_store_leaves_no_cache_in_the_home(
    arguments: tuple[str, ...], home: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_LM", "openai/tiny")
    monkeypatch.setenv("OPENAI_API_BASE", server.address)
    before = len(server.requests)
    found = run(*arguments, "--no-store", "--json", "--quiet")
    assert found.exit_code == 0, found.stderr
    assert (len(server.requests) > before) == ("--dry-run" not in arguments)
    assert not (home / "cache").exists()


def test_no_store_asks_again_for_what_is_cached(home: Path, server: Server) -> None:
    ask = ("predict", A, "report=The swing is broken.")
    first = run(*ask).stdout
    asked = len(server.requests)
    assert run(*ask).stdout == first
    assert len(server.requests) == asked
    assert run(*ask, "--no-store").stdout == first
    assert len(server.requests) == asked + 1
    assert reply_cache().stats().rows == 1
