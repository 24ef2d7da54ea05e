"""One server for all crash tests of a process, and what undisturbed compiles do on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.victims import RuleServer, Whole, Work, finish
from tests.scale import FULL


@pytest.fixture(scope="session")
def server() -> Iterator[RuleServer]:
    with RuleServer() as found:
        yield found


@pytest.fixture(scope="session", params=["random search", "teacher"])
def whole(request: pytest.FixtureRequest, server: RuleServer, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """An undisturbed compile of at least 300 calls, fewer in `make test`."""
    teacher = request.param == "teacher"
    work = Work(server, (32 if teacher else 48) if FULL else 8, teacher, 4 if teacher else 1)
    found = Whole.of(work, tmp_path_factory.mktemp("whole"))
    assert len(found.calls) >= (300 if FULL else 50)
    return found


@pytest.fixture(scope="session")
def small(server: RuleServer, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A compile with few steps."""
    return Whole.of(Work(server, 4, candidates=2), tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def older(server: RuleServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that a compile of the same name left earlier."""
    folder = tmp_path_factory.mktemp("older")
    finish(Work(server, 5, candidates=2), folder)
    return folder / "run" / "artifact"
