"""Which of many candidates is best, for few evaluations.

All candidates meet the same examples in one shuffled order, so every comparison is paired.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["RACES", "Standing", "full", "paired_halving"]

Extend = Callable[[int, int], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Standing:
    """A candidate after a race: its number, on how many examples it was seen, and its mean there."""

    candidate: int
    n: int
    mean: float


def full(count: int, extend: Extend, total: int, budget: int) -> list[Standing]:
    """Evaluate every candidate on all examples, as DSPy's random search does; `budget` ends it early.

    Args:
        count: candidates.
        extend: `extend(candidate, n)` gives its scores on the first `n` examples.
        total: examples there are.
        budget: evaluations of one candidate on one example.

    Returns:
        The candidates that were evaluated on most examples first, among equals the better, ties by number; none where
        the budget has no room for one example each.
    """
    n = min(total, budget // max(1, count))
    return _ranked([_standing(k, extend(k, n)) for k in range(count)]) if n else []


def paired_halving(count: int, extend: Extend, total: int, budget: int) -> list[Standing]:
    """Halve the field on common prefixes of the order until one is left or the examples end.

    Cumulative successive halving (Karnin et al. 2013) with a shared order: scores of earlier rounds are kept, which
    the original discards. A round gives every survivor an equal share of `budget / rounds`.

    Args and returns: as `full`.
    """
    alive = list(range(count))
    rounds = math.ceil(math.log2(count)) + 1 if count > 1 else 1
    n, spent = 0, 0
    out: list[Standing] = []
    while alive:
        step = max(4, budget // (rounds * len(alive)))
        step = min(step, total - n, (budget - spent) // len(alive))
        if step <= 0:
            break
        n += step
        spent += step * len(alive)
        standings = _ranked([_standing(k, extend(k, n)) for k in alive])
        if n >= total or len(alive) == 1:
            return [*standings, *_ranked(out)]
        keep = max(1, len(alive) // 2)
        out += standings[keep:]
        alive = sorted(s.candidate for s in standings[:keep])
    left = [_standing(k, extend(k, n)) for k in alive] if n else []
    return [*_ranked(left), *_ranked(out)]


RACES: dict[str, Callable[[int, Extend, int, int], list[Standing]]] = {
    "full": full,
    "paired-halving": paired_halving,
}


def _standing(candidate: int, scores: Sequence[float]) -> Standing:
    return Standing(candidate, len(scores), sum(scores) / len(scores) if scores else 0.0)


def _ranked(standings: list[Standing]) -> list[Standing]:
    """Return the longest seen first, among equals the better, then the earlier."""
    return sorted(standings, key=lambda s: (-s.n, -s.mean, s.candidate))
