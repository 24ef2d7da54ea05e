"""Offsets for labels from log-probabilities."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.each import each
from tests.scale import scaled
from tunesmith.compilers._calibration import METHODS, Scored, batch, chosen, cross_validated, fitted, likelihood, right

LABELS = ("a", "b", "c")
EIGHTHS = st.integers(-80, 0).map(lambda n: n / 8)  # sums of these are exact
ROWS = st.lists(
    st.builds(
        lambda values, label: Scored(dict(zip(LABELS, values, strict=True)), label),
        st.tuples(EIGHTHS, EIGHTHS, EIGHTHS),
        st.sampled_from(LABELS),
    ),
    min_size=1,
    max_size=25,
)


def leaning(count: int, seed: int, lean: float = 2.0) -> list[Scored]:
    """Return replies of a model that leans towards `a` and else is right more often than not."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        label = rng.choice("ab")
        knows = rng.gauss(1.0, 1.0)
        rows.append(Scored({"a": lean + knows * (label == "a"), "b": knows * (label == "b")}, label))
    return rows


@settings(max_examples=scaled(300))
@given(rows=ROWS)
def test_fitted_offsets_are_never_worse_on_what_they_are_fitted_on(rows: list[Scored]) -> None:
    assert right(rows, fitted(rows)) >= right(rows, {})


@settings(max_examples=scaled(300))
@given(rows=ROWS, constants=st.lists(st.integers(-40, 40), min_size=25, max_size=25))
def test_a_constant_in_the_log_probabilities_of_a_row_changes_nothing(rows: list[Scored], constants: list[int]) -> None:
    moved = [
        Scored({label: value + constant for label, value in row.logprobs.items()}, row.label)
        for row, constant in zip(rows, constants, strict=False)
    ]
    for learn in METHODS.values():
        assert learn(moved) == learn(rows)
    assert right(moved, {"a": 0.5}) == right(rows, {"a": 0.5})


@settings(max_examples=scaled(100))
@given(rows=ROWS)
def test_offsets_are_for_every_label_finite_and_around_zero(rows: list[Scored]) -> None:
    for learn in METHODS.values():
        offsets = learn(rows)
        assert list(offsets) == list(LABELS)
        assert all(map(math.isfinite, offsets.values()))
        assert sum(offsets.values()) == pytest.approx(0, abs=1e-3)


def test_batch_divides_by_the_mean_probability_as_in_the_paper() -> None:
    rows = [Scored({"a": math.log(0.8), "b": math.log(0.2)}), Scored({"a": math.log(0.6), "b": math.log(0.4)})]

    offsets = batch(rows)

    assert offsets["a"] - offsets["b"] == pytest.approx(math.log(0.3) - math.log(0.7), abs=1e-3)
    assert [chosen(row.logprobs, offsets) for row in rows] == ["a", "b"], (
        "0.8 / 0.7 > 0.2 / 0.3, and 0.6 / 0.7 < 0.4 / 0.3"
    )


def test_likelihood_makes_the_mean_probability_of_a_label_its_share() -> None:
    rows = leaning(200, seed=1)
    offsets = likelihood(rows)
    share = sum(row.label == "a" for row in rows) / len(rows)

    odds = [row.logprobs["b"] + offsets["b"] - row.logprobs["a"] - offsets["a"] for row in rows]

    assert sum(1 / (1 + math.exp(one)) for one in odds) / len(rows) == pytest.approx(share, abs=0.01)


@each("method", list(METHODS))
def test_every_method_repairs_a_lean(method: str) -> None:
    rows, fresh = leaning(100, seed=2), leaning(400, seed=3)
    assert right(fresh, {}) < 240
    assert right(fresh, METHODS[method](rows)) > 280


def test_cross_validation_learns_from_the_other_folds_alone() -> None:
    seen: list[tuple[int, ...]] = []
    rows = [Scored({"a": float(n), "b": 0.0}, "a") for n in range(7)]

    def learn(others: object) -> dict[str, float]:
        seen.append(tuple(int(-row.logprobs["b"]) for row in others))  # type: ignore[attr-defined]
        return {}

    assert cross_validated(learn, rows, 3) == 7
    assert sorted(seen) == [(0, 3, 6, 1, 4), (0, 3, 6, 2, 5), (1, 4, 2, 5)]


def test_labels_at_random_are_not_fitted_better_than_chance_in_cross_validation() -> None:
    rng = random.Random(4)
    rows = [Scored({label: rng.gauss(0, 1) for label in LABELS}, rng.choice(LABELS)) for _ in range(300)]
    assert right(rows, fitted(rows)) > right(rows, {})
    assert cross_validated(fitted, rows, 5) < 135
