"""A disk that is full from some step on: the artifact that was there stays, the compile stops or ends, and goes on."""

import re
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from tests.crash.victims import REFUSED, Whole, ended, filled_at, limited_to, started
from tests.scale import FULL
from tunesmith.artifacts import verify

Step = TypeVar("Step")
PAGE = 4096
ADVICE = re.compile(r"goes on where it stopped|run the same again|save again")


def some(steps: Sequence[Step]) -> Sequence[Step]:
    """Return the first step, the last and one of four between; in `make test` one in all."""
    return (*steps[: -1 : 4 if FULL else (len(steps) + 1) // 2], steps[-1])


def left_earlier(small: Whole, older: Path, run: Path) -> None:
    """Make a folder of the run that holds an earlier artifact, and neither ledger nor replies."""
    shutil.copytree(older, run / "artifact")
    shutil.copy(small.folder / "run" / "run.json", run)


def check_stop(small: Whole, older: Path, folder: Path, child: int, *, seen: set[int]) -> None:
    """Check what a compile left when there was no room, then let it go on with room."""
    code = ended(child)
    assert code in (0, REFUSED), (folder / "error").read_text(encoding="utf-8")
    there, wanted = verify(folder / "run" / "artifact").sha256, verify(small.folder / "run" / "artifact").sha256
    if code == REFUSED:
        assert ADVICE.search((folder / "error").read_text(encoding="utf-8"))
        assert there == verify(older).sha256
    else:
        assert there == wanted
    seen.add(code)
    small.check_end(folder)


@pytest.mark.timeout(3600)
def test_no_file_may_grow_over_some_size(small: Whole, older: Path, tmp_path: Path) -> None:
    seen: set[int] = set()
    for size in some([*range(small.largest + 2 * PAGE, 0, -PAGE), 0]):
        folder = tmp_path / str(size)
        left_earlier(small, older, folder / "run")
        check_stop(small, older, folder, started(partial(limited_to, small.work, size=size), folder), seen=seen)
    assert seen == {0, REFUSED}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_database_may_grow_from_some_step_on(small: Whole, older: Path, tmp_path: Path) -> None:
    steps = [(name, number) for name, count in small.moments.items() for number in range(1, count + 1)]
    seen: set[int] = set()
    for name, number in some(steps):
        folder = tmp_path / f"{name} {number}"
        left_earlier(small, older, folder / "run")
        child = started(partial(filled_at, small.work, name=name, number=number), folder)
        check_stop(small, older, folder, child, seen=seen)
    assert seen == {0, REFUSED}
