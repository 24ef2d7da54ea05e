"""Which examples an artifact was selected on, kept as short keys: enough to find one of them again."""

from collections.abc import Mapping, Sequence

from tunesmith.data import example_key
from tunesmith.signatures import Example

__all__ = ["KEY_DIGITS", "count_known", "short_keys"]

KEY_DIGITS = 12
"""48 bits: among 10,000 keys, 1,000 other examples hold one by chance once in 28 million times."""


def short_keys(examples: Sequence[Example]) -> list[str]:
    """Return the keys of the examples' inputs, each once, sorted.

    Of the inputs alone: the same question under another label, or with one more column, selects as well.
    """
    return sorted({_short(example) for example in examples})


def count_known(examples: Sequence[Example], known: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return how many of `examples` are among the `known` keys of each split, without splits that hold none."""
    keys = [_short(example) for example in examples]
    counts = {split: sum(key in held for key in keys) for split, held in ((s, set(k)) for s, k in known.items())}
    return {split: count for split, count in counts.items() if count}


def _short(example: Example) -> str:
    return example_key(example.inputs())[:KEY_DIGITS]
