"""Search in a list of texts by words."""

from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from typing import Any

from tunesmith.errors import UsageError, brief, shown
from tunesmith.modules.retrieval.ranking import best
from tunesmith.modules.retrieval.word_table import WordTable
from tunesmith.modules.retrieval.words import words_of

__all__ = ["WordIndex"]

_SHARED = 8  # lists of texts whose index is kept: candidates of one search share theirs


class WordIndex:
    """Finds the texts that share the rarest words with a query (Robertson et al. 1994; Lucene's form, k1 1.5, b 0.75).

    The same texts give the same results in every process. An index does not change: for more texts, make another one.
    Indexes of the same texts share their tables.

    Args:
        texts: what is searched.

    Raises:
        UsageError: `texts` is not a list of texts.

    Example:
        >>> from tunesmith.modules.retrieval import WordIndex
        >>> index = WordIndex(["Where is my card?", "Close my account.", "My card was stolen."])
        >>> [position for position, score in index.search("stolen card", 2)]
        [2, 0]
    """

    def __init__(self, texts: Iterable[str]) -> None:
        found = (texts,) if isinstance(texts, str) else tuple(texts)
        if isinstance(texts, str) or not all(isinstance(text, str) for text in found):
            raise UsageError(f"`texts` must be a list of texts. Given: {shown(texts)}.")
        self.texts = found

    def __repr__(self) -> str:
        return brief(self, f"{len(self.texts)} texts")

    def __deepcopy__(self, memo: dict[int, Any]) -> "WordIndex":
        return self

    def search(self, query: str, k: int, *, skip: Callable[[int], bool] | None = None) -> list[tuple[int, float]]:
        """Return up to `k` pairs of a text's position and its score, the best first, ties by position.

        A text that shares no word with the query is not found.

        Args:
            query: any text.
            k: the most that are returned.
            skip: tells of a position whether it is left out.
        """
        table = self._table
        scores = table.scores(word for word in dict.fromkeys(words_of(query)) if word in table.words)
        return best(scores, k, 0.0, skip)

    @cached_property
    def _table(self) -> WordTable:
        return _table_of(self.texts)


@lru_cache(_SHARED)
def _table_of(texts: tuple[str, ...]) -> WordTable:
    return WordTable(texts)
