"""One policy of waiting: how often a call is made, how long between, how long in all, and what it is a part of."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.lm.waiting import Policy, ending, is_sent_once, sent_once, sooner, time_left


class Watched:
    """A clock that passes while somebody sleeps, and a call that fails with the errors of a list, then gives 7."""

    def __init__(self, *errors: BaseException) -> None:
        self.now, self.naps, self.calls = 0.0, list[float](), 0
        self.errors = list(errors)
        self.policy = Policy(pause=1.0, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def call(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 7


def usual(error: Exception, pause: float) -> float | None:
    return pause if isinstance(error, OSError) else None


def failing(times: int) -> Watched:
    return Watched(*(OSError(f"{number}") for number in range(times)))


def test_pauses_double_up_to_the_longest() -> None:
    watched = failing(6)
    assert watched.policy._replace(longest=10.0).run(watched.call, usual) == 7
    assert watched.naps == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_call_that_succeeds_neither_waits_nor_asks() -> None:
    watched = failing(0)
    assert watched.policy.run(watched.call, lambda error, pause: pytest.fail("asked")) == 7
    assert watched.naps == []


def test_after_the_last_attempt_its_error_comes_and_nothing_is_asked() -> None:
    watched, asked = failing(9), list[str]()

    def passes(error: Exception, pause: float) -> float:
        asked.append(str(error))
        return pause

    with pytest.raises(OSError, match="2"):
        watched.policy._replace(attempts=3).run(watched.call, passes)
    assert (watched.calls, watched.naps, asked) == (3, [1.0, 2.0], ["0", "1"])


def test_no_attempt_begins_at_the_deadline_or_after_it() -> None:
    watched = failing(9)
    with pytest.raises(OSError, match="1"):
        watched.policy._replace(timeout=3.0).run(watched.call, usual)
    assert watched.naps == [1.0], "1 and 2 more seconds are not before 3"


def test_an_error_that_does_not_pass_is_raised_at_once() -> None:
    watched = Watched(OSError("a"), ValueError("b"))
    with pytest.raises(ValueError, match="b"):
        watched.policy.run(watched.call, usual)
    assert watched.calls == 2


def test_the_seconds_that_an_error_asks_for_are_waited() -> None:
    watched = failing(2)
    assert watched.policy.run(watched.call, lambda error, pause: 30.0 + pause) == 7
    assert watched.naps == [31.0, 32.0]


def test_the_first_attempt_may_have_been_made_before() -> None:
    watched = failing(1)
    assert watched.policy.run(watched.call, usual, missed=OSError("before")) == 7
    assert (watched.calls, watched.naps) == (2, [1.0, 2.0])


@each("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_a_call_and_a_wait_at_once(interrupt: type[BaseException]) -> None:
    watched = Watched(interrupt())
    with pytest.raises(interrupt):
        watched.policy.run(watched.call, usual)
    watched = failing(1)

    def interrupted(_: float) -> None:
        raise interrupt

    with pytest.raises(interrupt):
        watched.policy._replace(sleep=interrupted).run(watched.call, usual)
    assert watched.calls == 1


def test_what_decides_may_raise_another_error() -> None:
    def passes(error: Exception, _: float) -> float:
        raise LookupError("enough") from error

    watched = failing(1)
    with pytest.raises(LookupError, match="enough") as caught:
        watched.policy.run(watched.call, passes)
    assert isinstance(caught.value.__cause__, OSError)


@given(st.floats(0.001, 10), st.floats(10, 1000), st.integers(1, 10**6))
def test_a_pause_is_never_longer_than_the_longest(pause: float, longest: float, failures: int) -> None:
    policy = Policy(pause=pause, longest=longest)
    assert pause <= policy.pause_after(failures) <= longest
    assert policy.pause_after(1) == pause


def test_a_part_of_a_call_ends_no_later_than_the_call() -> None:
    clock: Callable[[], float] = lambda: 100.0  # noqa: E731
    policy = Policy(timeout=50.0, clock=clock)
    with ending(120.0):
        assert (policy.deadline(), sooner(110.0), time_left(clock)) == (120.0, 110.0, 20.0)
        with ending(math.inf):
            assert time_left(clock) is None
    assert (policy.deadline(), time_left(clock)) == (150.0, None)


def test_a_call_that_is_sent_once_says_so_to_all_its_parts() -> None:
    assert not is_sent_once()
    with sent_once(5.0):
        with ending(3.0):
            assert is_sent_once()
        with ending(3.0, once=False):
            assert not is_sent_once()
        assert is_sent_once()
    assert not is_sent_once()
