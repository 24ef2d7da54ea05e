"""A compile that was killed anywhere goes on: the same artifact, nothing stored paid again, no row twice."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.crash.victims import Whole, content_of, counted, ended, finish, killed_at, started
from tests.scale import FULL, scaled
from tunesmith.artifacts import verify

KILLS = scaled(24)
MIRRORED = 5  # one of so many compiles writes a mirror


def turns(whole: Whole) -> list[Whole]:
    """Return the compile once for every kill."""
    return [replace(whole, work=replace(whole.work, mirrored=number % MIRRORED == 0)) for number in range(KILLS)]


@pytest.mark.timeout(3600)
def test_killed_at_a_random_moment(whole: Whole, tmp_path: Path) -> None:
    server, calls, rng, within = whole.server, len(whole.calls), random.Random(0), 0
    for number, turn in enumerate(turns(whole)):
        work, folder, start = turn.work, tmp_path / str(number), time.monotonic()
        child = started(work, folder)
        # One of five at the start or the end, else between two calls, or in the middle of one.
        early = number % 10 == 4
        late = number % 10 == 9
        server.wait_for(1 if early else calls if late else rng.randrange(1, calls - work.slots))
        pace = (time.monotonic() - start) / calls
        if not early:
            time.sleep(rng.random() * pace * (30 if late else 1))
        os.kill(child, signal.SIGKILL)
        assert ended(child) in (-signal.SIGKILL, 0)
        within += 0 < turn.check(folder) < calls
        shutil.rmtree(folder)
    assert within >= 0.8 * KILLS


@pytest.mark.timeout(3600)
def test_no_proposal_is_asked_for_twice(asking: Whole, tmp_path: Path) -> None:
    """A compiler that asks for instructions, killed at random moments: the same artifact, and each question once."""
    assert "Say which colour it has, mark" in asking.artifact[1], "a proposal was found to be better"
    server, calls, rng = asking.server, len(asking.calls), random.Random(2)
    for number in range(scaled(20)):
        folder = tmp_path / str(number)
        child = started(asking.work, folder)
        server.wait_for(rng.randrange(1, calls - asking.work.slots))
        time.sleep(rng.random() * 0.02)
        os.kill(child, signal.SIGKILL)
        assert ended(child) in (-signal.SIGKILL, 0)
        asking.check(folder)
        shutil.rmtree(folder)


@pytest.mark.timeout(3600)
def test_killed_before_or_after_a_commit_a_stored_reply_or_a_rename(whole: Whole, tmp_path: Path) -> None:
    moments = enumerated(whole.moments, KILLS)
    missed = 0
    for number, (turn, (name, count)) in enumerate(zip(turns(whole), moments, strict=True)):
        folder = tmp_path / str(number)
        child = started(partial(killed_at, turn.work, name=name, number=count), folder)
        found = ended(child)
        # Rows that finish within some time share a commit, so a run may have fewer of them than the one that was counted.
        is_missed = found == 0 and "commit of run.db" in name
        missed += is_missed
        assert found == -signal.SIGKILL or is_missed, f"{name}, number {count}, did not come"
        turn.check(folder)
        shutil.rmtree(folder)
    assert missed <= len(moments) // 4


@pytest.mark.timeout(600)
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
        whole.check_end(folder)
        assert whole.server.take() == []


@pytest.mark.slow
def test_calls_that_another_test_has_left_are_not_counted(whole: Whole, small: Whole, tmp_path: Path) -> None:
    """As the compiles on a full disk leave theirs, of the same requests; which test runs before depends on the time."""
    for name in ("one", "another"):
        finish(replace(small.work, mirrored=False), tmp_path / name)
    turn = replace(whole, work=replace(whole.work, mirrored=False)).counted_anew()

    child = started(turn.work, tmp_path / "killed")
    turn.server.wait_for(9)
    os.kill(child, signal.SIGKILL)
    assert ended(child) == -signal.SIGKILL
    assert 9 <= turn.check(tmp_path / "killed") < len(turn.calls)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_process_of_its_own_leaves_the_same_artifact(whole: Whole, tmp_path: Path) -> None:
    """Nothing that a process did before is in an artifact: the others are forked from one that has compiled already."""
    code = f"from pathlib import Path\nfrom tests.crash.victims import Work\n{whole.work!r}(Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
    assert content_of(tmp_path / "run" / "artifact") == whole.artifact
    assert Counter(whole.server.take()) == Counter(whole.calls)


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
