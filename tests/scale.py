"""How much of a full count a test runs: all of it in `make test-slow`, 5 % in `make test`."""

import os


def scaled(count: int) -> int:
    """Return `count`, or 5 % of it (at least one) unless `TUNESMITH_SLOW` is set."""
    return count if os.environ.get("TUNESMITH_SLOW") else max(1, count // 20)
