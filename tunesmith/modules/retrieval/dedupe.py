"""`Dedupe`: leave out passages that say nearly the same as a better one."""

from collections.abc import Mapping
from typing import Any

from tunesmith.modules.flow import Call, Steps
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.passage import Passage, SearchFlow, as_retriever
from tunesmith.modules.retrieval.words import words_of
from tunesmith.modules.setting import Setting

__all__ = ["Dedupe"]


@register_module
class Dedupe(SearchFlow):
    """Search, and leave out each passage that is nearly a better one: a copy, a version, an overlapping piece.

    Broder 1997, "On the Resemblance and Containment of Documents": the words that two passages share, as a part of
    those of the shorter one (containment) with no regard to their order. No call of its own.

    Args:
        retriever: a retriever, or any function that `as_retriever` takes.
        similarity: share of shared words from which a passage is left out; above 1 none is.
        depth: passages that are asked of the retriever.

    Raises:
        UsageError: `retriever` cannot be called.

    Example:
        >>> import tunesmith as ts
        >>> search = ts.Dedupe(lambda query: ["The card is red.", "the card is red", "The card is blue."])
        >>> [passage.text for passage in search("card")]
        ['The card is red.', 'The card is blue.']
    """

    similarity: float = Setting(0.9, choices=(0.7, 0.9), low=0.0, help="share of shared words of a repetition")
    depth: int = Setting(20, low=1, help="passages that are asked of the retriever")

    def __init__(self, retriever: Any, similarity: float = 0.9, depth: int = 20) -> None:
        super().__init__()
        self.retriever = as_retriever(retriever)
        self.similarity, self.depth = similarity, depth

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"retriever": self.retriever}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"retriever": 1}

    def steps(self, query: str, k: int) -> Steps:
        """Search, and keep what is new."""
        found = yield Call(self.retriever, {"query": query, "k": max(k, self.depth)})
        kept: list[tuple[Passage, frozenset[str]]] = []
        for passage in found:
            words = frozenset(words_of(passage.text))
            if all(_shared(words, other) < self.similarity for _, other in kept):
                kept.append((passage, words))
        return [passage for passage, _ in kept][:k]


def _shared(first: frozenset[str], second: frozenset[str]) -> float:
    least = min(len(first), len(second))
    return len(first & second) / least if least else 0.0
