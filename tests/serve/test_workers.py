import contextvars
import threading

from tests.serve.process import wait_until
from tunesmith.serve.workers import Workers

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


def test_no_more_work_runs_at_once_than_there_are_threads() -> None:
    running, most, done, lock = 0, 0, [], threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.005)
        with lock:
            running -= 1
        done.append(1)

    workers = Workers(3)
    for _ in range(12):
        workers.submit(work)
    wait_until(lambda: len(done) == 12)
    assert most == 3


def test_work_runs_in_the_context_that_it_was_submitted_in() -> None:
    found: list[str] = []
    workers = Workers(1)
    for name in ("ada", "grace"):
        contextvars.copy_context().run(
            lambda name=name: (NAME.set(name), workers.submit(lambda: found.append(NAME.get())))
        )
    wait_until(lambda: len(found) == 2)
    assert found == ["ada", "grace"]


def test_threads_end_when_their_work_is_done_and_nobody_has_the_workers() -> None:
    workers, done = Workers(2), []
    workers.submit(lambda: done.append(threading.current_thread()))
    del workers
    wait_until(lambda: done and not done[0].is_alive())
