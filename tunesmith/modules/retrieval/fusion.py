"""Reciprocal rank fusion: one list of several."""

from collections.abc import Sequence
from dataclasses import replace

from tunesmith.modules.retrieval.passage import Passage

__all__ = ["fused"]


def fused(lists: Sequence[Sequence[Passage]], weights: Sequence[float] | None = None, rrf_k: int = 60) -> list[Passage]:
    """Return the passages of all lists, the best first, each once.

    Cormack et al. 2009, "Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank Learning Methods": the score
    is the sum over the lists of weight / (rrf_k + rank), with ranks from 1. Ties go to the better rank, then by id.
    Passages are the same if their ids are.
    """
    scores: dict[str, float] = {}
    best: dict[str, tuple[int, Passage]] = {}
    for weight, found in zip(weights or [1.0] * len(lists), lists, strict=True):
        once: dict[str, Passage] = {}
        for passage in found:
            once.setdefault(passage.id, passage)
        for rank, (name, passage) in enumerate(once.items(), 1):
            scores[name] = scores.get(name, 0.0) + weight / (rrf_k + rank)
            if name not in best or rank < best[name][0]:
                best[name] = rank, passage
    order = sorted(scores, key=lambda name: (-scores[name], best[name][0], name))
    return [replace(best[name][1], score=scores[name]) for name in order]
