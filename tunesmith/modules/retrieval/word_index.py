"""Search in a list of texts by words; the door to bm25s."""

from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from tunesmith.errors import UsageError, brief, shown
from tunesmith.lazy import lazy_module
from tunesmith.modules.retrieval.ranking import best
from tunesmith.modules.retrieval.words import pieces_of, words_of, words_of_piece

if TYPE_CHECKING:
    import bm25s
else:
    bm25s = lazy_module("bm25s")  # with numpy a quarter of a second

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
        if self._tables is None:
            return []
        numbers = self._tables.get_tokens_ids(list(dict.fromkeys(words_of(query))))
        return best(self._tables.get_scores_from_ids(numbers), k, 0.0, skip)

    @cached_property
    def _tables(self) -> "bm25s.BM25 | None":
        return _tables_of(self.texts)


@lru_cache(_SHARED)
def _tables_of(texts: tuple[str, ...]) -> "bm25s.BM25 | None":
    """Return bm25s's tables of these texts, `None` if they hold no word: bm25s fails on an empty vocabulary."""
    known = _Known()
    ids = [list(chain.from_iterable(map(known.__getitem__, pieces_of(text)))) for text in texts]
    if not known.numbers:
        return None
    tables = bm25s.BM25(csc_backend="auto")  # with SciPy, if it is there: less time and memory, the same scores
    tables.index((ids, known.numbers), create_empty_token=False, show_progress=False)
    return tables


class _Known(dict[str, list[int]]):
    """The numbers of the words of each piece of a text. Words are numbered in the order of the texts.

    bm25s's own numbers come from a set, and so differ between processes.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __missing__(self, piece: str) -> list[int]:
        found = [self.numbers.setdefault(word, len(self.numbers)) for word in words_of_piece(piece)]
        if len(found) <= 2:  # else a run without spaces, which is seldom seen twice
            self[piece] = found
        return found
