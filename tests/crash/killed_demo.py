"""The demo on the embedded model, killed and run again: whenever that happens, it ends in the same artifact."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tests.crash.victims import content_of
from tunesmith.lm.folders import home_path

PAUSE = 0.2  # seconds, in which a few evaluations are done


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the demo in `folder`, where it finds no replies but its own; it is killed if it has not ended."""
    home = folder / "home"
    if not home.exists():
        home.mkdir(parents=True)
        (home / "models").symlink_to(home_path() / "models")
    with (folder / "said").open("wb") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "tunesmith", "demo", "--quiet", *arguments],
            cwd=folder,
            env={**os.environ, "TUNESMITH_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=said,
            stderr=said,
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def finished(folder: Path, run: str, *arguments: str) -> tuple[bytes, str, str]:
    """Let the demo end and return its artifact."""
    with demo(folder, "--run", run, *arguments) as child:
        assert child.wait() == 0, (folder / "said").read_text(encoding="utf-8")
    return content_of(folder / "runs" / run / "artifact")


def rows(folder: Path, run: str = "demo") -> int:
    """Return how many evaluations the run has kept so far."""
    path = folder / "runs" / run / "run.db"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            return int(connection.execute("SELECT count(*) FROM rows").fetchone()[0])
    except sqlite3.OperationalError:  # it is not there yet
        return 0


def kill(folder: Path, kept: int, pause: float, *arguments: str) -> None:
    """Kill the demo some seconds after it has kept so many evaluations."""
    with demo(folder, *arguments) as child:
        while rows(folder) < kept and child.poll() is None:
            time.sleep(0.03)
        time.sleep(pause)
        child.kill()
        assert child.wait() == -signal.SIGKILL, (folder / "said").read_text(encoding="utf-8")


def check_kills(folder: Path, kills: Sequence[int], *arguments: str) -> None:
    """Kill a demo each time it has kept so many evaluations, let it end, and compare it with an undisturbed one.

    That one takes its replies from the cache: most of the time of a demo is the model's.
    """
    rng = random.Random(0)
    for kept in kills:
        kill(folder, kept, rng.random() * PAUSE, *arguments)
    assert rows(folder) >= kills[-1]
    found = finished(folder, "demo", *arguments)
    assert rows(folder) > kills[-1]

    whole = finished(folder, "whole", *arguments)

    assert found == whole
    assert rows(folder) == rows(folder, "whole")
