"""Which context a call gets."""

import threading
from contextlib import ExitStack

import pytest

from tunesmith.lm.engines.llamacpp.slots import Slots


class Loaded:
    """Stands for a context: knows with how many threads it was loaded."""

    def __init__(self, threads: int) -> None:
        self.threads = threads


def slots(count: int, threads: int) -> Slots:
    return Slots(Loaded, count=count, threads=threads)  # type: ignore[arg-type]


def test_a_call_that_is_alone_gets_all_threads_again_and_again() -> None:
    pool = slots(2, 2)
    seen = []
    for _ in range(3):
        with pool.take() as context:
            seen.append(context)
    assert seen[0].threads == 2
    assert seen[0] is seen[1] is seen[2], "nothing else is loaded for it"


def test_calls_that_meet_get_their_share_of_the_threads() -> None:
    pool = slots(2, 8)
    with ExitStack() as stack:
        first = stack.enter_context(pool.take())
        second = stack.enter_context(pool.take())
        assert (first.threads, second.threads) == (8, 4)
    with ExitStack() as stack:
        stack.enter_context(pool.take())
        with pool.take() as again:
            assert again is second, "a context is loaded once"


def test_as_many_calls_as_there_are_slots_run_at_once_and_the_next_one_waits() -> None:
    pool, entered, go = slots(2, 2), threading.Semaphore(0), threading.Event()
    most, running, lock = 0, 0, threading.Lock()

    def call() -> None:
        nonlocal most, running
        with pool.take():
            with lock:
                running += 1
                most = max(most, running)
            entered.release()
            go.wait(10)
            with lock:
                running -= 1

    threads = [threading.Thread(target=call) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert entered.acquire(timeout=10)
    assert entered.acquire(timeout=10)
    assert not entered.acquire(timeout=0.05)
    go.set()
    for thread in threads:
        thread.join(10)
    assert most == 2


def test_one_slot_is_one_context() -> None:
    pool = slots(1, 4)
    with pool.take() as context, pool.reader(context) as reader:
        assert reader is context
        assert context.threads == 4


def test_a_prefix_is_read_by_all_threads_unless_another_call_has_them() -> None:
    pool = slots(2, 2)
    with ExitStack() as stack:
        alone = stack.enter_context(pool.take())
        beside = stack.enter_context(pool.take())
        with pool.reader(beside) as reader:
            assert reader is beside, "the call that began alone has them"
        assert alone is not beside
    with ExitStack() as first, ExitStack() as second:
        alone = first.enter_context(pool.take())
        beside = second.enter_context(pool.take())
        first.close()
        with pool.reader(beside) as reader:
            assert reader is alone


def test_a_context_that_cannot_be_loaded_gives_its_place_back() -> None:
    def fail(threads: int) -> None:
        raise OSError("no memory")

    pool = Slots(fail, count=1, threads=1)  # type: ignore[arg-type,return-value]
    for _ in range(2):
        with pytest.raises(OSError, match="no memory"), pool.take():
            pass


def test_closing_waits_for_the_calls_under_way_and_the_next_call_loads_again() -> None:
    pool, inside, go = slots(1, 1), threading.Event(), threading.Event()

    def call() -> None:
        with pool.take():
            inside.set()
            go.wait(10)

    with pool.take() as before:
        pass
    thread = threading.Thread(target=call)
    thread.start()
    assert inside.wait(10)
    closing = threading.Thread(target=pool.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    go.set()
    thread.join(10)
    closing.join(10)
    assert not closing.is_alive()
    with pool.take() as after:
        assert after is not before
