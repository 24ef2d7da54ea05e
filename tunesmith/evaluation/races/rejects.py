"""Races that reject one candidate per phase."""

import math
from collections.abc import Sequence

from tunesmith.evaluation.race import RaceState, register_race

__all__ = ["phases_of", "s_sr", "sr"]


def phases_of(count: int, budget: int) -> list[int]:
    """Return the number of pulls of each surviving candidate at the end of each phase of `sr`.

    Audibert, Bubeck & Munos 2010, figure 3: with `L = 1/2 + sum(1/i for i in 2..K)`, phase `k` of `K - 1` ends at
    `ceil((budget - K) / (L * (K + 1 - k)))` pulls.
    """
    log = 0.5 + sum(1 / i for i in range(2, count + 1))
    return [math.ceil((budget - count) / (log * (count + 1 - k))) for k in range(1, count)]


@register_race
def sr(state: RaceState) -> list[int]:
    """Successive rejects (Audibert, Bubeck & Munos 2010, figure 3): after each phase the lowest mean is dropped.

    Differences: ties drop the later candidate; examples are finite, so no phase goes further than they do; in a phase
    that would end at no pull everybody has one.

    ProTeGi's released `sr` differs from the paper, and we do not follow it: each phase judges by its own fresh sample
    alone, at least 4 examples are drawn whatever the budget says (2.4 times the budget at 512, measured), `K` counts
    only those to be rejected, and survivors are not ranked.
    """
    alive = list(range(state.count))
    out: list[int] = []
    for n in phases_of(state.count, state.budget):
        state.show(alive, max(1, n))
        worst = state.ranked(alive)[-1]
        alive.remove(worst)
        out.insert(0, worst)
    return [*alive, *out]


@register_race
def s_sr(state: RaceState, *, prompts: int = 8, keep: int = 1) -> list[int]:
    """Successive rejects by random subsets, as ProTeGi calls it.

    Each of `K - keep` rounds draws `prompts` of the survivors, shows each of them `budget / (rounds * prompts)` further
    examples, and drops the lowest of them (microsoft/LMOps). Differences: the examples are the next ones of the common
    order, and the drawn ones are compared on the prefix that all of them have seen; the share is rounded down, because
    rounded up it spends more than the budget; a survivor counts as better than whoever was dropped, and survivors are
    ranked. With scores from before, a round that the budget cannot pay in full is shorter. The released code crashes on
    Python 3.11 and later, where `random.sample` refuses a dict's view.

    Args:
        state: the race's state.
        prompts: candidates drawn per round; the released code's `eval_prompts_per_round`.
        keep: how many are not rejected.
    """
    alive = list(range(state.count))
    out: list[int] = []
    rounds = max(1, state.count - keep)
    share = max(1, state.budget // (rounds * prompts))
    while len(alive) > keep:
        drawn = sorted(state.rng.sample(alive, min(prompts, len(alive))))
        further = _further(state, drawn, share)
        if not further:
            break
        for k in drawn:
            state.show([k], state.seen(k) + further)
        worst = state.ranked(drawn, min(state.seen(k) for k in drawn))[-1]
        alive.remove(worst)
        out.insert(0, worst)
    return [*state.ranked(alive), *out]


def _further(state: RaceState, drawn: Sequence[int], share: int) -> int:
    """Return how many more examples, `share` at most, each of `drawn` can be shown with what is left."""

    def cost(further: int) -> int:
        return sum(state.cost(k, min(state.total, state.seen(k) + further)) for k in drawn)

    return next((further for further in range(share, 0, -1) if cost(further) <= state.room), 0)
