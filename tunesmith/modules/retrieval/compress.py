"""`Compress`: keep the sentences of each passage that matter."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tunesmith.errors import ParseError, UsageError, shown
from tunesmith.modules.flow import Call, Steps
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.chunking import sentences_of
from tunesmith.modules.retrieval.generate import passages_text
from tunesmith.modules.retrieval.numbers import numbers_type
from tunesmith.modules.retrieval.passage import Passage, SearchFlow, as_retriever
from tunesmith.modules.retrieval.word_index import WordIndex
from tunesmith.modules.setting import Setting
from tunesmith.signatures import InputField, OutputField, Signature

__all__ = ["Compress"]

_WORDS, _MODEL = "words", "model"
_Picked = numbers_type(20)


class Picking(Signature):
    """Give the numbers of the sentences that help to answer the query; none if none does."""

    sentences: str = InputField()
    query: str = InputField()
    numbers: _Picked = OutputField()  # type: ignore[valid-type]


@register_module
class Compress(SearchFlow):
    """Search, and shorten each passage to the sentences that matter, in their order and unchanged.

    After the extractive compressor of Xu et al. 2023, "RECOMP" (arXiv 2310.04408), section 3.1. Differences: sentences
    are chosen by shared words (BM25), or by the predictor `pick`, in place of a trained encoder; each passage is
    shortened by itself. As there, a passage of which `pick` needs nothing is left out. A passage whose sentences share
    no word with the query keeps its first ones, and one whose reply cannot be read stays as it is.

    Calls: none by `words`; by `model` one for each of the first `depth` passages with several sentences. Id, source and
    score stay.

    Args:
        retriever: a retriever, or any function that `as_retriever` takes.
        by: `words` or `model`.
        sentences: most sentences of a passage.
        depth: passages that are shortened; later ones stay as they are.

    Raises:
        UsageError: `retriever` cannot be called, or `by` is something else.

    Example:
        >>> import tunesmith as ts
        >>> search = ts.Compress(ts.BM25(["Hello. The card costs 5 euros. It is red."]), sentences=1)
        >>> search("What does the card cost?")[0].text
        'The card costs 5 euros.'
    """

    sentences: int = Setting(3, choices=(1, 3, 5), low=1, help="most sentences of a passage")
    depth: int = Setting(5, low=1, help="passages that are shortened")

    def __init__(self, retriever: Any, by: str = _WORDS, sentences: int = 3, depth: int = 5) -> None:
        super().__init__()
        if by not in (_WORDS, _MODEL):
            raise UsageError(f"`by` must be `{_WORDS}` or `{_MODEL}`. Given: {shown(by)}.")
        self.retriever = as_retriever(retriever)
        self.by, self.sentences, self.depth = by, sentences, depth
        if by == _MODEL:
            self.pick = Predict(Picking)

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"retriever": self.retriever, "by": self.by}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"retriever": 1, **({"pick": self.depth} if self.by == _MODEL else {})}

    def steps(self, query: str, k: int) -> Steps:
        """Search, and shorten what was found."""
        found = yield Call(self.retriever, {"query": query, "k": k})
        kept = []
        for passage in found[: self.depth]:
            text = yield from self._short(query, passage)
            if text:
                kept.append(replace(passage, text=text))
        return [*kept, *found[self.depth :]]

    def _short(self, query: str, passage: Passage) -> Any:
        texts = sentences_of(passage.text)
        if len(texts) <= 1:
            return passage.text
        if self.by == _WORDS:
            places = [place for place, _ in WordIndex(texts).search(query, self.sentences)]
            return _joined(texts, places or list(range(self.sentences)))
        numbered = passages_text([Passage(text, 0.0, "") for text in texts])
        try:
            said = yield Call(self.pick, {"sentences": numbered, "query": query})
        except ParseError:
            return passage.text
        return _joined(texts, [number - 1 for number in said.numbers][: self.sentences])


def _joined(texts: list[str], places: list[int]) -> str:
    return " ".join(text for place, text in enumerate(texts) if place in places)
