"""Intervals for means and for paired gains."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from tunesmith.evaluation.resampling import TAIL, bca_ends, group_sums, percentile_ends, resampled_means, typical_ends
from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

__all__ = ["bootstrap_interval", "Interval", "LEAST_CHANGED", "mean_interval", "mean_of", "paired_gain", "wilson"]

LEAST_CHANGED = math.ceil(1 - math.log2(2 * TAIL))
"""How many changed observations a two-sided sign test needs to exclude chance if all went the same way."""

_FEW = 20  # observations, below which percentiles of a bootstrap are too narrow for gains with long tails


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval over `n` values; all `None` where there are no values."""

    mean: float | None
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        if self.mean is None:
            return "no values"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] on {self.n} examples"

    def to_json(self) -> dict[str, Any]:
        """Return the interval as JSON values."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "n": self.n}


def mean_of(values: Sequence[float]) -> float | None:
    """Return the mean, as the intervals below have it, without their cost; `None` of no values."""
    return float(np.asarray(values, dtype=float).mean()) if len(values) else None


def wilson(successes: float, n: int) -> Interval:
    """Return the score interval for a proportion (Wilson 1927).

    Args:
        successes: how many of `n` were right.
        n: at least 1.
    """
    z = NormalDist().inv_cdf(1 - TAIL)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding may put an end on the wrong side of a share of 0 or 1.
    return Interval(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)), n)


_RIGHT_OR_WRONG = {0.0, 1.0}


def mean_interval(
    values: Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Interval:
    """Return the mean of `values` with an interval: Wilson's if all are 0 or 1, else a bootstrap BCa one.

    The mean of nothing is not a number: no values give `None` throughout. Groups of zeros and ones whose means are all
    equal, as a single group is, tell a bootstrap nothing: the interval is then Wilson's of as many values as groups.

    Args:
        values: scores.
        groups: the group of each, where examples are related; then groups are drawn, whatever the values.
        seed: of the draws.
    """
    if not values:
        return Interval(None, None, None, 0)
    is_right_or_wrong = set(values) <= _RIGHT_OR_WRONG
    if groups is None and is_right_or_wrong:
        return wilson(sum(values), len(values))
    found = bootstrap_interval(values, groups=groups, seed=seed)
    if groups is None or not is_right_or_wrong or found.mean is None or found.low != found.high:
        return found
    count = len(set(groups))
    return replace(wilson(found.mean * count, count), mean=found.mean, n=found.n)


def bootstrap_interval(
    values: Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    method: str = "bca",
    seed: int = 0,
) -> Interval:
    """Return the mean of `values` with a bootstrap interval of 10,000 draws.

    Args:
        values: at least one.
        groups: the group of each: groups are drawn whole (Davison & Hinkley 1997, section 3.8), because related
            examples are not as many observations as they are examples.
        method: `bca` (Efron 1987) or `percentile` (Efron & Tibshirani 1993, chapter 13).
        seed: of the draws.

    Raises:
        ValueError: another method, or not as many groups as values.
    """
    if method not in ("bca", "percentile"):
        raise ValueError(f"There is no bootstrap interval {method!r}. Use `bca` or `percentile`.")
    sums, sizes = group_sums(values, groups)
    means = resampled_means(sums, sizes, seed=seed)
    low, high = percentile_ends(means) if method == "percentile" else bca_ends(means, sums, sizes)
    return Interval(mean_of(values), low, high, len(values))


def paired_gain(
    before: Sequence[float],
    after: Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Interval:
    """Return the mean of `after - before` over the same examples, with a paired bootstrap interval.

    The bootstrap draws examples, 10,000 times, and takes percentiles (Efron & Tibshirani 1993, chapter 13). We differ
    where there are few. Of fewer than 20 examples the interval is at least as wide as that of the subset means
    (Hartigan 1969), which is right for any symmetric distribution: the percentiles leave out too much where a few
    graded scores lie far out. And percentiles of a handful of equal differences lie on top of each other. The interval
    then reaches to zero, as long as a two-sided sign test could not exclude it even if all went the same way (up to
    five changed examples at 95 %); and where all differences are equal, it reaches as far towards zero as if only the
    share of examples gained that much which the exact interval allows (Clopper & Pearson 1934).

    Args:
        before: scores.
        after: scores of the same examples in the same order.
        groups: the group of each example, where some are related: groups are drawn whole, and a group is one
            observation of the sign test.
        seed: of the draws.
    """
    differences = [b - a for a, b in zip(before, after, strict=True)]
    if not differences:
        return Interval(None, None, None, 0)
    found = bootstrap_interval(differences, groups=groups, method="percentile", seed=seed)
    sums, sizes = group_sums(differences, groups)
    few = typical_ends(sums, sizes) if len(sums) < _FEW else None
    if few is not None and found.low is not None and found.high is not None:
        found = replace(found, low=min(found.low, few[0]), high=max(found.high, few[1]))
    if min(differences) == max(differences):
        least = differences[0] * TAIL ** (1 / len(sums))
        found = replace(found, low=min(least, differences[0]), high=max(least, differences[0]))
    changed = int(np.count_nonzero(sums))
    if changed >= LEAST_CHANGED or found.low is None or found.high is None:
        return found
    return replace(found, low=min(found.low, 0.0), high=max(found.high, 0.0))
