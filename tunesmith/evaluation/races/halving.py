"""Races that halve the candidates."""

import math

from tunesmith.evaluation.race import RaceState, register_race
from tunesmith.evaluation.races.eliminations import beaten

__all__ = ["paired_halving", "sh", "sizes_of"]


@register_race
def sh(state: RaceState) -> list[int]:
    """Successive (sequential) halving (Karnin, Koren & Somekh 2013, Sequential Halving).

    There are `ceil(log2 K)` rounds; in each, every survivor sees `floor(budget / (survivors * rounds))` further
    examples and the better half of that round's means, rounded up, goes on. Scores of earlier rounds are discarded.
    Differences: ties go to the earlier candidate; examples are finite, so where the order ends a round judges by the
    last ones that fill it; where a share would be nothing it is one example, as long as the budget lasts.

    ProTeGi's released `sh` differs from the paper, and we do not follow it: it keeps whoever reaches the mean, so it
    can return fewer than the beam or keep everybody, and gives the last survivors no order.
    """
    alive = list(range(state.count))
    rounds = math.ceil(math.log2(state.count))
    out: list[int] = []
    n = 0
    for _ in range(rounds):
        share = max(1, state.budget // (len(alive) * rounds))
        reached = state.show(alive, n + share)
        if reached <= n < state.total:
            break
        n, start = reached, max(0, reached - share)
        ranked = sorted(alive, key=lambda k: (-state.mean(k, start, reached), k))
        keep = math.ceil(len(alive) / 2)
        out = ranked[keep:] + out
        alive = sorted(ranked[:keep])
    return [*alive, *out] if len(alive) == 1 else [*state.ranked(alive), *out]


@register_race
def paired_halving(state: RaceState, *, survivors: int = 1, least: int = 4, alpha: float | None = 0.05) -> list[int]:
    """Halve the candidates on common prefixes of the order until `survivors` are left or the examples end.

    Our variant of successive halving (Karnin et al. 2013): scores of earlier rounds are kept, which the original
    discards; half is rounded down; a round has at least `least` examples; what all survivors of a round have seen in
    all, not what is new in it, is a share over their number (as in Hyperband, Li et al. 2018); the share is the largest
    at which all rounds together fit the budget; and after a round whoever of the better half is significantly beaten is
    dropped as well (`beaten`, as `block_race`), which saves calls where candidates differ much.

    Args:
        state: the race's state.
        survivors: how many are not halved any further.
        least: examples of a round, at least.
        alpha: level of the test of whoever is beaten; `None` for none.
    """
    sizes = sizes_of(state.count, survivors)
    alive = list(range(state.count))
    for size, n in zip(sizes, _ends(sizes, state.total, state.budget, least), strict=True):
        reached = state.show(alive, n)
        if reached >= state.total:
            break
        alive = state.catchable(state.ranked(alive, reached)[: max(survivors, size // 2)], survivors)
        if alpha is not None:
            wins = beaten(state.scores(alive, reached), alpha)
            alive = [k for k, times in zip(alive, wins, strict=True) if times < survivors]
        if len(alive) <= survivors:
            break
    return state.by_length(range(state.count))


def sizes_of(count: int, survivors: int = 1) -> list[int]:
    """Return how many candidates are in each round of `paired_halving`."""
    sizes = []
    while count > survivors:
        sizes.append(count)
        count = max(survivors, count // 2)
    return sizes or [count]


def _ends(sizes: list[int], total: int, budget: int, least: int) -> list[int]:
    """Return up to which example each round goes."""
    low, high = 0, sizes[0] * total
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _cost(sizes, _steps(sizes, total, middle, least)) <= budget else (low, middle - 1)
    return _steps(sizes, total, low, least)


def _steps(sizes: list[int], total: int, share: int, least: int) -> list[int]:
    ends, n = [], 0
    for size in sizes:
        n = min(total, max(n + least, share // size))
        ends.append(n)
    return ends


def _cost(sizes: list[int], ends: list[int]) -> int:
    return sum(size * (end - start) for size, start, end in zip(sizes, [0, *ends], ends, strict=False))
