"""`BM25`: a search by shared words."""

from collections.abc import Mapping
from typing import Any

from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.corpus import Corpus, as_corpus
from tunesmith.modules.retrieval.passage import Passage, Retriever
from tunesmith.modules.retrieval.word_index import WordIndex

__all__ = ["BM25"]


@register_module
class BM25(Retriever):
    """Finds the passages that share the rarest words with a query (Robertson et al. 1994).

    Lucene's form, k1 1.5, b 0.75. A passage that shares no word is not found. A text in a script without spaces, such
    as Chinese, is compared by its characters and by pairs of neighbours. No call of a model.

    Args:
        corpus: what is searched: a `ts.Corpus` or a list of texts.

    Raises:
        UsageError: `corpus` is something else.

    Example:
        >>> import tunesmith as ts
        >>> search = ts.BM25(ts.Corpus.of({"cards.md": "My card was stolen.", "close.md": "Close my account."}))
        >>> [(passage.source, passage.text) for passage in search("a stolen card")]
        [('cards.md', 'My card was stolen.')]
    """

    def __init__(self, corpus: Any) -> None:
        super().__init__()
        self.corpus: Corpus = as_corpus(corpus)
        self._index = WordIndex(self.corpus.texts)

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"corpus": self.corpus.to_json()}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {}

    def search(self, query: str, k: int) -> list[Passage]:
        """Return up to `k` passages, the best first, ties by position."""
        return [self.corpus.passage(position, score) for position, score in self._index.search(query, k)]
