"""`Passage` and `Retriever`: what every search gives and takes."""

import asyncio
import hashlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.modules.flow import Steps, arun_steps, run_steps
from tunesmith.modules.module import Module

__all__ = ["Passage", "Retriever", "SearchFlow", "as_passages", "as_retriever", "passage_id"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text that a search found.

    Attributes:
        text: the passage itself.
        score: how well it fits the query; comparable only within one list.
        id: the same in every run for the same text of the same source.
        source: where it comes from: a file, a row of a file, or an empty text.

    Example:
        >>> import tunesmith as ts
        >>> passage = ts.BM25(["Oslo is in Norway.", "Rome is in Italy."])("Rome")[0]
        >>> passage.text, passage.score > 0
        ('Rome is in Italy.', True)
    """

    text: str
    score: float
    id: str
    source: str = ""


def passage_id(source: str, text: str) -> str:
    """Return the id of a text of a source: the same in a corpus and in what any other search returned."""
    return hashlib.sha256(f"{source}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Retriever(Module):
    """The protocol of a search: `retriever(query, k=5)` returns up to `k` passages, the best first.

    The list is empty if nothing matches. A subclass has `search`, and `asearch` too if it asks a model. `as_retriever`
    makes one of a DSPy retriever or of any function.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # DSPy's

    def search(self, query: str, k: int) -> list[Passage]:
        """Return up to `k` passages, the best first, for a query that is not blank."""
        raise NotImplementedError

    async def asearch(self, query: str, k: int) -> list[Passage]:
        """Return what `search` returns, in a thread of its own."""
        return await asyncio.to_thread(self.search, query, k)

    def forward(self, query: str, k: int = 5) -> list[Passage]:
        """Search; called by `__call__`.

        Raises:
            UsageError: `query` is not a text, or `k` is not a number of at least 1.
        """
        _check(query, k)
        return self.search(query, k) if query.strip() else []

    async def aforward(self, query: str, k: int = 5) -> list[Passage]:
        """Search; called by `acall`."""
        _check(query, k)
        return await self.asearch(query, k) if query.strip() else []


class SearchFlow(Retriever):
    """A retriever whose search is written once, sync and async: a subclass has `steps(query, k)`, as a `Flow` does."""

    def steps(self, query: str, k: int) -> Steps:
        """Yield the calls of one search and return up to `k` passages, the best first."""
        raise NotImplementedError

    def search(self, query: str, k: int) -> list[Passage]:
        """Run the steps."""
        found: list[Passage] = run_steps(self.steps(query, k))
        return found

    async def asearch(self, query: str, k: int) -> list[Passage]:
        """Run the steps asynchronously."""
        found: list[Passage] = await arun_steps(self.steps(query, k))
        return found


def _check(query: object, k: object) -> None:
    if not isinstance(query, str):
        raise UsageError(f"`query` must be a text. Given: {shown(query)}.")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise UsageError(f"`k` must be a whole number of at least 1. Given: {shown(k)}.")


def as_retriever(found: Any) -> Retriever:
    """Return a retriever of `found`: one of tunesmith, one of DSPy, or any function of a query.

    The function may take `k`. It returns passages, texts, objects with `text` (or `long_text`, `content`,
    `page_content`), and perhaps `score`, `id` and `source`, also inside `metadata`; pairs of one of these and a score;
    or a prediction with such `passages`. A passage without a score has 1 divided by its place, one without an id that
    of the same text and source in a `ts.Corpus`. A result with more than `k` passages is cut. So `store.invoke` of
    LangChain, `store.similarity_search_with_score` and `engine.retrieve` of LlamaIndex fit as they are.

    Raises:
        UsageError: `found` cannot be called; in a search, if it returns something else.

    Example:
        >>> from tunesmith.modules.retrieval import as_retriever
        >>> [passage.text for passage in as_retriever(lambda query: [query.upper()])("oslo")]
        ['OSLO']
    """
    if isinstance(found, Retriever):
        return found
    if not callable(found):
        raise UsageError(
            "A retriever must be callable, as in `retriever(query, k=5)`. For texts or a corpus give `ts.BM25(texts)`, "
            "for an object of another library its method, such as `store.invoke` or `engine.retrieve`. "
            f"Given: {shown(found)}."
        )
    return _Called(found)


class _Called(Retriever):
    """A retriever of somebody else. An artifact cannot rebuild it, so it is passed with the program."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function
        self._takes_k = _takes_k(function)

    def search(self, query: str, k: int) -> list[Passage]:
        """Call the function, and read what it returns."""
        given = self.function(query, k=k) if self._takes_k else self.function(query)
        return as_passages(given)[:k]

    async def asearch(self, query: str, k: int) -> list[Passage]:
        """Call the function in a thread of its own, unless it is asynchronous."""
        if inspect.iscoroutinefunction(self.function):
            return as_passages(await (self.function(query, k=k) if self._takes_k else self.function(query)))[:k]
        return await asyncio.to_thread(self.search, query, k)


def _takes_k(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return "k" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def as_passages(given: Any) -> list[Passage]:
    """Return passages of what a search returned, as `as_retriever` reads it.

    Raises:
        UsageError: it is something else.
    """
    inside = given.get("passages") if isinstance(given, Mapping) else getattr(given, "passages", None)
    items = given if inside is None else inside
    if inspect.isawaitable(items):
        raise UsageError("The retriever's function is asynchronous. Call it with `await retriever.acall(query)`.")
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise UsageError(f"A retriever must return a list of passages or texts. Given: {shown(given)}.")
    return [_passage(item, 1 / place) for place, item in enumerate(items, 1)]


def _passage(item: Any, score: float) -> Passage:
    if isinstance(item, Passage):
        return item
    if isinstance(item, str):
        return Passage(item, score, passage_id("", item))
    if isinstance(item, list | tuple) and len(item) == 2 and not isinstance(item[1], str):
        return replace(_passage(item[0], score), score=_score(item[1]))
    text = _first(item, "text", "long_text", "content", "page_content")
    if not isinstance(text, str):
        raise UsageError(f"A passage must be a text, or have a `text`. Given: {shown(item)}.")
    known = _first(item, "score"), _first(item, "id", "node_id", "pid"), _first(item, "source", "title")
    source = known[2] if known[2] is not None else _first(_first(item, "metadata"), "source", "file_path", "title")
    source = "" if source is None else str(source)
    return Passage(
        text,
        score if known[0] is None else _score(known[0]),
        passage_id(source, text) if known[1] is None else str(known[1]),
        source,
    )


def _score(given: Any) -> float:
    try:
        return float(given)
    except (TypeError, ValueError):
        raise UsageError(f"The score of a passage must be a number. Given: {shown(given)}.") from None


def _first(item: Any, *names: str) -> Any:
    for name in names:
        value = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
        if value is not None:
            return value
    return None
