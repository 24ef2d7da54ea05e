"""Short keys of the examples that an artifact was selected on, to recognise them later."""

from collections.abc import Mapping, Sequence

from tunesmith.artifacts.schema import KEY_DIGITS
from tunesmith.data import inputs_key
from tunesmith.signatures import Example

__all__ = ["count_known", "short_keys"]


def short_keys(examples: Sequence[Example]) -> list[str]:
    """Return the sorted, distinct keys of the examples' inputs.

    Only inputs count, because the same question with another label or column was used for selection too.
    """
    return sorted({_short(example) for example in examples})


def count_known(examples: Sequence[Example], known: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return how many of `examples` are among the `known` keys of each split; splits with none are omitted."""
    keys = [_short(example) for example in examples]
    counts = {split: sum(key in held for key in keys) for split, held in ((s, set(k)) for s, k in known.items())}
    return {split: count for split, count in counts.items() if count}


def _short(example: Example) -> str:
    return inputs_key(example)[:KEY_DIGITS]
