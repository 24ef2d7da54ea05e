"""Races that show every candidate the same examples."""

from tunesmith.evaluation.race import RaceState, register_race

__all__ = ["bf", "bound", "full"]

_BLOCKS = 10


@register_race
def full(state: RaceState) -> list[int]:
    """Show every candidate all examples, as DSPy's BootstrapFewShotWithRandomSearch does.

    Where the budget is smaller, all see an equal share of it.
    """
    state.show(range(state.count), state.total)
    return state.ranked(range(state.count))


@register_race
def bf(state: RaceState, *, samples: int | None = None) -> list[int]:
    """Compare all candidates on one common sample.

    ProTeGi's brute-force evaluator (Pryzant et al. 2023, arXiv 2305.03495, bandit selection: the uniform baseline, the
    released default): `budget / K` examples for each of K candidates. The sample is a prefix of the shuffled order.

    Args:
        state: the race's state.
        samples: examples; default as many as the budget allows.
    """
    state.show(range(state.count), state.total if samples is None else samples)
    return state.ranked(range(state.count))


@register_race
def bound(state: RaceState, *, block: int | None = None, keep: int = 1) -> list[int]:
    """Show all examples, block by block, and stop whoever cannot catch up any more.

    The best `keep` are those of `full` for the same scores, whatever the scores are: a candidate is left out when its
    mean stays below theirs even if every open score of its own were the highest and all of theirs the lowest.
    AdalFlow stops a trial early by the same upper bound (SylphAI-Inc/AdalFlow). Without `bounds` this is `full`.

    Args:
        state: the race's state.
        block: examples between two looks; default a tenth.
        keep: how many of the best are wanted.
    """
    step = max(1, state.total // _BLOCKS) if block is None else block
    alive, n = list(range(state.count)), 0
    while len(alive) > keep or n < state.total:
        reached = state.show(alive, n + step)
        if reached <= n:
            break
        n = reached
        alive = state.catchable(alive, keep)
    return state.by_length(range(state.count))
