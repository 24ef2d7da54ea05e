"""Find leaks: examples that two splits share."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from tunesmith.data.dataset import Dataset
from tunesmith.data.keys import example_key, inputs_key
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
    whole = {name: dict.fromkeys(_keys(data)) for name, data in given.items()}
    inputs = {name: dict.fromkeys(map(inputs_key, data)) for name, data in given.items()}
    for one, other in combinations(given, 2):
        _refuse(one, other, whole, "example(s)")
        _refuse(one, other, inputs, "example(s) with the same inputs and another label")


def _keys(data: Sequence[Example]) -> Iterable[str]:
    return data.keys if isinstance(data, Dataset) else map(example_key, data)


def _refuse(one: str, other: str, keys: Mapping[str, dict[str, None]], what: str) -> None:
    shared = [key for key in keys[other] if key in keys[one]]
    if shared:
        raise SplitError(
            f"`{one}` and `{other}` share {len(shared)} {what}, first `{shared[0][:16]}`. "
            "Pass disjoint datasets, for instance from `Dataset.split(...)`."
        )
