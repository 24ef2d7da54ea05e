"""What a test split says about a compile, and how often it was asked."""

import json
from pathlib import Path

from filelock import FileLock

from tunesmith.errors import UsageError
from tunesmith.evaluation import Interval, write_atomically
from tunesmith.lm import home

__all__ = ["VERDICTS", "count_opening", "verdict_of"]

VERDICTS = ("ship", "no evidence", "regression", "untested")


def verdict_of(gain: Interval | None) -> str:
    """Return the verdict on a paired gain on the test split.

    `ship` where the lower end of its 95 % interval is above zero, `regression` where the upper end is below zero,
    `no evidence` in between, `untested` without a test split.
    """
    if gain is None or gain.low is None or gain.high is None:
        return "untested"
    if gain.low > 0:
        return "ship"
    return "regression" if gain.high < 0 else "no evidence"


def count_opening(fingerprint: str, run: str) -> int | None:
    """Note that `run` looks at the test split `fingerprint`, and return by how many runs it was opened so far.

    Replaying a run is not another opening. The counts are in `TUNESMITH_HOME/test-splits.json`; where that cannot be
    written the answer is `None`: a compile is not lost over it.

    Args:
        fingerprint: of the test split.
        run: identity of the run, by content.
    """
    try:
        path = home() / "test-splits.json"
        with FileLock(path.with_suffix(".lock")):
            known = _read(path)
            runs = known.setdefault(fingerprint, [])
            if run not in runs:
                runs.append(run)
                write_atomically(path, json.dumps(known, indent=1) + "\n")
            return len(runs)
    except (OSError, UsageError):
        return None


def _read(path: Path) -> dict[str, list[str]]:
    """Return the runs by split; what is damaged counts as absent."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {split: runs for split, runs in known.items() if isinstance(runs, list)} if isinstance(known, dict) else {}
