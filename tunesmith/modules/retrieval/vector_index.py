"""Search in a list of texts by vectors."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelError, UsageError, brief, shown
from tunesmith.lazy import lazy_module
from tunesmith.lm import LM, BaseLM
from tunesmith.modules.retrieval.ranking import best
from tunesmith.modules.retrieval.vector_graph import VectorGraph, check_graph

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

__all__ = ["INDEXES", "VectorIndex", "check_index", "embedding_function", "unit_vectors"]

INDEXES = ("exact", "hnsw")

_BATCH = 64  # texts of one request
_SHARED = 8  # lists of texts whose vectors are kept: candidates of one search share theirs


def check_index(index: str, dtype: str) -> None:
    """Check how vectors are to be searched.

    Raises:
        UsageError: there is no such way, or its extra is not installed.
    """
    if index not in INDEXES:
        raise UsageError(f"`index` must be one of: {', '.join(INDEXES)}. Given: {shown(index)}.")
    if index == "hnsw":
        check_graph(dtype)


def embedding_function(embed: Any) -> Callable[[list[str]], Any]:
    """Return the function that gives vectors of texts: that of a model, or `embed` itself.

    Raises:
        UsageError: `embed` gives no vectors.
    """
    is_model = isinstance(embed, LM)
    if not (embed.capabilities.embeddings if is_model else callable(embed) and not isinstance(embed, BaseLM)):
        raise UsageError(
            f"A search by vectors needs a model that gives vectors. Given: {getattr(embed, 'model', embed)!r}, "
            "which gives none. Use `bm25`, a model of llama.cpp or Ollama that embeds texts, or your own function."
        )
    function: Callable[[list[str]], Any] = embed.embed if is_model else embed
    return function


class VectorIndex:
    """Finds the texts whose vectors have the smallest angle to that of a query; one text costs one vector, once.

    An empty text and one whose vector is all zeros are never found. Vectors are not charged, and only this process
    keeps them.

    Args:
        texts: what is searched.
        embed: gives the vectors: a model of `ts.lm`, or a function from a list of texts to one vector each.
        known: vectors of texts that are not asked for again.
        index: `exact` compares every vector, `hnsw` finds most of the nearest by a graph.
        dtype: how the graph stores a number: `f32`, `f16` or `i8`.

    Raises:
        UsageError: the model gives none, or the graph cannot be used.

    Example:
        >>> import tunesmith as ts
        >>> from tunesmith.modules.retrieval import VectorIndex
        >>> index = VectorIndex(["a card", "an account"], ts.ScriptedLM())
        >>> [position for position, score in index.search("an account", 1)]
        [1]
    """

    def __init__(
        self,
        texts: Sequence[str],
        embed: Any,
        known: Mapping[str, Any] | None = None,
        index: str = "exact",
        dtype: str = "f32",
    ) -> None:
        check_index(index, dtype)
        self._embed = embedding_function(embed)
        is_model = isinstance(embed, LM)
        self.texts = tuple(texts)
        self._name = embed.model if is_model else getattr(embed, "__name__", type(embed).__name__)
        if is_model and known is None:
            self._rows = _shared(embed, self.texts)
        else:
            self._rows = _rows(self.texts, self._embed, known or {})
        self._graph = VectorGraph(self._rows, dtype) if index == "hnsw" and self._rows.any() else None
        self._blank = np.flatnonzero(~self._rows.any(axis=1))

    def __repr__(self) -> str:
        return brief(self, f"{len(self.texts)} texts", embed=self._name)

    def __deepcopy__(self, memo: dict[int, Any]) -> "VectorIndex":
        return self

    def vectors(self) -> dict[str, Any]:
        """Return the vector of each text, for the `known` of another index."""
        return dict(zip(self.texts, self._rows, strict=True))

    def search(self, query: str, k: int, *, skip: Callable[[int], bool] | None = None) -> list[tuple[int, float]]:
        """Return up to `k` pairs of a text's position and its score, the best first, ties by position.

        Args:
            query: any text.
            k: the most that are returned.
            skip: tells of a position whether it is left out.

        Raises:
            ContextOverflow: the query is longer than the context of the model.
            ModelError: a function gave no vector, or one of another length.
        """
        if not query or len(self._blank) == len(self.texts) or k < 1:
            return []
        row = unit_vectors(self._embed, [query])[0]
        if len(row) != self._rows.shape[1]:
            raise ModelError(f"`embed` gave a vector of {len(row)} numbers. Those before had {self._rows.shape[1]}.")
        if not row.any():
            return []
        if self._graph is not None:
            return self._graph.search(row, k, skip)
        scores = self._rows @ row
        scores[self._blank] = -np.inf
        return best(scores, k, -np.inf, skip)


_KEPT: "OrderedDict[tuple[str, tuple[str, ...]], np.ndarray[Any, Any]]" = OrderedDict()
_GATE = Lock()


def _shared(lm: LM, texts: tuple[str, ...]) -> "np.ndarray[Any, Any]":
    with _GATE:  # threads that need the same vectors wait for one of them
        key = (lm.model, texts)
        if key not in _KEPT:
            _KEPT[key] = _rows(texts, lm.embed, {})
        _KEPT.move_to_end(key)
        while len(_KEPT) > _SHARED:
            _KEPT.popitem(last=False)
        return _KEPT[key]


def _rows(
    texts: tuple[str, ...], embed: Callable[[list[str]], Any], known: Mapping[str, Any]
) -> "np.ndarray[Any, Any]":
    """Return one row per text, of length 1; of zeros for an empty text."""
    new = [text for text in texts if text.strip() and text not in known]
    made = [unit_vectors(embed, new[start : start + _BATCH]) for start in range(0, len(new), _BATCH)]
    widths = {rows.shape[1] for rows in made} | {len(row) for row in known.values()}
    if len(widths) > 1:
        raise ModelError(f"`embed` gave vectors of different lengths: {', '.join(map(str, sorted(widths)))}.")
    found = np.zeros((len(texts), *widths) if widths else (len(texts), 1), dtype=np.float32)
    if made:
        found[[bool(text.strip()) and text not in known for text in texts]] = np.concatenate(made)
    for position, text in enumerate(texts):
        if text in known:
            found[position] = known[text]
    return found


def unit_vectors(embed: Callable[[list[str]], Any], texts: list[str]) -> "np.ndarray[Any, Any]":
    """Return the vector of each text, of length 1 unless it is of zeros.

    Raises:
        ModelError: the function gave something else.
    """
    found = _asked(embed, texts)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.where(lengths > 0, lengths, 1.0)


def _asked(embed: Callable[[list[str]], Any], texts: list[str]) -> "np.ndarray[Any, Any]":
    given = embed(texts)
    try:
        found: Any = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.ndim != 2 or len(found) != len(texts) or not found.shape[1] or not np.isfinite(found).all():
        raise ModelError(
            f"`embed` must return one list of finite numbers for each of the {len(texts)} texts, all of one length. "
            f"It returned: {shown(given)}."
        )
    return found
