"""Paired comparisons of several with one of them, corrected for how many comparisons there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any

from tunesmith.evaluation import Interval, PairedScores, holm

__all__ = ["Against", "compared_with"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What a row of a comparison says about it and the reference: see `Compared`. The reference's own says nothing."""

    difference: Interval | None = None
    wins: int = 0
    ties: int = 0
    losses: int = 0
    p: float | None = None
    p_holm: float | None = None

    def against_fields(self) -> dict[str, Any]:
        """Return it as arguments of a row."""
        return {one.name: getattr(self, one.name) for one in fields(Against)}

    def against_json(self) -> dict[str, Any]:
        """Return it as JSON values, with `None` for what the reference has not."""
        difference = self.difference or Interval(None, None, None, 0)
        counts = (None,) * 3 if self.difference is None else (self.wins, self.ties, self.losses)
        return {
            "difference": difference.mean,
            "difference_low": difference.low,
            "difference_high": difference.high,
            **dict(zip(("wins", "ties", "losses"), counts, strict=True)),
            "p": self.p,
            "p_holm": self.p_holm,
        }

    def against_cells(self) -> list[str]:
        """Return the cells of a table for people: the difference, the counts, and the corrected chance."""
        found, known = self.difference, self.difference is not None and self.difference.mean is not None
        return [
            f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]" if known and found else "",
            f"{self.wins} / {self.ties} / {self.losses}" if known else "",
            "" if self.p_holm is None else f"{self.p_holm:.3f}",
        ]


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
    return {name: _against(scores[name], chances[reference, name], corrected[reference, name]) for name in others}


def _against(scores: PairedScores, p: float, p_holm: float) -> Against:
    wins, ties, losses = scores.counts()
    return Against(difference=scores.interval(), wins=wins, ties=ties, losses=losses, p=p, p_holm=p_holm)
