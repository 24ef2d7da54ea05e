"""Tests of one program against another on the same examples: is the difference more than chance?"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunesmith.errors import UsageError
from tunesmith.evaluation.distributions import binomial_tail, normal_tail, student_t_tail
from tunesmith.evaluation.resampling import group_sums

__all__ = ["mcnemar", "PairedTest", "paired_t_test", "sign_flip_test", "sign_test", "signed_rank_test"]

_EXACT_FLIPS = 16  # 65,536 sign patterns
_EXACT_RANKS = 50
_DRAWS = 10_000
_SLACK = 1e-9  # sums of the same numbers in another order differ by rounding


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The chances of what was seen, if the two programs were equally good.

    Attributes:
        greater: of a gain at least as large.
        less: of a loss at least as large.
        n: how many observations differed.
    """

    greater: float
    less: float
    n: int

    @property
    def p(self) -> float:
        """The two-sided chance: twice the smaller one, 1 at most."""
        return min(1.0, 2 * min(self.greater, self.less))


def sign_test(
    before: Sequence[float], after: Sequence[float], *, groups: Sequence[Hashable] | None = None
) -> PairedTest:
    """Return the exact sign test (Dixon & Mood 1946): ties are left out, the rest are tosses of a fair coin.

    Args:
        before: scores.
        after: scores of the same examples in the same order.
        groups: the group of each example, where some are related: a group is one toss.
    """
    return _coins(_differences(before, after, groups))


def mcnemar(before: Sequence[float], after: Sequence[float]) -> PairedTest:
    """Return McNemar's test (1947) in its exact form, of scores that are 0 or 1.

    For related examples use `sign_flip_test`, whose group sums are the same test where no two are related.

    Raises:
        UsageError: a score is neither 0 nor 1.
    """
    for value in (*before, *after):
        if value not in (0, 1):
            raise UsageError(f"McNemar's test needs scores of 0 or 1. Given: {value}. Use `sign_flip_test`.")
    return _coins(_differences(before, after, None))


def sign_flip_test(
    before: Sequence[float],
    after: Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> PairedTest:
    """Return the sign-flip (paired permutation) test of the mean difference (Fisher 1935, section 21).

    Exact for up to 16 differences and wherever all are of one size; beyond, 10,000 seeded draws, with what was seen
    as one of them (Phipson & Smyth 2010).

    Args:
        before: scores.
        after: scores of the same examples in the same order.
        groups: the group of each example, where some are related: a group's differences flip together.
        seed: of the draws.
    """
    sums = _differences(before, after, groups)
    sums = sums[sums != 0]
    sizes = np.abs(sums)
    if not len(sums) or np.allclose(sizes, sizes[0], rtol=_SLACK, atol=0):
        return _coins(sums)
    seen, slack = float(sums.sum()), _SLACK * float(sizes.sum())
    if len(sums) <= _EXACT_FLIPS:
        totals = np.zeros(1)
        for size in sizes:
            totals = np.concatenate([totals + size, totals - size])
        return PairedTest(float((totals >= seen - slack).mean()), float((totals <= seen + slack).mean()), len(sums))
    rng = np.random.default_rng(seed)
    rows = max(1, 1_000_000 // len(sums))
    over = under = 0
    for start in range(0, _DRAWS, rows):
        signs = rng.integers(0, 2, size=(min(rows, _DRAWS - start), len(sums))) * 2 - 1
        totals = signs @ sizes
        over += int((totals >= seen - slack).sum())
        under += int((totals <= seen + slack).sum())
    return PairedTest((over + 1) / (_DRAWS + 1), (under + 1) / (_DRAWS + 1), len(sums))


def signed_rank_test(before: ArrayLike, after: ArrayLike) -> PairedTest:
    """Return Wilcoxon's signed-rank test (1945), zeros ranked and split, as SciPy's `zsplit`.

    Exact for up to 50 pairs that differ, ties included: the ranks that were seen, with every pattern of signs. Beyond,
    the normal approximation with the variance of those ranks.
    """
    differences = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    ranks = _doubled_ranks(np.abs(differences))
    nonzero = differences != 0
    ranks, up = ranks[nonzero], differences[nonzero] > 0
    n, seen, total = len(ranks), int(ranks[up].sum()), int(ranks.sum())
    if not n:
        return PairedTest(1.0, 1.0, 0)
    if n > _EXACT_RANKS:
        deviation = math.sqrt(float((ranks.astype(float) ** 2).sum())) / 2
        z = (seen - total / 2) / deviation
        return PairedTest(normal_tail(z), normal_tail(-z), n)
    ways = np.zeros(total + 1)
    ways[0] = 1.0
    for rank in ranks:
        ways[rank:] = (ways[rank:] + ways[: total + 1 - rank]) / 2
        ways[:rank] /= 2
    return PairedTest(min(1.0, float(ways[seen:].sum())), min(1.0, float(ways[: seen + 1].sum())), n)


def paired_t_test(before: Sequence[float], after: Sequence[float]) -> PairedTest:
    """Return Student's paired t-test; without any variance a difference is certain, and no difference is none."""
    differences = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    n = len(differences)
    changed = int(np.count_nonzero(differences))
    if n < 2 or not changed:
        return PairedTest(1.0, 1.0, changed)
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n)
    t = mean / error if error > 1e-12 * abs(mean) else math.copysign(math.inf, mean)
    return PairedTest(student_t_tail(t, n - 1), student_t_tail(-t, n - 1), changed)


def _differences(
    before: Sequence[float], after: Sequence[float], groups: Sequence[Hashable] | None
) -> NDArray[np.float64]:
    differences = [b - a for a, b in zip(before, after, strict=True)]
    sums, _ = group_sums(differences, groups)
    if groups is None:
        return sums
    scale, _ = group_sums([abs(difference) for difference in differences], groups)
    # Gains and losses that cancel in a group are no difference, whatever rounding says.
    return np.where(np.abs(sums) <= 1e-12 * scale, 0.0, sums)


def _coins(differences: NDArray[np.float64]) -> PairedTest:
    up, down = int((differences > 0).sum()), int((differences < 0).sum())
    return PairedTest(binomial_tail(up, up + down), binomial_tail(down, up + down), up + down)


def _doubled_ranks(sizes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return twice the rank of each size, from 1, ties sharing their mean: whole numbers."""
    _, inverse, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    found: NDArray[np.int64] = (2 * ends - counts + 1)[inverse]
    return found
