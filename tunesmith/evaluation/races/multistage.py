"""The multi-stage filter of APE."""

import math

from tunesmith.evaluation.race import RaceState, register_race

__all__ = ["multistage", "stages_of"]


def stages_of(count: int, share: float, few: int) -> list[int]:
    """Return how many candidates are in each stage: the best `share` of each go on, until `few` are left."""
    sizes = []
    while count > few:
        sizes.append(count)
        count = max(few, min(count - 1, math.ceil(count * share)))
    return sizes


@register_race
def multistage(state: RaceState, *, share: float = 0.5, few: int = 3, block: int | None = None) -> list[int]:
    """Filter in stages, then show the few that are left everything.

    APE's adaptive filtering (Zhou et al. 2022, arXiv 2211.01910, algorithm 1; not in the released
    code): all candidates meet a small subset, the best `share` go on to a new, disjoint subset, scores are a running
    average, and when `few` are left they are scored on all examples. The subsets are consecutive blocks of the common
    order. Differences: the paper states no sizes, so the block is the largest that leaves the last stage whole within
    the budget; where not even one example does, the last stage gets what is left.

    Args:
        state: the race's state.
        share: of the candidates that go on.
        few: when the filter ends.
        block: examples of a stage.
    """
    sizes = stages_of(state.count, share, few)
    step = _block(sizes, min(few, state.count), state.total, state.budget) if block is None else block
    alive, n = list(range(state.count)), 0
    for place in range(len(sizes)):
        n = state.show(alive, n + step)
        if n >= state.total:
            break
        following = sizes[place + 1] if place + 1 < len(sizes) else few
        alive = sorted(state.ranked(alive, n)[:following])
    state.show(alive, state.total)
    return state.by_length(range(state.count))


def _block(sizes: list[int], few: int, total: int, budget: int) -> int:
    stages = max(1, len(sizes))
    for step in range(math.ceil(total / stages), 1, -1):
        ends = [min(total, step * (place + 1)) for place in range(len(sizes))]
        stage = [size * (end - start) for size, start, end in zip(sizes, [0, *ends], ends, strict=False)]
        if sum(stage) + few * (total - (ends[-1] if ends else 0)) <= budget:
            return step
    return 1
