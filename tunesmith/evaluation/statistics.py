"""Intervals for means and for paired gains."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

__all__ = ["Interval", "mean_interval", "paired_gain", "wilson"]

_DRAWS = 10_000
_BLOCK = 65_536  # values drawn at once: many are drawn faster together, and a block still fits a cache


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its confidence interval over `n` values; all `None` where there are no values."""

    mean: float | None
    low: float | None
    high: float | None
    n: int

    def to_json(self) -> dict[str, Any]:
        """Return the interval as JSON values."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "n": self.n}


def wilson(successes: float, n: int, *, confidence: float = 0.95) -> Interval:
    """Return the score interval for a proportion (Wilson 1927).

    Args:
        successes: how many of `n` were right.
        n: at least 1.
        confidence: coverage, between 0 and 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding may put an end on the wrong side of a share of 0 or 1.
    return Interval(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)), n)


def mean_interval(values: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Return the mean of `values` with an interval: Wilson's where all are 0 or 1, else a bootstrap percentile one.

    The mean of nothing is not a number: no values give `None` throughout.
    """
    if not values:
        return Interval(None, None, None, 0)
    if all(value in (0.0, 1.0) for value in values):
        return wilson(sum(values), len(values), confidence=confidence)
    return _bootstrap(values, confidence=confidence, seed=seed)


def paired_gain(
    before: Sequence[float], after: Sequence[float], *, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Return the mean of `after - before` over the same examples, with a paired bootstrap interval.

    The bootstrap draws examples, 10,000 times, and takes percentiles (Efron & Tibshirani 1993, chapter 13). We differ
    where few examples changed: the percentiles of a handful of equal differences lie on top of each other. The interval
    then reaches to zero, as long as a two-sided sign test could not exclude it even if all went the same way
    (five changed examples at 95 %).

    Args:
        before: scores.
        after: scores of the same examples in the same order.
        confidence: coverage, between 0 and 1.
        seed: of the draws.
    """
    differences = [b - a for a, b in zip(before, after, strict=True)]
    if not differences:
        return Interval(None, None, None, 0)
    found = _bootstrap(differences, confidence=confidence, seed=seed)
    changed = sum(difference != 0 for difference in differences)
    if 2 * 0.5**changed <= 1 - confidence or found.low is None or found.high is None:
        return found
    return replace(found, low=min(found.low, 0.0), high=max(found.high, 0.0))


def _bootstrap(values: Sequence[float], *, confidence: float, seed: int) -> Interval:
    data = np.asarray(values, dtype=float)
    rng = np.random.default_rng(seed)
    # The mean of a resample depends only on how often each distinct value is drawn: a multinomial draw is the
    # same distribution as drawing n items, at a fraction of the memory.
    distinct, counts = np.unique(data, return_counts=True)
    if len(distinct) <= max(32, len(data) // 2):
        drawn = rng.multinomial(len(data), counts / len(data), size=_DRAWS)
        means = drawn @ distinct / len(data)
    else:
        rows = max(1, _BLOCK // len(data))
        blocks = (min(rows, _DRAWS - first) for first in range(0, _DRAWS, rows))
        means = np.concatenate([rng.choice(data, (block, len(data))).mean(axis=1) for block in blocks])
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(data.mean()), float(low), float(high), len(data))
