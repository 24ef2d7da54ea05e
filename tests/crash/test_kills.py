"""A compile that was killed anywhere goes on: the same artifact, nothing stored paid again, no row twice."""

import json
import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.crash.victims import Whole, counted, ended, finish, killed_at, started
from tests.scale import FULL, scaled
from tunesmith.artifacts import verify

pytestmark = pytest.mark.slow

KILLS = scaled(100) if FULL else 3


@pytest.mark.timeout(3600)
def test_killed_at_a_random_moment(whole: Whole, tmp_path: Path) -> None:
    work, calls, rng, within = whole.work, len(whole.calls), random.Random(0), 0
    for number in range(KILLS):
        folder, start = tmp_path / str(number), time.monotonic()
        child = started(work, folder)
        # One of five at the start or the end, else between two calls, or in the middle of one.
        early = number % 10 == 4
        late = number % 10 == 9
        work.server.wait_for(1 if early else calls if late else rng.randrange(1, calls - work.slots))
        pace = (time.monotonic() - start) / calls
        if not early:
            time.sleep(rng.random() * pace * (30 if late else 1))
        os.kill(child, signal.SIGKILL)
        assert ended(child) in (-signal.SIGKILL, 0)
        before = work.server.take()
        within += 0 < len(before) < calls
        whole.check(folder, before)
    assert within >= 0.8 * KILLS


@pytest.mark.timeout(3600)
def test_killed_before_or_after_a_commit_a_stored_reply_or_a_rename(whole: Whole, tmp_path: Path) -> None:
    for number, (name, count) in enumerate(enumerated(whole.moments, KILLS)):
        folder = tmp_path / str(number)
        child = started(partial(killed_at, whole.work, name=name, number=count), folder)
        assert ended(child) == -signal.SIGKILL, f"{name}, number {count}, did not come"
        whole.check(folder, whole.work.server.take())


def test_killed_while_an_artifact_is_replaced(whole: Whole, tmp_path: Path) -> None:
    def again(folder: Path) -> None:
        shutil.copytree(whole.folder, folder)

    again(tmp_path / "counted")
    finish(partial(counted, whole.work), tmp_path / "counted")
    moments = json.loads((tmp_path / "counted" / "moments").read_text(encoding="utf-8"))
    renames = [(name, 1) for name in moments if "artifact" in name]
    assert len(renames) == 4, "the old one goes, the new one comes"
    for name, count in renames if FULL else renames[1:2]:
        folder = tmp_path / name
        again(folder)
        assert ended(started(partial(killed_at, whole.work, name=name, number=count), folder)) == -signal.SIGKILL
        assert verify(folder / "run" / "artifact").sha256 == verify(whole.folder / "run" / "artifact").sha256
        whole.check(folder, whole.calls)


def enumerated(moments: dict[str, int], wanted: int) -> list[tuple[str, int]]:
    """Return that many moments, of every kind in turn."""
    rng = random.Random(1)
    left = {name: rng.sample(range(1, count + 1), count) for name, count in sorted(moments.items(), key=_frequency)}
    found: list[tuple[str, int]] = []
    while len(found) < wanted and any(left.values()):
        found += [(name, numbers.pop()) for name, numbers in left.items() if numbers]
    return found[:wanted]


def _frequency(moment: tuple[str, int]) -> tuple[int, str]:
    return -moment[1], moment[0]
