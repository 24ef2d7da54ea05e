"""Which examples are on the way at once: as many as the budget surely pays for, in order."""

import threading
from typing import Any

import dspy
import pytest

from tests.evaluation.replies import number
from tests.evaluation.test_evaluator import TwoSteps, numbers, right, two_steps
from tunesmith.errors import BudgetExceeded
from tunesmith.evaluation import Line, Row, Turns, evaluate
from tunesmith.lm import Budget, Call, FunctionLM, Meter, Seen


def charged(meter: Meter, *keys: str) -> None:
    for key in keys:
        meter.reserve(key)
        meter.settle(Call(key, "task", 1, 1, 0.0, paid=True))


def row(**cost: Any) -> Row:
    return Row("one", {}, 1.0, **cost)


def test_an_example_begins_beside_others_if_the_budget_has_room_for_all_of_them() -> None:
    turns = Turns(Meter(Budget(calls=5)), calls=2)
    turns.begin()
    assert turns.fits()
    assert not turns.fits(runs=2)
    turns.begin()
    assert not turns.fits()


def test_an_example_alone_begins_however_little_room_there_is() -> None:
    turns = Turns(Meter(Budget(calls=1)), calls=2)
    assert turns.fits(runs=9)
    turns.begin()
    assert not turns.fits()
    turns.end()
    assert turns.fits()


@pytest.mark.parametrize("budget", [None, Budget(wall_seconds=0.1)], ids=str)
def test_without_a_budget_of_what_is_counted_nothing_waits(budget: Budget | None) -> None:
    turns = Turns(Meter(budget), calls=100)
    turns.begin()
    assert turns.fits(runs=1000)


@pytest.mark.parametrize("kind", ["tokens", "seconds", "usd"])
def test_the_next_example_is_taken_to_cost_as_much_as_the_dearest(kind: str) -> None:
    for limit, fits in ((9, False), (10, True)):  # 4 are spent, and twice 3 may be
        meter = Meter(Budget(**{kind: limit}))
        turns = Turns(meter)
        for key, cost in (("a", 3), ("b", 1)):
            turns.begin()
            meter.reserve(key)
            meter.settle(Call(key, "task", cost, 0, float(cost), paid=True, usd=float(cost)))
            turns.took(row(tokens=cost, seconds=float(cost)))
            turns.end()
        turns.begin()
        assert turns.fits() is fits


def test_the_next_example_is_taken_to_make_as_many_calls_as_the_longest() -> None:
    meter = Meter(Budget(calls=8))
    turns = Turns(meter)
    turns.begin()
    charged(meter, "a", "b", "c")
    turns.took(row(calls=3))
    turns.end()
    turns.begin()
    assert not turns.fits(), "3 are spent, and twice 3 is more than is left"


def test_what_an_example_under_way_has_spent_is_not_counted_twice() -> None:
    meter = Meter(Budget(calls=4))
    turns = Turns(meter, calls=2)
    turns.begin()
    charged(meter, "a")
    assert turns.fits()


def test_calls_that_were_charged_before_take_no_room() -> None:
    meter = Meter(Budget(calls=4))
    turns = Turns(meter)
    turns.begin()
    turns.begin()
    charged(meter, "a", "a")
    for _ in range(3):  # the same example again and again
        turns.took(row(calls=1))
    turns.end()
    assert turns.fits()


def test_after_a_failure_nothing_begins() -> None:
    begun: list[int] = []
    line = Line(range(9), Turns(Meter()))

    def do(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        line.run(lambda: line.each(do), 1)
    line.each(do)
    assert begun == [0, 1]


@pytest.mark.parametrize("calls", [5, 6, 7])
def test_the_calls_before_the_end_of_a_budget_do_not_depend_on_which_thread_is_faster(calls: int) -> None:
    """The first example waits for others, which get ahead of it as far as they are let."""

    def asked(slots: int) -> set[str]:
        ahead, left = threading.Event(), [3]

        def answer(seen: Seen) -> str:
            if number(seen.text) == 0 and slots > 1:
                ahead.wait(0.1)
                ahead.set()
            else:
                left[0] -= 1
                if left[0] == 0:
                    ahead.set()
            return two_steps(seen)

        model = FunctionLM(answer, slots=slots)
        with dspy.context(lm=model), pytest.raises(BudgetExceeded):
            evaluate(TwoSteps(), numbers(8), right, meter=Meter(Budget(calls=calls)))
        return {repr(request) for request in model.requests}

    one, two = asked(1), asked(2)
    assert len(one) == calls
    assert two == one
