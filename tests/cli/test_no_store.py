"""`--no-store`: no reply is kept, and none that was kept is used."""

from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, run
from tests.cli.server import Server
from tests.protocol import FakeModel, ProtocolServer
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
        ("compile", "--run", "private", "--budget-calls", "60"),
        ("compile", "--dry-run"),
    ],
    ids=" ".join,
)
def test_no_store_leaves_no_cache_in_the_home(arguments: tuple[str, ...], home: Path, server: Server) -> None:
    before = len(server.requests)
    found = run(*arguments, "--no-store", "--json", "--quiet")
    assert found.exit_code == 0, found.stderr
    assert (len(server.requests) > before) == ("--dry-run" not in arguments)
    assert not (home / "cache").exists()


def test_a_demo_without_a_store_leaves_no_cache_either(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ProtocolServer([FakeModel("m", reply=lambda messages, options: '"room"')]) as there:
        monkeypatch.setenv("OLLAMA_HOST", there.url)
        found = run("demo", "--lm", "ollama/m", "--limit", "5", "--no-store", "--json", "--quiet")
        assert found.exit_code == 0, found.stderr
        assert any(entry.path == "/api/chat" for entry in there.requests)
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
