"""`Hybrid`: two searches, one list."""

from collections.abc import Mapping
from typing import Any

from tunesmith.modules.flow import Call, Steps
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.fusion import fused
from tunesmith.modules.retrieval.passage import SearchFlow, as_retriever
from tunesmith.modules.setting import Setting

__all__ = ["Hybrid"]


@register_module
class Hybrid(SearchFlow):
    """Search twice, and order what was found by reciprocal rank fusion (Cormack et al. 2009).

    The score of a passage is `weight / (rrf_k + rank)` for its rank in the first list plus `(1 - weight) / (rrf_k +
    rank)` for that in the second, with ranks from 1. No call of its own.

    Args:
        first: a retriever, or any function that `as_retriever` takes.
        second: another one, over the same passages.
        weight: share of the first list, from 0 to 1.
        rrf_k: how little the first ranks count more than the later ones.
        depth: passages that are asked of each.

    Raises:
        UsageError: one cannot be called.

    Example:
        >>> import tunesmith as ts
        >>> search = ts.Hybrid(lambda query: ["a", "b"], lambda query: ["b", "c"])
        >>> [passage.text for passage in search("anything")]
        ['b', 'a', 'c']
    """

    weight: float = Setting(0.5, choices=(0.3, 0.5, 0.7), low=0.0, high=1.0, help="share of the first list")
    rrf_k: int = Setting(60, low=1, help="how little the first ranks count more than the later ones")
    depth: int = Setting(50, low=1, help="passages that are asked of each retriever")

    def __init__(self, first: Any, second: Any, weight: float = 0.5, rrf_k: int = 60, depth: int = 50) -> None:
        super().__init__()
        self.first = as_retriever(first)
        self.second = as_retriever(second)
        self.weight, self.rrf_k, self.depth = weight, rrf_k, depth

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"first": self.first, "second": self.second}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"first": 1, "second": 1}

    def steps(self, query: str, k: int) -> Steps:
        """Search in both."""
        asked = {"query": query, "k": max(k, self.depth)}
        one = yield Call(self.first, asked)
        other = yield Call(self.second, asked)
        return fused((one, other), (self.weight, 1 - self.weight), self.rrf_k)[:k]
