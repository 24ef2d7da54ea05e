"""The time of `tunesmith demo` on the clock: a fresh process, an empty home but for the weights, nothing in a cache.

    TUNESMITH_BASE=../base python benchmarks/run.py demo

TUNESMITH_BASE is a tree of another commit (`git worktree add FOLDER COMMIT`). Its demo takes turns with that of this
tree, on the same installed libraries. Without it nothing is measured. Both take all cores, so nothing else should run.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import ENVIRONMENT, Row, in_turn, main, medians, ratio, spread

from tunesmith.lm import models_dir

ROUNDS = 3
TREE = str(Path(__file__).parents[1])


def demo(tree: str, results: list[dict[str, Any]]) -> Callable[[], float]:
    """Return a function that runs the demo of a tree and returns its seconds; what it found goes to `results`."""

    def run() -> float:
        with tempfile.TemporaryDirectory() as name:
            home = Path(name) / "home"
            home.mkdir()
            (home / "models").symlink_to(models_dir())
            env = {**ENVIRONMENT, "PYTHONPATH": tree, "TUNESMITH_HOME": str(home)}
            start = time.monotonic()
            command = [sys.executable, "-P", "-m", "tunesmith", "demo", "--json", "--quiet"]
            done = subprocess.run(command, cwd=name, env=env, stdout=subprocess.PIPE, check=True, timeout=1200)
            seconds = time.monotonic() - start
        results.append(json.loads(done.stdout))
        return seconds

    return run


def rows() -> list[Row]:
    base = os.environ.get("TUNESMITH_BASE")
    if base is None:
        print("TUNESMITH_BASE is not set: the demo is compared with nothing.", file=sys.stderr)
        return []
    results: dict[str, list[dict[str, Any]]] = {"now": [], "base": []}
    found = in_turn({"base": demo(base, results["base"]), "now": demo(TREE, results["now"])}, ROUNDS)
    told = ("verdict", "calls", "tokens")
    details = {
        "seconds": medians(found),
        "rounds": spread(found, "now", "base"),
        **{
            side: {**{name: ran[0][name] for name in told}, "compiled": ran[0]["compiled"]["mean"]}
            for side, ran in results.items()
        },
    }
    what = "seconds of `tunesmith demo` on the clock, tunesmith / commit 5741c49"
    return [Row("demo", what, ratio(found, "now", "base"), 0.55, details=details)]


if __name__ == "__main__":
    main(rows)
