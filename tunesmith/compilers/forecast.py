"""How many evaluations a race is going to take: the race itself, run on scores that are drawn instead of paid for."""

from typing import TYPE_CHECKING

from tunesmith.evaluation import RACES
from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

__all__ = ["race_evaluations"]

_RUNS = 5  # races that are averaged; more cost time and change little
_MOST_DRAWN = 400  # validation examples of a drawn race: beyond, its cost grows in proportion
_MIDDLE, _SPREAD = 0.6, 0.08  # of the drawn candidates' abilities
_LUCK = 0.3  # how much of a score is chance, the rest being the example's difficulty


def race_evaluations(
    race: str,
    *,
    count: int,
    total: int,
    budget: int,
    finalists: int,
    bounds: tuple[float, float] | None = None,
) -> int:
    """Return the mean number of evaluations of one example that a race takes, its leaders scored whole afterwards.

    Each race drops candidates by a rule of its own, some by their scores, so there is no formula for all: the race is
    run on 0/1 scores of candidates whose abilities differ by a few hundredths, as those of drawn demo sets do. The
    same arguments give the same number in every process.

    Args:
        race: a name of `RACES`.
        count: candidates.
        total: validation examples.
        budget: evaluations that the race is given.
        finalists: leaders that are scored on every example.
        bounds: lowest and highest score, where they are known.
    """
    if count < 1 or total < 1:
        return 0
    drawn = min(total, _MOST_DRAWN)
    share = int(budget * drawn / total)
    runs = [_one(race, count, drawn, share, finalists, bounds, seed) for seed in range(_RUNS)]
    return min(count * total, round(sum(runs) / _RUNS * total / drawn))


def _one(
    race: str, count: int, total: int, budget: int, finalists: int, bounds: tuple[float, float] | None, seed: int
) -> int:
    rng = np.random.default_rng(seed)
    ability = rng.normal(_MIDDLE, _SPREAD, size=(count, 1))
    hard = rng.random(total)
    own = rng.random((count, total))
    right = np.where(rng.random((count, total)) < _LUCK, own, hard) < ability
    low, high = (0.0, 1.0) if bounds is None else bounds
    scores = np.where(right, high, low).tolist()
    standings = RACES[race](count, lambda k, n: scores[k][:n], total, budget, bounds=bounds, seed=seed)
    seen = [standing.n for standing in standings if standing.n]
    return sum(seen) + sum(total - n for n in seen[:finalists]) if seen else min(count, 1) * total
