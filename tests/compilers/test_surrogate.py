"""What is expected of candidates from those that share something with them."""

import random
from dataclasses import replace

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compilers.worlds import TRAIN, Colour
from tests.scale import scaled
from tunesmith.compilers._demos import labelled_pool
from tunesmith.compilers._surrogate import Surrogate
from tunesmith.modules import Candidate, Nearest

BASE = Candidate.of(dspy.Predict(Colour))
DEMOS = labelled_pool(Colour, TRAIN).demos


def texts(*instructions: str) -> list[Candidate]:
    return [BASE.with_part("self", instruction=text) for text in instructions]


def test_few_examples_show_little() -> None:
    often, once, never = texts("often", "once", "never")
    scores = {BASE: [0.0, 1.0] * 20, often: [1.0] * 40, once: [1.0]}
    high, low, unknown = Surrogate(scores).means([often, once, never])
    assert high > low > unknown
    assert high - low > 0.05


def test_hard_examples_are_no_fault_of_who_saw_them() -> None:
    others = texts("a", "b", "c", "d")
    hard, easy = texts("saw hard ones", "saw all")
    scores = {one: [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0] for one in others}
    scores |= {hard: [0.0, 0.0, 0.0, 1.0], easy: [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]}
    first, second = Surrogate(scores).means([hard, easy])
    assert first > second, "one more right than usual, against one less"


@pytest.mark.parametrize(
    ("good", "like", "unlike"),
    [
        (
            BASE.with_part("self", format="json"),
            BASE.with_part("self", format="json", instruction="new"),
            BASE.with_part("self", format="lines", instruction="new"),
        ),
        (
            BASE.with_demos("self", DEMOS[:4]),
            BASE.with_demos("self", DEMOS[2:6]),
            BASE.with_demos("self", DEMOS[10:14]),
        ),
        (
            BASE.with_demos("self", DEMOS, Nearest(4)),
            BASE.with_demos("self", DEMOS, Nearest(8)),
            BASE.with_demos("self", DEMOS[:8]),
        ),
        (
            replace(BASE, sampling={"temperature": 1.0}),
            replace(BASE.with_part("self", instruction="new"), sampling={"temperature": 1.0}),
            replace(BASE.with_part("self", instruction="new"), sampling={"temperature": 0.5}),
        ),
    ],
    ids=["format", "demos", "nearest", "sampling"],
)
def test_what_shares_a_part_with_a_good_one_is_expected_to_be_good(
    good: Candidate, like: Candidate, unlike: Candidate
) -> None:
    first, second = Surrogate({BASE: [0.0, 1.0] * 15, good: [1.0] * 30}).means([like, unlike])
    assert first > second


def test_instructions_of_one_source_are_alike() -> None:
    written, other, elsewhere = texts("by a: x", "by a: y", "by b: z")
    found = Surrogate({BASE: [0.0, 1.0] * 15, written: [0.0] * 30}, lambda text: text[:5])
    assert found.means([other])[0] < found.means([elsewhere])[0]


def test_draws_spread_by_what_is_not_known() -> None:
    known, unknown = texts("known", "unknown")
    found = Surrogate({BASE: [0.0, 1.0] * 50, known: [0.0, 1.0] * 50})
    rng = random.Random(0)
    drawn = [found.drawn([known, unknown], rng) for _ in range(200)]
    low, high = ([one[n] for one in drawn] for n in range(2))
    assert max(low) - min(low) < max(high) - min(high)
    again = random.Random(0)
    assert drawn[0] == found.drawn([known, unknown], again)


rows = st.lists(st.one_of(st.none(), st.floats(-5, 5)), max_size=12)


@settings(max_examples=scaled(100), deadline=None)
@given(st.lists(rows, max_size=5), st.integers(0, 9))
def test_any_scores_give_finite_numbers(found: list[list[float | None]], seed: int) -> None:
    known = dict(zip(texts("a", "b", "c", "d", "e"), found, strict=False))
    surrogate = Surrogate(known)
    asked = [BASE, *texts("a", "z")]
    for values in (surrogate.means(asked), surrogate.drawn(asked, random.Random(seed))):
        assert len(values) == 3
        assert all(abs(value) < 1e3 for value in values)
