"""Paired comparisons of several with one of them, corrected for how many comparisons there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from tunesmith.errors import brief
from tunesmith.evaluation import PairedScores, holm

__all__ = ["Against", "compared_with"]


@dataclass(frozen=True, slots=True)
class Against:
    """One of several against the reference.

    Attributes:
        scores: of the reference, and its own.
        p: two-sided chance of such a difference if both were equally good.
        p_holm: the same, corrected.
    """

    scores: PairedScores
    p: float
    p_holm: float

    def __repr__(self) -> str:
        return brief(self, p=self.p, p_holm=self.p_holm)


def compared_with(
    reference: str, names: Sequence[str], pair: Callable[[str, str], PairedScores], *, is_best: bool
) -> dict[str, Against]:
    """Return each of the names but the reference, compared with it; p is corrected after Holm (1979).

    Args:
        reference: one of the names.
        names: all of them.
        pair: returns the scores of two on the same examples.
        is_best: whether the reference was chosen because it scores best. Then the same scores have decided which
            comparisons are made, so that every two of the names count as compared; else each with the reference.
    """
    others = [name for name in names if name != reference]
    scores = {name: pair(reference, name) for name in others}
    chances = {(reference, name): found.chance() for name, found in scores.items()}
    if is_best:
        chances |= {(one, two): pair(one, two).chance() for one, two in combinations(others, 2)}
    corrected = holm(chances)
    return {name: Against(scores[name], chances[reference, name], corrected[reference, name]) for name in others}
