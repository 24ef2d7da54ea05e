"""Races that show every candidate the same examples."""

from tunesmith.evaluation.race import Field

__all__ = ["bf", "bound", "full"]

_BLOCKS = 10


def full(field: Field) -> list[int]:
    """Show every candidate all examples, as DSPy's BootstrapFewShotWithRandomSearch does.

    Where the budget is smaller, all see an equal share of it.
    """
    field.show(range(field.count), field.total)
    return field.ranked(range(field.count))


def bf(field: Field, *, samples: int | None = None) -> list[int]:
    """Compare all candidates on one common sample.

    ProTeGi's brute-force evaluator (Pryzant et al. 2023, arXiv 2305.03495, bandit selection: the uniform baseline, the
    released default): `budget / K` examples for each of K candidates. The sample is a prefix of the shuffled order.

    Args:
        field: the race's field.
        samples: examples; default as many as the budget allows.
    """
    field.show(range(field.count), field.total if samples is None else samples)
    return field.ranked(range(field.count))


def bound(field: Field, *, block: int | None = None, keep: int = 1) -> list[int]:
    """Show all examples, block by block, and stop whoever cannot catch up any more.

    The best `keep` are those of `full` for the same scores, whatever the scores are: a candidate is left out when its
    mean stays below theirs even if every open score of its own were the highest and all of theirs the lowest.
    AdalFlow stops a trial early by the same upper bound (SylphAI-Inc/AdalFlow). Without `bounds` this is `full`.

    Args:
        field: the race's field.
        block: examples between two looks; default a tenth.
        keep: how many of the best are wanted.
    """
    step = max(1, field.total // _BLOCKS) if block is None else block
    alive, n = list(range(field.count)), 0
    while len(alive) > keep or n < field.total:
        reached = field.show(alive, n + step)
        if reached <= n:
            break
        n = reached
        alive = field.catchable(alive, keep)
    return field.by_length(range(field.count))
