"""How much of a full count a test runs: all of it in `make test-slow`, 5 % in `make test`."""

import os
import sys
from pathlib import Path

FULL = bool(os.environ.get("TUNESMITH_SLOW"))
"""Whether `make test-slow` runs, which tries every combination where `make test` tries some that cover them."""

COUNTS: dict[str, int] = {}
"""Every count that was asked for in this session, by file and line; `make test-slow` writes them down."""


def scaled(count: int) -> int:
    """Return `count`, or 5 % of it (at least one) unless `TUNESMITH_SLOW` is set."""
    wanted = count if FULL else max(1, count // 20)
    caller = sys._getframe(1)
    COUNTS[f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}"] = wanted
    return wanted
