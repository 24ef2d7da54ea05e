"""One server for all crash tests of a process, and what undisturbed compiles do on it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.victims import RuleServer, Whole, Work, finish, warm_up
from tests.scale import FULL

MEMORY = Path("/dev/shm")  # a kill leaves the same there as on a disk, and takes no time to write


@pytest.fixture(scope="session")
def server() -> Iterator[RuleServer]:
    warm_up()
    with RuleServer() as found:
        yield found


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """Where everything is kept, in memory where that can be had."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def tmp_path(place: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)


@pytest.fixture(scope="session", params=["random search", "teacher"] if FULL else ["teacher"])
def _whole(request: pytest.FixtureRequest, server: RuleServer, place: Path) -> Whole:
    """An undisturbed compile of at least 150 calls; in `make test` the one with calls at once, and fewer of them."""
    teacher = request.param == "teacher"
    if FULL:
        work = Work(server.url, 14 if teacher else 19, teacher, 4 if teacher else 1)
    else:
        work = Work(server.url, 6, teacher, 4, candidates=4, mirrored=False)
    found = Whole.of(work, server, place / f"whole, {request.param}")
    assert len(found.calls) >= (150 if FULL else 50)
    return found


@pytest.fixture
def whole(_whole: Whole) -> Whole:
    """That compile, for a test that counts its own calls alone, whatever test ran before."""
    return _whole.counted_anew()


@pytest.fixture(scope="session")
def asking(server: RuleServer, place: Path) -> Whole:
    """A compile that asks for instructions, calls at once."""
    return Whole.of(Work(server.url, 10, slots=3, candidates=4, mirrored=False, asks=True), server, place / "asking")


@pytest.fixture(scope="session")
def small(server: RuleServer, place: Path) -> Whole:
    """A compile with few steps."""
    return Whole.of(Work(server.url, 4, candidates=2, mirrored=FULL), server, place / "small")


@pytest.fixture(scope="session")
def older(server: RuleServer, place: Path) -> Path:
    """An artifact that a compile of the same name left earlier."""
    folder = place / "older"
    finish(Work(server.url, 5, candidates=2, mirrored=False), folder)
    server.take()
    return folder / "run" / "artifact"
