"""What a number of examples can show: power, the smallest gain they detect, and how many a gain needs.

All by the normal approximation of the paired mean difference (Cohen 1988, chapter 2), two-sided.
"""

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist, stdev

from tunesmith.evaluation.resampling import TAIL, group_sums

__all__ = ["binary_spread", "examples_needed", "gain_spread", "minimum_detectable_effect"]

_NORMAL = NormalDist()


def gain_spread(before: Sequence[float], after: Sequence[float], *, groups: Sequence[Hashable] | None = None) -> float:
    """Return the standard deviation of one example's gain, as `spread` of the functions below.

    With groups it is the one that gives the mean its true error: related examples count for less than their number.

    Args:
        before: scores, at least two.
        after: scores of the same examples in the same order.
        groups: the group of each example, where some are related; at least two groups.
    """
    differences = [b - a for a, b in zip(before, after, strict=True)]
    if groups is None:
        return stdev(differences)
    sums, sizes = group_sums(differences, groups)
    mean = sum(differences) / len(differences)
    # Linearised variance of a ratio of sums (Cochran 1977, section 2.11).
    variance = float(((sums - mean * sizes) ** 2).sum()) * len(sums) / (len(sums) - 1)
    return math.sqrt(variance / len(differences))


def binary_spread(before: float, after: float) -> float:
    """Return the `spread` of two programs that are right with these chances, independently of each other.

    Programs that get the same examples right have less.
    """
    return math.sqrt(before * (1 - before) + after * (1 - after))


def minimum_detectable_effect(n: int, spread: float, *, power: float = 0.8) -> float:
    """Return the smallest true gain that `n` examples show with the chance `power`.

    Args:
        n: examples.
        spread: standard deviation of one example's gain.
        power: the chance that the interval of such a gain lies above zero.
    """
    return _spreads(power) * spread / math.sqrt(n)


def examples_needed(effect: float, spread: float, *, power: float = 0.8) -> int | None:
    """Return how many examples show a true gain of `effect` with the chance `power`; `None` if none are enough.

    Args:
        effect: the true mean gain.
        spread: standard deviation of one example's gain.
        power: the chance that the interval of such a gain lies above zero.
    """
    if effect <= 0:
        return None
    return max(2, math.ceil((_spreads(power) * spread / effect) ** 2))


def _spreads(power: float) -> float:
    """Return how many standard errors above zero a gain lies that is shown with the chance `power`."""
    return _NORMAL.inv_cdf(1 - TAIL) + _NORMAL.inv_cdf(power)
