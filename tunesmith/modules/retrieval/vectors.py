"""`Vectors`: a search by the vectors of an embedding model."""

from collections.abc import Mapping
from threading import Lock
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.lm import LM, lm
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.corpus import Corpus, as_corpus
from tunesmith.modules.retrieval.passage import Passage, Retriever
from tunesmith.modules.retrieval.vector_index import VectorIndex, check_index

__all__ = ["Vectors"]


@register_module
class Vectors(Retriever):
    """Finds the passages whose vectors have the smallest angle to that of a query; `exact` compares every passage.

    The first search embeds the corpus; each search then asks for one vector. Vectors are not charged to a budget. The
    score is the cosine, from -1 to 1, so unlike `ts.BM25` it nearly always finds `k` passages; `min_score` cuts.

    Args:
        corpus: what is searched: a `ts.Corpus` or a list of texts.
        embed: gives the vectors: a model (`ts.lm("ollama/nomic-embed-text")`), its name, or a function from a list of
            texts to one list of numbers each.
        min_score: least cosine of a passage that is found.
        index: `exact`, or `hnsw` (extra `hnsw`) for far more than 100,000 passages: a graph that finds 95 % or more of
            the nearest of a sample, takes minutes to build, and answers in a tenth of the time.
        dtype: how that graph stores a number: `f32`, `f16` or `i8`.

    Raises:
        UsageError: an argument is something else, the model gives no vectors, or the extra is not installed.
        ModelError: in a search, if the function returned no vectors.

    Example:
        >>> import tunesmith as ts
        >>> def count(texts):
        ...     return [[text.count("a"), text.count("o")] for text in texts]
        >>> [passage.text for passage in ts.Vectors(["Malaga", "Oslo"], embed=count)("Toronto", k=1)]
        ['Oslo']
    """

    def __init__(
        self, corpus: Any, embed: Any, min_score: float = -1.0, index: str = "exact", dtype: str = "f32"
    ) -> None:
        super().__init__()
        if not isinstance(embed, str) and not callable(embed):
            raise UsageError(
                "`embed` must be a model, the name of one as in `ts.lm`, or a function of a list of texts. "
                f"Given: {shown(embed)}."
            )
        self.corpus: Corpus = as_corpus(corpus)
        self.min_score = float(min_score)
        check_index(index, dtype)
        self.index, self.dtype = index, dtype
        self._lazy = _Lazy(lm(embed) if isinstance(embed, str) else embed, index, dtype)

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        embed = self._lazy.embed
        name = embed.model if isinstance(embed, LM) else {"function": getattr(embed, "__qualname__", "")}
        how = {"min_score": self.min_score, "index": self.index, "dtype": self.dtype}
        return {"corpus": self.corpus.to_json(), "embed": name, **how}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {}

    def updated(self, corpus: Corpus) -> "Vectors":
        """Return this search over another corpus; vectors of texts that it has already are not asked for again."""
        newer = Vectors(corpus, self._lazy.embed, self.min_score, self.index, self.dtype)
        newer._lazy.known = self._lazy.index(self.corpus).vectors()
        return newer

    def search(self, query: str, k: int) -> list[Passage]:
        """Return up to `k` passages, the best first, ties by position."""
        found = self._lazy.index(self.corpus).search(query, k)
        return [self.corpus.passage(position, score) for position, score in found if score >= self.min_score]


class _Lazy:
    """The index of one corpus, made by the first search; copies of a program share it."""

    def __init__(self, embed: Any, index: str, dtype: str) -> None:
        self._how = index, dtype
        self.embed, self.known = embed, None  # type: Any, Mapping[str, Any] | None
        self._made: VectorIndex | None = None
        self._gate = Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Lazy":
        return self

    def index(self, corpus: Corpus) -> VectorIndex:
        with self._gate:
            if self._made is None:
                self._made = VectorIndex(corpus.texts, self.embed, self.known, *self._how)
            return self._made
