"""What a race of a search may spend, what it is going to spend, and how its candidates are shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunesmith.evaluation import RACES
from tunesmith.lazy import lazy_module
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

__all__ = ["Bounds", "demos_of", "forecast", "prompt_start", "shares"]

Bounds = tuple[float, float] | None

_WHOLE = ("full", "bound")  # races that get as many evaluations as there are
_EFFORT = 0.62  # of the evaluations that scoring every candidate on every example would take
_RUNS = 5  # races that are averaged for a forecast; more cost time and change little
_MOST_DRAWN = 400  # validation examples of a drawn race: beyond, its cost grows in proportion
_MIDDLE, _SPREAD = 0.6, 0.08  # of the drawn candidates' abilities
_LUCK = 0.3  # how much of a score is chance, the rest being the example's difficulty


def shares(rule: str, count: int, total: int, room: int | None, finalists: int) -> tuple[int, int]:
    """Return how many evaluations a race gets, and how many of its leaders are scored on every example.

    What the leaders need is kept back from `room`, but at most half of it.

    Args:
        rule: a name of `RACES`.
        count: candidates.
        total: validation examples.
        room: evaluations that the budget has room for; `None` without a limit.
        finalists: leaders that are wanted.
    """
    everything, finalists = count * total, min(finalists, count)
    budget = everything if rule in _WHOLE or count == 1 else int(everything * _EFFORT)
    if room is None:
        return budget, finalists
    if room < total:
        return 0, 0  # no candidate could be scored on every example, so none could be chosen
    finalists = max(1, min(finalists, room // (2 * total)))
    return max(0, min(budget, room - finalists * total)), finalists


def prompt_start(candidate: Candidate) -> list[tuple[str, str, int]]:
    """Return a sort key that puts candidates with a shared prompt prefix side by side: servers reuse what they read."""
    return [(str(part.format), part.instruction or "", len(part.demos)) for part in candidate.parts.values()]


def demos_of(candidate: Candidate) -> int:
    """Return how many demos a candidate has, all predictors together: the most make the most expensive calls."""
    return sum(len(part.demos) for part in candidate.parts.values())


def forecast(rule: str, *, count: int, total: int, budget: int, finalists: int, bounds: Bounds = None) -> int:
    """Return the mean number of evaluations of one example that a race takes, its leaders scored whole afterwards.

    Each race drops candidates by a rule of its own, some by their scores, so there is no formula for all: the race is
    run on drawn 0/1 scores of candidates whose abilities differ by a few hundredths, as those of drawn demo sets do.
    The same arguments give the same number in every process.
    """
    if count < 1 or total < 1:
        return 0
    drawn = min(total, _MOST_DRAWN)
    share = int(budget * drawn / total)
    runs = [_one(rule, count, drawn, share, finalists, bounds, seed) for seed in range(_RUNS)]
    return min(count * total, round(sum(runs) / _RUNS * total / drawn))


def _one(rule: str, count: int, total: int, budget: int, finalists: int, bounds: Bounds, seed: int) -> int:
    rng = np.random.default_rng(seed)
    ability = rng.normal(_MIDDLE, _SPREAD, size=(count, 1))
    hard = rng.random(total)
    own = rng.random((count, total))
    right = np.where(rng.random((count, total)) < _LUCK, own, hard) < ability
    low, high = (0.0, 1.0) if bounds is None else bounds
    scores: Sequence[Sequence[float]] = np.where(right, high, low).tolist()
    standings = RACES[rule](count, lambda k, n: scores[k][:n], total, budget, bounds=bounds, seed=seed)
    seen = [standing.n for standing in standings if standing.n]
    return sum(seen) + sum(total - n for n in seen[:finalists]) if seen else min(count, 1) * total
