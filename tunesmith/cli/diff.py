"""`tunesmith diff`: compare two artifacts."""

from pathlib import Path

from tunesmith.artifacts import diff
from tunesmith.cli.failures import DONE, GATE
from tunesmith.cli.output import emit, say

__all__ = ["run"]


def run(*, before: Path, after: Path, exit_code: bool, as_json: bool) -> int:
    """Compare two artifacts."""
    found = diff(before, after)
    if as_json:
        emit(found.to_json())
    else:
        say(str(found))
    return GATE if exit_code and not found.equal else DONE
