"""`Iterate`: search, look at what is still missing, search again."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import ParseError
from tunesmith.modules.flow import Call, Steps
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.fusion import fused
from tunesmith.modules.retrieval.generate import passages_text
from tunesmith.modules.retrieval.passage import Passage, SearchFlow, as_retriever
from tunesmith.modules.setting import Setting
from tunesmith.signatures import InputField, OutputField, Signature

__all__ = ["ENOUGH", "Iterate"]

ENOUGH = "enough"
"""What a model writes that needs no further search."""


class Asking(Signature):
    """Write the search query for what is still missing to answer the question. Write `enough` if nothing is."""

    passages: str = InputField()
    question: str = InputField()
    next_query: str = OutputField()


@register_module
class Iterate(SearchFlow):
    """Search several times: after each, the predictor `ask` reads what was found and writes the next query.

    For questions of several hops. Trivedi et al. 2022, "Interleaving Retrieval with Chain-of-Thought Reasoning" (arXiv
    2212.10509), section 3. Difference: the model writes a query, not a thought that is searched for. It stops if
    the model says `enough`, writes a query again or nothing, if a search finds nothing new, or after `rounds`. The
    lists are fused by reciprocal rank, so the best of each search come first. At most `rounds` calls and `rounds` + 1
    searches.

    Args:
        retriever: a retriever, or any function that `as_retriever` takes.
        rounds: most searches after the first.
        rrf_k: how little the first ranks count more than the later ones.

    Raises:
        UsageError: `retriever` cannot be called.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> search = ts.Iterate(ts.BM25(["Ada wrote Dune.", "Dune is set on Arrakis."]))
        >>> with dspy.context(lm=ts.ScriptedLM("Where is Dune set?", "enough")):
        ...     [passage.text for passage in search("Where is the book that Ada wrote set?", k=2)]
        ['Ada wrote Dune.', 'Dune is set on Arrakis.']
    """

    rounds: int = Setting(2, choices=(0, 1, 2), low=0, high=20, help="most searches after the first")
    rrf_k: int = Setting(60, low=1, help="how little the first ranks count more than the later ones")

    def __init__(self, retriever: Any, rounds: int = 2, rrf_k: int = 60) -> None:
        super().__init__()
        self.retriever = as_retriever(retriever)
        self.ask = Predict(Asking)
        self.rounds, self.rrf_k = rounds, rrf_k

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"retriever": self.retriever}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"retriever": self.rounds + 1, "ask": self.rounds}

    def steps(self, query: str, k: int) -> Steps:
        """Search until nothing is missing."""
        asked = {_plain(query)}
        lists: list[list[Passage]] = [(yield Call(self.retriever, {"query": query, "k": k}))]
        for _ in range(self.rounds):
            known = fused(lists, rrf_k=self.rrf_k)
            try:
                said = yield Call(self.ask, {"passages": passages_text(known) or "None yet.", "question": query})
            except ParseError:
                break
            following = _plain(said.next_query)
            if following in ("", ENOUGH) or following in asked:
                break
            asked.add(following)
            found = yield Call(self.retriever, {"query": str(said.next_query), "k": k})
            if {one.id for one in found} <= {one.id for one in known}:
                break
            lists.append(found)
        return lists[0] if len(lists) == 1 else fused(lists, rrf_k=self.rrf_k)[:k]


def _plain(query: str) -> str:
    return " ".join(str(query).split()).casefold().strip(" .`\"'")
