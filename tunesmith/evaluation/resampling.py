"""Bootstrap draws of a mean, by example or by group of related examples."""

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_module("numpy")

__all__ = ["bca_ends", "group_sums", "jackknife_means", "percentile_ends", "resampled_means", "TAIL", "typical_ends"]

TAIL = (1 - 0.95) / 2
"""The share that an interval leaves out at each end: all cover 95 %."""

DRAWS = 10_000
_CHUNK = 1_000_000  # values held at once
_FEW = 32


def group_sums(
    values: Sequence[float], groups: Sequence[Hashable] | None
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return the sum of the values of each group and its size; without groups each value is one.

    Raises:
        ValueError: there are not as many groups as values.
    """
    data = np.asarray(values, dtype=float)
    if groups is None:
        return data, np.ones(len(data))
    if len(groups) != len(data):
        raise ValueError(f"There are {len(data)} values and {len(groups)} groups; each value needs its group.")
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    index = np.array([places[group] for group in groups], dtype=int)
    sums, sizes = np.zeros(len(places)), np.zeros(len(places))
    np.add.at(sums, index, data)
    np.add.at(sizes, index, 1.0)
    return sums, sizes


def resampled_means(sums: "NDArray[np.float64]", sizes: "NDArray[np.float64]", *, seed: int) -> "NDArray[np.float64]":
    """Return the means of 10,000 resamples of the groups with replacement."""
    rng, count = np.random.default_rng(seed), len(sums)
    if (sizes == 1).all():
        # The mean of a resample depends only on how often each distinct value is drawn: a multinomial draw is the
        # same distribution as drawing n items, at a fraction of the memory.
        distinct, counts = np.unique(sums, return_counts=True)
        if len(distinct) <= max(_FEW, count // 2):
            found: NDArray[np.float64] = rng.multinomial(count, counts / count, size=DRAWS) @ distinct / count
            return found
    rows = max(1, _CHUNK // count)
    parts = []
    for start in range(0, DRAWS, rows):
        drawn = rng.integers(0, count, size=(min(rows, DRAWS - start), count))
        parts.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(parts)


def percentile_ends(means: "NDArray[np.float64]") -> "tuple[float, float]":
    """Return the percentile interval (Efron & Tibshirani 1993, chapter 13)."""
    low, high = np.quantile(means, [TAIL, 1 - TAIL])
    return float(low), float(high)


def typical_ends(sums: "NDArray[np.float64]", sizes: "NDArray[np.float64]") -> tuple[float, float] | None:
    """Return the interval between the outermost means of subsets of the groups; `None` of so few that there is none.

    There are `2**n - 1` subsets, and the centre of a symmetric distribution lies between any two neighbours of their
    ordered means with the same chance, whatever its tails (Hartigan 1969). It holds what a sign-flip test of the mean
    does not exclude. Its cost doubles with each group, so it is for few of them.
    """
    outside = int(TAIL * 2 ** len(sums) + 1e-9)
    if outside < 1:
        return None
    totals, counts = np.zeros(1), np.zeros(1)
    for total, count in zip(sums, sizes, strict=True):
        totals, counts = np.concatenate([totals, totals + total]), np.concatenate([counts, counts + count])
    # Rounded: gains that cancel must give a mean of zero.
    means = np.round(totals[1:] / counts[1:], 12)
    means = np.partition(means, [outside - 1, len(means) - outside])
    return float(means[outside - 1]), float(means[len(means) - outside])


def bca_ends(
    means: "NDArray[np.float64]", sums: "NDArray[np.float64]", sizes: "NDArray[np.float64]"
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval (Efron 1987; Efron & Tibshirani 1993, chapter 14).

    Resamples that equal the mean count half on either side. Without any spread both ends are the mean.
    """
    mean = float(sums.sum() / sizes.sum())
    left = jackknife_means(sums, sizes)
    apart = left.mean() - left
    square = float((apart**2).sum())
    if square <= 1e-24 * max(1.0, mean * mean) or len(sums) < 2:
        return mean, mean
    normal = NormalDist()
    close = np.isclose(means, mean, rtol=1e-12, atol=1e-14)
    below = (float(((means < mean) & ~close).sum()) + 0.5 * float(close.sum())) / len(means)
    bias = normal.inv_cdf(min(max(below, 0.5 / len(means)), 1 - 0.5 / len(means)))
    skew = float((apart**3).sum()) / (6 * square**1.5)
    ends = []
    for tail in (TAIL, 1 - TAIL):
        z = bias + normal.inv_cdf(tail)
        ends.append(normal.cdf(bias + z / (1 - skew * z)) if skew * z < 1 else float(z > 0))
    low, high = np.quantile(means, ends)
    return float(low), float(high)


def jackknife_means(sums: "NDArray[np.float64]", sizes: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the mean without each group in turn."""
    rest = sizes.sum() - sizes
    found: NDArray[np.float64] = np.divide(sums.sum() - sums, rest, out=np.full(len(sums), math.nan), where=rest > 0)
    return found
