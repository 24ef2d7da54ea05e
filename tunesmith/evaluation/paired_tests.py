"""Tests of programs against each other on the same examples: is a difference more than chance?"""

import math
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, TypeVar

from tunesmith.evaluation.distributions import normal_tail
from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
else:
    np = lazy_module("numpy")

__all__ = ["holm", "signed_rank_test", "two_sided_test"]

_EXACT_RANKS = 50
_Name = TypeVar("_Name", bound=Hashable)


def signed_rank_test(before: "ArrayLike", after: "ArrayLike") -> float:
    """Return the chance of a gain at least as large as this one, if both programs were equally good.

    Wilcoxon's signed-rank test (1945), zeros ranked and split, as SciPy's `zsplit`. It is exact for up to 50 pairs that
    differ, ties included: the given ranks with every pattern of signs. For more pairs it is the normal approximation
    with the variance of those ranks.

    Args:
        before: scores.
        after: scores of the same examples in the same order.
    """
    differences = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    ranks = _doubled_ranks(np.abs(differences))
    nonzero = differences != 0
    ranks, up = ranks[nonzero], differences[nonzero] > 0
    n, seen, total = len(ranks), int(ranks[up].sum()), int(ranks.sum())
    if not n:
        return 1.0
    if n > _EXACT_RANKS:
        deviation = math.sqrt(float((ranks.astype(float) ** 2).sum())) / 2
        return normal_tail((seen - total / 2) / deviation)
    ways = np.zeros(total + 1)
    ways[0] = 1.0
    for rank in ranks:
        ways[rank:] = (ways[rank:] + ways[: total + 1 - rank]) / 2
        ways[:rank] /= 2
    return min(1.0, float(ways[seen:].sum()))


def two_sided_test(before: "ArrayLike", after: "ArrayLike") -> float:
    """Return the chance of a difference as large, either way, if both were equally good: twice `signed_rank_test`."""
    return min(1.0, 2 * min(signed_rank_test(before, after), signed_rank_test(after, before)))


def holm(chances: Mapping[_Name, float]) -> dict[_Name, float]:
    """Return chances by name, corrected for their number (Holm 1979).

    Each is multiplied by the number of those that are not decided before it, and none is below a smaller one.

    Example:
        >>> holm({"a": 0.01, "b": 0.5, "c": 0.03})
        {'a': 0.03, 'c': 0.06, 'b': 0.5}
    """
    found, highest = dict[_Name, float](), 0.0
    for place, (name, chance) in enumerate(sorted(chances.items(), key=lambda pair: pair[1])):
        highest = max(highest, min(1.0, chance * (len(chances) - place)))
        found[name] = highest
    return found


def _doubled_ranks(sizes: "NDArray[np.float64]") -> "NDArray[np.int64]":
    """Return twice the rank of each size, from 1, ties sharing their mean: whole numbers."""
    _, inverse, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    found: NDArray[np.int64] = (2 * ends - counts + 1)[inverse]
    return found
