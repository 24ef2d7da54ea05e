"""Pools of demos per predictor, and draws from them."""

import random
from collections.abc import Sequence

from tunesmith.errors import DataError
from tunesmith.modules import Module
from tunesmith.signatures import Demo, Example, Signature, labels

__all__ = ["closed_labels", "draw", "labelled_pool", "labelled_pools"]

_MOST_GROUPS = 20


def labelled_pool(signature: type[Signature], examples: Sequence[Example]) -> list[Demo]:
    """Return the examples that hold every field of `signature`, as demos in order."""
    names = list(signature.fields)
    pool = []
    for example in examples:
        if all(name in example for name in names):
            try:
                pool.append(Demo.of(signature, {name: example[name] for name in names}))
            except DataError:  # the field has another meaning in this predictor
                continue
    return pool


def labelled_pools(program: Module, examples: Sequence[Example]) -> dict[str, list[Demo]]:
    """Return `labelled_pool` for every predictor path."""
    return {path: labelled_pool(p.signature, examples) for path, p in program.named_predictors()}


def closed_labels(signature: type[Signature]) -> tuple[str, tuple[str, ...]] | None:
    """Return (field, labels) of the one output with a small closed set, `None` where there is no such."""
    found = [
        (name, values)
        for name in signature.output_fields
        if (values := labels(signature, name)) is not None and len(values) <= _MOST_GROUPS
    ]
    return found[0] if len(found) == 1 else None


def draw(signature: type[Signature], pool: Sequence[Demo], count: int, rng: random.Random) -> tuple[Demo, ...]:
    """Return `count` demos of the pool, or all it has, in random order.

    Where the signature has one output with a closed set of labels, the draw takes the labels in turn: small models lean
    towards the label they saw most (`docs/decisions`).
    """
    shuffled = list(pool)
    rng.shuffle(shuffled)
    closed = closed_labels(signature)
    if closed is not None:
        shuffled = _in_turn(shuffled, closed[0])
    chosen = shuffled[:count]
    rng.shuffle(chosen)
    return tuple(chosen)


def _in_turn(demos: Sequence[Demo], field: str) -> list[Demo]:
    groups: dict[str, list[Demo]] = {}
    for demo in demos:
        groups.setdefault(repr(demo.outputs.get(field)), []).append(demo)
    queues = list(groups.values())
    found = []
    for turn in range(max((len(queue) for queue in queues), default=0)):
        found += [queue[turn] for queue in queues if turn < len(queue)]
    return found
