"""Races that drop whoever is behind by a paired test."""

import math
from typing import TYPE_CHECKING

from tunesmith.evaluation.distributions import student_t_quantile
from tunesmith.evaluation.paired_tests import signed_rank_test
from tunesmith.evaluation.race import RaceState, register_race
from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_module("numpy")

__all__ = ["beaten", "block_race", "wilcoxon"]

_BLOCK = 30


@register_race
def block_race(
    state: RaceState, *, block: int | None = None, alpha: float = 0.05, max_blocks: int = 10, keep: int = 1
) -> list[int]:
    """Drop, after each block, whoever is significantly beaten by at least `keep` others.

    The racing of CAPO (Zehle et al. 2025, arXiv 2504.16005): one-sided paired t-tests
    at `alpha` on all examples so far, no correction, `max_blocks` blocks at most, until `keep` are left; then the best
    mean. CAPO keeps a population at `alpha=0.2`; for one winner that drops the best too often (`docs/racing.md`), so
    the default is 0.05. Further differences: where `bounds` are known, whoever cannot catch up any more stops as well;
    where the budget has no room for a block of everybody, the best it has room for go on; the length penalty is left
    to the scores; differences without any variance count as certain.

    The released code (finitearth/promptolution, version 2.1.0) filters scores that are indexed by block with a mask
    over candidates: after the first drop it fails (149 of 200 runs, measured) or forgets blocks. Here everything is
    indexed by candidate.

    Args:
        state: the race's state.
        block: examples of a block; default 30 as published, or less so that `max_blocks` cover all examples and the
            budget has room for three blocks of everybody.
        alpha: level of a test.
        max_blocks: blocks at most.
        keep: how many are wanted.
    """
    most = max(2, math.ceil(state.total / max_blocks))
    step = min(_BLOCK, most, max(2, state.budget // (3 * state.count))) if block is None else block
    alive, n = list(range(state.count)), 0
    for _ in range(math.ceil(state.total / step) if block is None else max_blocks):
        alive = _affordable(state, alive, n, step, keep)
        reached = state.show(alive, n + step)
        if reached <= n:
            break
        n = reached
        wins = beaten(state.scores(alive, n), alpha)
        alive = [k for k, times in zip(alive, wins, strict=True) if times < keep]
        alive = state.catchable(alive, keep)
        if len(alive) <= keep:
            break
    return state.by_length(range(state.count))


def beaten(scores: "NDArray[np.float64]", alpha: float) -> list[int]:
    """Return by how many others each row is significantly beaten, by one-sided paired t-tests.

    Args:
        scores: a row per candidate, a column per example; pairs with a score that is not a number are left out.
        alpha: level of each test.
    """
    known = np.isfinite(scores)
    mask, values = known.astype(float), np.where(known, scores, 0.0)
    n = mask @ mask.T
    with np.errstate(divide="ignore", invalid="ignore"):
        lead = (values @ mask.T - mask @ values.T) / n  # of the row over the column
        square = (values**2 @ mask.T + mask @ (values**2).T - 2 * values @ values.T) / n
        variance = np.maximum(square - lead**2, 0.0)
        variance[variance <= 1e-12 * square] = 0.0  # rounding
        t = lead / np.sqrt(variance / (n - 1))
    sizes = {int(size) for size in np.unique(n) if size >= 2}
    critical = np.full_like(n, math.inf)
    for size in sizes:
        critical[n == size] = student_t_quantile(1 - alpha, size - 1)
    better = (n >= 2) & (lead > 0) & (t > critical)
    return [int(count) for count in better.sum(axis=0)]


@register_race
def wilcoxon(
    state: RaceState, *, p_threshold: float = 0.1, start: int = 14, block: int | None = None, keep: int = 1
) -> list[int]:
    """Drop whoever is significantly below the leader by Wilcoxon's signed-rank test.

    The rule of Optuna's WilcoxonPruner (Optuna 5.0): one-sided, zeros split, no test before `start` examples.
    Differences: Optuna runs one trial after the other and tests against the best finished one; here all candidates go
    on together, block by block, against the highest mean so far, so that a budget is shared fairly. Its second
    condition, that the best one's mean is the higher, always holds against the leader. Our test is exact for
    up to 50 pairs that differ, ties included, and needs no SciPy. Bounds and a short budget as in `block_race`.

    Args:
        state: the race's state.
        p_threshold: level.
        start: examples before the first test.
        block: examples between two tests; default a tenth of all, or less so that the budget has room for three.
        keep: how many are wanted.
    """
    most = max(1, math.ceil(state.total / 10))
    step = min(most, max(1, state.budget // (3 * state.count))) if block is None else block
    alive, n = list(range(state.count)), 0
    while len(alive) > keep:
        alive = _affordable(state, alive, n, step, keep)
        reached = state.show(alive, n + step)
        if reached <= n:
            break
        n = reached
        ranked = state.ranked(alive, n)
        if n >= max(2, start):
            rival = state.scores([ranked[keep - 1]], n)[0]
            alive = sorted(
                [
                    *ranked[:keep],
                    *(k for k in ranked[keep:] if not _below(state.scores([k], n)[0], rival, p_threshold)),
                ]
            )
        alive = state.catchable(alive, keep)
    return state.by_length(range(state.count))


def _affordable(state: RaceState, alive: list[int], n: int, step: int, keep: int) -> list[int]:
    """Return the best candidates that the budget has room for a block of; all of them if it has."""
    more = min(step, state.total - n)
    fits = state.room // more if more > 0 else len(alive)
    return alive if fits >= len(alive) or not n else sorted(state.ranked(alive, n)[: max(keep, fits)])


def _below(scores: "NDArray[np.float64]", rival: "NDArray[np.float64]", level: float) -> bool:
    both = np.isfinite(scores) & np.isfinite(rival)
    return signed_rank_test(scores[both], rival[both]) < level
