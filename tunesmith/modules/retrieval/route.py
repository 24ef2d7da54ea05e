"""`Route`: search where a router sends the query."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.modules.flow import Call, Steps
from tunesmith.modules.flows.router import Router
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.passage import SearchFlow
from tunesmith.modules.retrieval.retrieve import Retrieve

__all__ = ["Route"]


@register_module
class Route(SearchFlow):
    """A `ts.Router` of searches, as a retriever: rules, examples or a model choose which of them runs.

    The number of passages is that of the search, not the `k` of the chosen part; its `min_score` counts. Without a
    route and a default, nothing is found. One run is at most one call, and those of the search.

    Args:
        router: a `ts.Router` of the field `query`, whose routes are `ts.Retrieve(..., field="query")`.

    Raises:
        UsageError: `router` is something else.

    Example:
        >>> import tunesmith as ts
        >>> def part(*texts):
        ...     return ts.Retrieve(ts.BM25(texts), field="query")
        >>> router = ts.Router("query", rules={"card": "cards"}, default="rest", cards=part("a card"), rest=part("tea"))
        >>> [passage.text for passage in ts.Route(router)("a card or tea")]
        ['a card']
    """

    def __init__(self, router: Any) -> None:
        super().__init__()
        routes = [getattr(router, name) for name in router.names] if isinstance(router, Router) else []
        if not routes or router.field != "query" or not all(isinstance(one, Retrieve) for one in routes):
            raise UsageError(
                "`router` must be a `ts.Router` of the field `query` whose routes are `ts.Retrieve(..., "
                f"field='query')`. Given: {shown(router)}."
            )
        self.router = router

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"router": self.router}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"router": 1}

    def steps(self, query: str, k: int) -> Steps:
        """Choose a search and run it."""
        chosen = yield from self.router.choice(query, self.router.names)
        if chosen.route is None:
            return []
        part: Retrieve = getattr(self.router, chosen.route)
        return part.enough((yield Call(part.retriever, {"query": query, "k": k})))
