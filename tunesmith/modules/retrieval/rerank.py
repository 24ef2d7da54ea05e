"""`Rerank`: look at what a search found, and put the best first."""

import asyncio
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tunesmith.errors import ModelError, ParseError, UsageError, shown
from tunesmith.modules.classify import Classify
from tunesmith.modules.fence import fenced
from tunesmith.modules.flow import Call, Steps
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import register_module
from tunesmith.modules.retrieval.generate import passages_text
from tunesmith.modules.retrieval.numbers import numbers_type
from tunesmith.modules.retrieval.passage import Passage, SearchFlow, as_retriever
from tunesmith.modules.setting import Setting
from tunesmith.signatures import InputField, OutputField, Signature

__all__ = ["Rerank", "windows"]

_LISTWISE, _POINTWISE = "listwise", "pointwise"
_MOST = 20  # numbers that an engine may be held to
_Order = numbers_type(_MOST)
_VALUES = {"not relevant": 0.0, "somewhat relevant": 1.0, "highly relevant": 2.0}


class Ranking(Signature):
    """Order the passages by how well they answer the query. Give their numbers, the best first."""

    passages: str = InputField()
    query: str = InputField()
    order: _Order = OutputField()  # type: ignore[valid-type]


class Grading(Signature):
    """Judge how relevant the passage is to the query."""

    passage: str = InputField()
    query: str = InputField()
    relevance: Literal["not relevant", "somewhat relevant", "highly relevant"] = OutputField()


def _is_listwise(module: Any) -> bool:
    return bool(module.by == _LISTWISE)


@register_module
class Rerank(SearchFlow):
    """Search, and order the first `depth` passages anew.

    - `listwise`: the predictor `rank` orders a window of passages, and the window moves from the end to the beginning:
      Sun et al. 2023, "Is ChatGPT Good at Search?" (arXiv 2304.09542), section 3, there with a window of 20 and a
      stride of 10. A number that is missing keeps its place behind the others; a reply that cannot be read changes
      nothing. The score is 1 / place. Difference: the last window always begins with the first passage.
    - `pointwise`: the predictor `grade` judges each passage by itself: Zhuang et al. 2023, "Beyond Yes and No" (arXiv
      2310.14122), with three labels of 0, 1 and 2 points. The score is the points; with `scored`, which needs a model
      with log-probabilities, the expected points. Passages of one score keep their order.
    - a function of a query and a list of texts, which returns a number for each, such as a cross-encoder.

    Calls: 1 + ceil((depth - window) / stride) listwise, `depth` pointwise, none with a function. Fewer passages take
    fewer calls.

    Args:
        retriever: what searches first: a retriever, or any function that `as_retriever` takes.
        by: `listwise`, `pointwise`, or a function.
        depth: passages that are ordered.
        window: passages that `rank` sees at once, at most 20.
        stride: by how many passages the window moves.
        scored: whether `grade` is a `ts.Classify`.

    Raises:
        UsageError: `retriever` cannot be called, or `by` is something else.
        ModelError: in a search, if the function did not return numbers.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> search = ts.Rerank(ts.BM25(["red wine", "red car", "red"]))
        >>> with dspy.context(lm=ts.ScriptedLM("[3, 1]")):
        ...     found = search("red", k=2)
        >>> [passage.text for passage in found]
        ['red car', 'red']
    """

    depth: int = Setting(20, choices=(10, 20), low=1, help="passages that are ordered")
    window: int = Setting(
        10, choices=(5, 10), low=2, high=_MOST, used=_is_listwise, help="passages that the model orders at once"
    )
    stride: int = Setting(5, low=1, high=_MOST, help="by how many passages the window moves")

    def __init__(
        self,
        retriever: Any,
        by: str | Callable[[str, list[str]], Sequence[float]] = _LISTWISE,
        depth: int = 20,
        window: int = 10,
        stride: int = 5,
        *,
        scored: bool = False,
    ) -> None:
        super().__init__()
        if by not in (_LISTWISE, _POINTWISE) and not callable(by):
            raise UsageError(
                f"`by` must be `{_LISTWISE}`, `{_POINTWISE}`, or a function of a query and a list of texts. "
                f"Given: {shown(by)}."
            )
        self.retriever = as_retriever(retriever)
        self.by, self.scored = by, scored
        self.depth, self.window, self.stride = depth, window, stride
        if by == _LISTWISE:
            self.rank = Predict(Ranking)
        elif by == _POINTWISE:
            self.grade = Classify(Grading) if scored else Predict(Grading)

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings. An artifact does not hold a function."""
        by = self.by if isinstance(self.by, str) else {"function": getattr(self.by, "__qualname__", "")}
        return {"retriever": self.retriever, "by": by, "scored": self.scored}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        own = {
            _LISTWISE: {"rank": len(windows(self.depth, self.window, self.stride))},
            _POINTWISE: {"grade": self.depth},
        }
        return {"retriever": 1, **(own[self.by] if isinstance(self.by, str) else {})}

    def steps(self, query: str, k: int) -> Steps:
        """Search, and order what was found."""
        found = yield Call(self.retriever, {"query": query, "k": max(k, self.depth)})
        if len(found) < 2:
            return found
        first, rest = found[: self.depth], found[self.depth :]
        if self.by == _LISTWISE:
            ordered = yield from self._ranked(query, first)
            return [replace(one, score=1 / place) for place, one in enumerate([*ordered, *rest], 1)][:k]
        scores = yield from self._scores(query, first)
        order = sorted(range(len(first)), key=lambda number: -scores[number])
        return [replace(first[number], score=scores[number]) for number in order][:k]

    def _ranked(self, query: str, found: Sequence[Passage]) -> Generator[Call, Any, list[Passage]]:
        ordered = list(found)
        for start, end in windows(len(found), self.window, self.stride):
            shown_ones = ordered[start:end]
            try:
                said = yield Call(self.rank, {"query": query, "passages": passages_text(shown_ones)})
            except ParseError:
                continue
            good = [number - 1 for number in said.order if 1 <= number <= len(shown_ones)]
            order = dict.fromkeys([*good, *range(len(shown_ones))])
            ordered[start:end] = [shown_ones[number] for number in order]
        return ordered

    def _scores(self, query: str, found: Sequence[Passage]) -> Generator[Call, Any, list[float]]:
        if not isinstance(self.by, str):
            scores: list[float] = yield Call(_Scoring(self.by), {"query": query, "texts": [one.text for one in found]})
            return scores
        scores = []
        for passage in found:
            try:
                said = yield Call(self.grade, {"query": query, "passage": fenced(passage.text)})
            except ParseError:
                scores.append(0.0)
                continue
            likely = said.get("probabilities")
            by_label = likely or {said.relevance: 1.0}
            scores.append(math.fsum(_VALUES[label] * share for label, share in by_label.items()))
        return scores


def windows(count: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Return the first and the last place, plus one, of each window, from the end to the beginning.

    Example:
        >>> windows(8, 4, 2)
        [(4, 8), (2, 6), (0, 4)]
        >>> windows(3, 10, 5)
        [(0, 3)]
    """
    moves = math.ceil(max(0, count - window) / min(stride, window))
    starts = [max(0, count - window - move * min(stride, window)) for move in range(moves + 1)]
    return [(start, min(count, start + window)) for start in starts]


@dataclass(frozen=True, slots=True)
class _Scoring:
    """A function that scores texts, called as a module is."""

    function: Callable[[str, list[str]], Sequence[float]]

    async def acall(self, query: str, texts: list[str]) -> list[float]:
        return await asyncio.to_thread(self, query, texts)

    def __call__(self, query: str, texts: list[str]) -> list[float]:
        given = self.function(query, texts)
        try:
            scores = [float(score) for score in given]
        except (TypeError, ValueError):
            scores = []
        if len(scores) != len(texts) or not all(map(math.isfinite, scores)):
            raise ModelError(
                f"The function of `Rerank` must return one finite number for each of the {len(texts)} texts. It "
                f"returned: {shown(given)}."
            )
        return scores
