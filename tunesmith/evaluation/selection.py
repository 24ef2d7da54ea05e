"""The best of many flatters: what is left of its gain."""

from collections.abc import Hashable, Sequence

import numpy as np

from tunesmith.evaluation.resampling import DRAWS, group_sums
from tunesmith.evaluation.statistics import Interval

__all__ = ["best_of_gain", "corrected_confidence"]


def corrected_confidence(confidence: float, k: int) -> float:
    """Return the confidence each of `k` intervals needs so that all hold together with `confidence` (Šidák 1967)."""
    return float(confidence ** (1 / k))


def best_of_gain(
    before: Sequence[float],
    candidates: Sequence[Sequence[float]],
    *,
    groups: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the gain of the best of `candidates`, with an interval that allows for its having been selected.

    The interval is the simultaneous one of all candidates: how far the largest deviation of any of them goes in 10,000
    resamples of the examples (White 2000, the reality check; Romano & Wolf 2005), so it holds whichever was selected.
    Each deviation is in units of its own standard error.

    Args:
        before: scores of the program as given.
        candidates: scores of each candidate on the same examples in the same order; at least one.
        groups: the group of each example, where some are related: groups are drawn whole.
        confidence: coverage, between 0 and 1.
        seed: of the draws.
    """
    gains = np.asarray(candidates, dtype=float) - np.asarray(before, dtype=float)
    parts = [group_sums(row, groups) for row in gains]
    sums, sizes = np.array([part[0] for part in parts]), parts[0][1]
    means = gains.mean(axis=1)
    # Of the linearised ratio: a group's deviation from what its size makes us expect.
    apart = sums - means[:, None] * sizes
    error = np.sqrt((apart**2).sum(axis=1)) / sizes.sum()
    best = int(np.argmax(means))
    if not error[best] > 0:
        return Interval(float(means[best]), float(means[best]), float(means[best]), gains.shape[1])
    moving = error > 0
    apart, scale = apart[moving], error[moving][:, None]
    rng, largest = np.random.default_rng(seed), []
    rows = max(1, 1_000_000 // len(sizes))
    for start in range(0, DRAWS, rows):
        drawn = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=min(rows, DRAWS - start))
        largest.append(np.abs(apart @ drawn.T / (drawn @ sizes) / scale).max(axis=0))
    reach = float(np.quantile(np.concatenate(largest), confidence)) * float(error[best])
    return Interval(float(means[best]), float(means[best]) - reach, float(means[best]) + reach, gains.shape[1])
