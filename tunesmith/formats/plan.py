"""Cache rendered prefixes for as long as their sources have the same content."""

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, is_
from typing import Any, NamedTuple

from pydantic_core import to_json

from tunesmith.formats.rendered import request_of
from tunesmith.lm import LM, BaseLM, Capabilities, Prefix, Response, user_message
from tunesmith.signatures import Signature

__all__ = ["Parts", "Plan", "Plans", "Source", "values_of"]

_PER_SIGNATURE = 16
_STORE = attrgetter("_store")  # the values of a `dspy.Example`
_FIXED = frozenset({str, int, float, bool, type(None)})


class Plan(NamedTuple):
    """A rendered prefix.

    Attributes:
        source: everything that the prefix depends on.
        mode: how the reply is constrained.
        held: whether a grammar or schema is sent.
        stop: whether a stop of the format is sent.
        cuts: whether a stop of the caller is sent.
        logprobs: whether the caller asked for log-probabilities.
        prefixes: one per draw; they differ only in what a repeated draw changes, such as the seed.
        write_inputs: writes the last message.
        history: the messages before it, in DSPy's form.
        rollout: number of the first draw.
        turns: the input that holds a `dspy.History`, `None` without one.
        cache: whether the LM's cache is used, `None` if the call does not set it.
        tools: whether tools are sent.
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
    tools: bool = False

    def send(self, lm: LM, draw: int, inputs: Mapping[str, Any], turns: list[dict[str, str]]) -> Response:
        """Return the reply to a draw, without DSPy's callbacks; `turns` stand before the last message."""
        prefix, text = self.prefixes[draw], self.write_inputs(inputs)
        return lm.send(
            request_of(prefix, turns, user_message(text)),
            rollout=self.rollout + draw,
            prefix=None if turns else prefix,
            messages=lambda: [*self.history, *turns, {"role": "user", "content": text}],
            cache=self.cache,
        )

    def beside(self, draw: int) -> dict[str, Any]:
        """Return the call options that DSPy takes besides the request of a draw."""
        number = self.rollout + draw
        cache = {} if self.cache is None else {"cache": self.cache}
        return {**cache, "rollout_id": number} if number else cache


class Parts(NamedTuple):
    """What a call renders a prefix from.

    Attributes:
        lm: the model.
        options: of the call.
        signature, demos: of the predictor.
        able: what the engine can do.
    """

    lm: BaseLM
    options: Mapping[str, Any]
    signature: type[Signature]
    demos: Sequence[Any]
    able: Capabilities


class Source(NamedTuple):
    """Everything that a prefix depends on, copied so that later changes to demos and options do not alter it.

    Attributes:
        exact: the full comparison key.
        able: what the engine can do.
        doc: the signature's docstring, which holds its instructions.
        defaults, options: of the model and of the call.
        demos: their values; `None` if one of them is not plain text or an option is not a plain value, so that only
            `exact` can be compared.
    """

    exact: tuple[Any, ...]
    able: Capabilities
    doc: str | None
    defaults: dict[str, Any]
    options: dict[str, Any]
    demos: list[dict[str, Any]] | None

    @classmethod
    def of(cls, parts: Parts) -> "Source":
        """Return the source of a plan for calls with these parts."""
        lm, options, signature, demos, able = parts
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
        plain = all(type(value) is str for store in stores for value in store.values()) and all(
            type(value) in _FIXED for value in (*lm.kwargs.values(), *options.values())
        )
        return cls(exact, able, signature.__doc__, dict(lm.kwargs), dict(options), stores if plain else None)

    def is_plainly(self, parts: Parts) -> bool:
        """Return whether a call has identical parts. Runs at every call and takes a tenth of the time of `of`."""
        lm, options, signature, demos, able = parts
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


def _same_objects(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Return whether both hold the same objects in the same order."""
    if not second:
        return not first
    return list(first) == list(second) and all(map(is_, first.values(), second.values()))


class Plans:
    """The newest plans per signature. Thread-safe."""

    def __init__(self) -> None:
        self._found: weakref.WeakKeyDictionary[type[Signature], list[Plan]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def quick(self, parts: Parts) -> Plan | None:
        """Return the plan of a call with identical parts, `None` if the contents have to be compared."""
        for plan in reversed(self._found.get(parts.signature, ())):
            if plan.source.is_plainly(parts):
                return plan
        return None

    def get(self, signature: type[Signature], source: Source) -> Plan | None:
        """Return the plan that was rendered from `source`."""
        for plan in self._found.get(signature, ()):
            if plan.source.exact == source.exact:
                return plan
        return None

    def put(self, signature: type[Signature], plan: Plan) -> None:
        """Add `plan`, and drop the oldest one if there are too many."""
        with self._lock:
            others = self._found.get(signature, [])[-_PER_SIGNATURE + 1 :]
            self._found[signature] = [*others, plan]


def values_of(demo: Any) -> Mapping[str, Any]:
    """Return the values of a demo, a `dspy.Example` or a mapping. Skips the slow comparisons of `dspy.Example`."""
    store: Mapping[str, Any] | None = getattr(demo, "_store", None)
    return demo if store is None else store


def _content(values: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*values, *[value if type(value) is str else _mark(value) for value in values.values()])


def _mark(value: Any) -> Any:
    """Return a mark that differs for values that are written differently: `1`, `1.0` and `True` are equal in Python."""
    try:
        return type(value), to_json(value, fallback=repr)
    except (ValueError, RecursionError):  # a lone surrogate, bytes, a value that contains itself
        return type(value), repr(value)
