"""`Nearest`: a predictor shows the demos whose inputs are nearest to those of the call."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from operator import is_
from typing import TYPE_CHECKING, Any

from tunesmith.data import canonical_json
from tunesmith.errors import brief
from tunesmith.formats import values_of
from tunesmith.modules.module import DspyPredict, settings, signature_of
from tunesmith.modules.setting import NEAREST, Setting
from tunesmith.signatures import field_names

if TYPE_CHECKING:
    from tunesmith.modules.retrieval.vector_index import VectorIndex
    from tunesmith.modules.retrieval.word_index import WordIndex

__all__ = ["Nearest", "demo_content", "inputs_text", "nearest_of", "static_demos"]

_LAST, _FIRST = "nearest-last", "nearest-first"
_BM25, _EMBEDDING = "bm25", "embedding"


class Nearest:
    """Which of its demos a predictor shows in a call: the `k` whose inputs are most similar to those of the call.

    The predictor's `demos` are then a pool. A demo with exactly the inputs of the call is never shown, so that a score
    on the examples that demos were made of means something. If fewer than `k` demos share a word with the call, the
    first of the pool fill up.

    Args:
        k: demos that a call shows, at least 1.
        order: `nearest-last` puts the nearest demo beside the question, `nearest-first` farthest from it.
        similarity: `bm25`, by shared words; or `embedding`, by vectors of the predictor's model, at one more request of
            each call.

    Raises:
        UsageError: a value is not allowed.

    Example:
        >>> import tunesmith as ts
        >>> from tunesmith.modules import Candidate, Nearest
        >>> program = ts.Predict("text -> label")
        >>> rows = {"The card is lost.": "card", "Close my account.": "account", "A new card?": "card"}
        >>> demos = [ts.Demo({"text": text}, {"label": label}) for text, label in rows.items()]
        >>> chosen = Candidate.of(program).with_demos("self", demos, Nearest(k=1)).apply(program)
        >>> ts.render(chosen, text="I want to close it.").messages[2]["content"]
        'account'
    """

    k: int = Setting(4, choices=(2, 4, 8), low=1, help="demos that a call shows")
    order: str = Setting(_LAST, choices=(_LAST, _FIRST), only=(_LAST, _FIRST), help="where the nearest demo stands")
    similarity: str = Setting(_BM25, only=(_BM25, _EMBEDDING), help="what is near")

    def __init__(self, k: int = 4, order: str = _LAST, similarity: str = _BM25) -> None:
        self.k, self.order, self.similarity = k, order, similarity
        self._known: tuple[tuple[Any, ...], _Pool] = ((), _Pool((), ()))

    def __repr__(self) -> str:
        return brief(self, **self.values())

    def values(self) -> dict[str, Any]:
        """Return the settings by name."""
        return {"k": self.k, "order": self.order, "similarity": self.similarity}

    def shown(self, predictor: DspyPredict, given: Mapping[str, Any]) -> list[Any]:
        """Return the demos of `predictor` that a call with the inputs `given` shows, in prompt order."""
        demos: Sequence[Any] = predictor.__dict__["demos"]
        held, pool = self._known
        if len(held) != len(demos) or not all(map(is_, held, demos)):
            pool = _Pool(demos, field_names(signature_of(predictor)).inputs)
            self._known = tuple(demos), pool  # in one step, since other threads call too
        index = pool.index if self.similarity == _BM25 else pool.vectors(predictor.__dict__["lm"] or settings.lm)
        found = [demos[position] for position in pool.nearest(given, self.k, index)]
        return found[::-1] if self.order == _LAST else found


class _Pool:
    """Demos in a form that can be searched. It does not change."""

    def __init__(self, demos: Sequence[Any], names: tuple[str, ...]) -> None:
        self._names = names
        given = [self._of(values_of(demo)) for demo in demos]
        self._inputs = [demo_content(values) for values in given]
        self.texts = tuple(map(inputs_text, given))

    @cached_property
    def index(self) -> "WordIndex":
        from tunesmith.modules.retrieval.word_index import WordIndex  # here, because most programs need none

        return WordIndex(self.texts)

    def vectors(self, lm: Any) -> "VectorIndex":
        """Return an index of the model's vectors of the demos."""
        from tunesmith.modules.retrieval.vector_index import VectorIndex  # here, because most programs need none

        return VectorIndex(self.texts, lm)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Pool":
        return self

    def nearest(self, given: Mapping[str, Any], k: int, index: "WordIndex | VectorIndex") -> list[int]:
        """Return the positions of `k` demos, the nearest first."""
        values = self._of(given)
        call = demo_content(values)

        def is_its_own(position: int) -> bool:
            inputs = self._inputs[position]
            return bool(inputs) and inputs.items() <= call.items()

        found = [position for position, _ in index.search(inputs_text(values), k, skip=is_its_own)]
        rest: Iterator[int] = (p for p in range(len(self._inputs)) if p not in found and not is_its_own(p))
        return found + [position for position, _ in zip(rest, range(k - len(found)), strict=False)]

    def _of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[name] for name in self._names if name in values}


def demo_content(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as texts by name. A typed value and the JSON that it was read from have the same text."""
    return {name: _content(value) for name, value in values.items()}


def _content(value: Any) -> str:
    try:
        return canonical_json(value)
    except (TypeError, ValueError, RecursionError):  # an input of any class, such as a retriever
        return repr(value)


def inputs_text(values: Mapping[str, Any]) -> str:
    """Return inputs as one text, for a search or a comparison by words."""
    return "\n".join(value if isinstance(value, str) else _content(value).strip('"') for value in values.values())


def nearest_of(predictor: DspyPredict) -> Nearest | None:
    """Return what chooses the demos of each call, `None` if every call shows them all."""
    return predictor.__dict__.get(NEAREST)


def static_demos(predictor: DspyPredict) -> list[Any]:
    """Return the demos that stand for all where none can be chosen, as in plain DSPy: the first `k` of a pool."""
    nearest, demos = nearest_of(predictor), predictor.demos
    return list(demos) if nearest is None else list(demos[: nearest.k])
