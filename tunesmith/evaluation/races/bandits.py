"""Races that show more to whoever may still be best: upper confidence bounds."""

import math
from collections.abc import Callable

from tunesmith.evaluation.race import RaceState, register_race

__all__ = ["hardness", "ucb", "ucb_e"]

_ROUNDS = 8  # of ProTeGi's released configuration
_PROMPTS = 8


@register_race
def ucb(state: RaceState, *, c: float = 1.0, prompts: int = _PROMPTS, samples: int | None = None) -> list[int]:
    """Upper confidence bounds: each round shows a block to the `prompts` candidates of the highest index.

    The index is `mean + c * sqrt(ln T / n)` with `T` the pulls of all candidates and `n` those of this one: UCB1 (Auer,
    Cesa-Bianchi & Fischer 2002, figure 1; there `c` is the square root of 2 and a round is one pull), in blocks as APE
    (Zhou et al. 2022, `ape.py`) and ProTeGi (Pryzant et al. 2023) use it. Whoever was not seen yet comes
    first. The choice is the highest mean. The bonus is in units of the scores' width, so scores need not be in 0..1.

    Bugs of the released ProTeGi code that we do not follow: `T` is the index of the round, so that the second round is
    greedy and candidates the first did not draw count as 0 there; APE's counts unseen candidates as 0 in the result.
    Differences: a candidate's next block is the next one of the common order, and one that has seen all examples needs
    no more; the race goes on until the budget is spent.

    Args:
        state: the race's state.
        c: exploration.
        prompts: candidates per round.
        samples: examples a candidate is shown in a round; default so that the budget has 8 rounds, as ProTeGi's
            released configuration.
    """
    return _bandit(state, lambda: c * c * math.log(max(2, state.spent)), prompts, samples)


@register_race
def ucb_e(
    state: RaceState, *, a: float | None = None, c: float = 1.0, prompts: int = _PROMPTS, samples: int | None = None
) -> list[int]:
    """UCB-E (Audibert, Bubeck & Munos 2010, figures 2 and 4): the index is `mean + sqrt(a / n)`.

    The paper's `a` is `25/36 * (budget - K) / H` with `H` the hardness, which nobody knows: as its adaptive variant,
    this takes `c * budget / H` with `H` of the gaps seen so far, estimated anew each round instead of each phase.
    Everything else is as `ucb`; the released ProTeGi code sets `a` to `c ** 3`, whatever the budget.

    Args:
        state: the race's state.
        a: the exploration constant, in squared units of the scores' width; default the adaptive one.
        c: factor of the adaptive constant.
        prompts: as `ucb`.
        samples: as `ucb`.
    """

    def constant() -> float:
        if a is not None:
            return a
        pulled = [k for k in range(state.count) if state.seen(k)]
        return c * state.budget / hardness(state, pulled) if len(pulled) == state.count else 1.0

    return _bandit(state, constant, prompts, samples)


def hardness(state: RaceState, candidates: list[int]) -> float:
    """Return `max(i / gap_i ** 2)` over the candidates but the best, by gap, in units of the scores' width.

    A gap that the examples cannot resolve counts as one example's weight.
    """
    width = state.spread or 1.0
    ranked = state.ranked(candidates)
    best = state.mean(ranked[0])
    found = 1.0
    for place, k in enumerate(ranked[1:], start=2):
        gap = max((best - state.mean(k)) / width, 1 / state.seen(k))
        found = max(found, place / gap**2) if math.isfinite(gap) else found
    return found


def _bandit(state: RaceState, exploration: Callable[[], float], prompts: int, samples: int | None) -> list[int]:
    step = max(1, state.budget // (_ROUNDS * prompts)) if samples is None else samples
    # A block may not be so long that not everybody gets one.
    step = max(1, min(step, state.budget // state.count))
    while state.room:
        width, factor = state.spread, exploration()
        waiting = [k for k in range(state.count) if state.seen(k) < state.total]
        chosen = sorted(waiting, key=lambda k: (-_index(state, k, factor, width), k))[:prompts]
        if not chosen:
            break
        for k in chosen:
            state.show([k], state.seen(k) + step)
    return sorted(range(state.count), key=lambda k: (-state.mean(k), -state.seen(k), k))


def _index(state: RaceState, candidate: int, factor: float, width: float) -> float:
    n = state.seen(candidate)
    if not n:
        return math.inf
    return state.mean(candidate) + width * math.sqrt(factor / n)
