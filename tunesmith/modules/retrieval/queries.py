"""Searches whose queries a model writes: rewritten, several, more general, or an answer to search for."""

from collections.abc import Generator, Mapping
from typing import Any

from tunesmith.errors import ParseError
from tunesmith.lazy import lazy_pattern
from tunesmith.modules.flow import Call, Steps
from tunesmith.modules.module import signature_of
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.fusion import fused
from tunesmith.modules.retrieval.passage import Passage, SearchFlow, as_retriever
from tunesmith.modules.setting import Setting
from tunesmith.signatures import InputField, OutputField, Signature

__all__ = ["Expand", "HyDE", "RewriteQuery", "StepBack"]


_LISTED = lazy_pattern(r"^\s*(?:[-*•]|\(?\d+[.):])\s+")


class Rewriting(Signature):
    """Write the query so that a search engine finds passages that answer it: its key words, without chat."""

    query: str = InputField()
    rewritten: str = OutputField()


class SteppingBack(Signature):
    """Write a more general question, whose answer gives the background of the query."""

    query: str = InputField()
    general: str = OutputField()


class Answering(Signature):
    """Write a short passage that answers the query."""

    query: str = InputField()
    passage: str = OutputField()


class Expanding(Signature):
    """Write `count` search queries that are related to the query, each from another point of view, one on each line."""

    query: str = InputField()
    count: int = InputField()
    queries: str = OutputField()


class _Written(SearchFlow):
    """A search whose queries the predictor `write` writes.

    If its reply cannot be read or is blank, the query itself is searched for.
    """

    rrf_k: int = Setting(60, low=1, help="how little the first ranks count more than the later ones")
    depth: int = Setting(50, low=1, help="passages that are asked of each query, if there are several")

    def __init__(self, retriever: Any, rrf_k: int, depth: int, signature: Any) -> None:
        super().__init__()
        self.retriever = as_retriever(retriever)
        self.write = Predict(signature)
        self.rrf_k, self.depth = rrf_k, depth

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"retriever": self.retriever}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"write": 1, "retriever": 2}

    def queries(self, query: str) -> Generator[Call, Any, list[str]]:
        """Return the queries to search for: the query, and the one that was written."""
        return [query, *(yield from self._one(query))]

    def steps(self, query: str, k: int) -> Steps:
        """Write the queries, search for each, and fuse what was found."""
        queries = yield from self.queries(query)
        return (yield from self._found(queries, k))

    def _found(self, queries: list[str], k: int) -> Generator[Call, Any, list[Passage]]:
        lists = []
        for one in dict.fromkeys(queries):
            depth = k if len(queries) == 1 else max(k, self.depth)
            lists += [(yield Call(self.retriever, {"query": one, "k": depth}))]
        return lists[0] if len(lists) == 1 else fused(lists, rrf_k=self.rrf_k)[:k]

    def _one(self, query: str) -> Generator[Call, Any, list[str]]:
        """Return the text that was written, in a list that is empty if there is none."""
        (name,) = signature_of(self.write).output_fields
        try:
            found = yield Call(self.write, {"query": query})
        except ParseError:
            return []
        text = str(found[name]).strip()
        return [text] if text else []


@register_module
class RewriteQuery(_Written):
    """Search for a query that a model wrote in place of the one given.

    Ma et al. 2023, "Query Rewriting for Retrieval-Augmented Large Language Models" (arXiv 2305.14283), section 3.1: the
    frozen model as rewriter, without its training. One call and one search.

    Args:
        retriever: a retriever, or any function that `as_retriever` takes.

    Raises:
        UsageError: `retriever` cannot be called.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> search = ts.RewriteQuery(ts.BM25(["The card is lost.", "Close the account."]))
        >>> with dspy.context(lm=ts.ScriptedLM("lost card")):
        ...     [passage.text for passage in search("Oh dear, where is it?", k=1)]
        ['The card is lost.']
    """

    def __init__(self, retriever: Any) -> None:
        super().__init__(retriever, 60, 50, Rewriting)

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"write": 1, "retriever": 1}

    def queries(self, query: str) -> Generator[Call, Any, list[str]]:
        """Return the rewritten query, or the query itself."""
        return (yield from self._one(query)) or [query]


@register_module
class StepBack(_Written):
    """Search for the query and for a more general question, and fuse both lists.

    Zheng et al. 2023, "Take a Step Back" (arXiv 2310.06117), section 4, where the passages of both are given to the
    model; here reciprocal rank fusion chooses among them. One call and two searches.

    Args:
        retriever: a retriever, or any function that `as_retriever` takes.
        rrf_k: how little the first ranks count more than the later ones.
        depth: passages that are asked of each query.

    Raises:
        UsageError: `retriever` cannot be called.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> search = ts.StepBack(ts.BM25(["Gases expand with heat.", "Tanks are red."]))
        >>> with dspy.context(lm=ts.ScriptedLM("How do gases behave with heat?")):
        ...     [passage.text for passage in search("Why did the balloon burst?", k=1)]
        ['Gases expand with heat.']
    """

    def __init__(self, retriever: Any, rrf_k: int = 60, depth: int = 50) -> None:
        super().__init__(retriever, rrf_k, depth, SteppingBack)


@register_module
class HyDE(_Written):
    """Search for the query and for a passage that a model wrote as its answer, and fuse both lists.

    Gao et al. 2022, "Precise Zero-Shot Dense Retrieval without Relevance Labels" (arXiv 2212.10496), section 3, where
    the vectors of several written passages and of the query are averaged. Here it is one passage, and the lists are
    fused, so that any retriever fits. What the passage says may be wrong: it is only searched for. One call and two
    searches.

    Args:
        retriever: a retriever, or any function that `as_retriever` takes.
        rrf_k: how little the first ranks count more than the later ones.
        depth: passages that are asked of each query.

    Raises:
        UsageError: `retriever` cannot be called.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> search = ts.HyDE(ts.BM25(["Wisdom teeth take a week to heal.", "Tanks are red."]))
        >>> with dspy.context(lm=ts.ScriptedLM("It takes some days until teeth heal.")):
        ...     [passage.text for passage in search("How long does removal last?", k=1)]
        ['Wisdom teeth take a week to heal.']
    """

    def __init__(self, retriever: Any, rrf_k: int = 60, depth: int = 50) -> None:
        super().__init__(retriever, rrf_k, depth, Answering)


@register_module
class Expand(_Written):
    r"""Search for the query and for several that a model wrote, and fuse all lists (RAG-Fusion).

    Rackauckas 2024, "RAG-Fusion: a New Take on Retrieval-Augmented Generation" (arXiv 2402.03367): reciprocal rank
    fusion, k = 60, with ranks from 1. One call and `most` + 1 searches. With `flat` above 0 it is adaptive: if the
    score of the last passage is less than that share of the first one's, the query alone was good enough, and no call
    is made.

    Args:
        retriever: a retriever, or any function that `as_retriever` takes.
        most: most queries that are written.
        flat: share of the first score that the last one needs so that queries are written; 0: they always are.
        rrf_k: how little the first ranks count more than the later ones.
        depth: passages that are asked of each query.

    Raises:
        UsageError: `retriever` cannot be called.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> search = ts.Expand(ts.BM25(["red wine", "white wine", "a bottle of Merlot"]))
        >>> with dspy.context(lm=ts.ScriptedLM("1. Merlot\n2. bottle of Merlot")):
        ...     [passage.text for passage in search("wine to buy", k=1)]
        ['a bottle of Merlot']
    """

    most: int = Setting(4, choices=(2, 4), low=1, high=20, help="most queries that are written")
    flat: float = Setting(0.0, choices=(0.0, 0.7), low=0.0, high=1.0, help="share of the first score; 0: always")

    def __init__(self, retriever: Any, most: int = 4, flat: float = 0.0, rrf_k: int = 60, depth: int = 50) -> None:
        super().__init__(retriever, rrf_k, depth, Expanding)
        self.most, self.flat = most, flat

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"write": 1, "retriever": self.most + 1 + int(self.flat > 0)}

    def queries(self, query: str) -> Generator[Call, Any, list[str]]:
        """Return the query and those that were written."""
        try:
            found = yield Call(self.write, {"query": query, "count": self.most})
        except ParseError:
            return [query]
        lines = (_LISTED.sub("", line).strip(" \"'") for line in str(found.queries).splitlines())
        written = dict.fromkeys(line for line in lines if line and line != query)
        return [query, *list(written)[: self.most]]

    def steps(self, query: str, k: int) -> Steps:
        """Search for the query first if that may be enough."""
        if self.flat:
            plain = yield Call(self.retriever, {"query": query, "k": k})
            if plain and plain[-1].score < self.flat * plain[0].score:
                return plain
        return (yield from super().steps(query, k))
