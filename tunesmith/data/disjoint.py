"""Find leaks: examples that two splits share."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from tunesmith.data.dataset import Dataset
from tunesmith.data.keys import example_key, input_fields_of, inputs_key
from tunesmith.errors import SplitError
from tunesmith.signatures import Example

__all__ = ["check_disjoint"]


def check_disjoint(**datasets: Sequence[Example] | None) -> None:
    """Check that no two of the named datasets share an example, or an example's inputs.

    The same inputs with another label are a leak too: the program is tested on an input that it has
    seen. `None` stands for a split that does not exist::

        check_disjoint(trainset=train, valset=val, testset=None)

    Raises:
        SplitError: two datasets overlap. The message names both, the number of shared examples and
            the key of the first shared example in the second dataset.
        DataError: an example has no canonical form.
    """
    given = {name: data for name, data in datasets.items() if data is not None}
    whole = {name: dict(zip(_keys(data), data, strict=True)) for name, data in given.items()}
    inputs = {name: dict(zip(marks, given[name], strict=True)) for name, marks in _input_marks(given).items()}
    for one, other in combinations(given, 2):
        _refuse(one, other, whole, example_key, "example(s)")
        _refuse(one, other, inputs, inputs_key, "example(s) with the same inputs and another label")


def _keys(data: Sequence[Example]) -> Iterable[str]:
    return data.keys if isinstance(data, Dataset) else map(example_key, data)


def _input_marks(given: Mapping[str, Sequence[Example]]) -> dict[str, list[Hashable]]:
    """Return, for each dataset, what two examples have in common if their inputs are equal.

    For texts alone that takes no hash. A value of another type can mean the same as a text (a date and its ISO text),
    so a single one in any dataset gives every example its key.
    """
    inputs = {name: [input_fields_of(example) for example in data] for name, data in given.items()}
    if all(set(map(type, fields.values())) <= {str} for data in inputs.values() for fields in data):
        return {name: [frozenset(fields.items()) for fields in data] for name, data in inputs.items()}
    return {name: [inputs_key(example) for example in data] for name, data in given.items()}


def _refuse(
    one: str,
    other: str,
    marks: Mapping[str, Mapping[Any, Example]],
    key: Callable[[Example], str],
    what: str,
) -> None:
    shared = [example for mark, example in marks[other].items() if mark in marks[one]]
    if shared:
        raise SplitError(
            f"`{one}` and `{other}` share {len(shared)} {what}, first `{key(shared[0])[:16]}`. "
            "Pass disjoint datasets, for instance from `Dataset.split(...)`."
        )
