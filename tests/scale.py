"""How much of a full count a test runs: all of it in `make test-slow`, 5 % in `make test`."""

import os

FULL = bool(os.environ.get("TUNESMITH_SLOW"))
"""Whether `make test-slow` runs, which tries every combination where `make test` tries some that cover them."""


def scaled(count: int) -> int:
    """Return `count`, or 5 % of it (at least one) unless `TUNESMITH_SLOW` is set."""
    return count if FULL else max(1, count // 20)
