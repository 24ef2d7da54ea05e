"""`Retrieve`: a search as a module with named inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.errors import InputError, UsageError, shown
from tunesmith.modules.flow import Call, Flow, Steps
from tunesmith.modules.module import Prediction
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.passage import Passage, as_retriever
from tunesmith.modules.setting import Setting
from tunesmith.signatures import InputField, OutputField, Signature

__all__ = ["Retrieve"]


@register_module
class Retrieve(Flow):
    """Search with one text input, and return `passages`.

    A retriever itself takes a query and returns a list; this is a module with inputs and a prediction, a part of a
    `ts.RAG`, of a `ts.Router`, or of a program of your own. No call beyond those of the retriever.

    Args:
        retriever: what searches: a retriever, or any function that `as_retriever` takes.
        field: name of the input that is the query.
        k: most passages.
        min_score: least score of a passage; 0: any score is enough.

    Raises:
        UsageError: `retriever` cannot be called, or `field` is no name.

    Example:
        >>> import tunesmith as ts
        >>> search = ts.Retrieve(ts.BM25(["Oslo is in Norway.", "Rome is in Italy."]), k=1)
        >>> [passage.text for passage in search(question="Where is Rome?").passages]
        ['Rome is in Italy.']
    """

    k: int = Setting(5, choices=(3, 5, 8), low=1, help="most passages")
    min_score: float = Setting(0.0, help="least score of a passage; 0: any is enough")

    def __init__(self, retriever: Any, field: str = "question", k: int = 5, min_score: float = 0.0) -> None:
        super().__init__()
        if not isinstance(field, str) or not field.isidentifier():
            raise UsageError(f"`field` must be the name of an input. Given: {shown(field)}.")
        self.retriever = as_retriever(retriever)
        self.field, self.k, self.min_score = field, k, min_score
        build: Any = Signature  # called, it gives a class
        self.signature = build({field: (str, InputField()), "passages": (Any, OutputField())})

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"retriever": self.retriever, "field": self.field}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"retriever": 1}

    def steps(self, **inputs: Any) -> Steps:
        """Search."""
        query = inputs.get(self.field)
        if not isinstance(query, str):
            problem = f"`{self.field}` must be a text, which is searched for. Given: {shown(query)}."
            raise InputError(problem, field=self.field)
        found = yield Call(self.retriever, {"query": query, "k": self.k})
        return Prediction(passages=self.enough(found))

    def enough(self, found: Sequence[Passage]) -> list[Passage]:
        """Return the passages that have the least score."""
        return [one for one in found if not self.min_score or one.score >= self.min_score]
