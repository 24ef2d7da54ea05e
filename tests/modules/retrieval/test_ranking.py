"""The best of many scores are those that sorting all of them gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.modules.retrieval.ranking import best


@given(st.lists(st.integers(-3, 9), max_size=400), st.integers(0, 20), st.sampled_from([0.0, -np.inf]))
def test_the_best_are_those_that_sorting_gives_ties_by_position(given: list[int], k: int, above: float) -> None:
    scores = np.array([*given, *given, *given], dtype=np.float32)
    ordered = sorted(range(len(scores)), key=lambda position: (-scores[position], position))
    allowed = [position for position in ordered if scores[position] > above]

    assert best(scores, k, above) == [(position, scores[position]) for position in allowed[:k]]
    assert [position for position, _ in best(scores, k, above, lambda position: position % 3 != 1)] == [
        position for position in allowed if position % 3 == 1
    ][:k]
