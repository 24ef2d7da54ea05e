"""What a search leaves of a budget for the test, by what its rows cost."""

from typing import Any

import pytest

from tunesmith.compilers._plan import Reserve
from tunesmith.evaluation import Row
from tunesmith.lm import Budget, Call, Meter


def rows(count: int, **cost: Any) -> list[Row]:
    return [Row(str(number), {}, 1.0, calls=1, **cost) for number in range(count)]


def spent(meter: Meter, tokens: int, seconds: float, usd: float) -> None:
    meter.reserve("one")
    meter.settle(Call("one", "task", tokens, 0, seconds, paid=True, usd=usd))


@pytest.mark.parametrize(
    ("kind", "whole", "kept"),
    [("tokens", 10_000, 400 + 10), ("seconds", 1_000.0, 80.0 + 2), ("usd", 10.0, 0.4 + 0.01)],
)
def test_twice_the_test_of_the_program_as_given_is_kept_and_one_call_under_way(
    kind: str, whole: Any, kept: float
) -> None:
    meter = Meter(Budget(**{kind: whole}))
    spent(meter, 1_000, 200.0, 1.0)
    base = rows(10, tokens=10, seconds=2.0)

    Reserve(20, meter, slots=1).keep(base, [base])

    assert getattr(meter.budget, kind) == pytest.approx(whole - kept)


def test_the_clock_follows_the_seconds_of_the_engine() -> None:
    now = [0.0]
    meter = Meter(Budget(wall_seconds=1_000), clock=lambda: now[0])
    spent(meter, 1, 200.0, 0.0)
    now[0] = 100.0  # two at once
    base = rows(10, tokens=10, seconds=2.0)
    Reserve(20, meter, slots=1).keep(base, [base])
    assert meter.budget.wall_seconds == pytest.approx(1_000 - 41)


def test_the_most_expensive_candidate_decides() -> None:
    meter = Meter(Budget(tokens=10_000))
    base = rows(10, tokens=10)
    reserve = Reserve(20, meter, slots=2)
    reserve.keep(base, [base, rows(4, tokens=50), rows(4, tokens=20), []])
    assert meter.budget.tokens == 10_000 - 20 * (10 + 50) - 50, "whatever the slots: before the limit one is alone"


def test_costs_that_differ_get_a_margin() -> None:
    meter = Meter(Budget(tokens=10_000))
    base = [*rows(5, tokens=5), *rows(5, tokens=15)]
    Reserve(20, meter, slots=1).keep(base, [base])
    assert meter.budget.tokens is not None
    assert 10_000 - 600 < meter.budget.tokens < 10_000 - 450


def test_what_is_spent_is_spent() -> None:
    meter = Meter(Budget(tokens=1_200))
    spent(meter, 1_000, 1.0, 0.0)
    base = rows(10, tokens=100)
    Reserve(20, meter, slots=1).keep(base, [base])
    assert meter.budget.tokens == 1_000


def test_of_calls_alone_nothing_is_kept_here() -> None:
    assert not Reserve(20, Meter(Budget(calls=10)), slots=1).active
    assert not Reserve(0, Meter(Budget(tokens=10)), slots=1).active
    assert Reserve(20, Meter(Budget(calls=10, seconds=1)), slots=1).active
