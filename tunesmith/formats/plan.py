"""Rendered prefixes, each kept for as long as what it was rendered from has the same content."""

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, is_
from typing import Any

from pydantic_core import to_json

from tunesmith.lm import LM, BaseLM, Capabilities, Prefix
from tunesmith.signatures import Signature

__all__ = ["Plan", "Plans", "Source", "values_of"]

_PER_SIGNATURE = 16
_STORE = attrgetter("_store")  # the values of a `dspy.Example`
_FIXED = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class Plan:
    """A rendered prefix.

    Attributes:
        source: what it was rendered from.
        mode: how the reply is held to its shape.
        held: whether a grammar or schema goes out.
        stop: whether a stop of ours does.
        cuts: whether a stop of the caller's does.
        logprobs: whether the caller asked for log-probabilities.
        prefixes: one per draw, equal but for what a repeated draw changes.
        write_inputs: writes the last message.
        history: the messages before it, in DSPy's form.
        rollout: number of the first draw.
        turns: the input whose entries are turns, `None` where there is none.
        cache: whether the LM's cache is used, `None` if the call does not say.
    """

    source: "Source"
    mode: str
    held: bool
    stop: bool
    cuts: bool
    logprobs: bool
    prefixes: tuple[Prefix, ...]
    write_inputs: Callable[[Mapping[str, Any]], str]
    history: list[dict[str, Any]]
    rollout: int
    turns: str | None
    cache: bool | None = None

    def beside(self, draw: int) -> dict[str, Any]:
        """Return what DSPy takes beside the request of a draw."""
        number = self.rollout + draw
        cache = {} if self.cache is None else {"cache": self.cache}
        return {**cache, "rollout_id": number} if number else cache


@dataclass(frozen=True, slots=True)
class Source:
    """What a prefix was rendered from, as values that later changes to demos and options cannot reach.

    Attributes:
        exact: everything that a prefix depends on.
        able: what the engine can do.
        doc: the text that the signature's instructions come from.
        defaults, options: of the model and of the call.
        demos: their values; `None` if one of them is not plain text, so that only `exact` can tell.
    """

    exact: tuple[Any, ...]
    able: Capabilities
    doc: str | None
    defaults: dict[str, Any]
    options: dict[str, Any]
    demos: list[dict[str, Any]] | None

    @classmethod
    def of(
        cls,
        lm: BaseLM,
        options: Mapping[str, Any],
        signature: type[Signature],
        demos: Sequence[Any],
        able: Capabilities,
    ) -> "Source":
        """Return the source of a plan for such calls."""
        exact = (
            lm.model,
            isinstance(lm, LM),  # only these get tunesmith's defaults
            able,
            signature.instructions,
            _content(options),
            _content(lm.kwargs),
            [_content(values_of(demo)) for demo in demos],
        )
        stores = [dict(values_of(demo)) for demo in demos]
        texts = all(type(value) is str for store in stores for value in store.values())
        return cls(exact, able, signature.__doc__, dict(lm.kwargs), dict(options), stores if texts else None)

    def is_plainly(
        self,
        lm: BaseLM,
        options: Mapping[str, Any],
        signature: type[Signature],
        demos: Sequence[Any],
        able: Capabilities,
    ) -> bool:
        """Return whether a call has the very same parts: a tenth of the time that `of` takes, asked at every call."""
        return (
            self.demos is not None
            and self.exact[0] == lm.model
            and self.exact[1] == isinstance(lm, LM)
            and (self.able is able or self.able == able)
            and self.doc == signature.__doc__
            and _same_objects(self.defaults, lm.kwargs)
            and _same_objects(self.options, options)
            and self.demos == _stores(demos)
        )


def _stores(demos: Sequence[Any]) -> list[Any]:
    try:
        return list(map(_STORE, demos))
    except AttributeError:
        return list(map(values_of, demos))


def _same_objects(kept: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Return whether both hold the same objects, none of which can be changed in place."""
    if not given:
        return not kept
    return (
        list(kept) == list(given)
        and all(map(is_, kept.values(), given.values()))
        and all(type(value) in _FIXED for value in kept.values())
    )


class Plans:
    """The newest plans per signature; safe from many threads."""

    def __init__(self) -> None:
        self._found: weakref.WeakKeyDictionary[type[Signature], list[Plan]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def quick(
        self,
        lm: BaseLM,
        options: Mapping[str, Any],
        signature: type[Signature],
        demos: Sequence[Any],
        able: Capabilities,
    ) -> Plan | None:
        """Return the plan of a call that plainly has the same source, `None` if that needs a closer look."""
        for plan in reversed(self._found.get(signature, ())):
            if plan.source.is_plainly(lm, options, signature, demos, able):
                return plan
        return None

    def get(self, signature: type[Signature], source: Source) -> Plan | None:
        """Return the plan that was rendered from `source`."""
        for plan in self._found.get(signature, ()):
            if plan.source.exact == source.exact:
                return plan
        return None

    def put(self, signature: type[Signature], plan: Plan) -> None:
        """Keep `plan`; the oldest one makes room."""
        with self._lock:
            kept = self._found.get(signature, [])[-_PER_SIGNATURE + 1 :]
            self._found[signature] = [*kept, plan]


def values_of(demo: Any) -> Mapping[str, Any]:
    """Return the values of a demo: of a `dspy.Example` without its ways of comparing, else of a mapping."""
    store: Mapping[str, Any] | None = getattr(demo, "_store", None)
    return demo if store is None else store


def _content(values: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*values, *[value if type(value) is str else _mark(value) for value in values.values()])


def _mark(value: Any) -> Any:
    """Return what tells `value` from every value that is written otherwise: `1`, `1.0` and `True` are equal."""
    try:
        return type(value), to_json(value, fallback=repr)
    except (ValueError, RecursionError):  # half of a surrogate pair, bytes, a value that holds itself
        return type(value), repr(value)
