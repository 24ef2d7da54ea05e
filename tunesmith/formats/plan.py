"""Rendered prefixes, each kept for as long as what it was rendered from has the same content."""

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from tunesmith.lm import LM, BaseLM, Prefix
from tunesmith.signatures import Signature

__all__ = ["Plan", "Plans", "source_of", "values_of"]

_PER_SIGNATURE = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """A rendered prefix.

    Attributes:
        source: what it was rendered from; see `source_of`.
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

    source: tuple[Any, ...]
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


class Plans:
    """The newest plans per signature; safe from many threads."""

    def __init__(self) -> None:
        self._found: weakref.WeakKeyDictionary[type[Signature], list[Plan]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def get(self, signature: type[Signature], source: tuple[Any, ...]) -> Plan | None:
        """Return the plan that was rendered from `source`."""
        for plan in self._found.get(signature, ()):
            if plan.source == source:
                return plan
        return None

    def put(self, signature: type[Signature], plan: Plan) -> None:
        """Keep `plan`; the oldest one makes room."""
        with self._lock:
            kept = self._found.get(signature, [])[-_PER_SIGNATURE + 1 :]
            self._found[signature] = [*kept, plan]


def source_of(
    lm: BaseLM,
    lm_kwargs: Mapping[str, Any],
    signature: type[Signature],
    demos: Sequence[Any],
    mode: str,
) -> tuple[Any, ...]:
    """Return everything a prefix depends on, as values that later changes to demos and options cannot reach."""
    return (
        lm.model,
        mode,
        isinstance(lm, LM),  # only these get tunesmith's defaults
        signature.instructions,
        _content(lm_kwargs),
        _content(lm.kwargs),
        [_content(values_of(demo)) for demo in demos],
    )


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
