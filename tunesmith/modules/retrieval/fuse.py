"""`Fuse`: several searches, one list."""

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.modules.flow import Call, Steps
from tunesmith.modules.flows.parts import Parts
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.fusion import fused
from tunesmith.modules.retrieval.passage import SearchFlow, as_retriever
from tunesmith.modules.setting import Setting

__all__ = ["Fuse"]


@register_module
class Fuse(SearchFlow):
    """Search with several retrievers, and order what was found by reciprocal rank fusion (Cormack et al. 2009).

    `ts.Hybrid` is the one of two, whose weight a compiler tries. No call of its own.

    Args:
        weights: of some retrievers by name; the others have 1.
        order: names of the retrievers in order; default the order in which they are given.
        rrf_k: how little the first ranks count more than the later ones.
        depth: passages that are asked of each.
        **retrievers: two or more by name.

    Raises:
        UsageError: there are fewer than two, one cannot be called, or a weight is not a number of at least 0.

    Example:
        >>> import tunesmith as ts
        >>> search = ts.Fuse(a=lambda query: ["x", "y"], b=lambda query: ["y"], c=lambda query: ["z", "y"])
        >>> [passage.text for passage in search("anything", k=1)]
        ['y']
    """

    rrf_k: int = Setting(60, low=1, help="how little the first ranks count more than the later ones")
    depth: int = Setting(50, low=1, help="passages that are asked of each retriever")

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        order: Sequence[str] | None = None,
        rrf_k: int = 60,
        depth: int = 50,
        **retrievers: Any,
    ) -> None:
        super().__init__()
        self.weights, self.rrf_k, self.depth = dict(weights or {}), rrf_k, depth
        made = {name: as_retriever(one) for name, one in retrievers.items()}
        self.parts = Parts(self, "retriever", made, order, least=2)
        for name, weight in self.weights.items():
            is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if name not in made or not is_number or not weight >= 0:
                raise UsageError(
                    f"`weights` has numbers of at least 0 for some of: {', '.join(made)}. Given: {shown(self.weights)}."
                )

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        own = {name: getattr(self, name) for name in self.parts.names}
        return {"weights": self.weights, "order": self.parts.names, **own}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return dict.fromkeys(self.parts.names, 1)

    def steps(self, query: str, k: int) -> Steps:
        """Search with each."""
        lists = []
        for name in self.parts.names:
            lists += [(yield Call(getattr(self, name), {"query": query, "k": max(k, self.depth)}))]
        weights = [float(self.weights.get(name, 1.0)) for name in self.parts.names]
        return fused(lists, weights, self.rrf_k)[:k]
