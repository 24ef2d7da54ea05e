"""The best of many scores, in one order for every process."""

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

__all__ = ["best"]


def best(
    scores: "np.ndarray[Any, Any]", k: int, may: "np.ndarray[Any, Any]", skip: Callable[[int], bool] | None = None
) -> list[tuple[int, float]]:
    """Return up to `k` pairs of a position and its score, the best first, ties by position.

    Args:
        scores: one for each position.
        k: the most that are returned.
        may: the positions that may be returned, in order.
        skip: tells of a position whether it is left out.
    """
    if k < 1 or not len(may):
        return []
    if skip is None and len(may) > k:  # sorting all of them takes most of the time of a search
        found = scores[may]
        least = np.partition(found, len(found) - k)[len(found) - k]
        may = may[found >= least]
    ordered = map(int, may[np.argsort(-scores[may], kind="stable")])
    kept = islice((position for position in ordered if skip is None or not skip(position)), k)
    return [(position, float(scores[position])) for position in kept]
