"""Whether a child does better than its parent: asked of few examples at first, of more while that does not tell."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunesmith.evaluation import Report
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["gains_on_train", "leaning", "scored_whole", "total"]

_AHEAD, _BEHIND = math.sqrt(2) - 1e-9, -1 + 1e-9  # two wins without a loss; one loss without a win


def leaning(differences: Sequence[float]) -> int:
    """Return 1 if a child is ahead by its paired differences, -1 if it is behind, 0 if they do not tell.

    By the sum over its standard deviation under chance, so that the scale of the metric does not matter. It takes more
    to be ahead than to be behind: most children are no better than their parents, and the next look costs calls.
    """
    spread = math.sqrt(sum(difference * difference for difference in differences))
    lean = sum(differences) / spread if spread else 0.0
    return 1 if lean >= _AHEAD else -1 if lean <= _BEHIND else 0


def gains_on_train(
    search: "Search", parent: Candidate, child: Candidate, *, start: int, step: int, most: int
) -> list[float]:
    """Return by how much `child` scores more than `parent` on each training example, `step` more while undecided.

    Args:
        search: runs both.
        parent: is run on the same examples.
        child: may be better; if its prompt does not fit the context there are no gains.
        start: place of the first example in the order of `Search.minibatch`.
        step: examples that are looked at first, and at a time.
        most: up to how many; as many as `step` for one look.
    """
    gains: list[float] = []
    most = max(step, min(most, len(search.train)))
    for place in range(start, start + most, step):
        before, after = (search.minibatch(one, min(step, start + most - place), start=place) for one in (parent, child))
        gains += [(b.score or 0.0) - (a.score or 0.0) for a, b in zip(before, after, strict=False)]
        if leaning(gains) or not after:
            break
    return gains


def scored_whole(
    search: "Search", parent: Candidate, child: Candidate, *, parts: int, origin: str, highest: float | None = None
) -> Report | None:
    """Return the report of `child` on every validation example, `None` if it fell behind `parent` on the way.

    Args:
        search: scores both; `parent` was scored whole before.
        parent: what it is compared with.
        child: may be better.
        parts: after how many equal parts it is compared, the last included; 1 for no comparison.
        origin: of the child, for the report.
        highest: score of the metric. If given, only a child that cannot catch up any more falls behind.
    """
    size, given = search.size, search.score(parent).values()
    for part in range(1, parts + 1):
        n = math.ceil(size * part / parts)
        report = search.score(child, n, origin=origin)
        if report.n < n:  # its prompt does not fit the context
            return None
        pairs = [(a, b) for a, b in zip(given, report.values(), strict=False) if a is not None and b is not None]
        if highest is not None:
            behind = total(report.values()) + highest * (size - n) < total(given)
        else:
            behind = leaning([b - a for a, b in pairs]) < 0
        if part < parts and behind:
            return None
    return report


def total(values: Sequence[float | None]) -> float:
    """Return the sum of the scores that there are."""
    return sum(value for value in values if value is not None)
