"""The best of many scores, in one order for every process."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

__all__ = ["best"]

_GROUP = 64  # scores of which only the highest is compared at first


def best(
    scores: "np.ndarray[Any, Any]", k: int, above: float, skip: Callable[[int], bool] | None = None
) -> list[tuple[int, float]]:
    """Return up to `k` pairs of a position and its score, the best first, ties by position.

    Args:
        scores: one for each position.
        k: the most that are returned.
        above: only higher scores are returned.
        skip: tells of a position whether it is left out.
    """
    wanted = k
    while wanted > 0:
        found = _highest(scores, wanted, above)
        kept = [position for position in found if skip is None or not skip(position)][:k]
        if len(kept) == k or len(found) < wanted:
            return [(position, float(scores[position])) for position in kept]
        wanted *= 4
    return []


def _highest(scores: "np.ndarray[Any, Any]", k: int, above: float) -> list[int]:
    groups = len(scores) // _GROUP
    may = scores > above
    if groups > k:  # the k-th highest of groups is exceeded by k scores at least: the others need no sorting
        tops = scores[: _GROUP * groups].reshape(_GROUP, groups).max(axis=0)
        may &= scores >= np.partition(tops, groups - k)[groups - k]
    positions = np.flatnonzero(may)
    ordered = positions[np.argsort(-scores[positions], kind="stable")[:k]]
    return list(map(int, ordered))
