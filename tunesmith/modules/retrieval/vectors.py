"""Search in a list of texts by the vectors that a model gives for them."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from tunesmith.errors import UsageError, brief
from tunesmith.lazy import lazy_module
from tunesmith.lm import LM

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

__all__ = ["Vectors"]

_BATCH = 64  # texts of one request
_SHARED = 8  # lists of texts whose vectors are kept: candidates of one search share theirs


class Vectors:
    """Finds the texts whose vectors have the smallest angle to that of a query; one text costs one vector, once.

    An empty text has no vector and is never found. Vectors are not charged, and only this process keeps them.

    Args:
        texts: what is searched.
        lm: gives the vectors.

    Raises:
        UsageError: the model gives none.

    Example:
        >>> import tunesmith as ts
        >>> from tunesmith.modules.retrieval import Vectors
        >>> index = Vectors(["a card", "an account"], ts.ScriptedLM())
        >>> [position for position, score in index.search("an account", 1)]
        [1]
    """

    def __init__(self, texts: Sequence[str], lm: Any) -> None:
        if not isinstance(lm, LM) or not lm.capabilities.embeddings:
            raise UsageError(
                f"The similarity `embedding` needs a model that gives vectors. Given: {getattr(lm, 'model', None)!r}, "
                "which gives none. Use the similarity `bm25`, or a model of llama.cpp or Ollama that embeds texts."
            )
        self.texts, self._lm = tuple(texts), lm
        self._rows = _shared(lm, self.texts)

    def __repr__(self) -> str:
        return brief(self, f"{len(self.texts)} texts", model=self._lm.model)

    def search(self, query: str, k: int, *, skip: Callable[[int], bool] | None = None) -> list[tuple[int, float]]:
        """Return up to `k` pairs of a text's position and its score, the best first, ties by position.

        Args:
            query: any text.
            k: the most that are returned.
            skip: tells of a position whether it is left out.

        Raises:
            ContextOverflow: the query is longer than the context of the model.
        """
        if not query or not any(self.texts) or k < 1:
            return []
        scores = self._rows @ _unit(self._lm.embed([query]))[0]
        found = [int(p) for p in np.argsort(-scores, kind="stable") if self.texts[p] and not (skip and skip(int(p)))]
        return [(position, float(scores[position])) for position in found[:k]]


_KEPT: "OrderedDict[tuple[str, tuple[str, ...]], np.ndarray[Any, Any]]" = OrderedDict()
_GATE = Lock()


def _shared(lm: LM, texts: tuple[str, ...]) -> "np.ndarray[Any, Any]":
    """Return one row per text, of length 1; of zeros for an empty text."""
    with _GATE:  # threads that need the same vectors wait for one of them
        key = (lm.model, texts)
        if key not in _KEPT:
            whole = [text for text in texts if text]
            found = [row for start in range(0, len(whole), _BATCH) for row in lm.embed(whole[start : start + _BATCH])]
            rows = np.zeros((len(texts), len(found[0]) if found else 1))
            if found:
                rows[[bool(text) for text in texts]] = _unit(found)
            _KEPT[key] = rows
        _KEPT.move_to_end(key)
        while len(_KEPT) > _SHARED:
            _KEPT.popitem(last=False)
        return _KEPT[key]


def _unit(vectors: Sequence[Sequence[float]]) -> "np.ndarray[Any, Any]":
    found = np.asarray(vectors, dtype=float)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.where(lengths > 0, lengths, 1.0)
