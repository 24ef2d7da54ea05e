"""Values as JSON has them."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tunesmith.signatures.jsonable import without_numpy


@pytest.mark.parametrize("given", [{}, {"generic": np.generic}], ids=["nothing yet", "the first name"])
def test_a_value_is_itself_while_another_thread_imports_numpy(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    """As the thread of a mirror does, when a compile goes on from its ledger."""
    begun = ModuleType("numpy")
    vars(begun).update(given)
    monkeypatch.setitem(sys.modules, "numpy", begun)
    assert [without_numpy(value) for value in ("red", 1, [2.5])] == ["red", 1, [2.5]]


def test_scalars_and_arrays_of_numpy_are_pythons_own() -> None:
    found = [without_numpy(value) for value in (np.float32(0.5), np.int64(3), np.array([[1], [2]]))]
    assert found == [0.5, 3, [[1], [2]]]
    assert [type(value) for value in found] == [float, int, list]
