"""Which predictor of several is changed next."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunesmith.compilers._outcome import Outcome
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["next_path"]


def next_path(
    search: "Search",
    candidate: Candidate,
    runs: Sequence[Outcome],
    turns: Sequence[str],
    *,
    perfect: float,
    blame: bool,
) -> str:
    """Return the first of `turns` that ran, or that most failures are blamed on.

    Args:
        search: blames.
        candidate: whose runs they are.
        runs: on training examples.
        turns: predictor paths, the next in turn first.
        perfect: the score below which a run is a failure.
        blame: whether failures are blamed on predictors, which may cost runs (`Search.credit`).
    """
    if blame and len(turns) > 1:
        failed = [run for run in runs if (run.score or 0.0) < perfect]
        blamed = search.credit(candidate, failed, threshold=perfect)
        counts = {path: len(blamed.get(path, ())) for path in turns}
    else:
        ran = {step.predictor for run in runs for step in run.steps}
        counts = {path: int(path in ran) for path in turns}
    return max(turns, key=counts.__getitem__)
