"""Leases: calls are set aside beforehand, and no budget is exceeded or left unused for it."""

import threading

import pytest

from tunesmith.errors import BudgetExceeded
from tunesmith.evaluation.remote import Leases, error_of
from tunesmith.lm import Budget, Call, Meter


def call(key: str) -> Call:
    return Call(key, "task", 1, 1, 0.0, True)


def test_a_lease_counts_as_spent_until_it_is_used_or_given_back() -> None:
    leases, meters = Leases(), (Meter(Budget(calls=3)),)

    first = leases.begin(meters, 2)
    second = leases.begin(meters, 2)
    assert first is not None
    assert second is not None
    assert (len(first), len(second)) == (2, 1)

    leases.settle(meters, call("a"), [first.pop()])
    leases.back(meters, first)
    third = leases.begin(meters, 5)
    assert third is not None
    assert len(third) == 1
    assert meters[0].charged.calls == 1


@pytest.mark.parametrize(
    ("budget", "lease"),
    [(None, None), (Budget(calls=9), 2), (Budget(calls=9, tokens=99), 0), (Budget(wall_seconds=9), 0)],
)
def test_only_calls_are_leased(budget: Budget | None, lease: int | None) -> None:
    """What tokens, seconds and dollars a call takes is known after it."""
    found = Leases().begin((Meter(budget),), 2)

    assert (None if found is None else len(found)) == lease


def test_a_call_is_refused_only_if_no_lease_can_be_given_back() -> None:
    leases, meters = Leases(), (Meter(Budget(calls=1)),)
    lease = leases.begin(meters, 1)
    assert lease is not None
    found = list[object]()
    asking = threading.Thread(target=lambda: found.append(leases.reserve(meters, "b", [])))

    asking.start()
    asking.join(0.02)
    assert asking.is_alive()
    leases.back(meters, lease)
    asking.join()

    assert found == [None]
    stop = leases.reserve(meters, "c", [])
    assert stop is not None
    assert isinstance(stop.error, BudgetExceeded)


def test_two_that_ask_do_not_wait_for_each_other() -> None:
    """Each has a call under way, which is not given back while it waits: one is refused, and the other after it."""
    leases, meters = Leases(), (Meter(Budget(calls=2)),)
    own = [leases.begin(meters, 1) or [] for _ in range(2)]
    found = list[object]()

    def ask(number: int) -> None:
        found.append(leases.reserve(meters, "x", own[number]))
        leases.settle(meters, call(f"under way {number}"), own[number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert len(found) == 2
    assert None not in found


def test_an_error_of_a_worker_keeps_its_type() -> None:
    assert type(error_of({"type": "BudgetExceeded", "message": "no"})) is BudgetExceeded
    assert str(error_of({"type": "KeyError", "message": "'x'"})) == "A worker process failed with KeyError: 'x'"
