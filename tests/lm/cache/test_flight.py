"""Identical work under way: once among threads, among coroutines, and among processes."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.scale import scaled
from tunesmith.lm.cache.flight import Flight
from tunesmith.lm.cache.reply_cache import ReplyCache
from tunesmith.lm.doubles import FunctionLM, Seen


def run_in_threads(count: int, work: Any) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def test_eight_threads_with_one_key_run_it_once(tmp_path: Path) -> None:
    flight, finish = Flight(tmp_path), threading.Event()
    calls: list[int] = []
    results: list[object] = []

    def slow(number: int) -> dict[str, int]:
        calls.append(number)
        finish.wait()
        return {"by": number}

    threads = [
        threading.Thread(target=lambda n=n: results.append(flight.run("k", lambda: slow(n))), daemon=True)
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    while not all(is_waiting(thread) for thread in threads):
        time.sleep(0.001)
    finish.set()
    for thread in threads:
        thread.join(60)
    assert len(calls) == 1
    assert results == [{"by": calls[0]}] * 8


def is_waiting(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and (frame.f_code.co_filename, frame.f_code.co_name) == (threading.__file__, "wait")


def test_a_later_call_runs_again_and_other_keys_do_not_wait(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    assert flight.run("k", lambda: flight.run("other", lambda: 1) + 1) == 2
    assert flight.run("k", lambda: 3) == 3
    assert flight.run("k", lambda: flight.run("k", lambda: 4)) == 4, "one's own key is no deadlock"


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_followers_of_a_failed_leader_take_over_one_by_one(kind: type[BaseException], tmp_path: Path) -> None:
    flight, barrier, alone = Flight(tmp_path), threading.Barrier(8), threading.Lock()
    calls: list[int] = []
    outcomes: list[object] = []

    def attempt() -> str:
        assert alone.acquire(blocking=False), "two threads do the same work at once"
        try:
            calls.append(1)
            number = len(calls)
            time.sleep(0.02)
            if number <= 3:
                raise kind(number)
            return "done"
        finally:
            alone.release()

    def work(_: int) -> None:
        barrier.wait()
        try:
            outcomes.append(flight.run("k", attempt))
        except kind as error:
            outcomes.append(error.args[0])

    run_in_threads(8, work)
    assert sorted(map(str, outcomes)) == ["1", "2", "3", *["done"] * 5]


def test_none_is_a_result_like_any_other(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    assert flight.run("k", lambda: None) is None


# --- among processes

fork = multiprocessing.get_context("fork")


@contextlib.contextmanager
def processes(count: int, work: Callable[..., None], *given: object) -> Iterator[list[Any]]:
    """Run `work` in processes of their own, to be killed at the end if need be."""
    started = [fork.Process(target=work, args=given) for _ in range(count)]
    try:
        for process in started:
            process.start()
        yield started
    finally:
        for process in started:
            process.kill()
            process.join()


def call_the_model(folder: Path, log: Path, together: Any) -> None:
    """Ask three prompts through the cache in `folder`, of a model that writes down that it was called."""

    def answer(seen: Seen) -> str:
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{seen.text}\n".encode())
        os.close(file)
        time.sleep(0.1)
        return f"reply to {seen.text}"

    model = FunctionLM(answer, cache=ReplyCache(folder), version="1")
    for prompt in ("a", "b", "c"):
        together.wait(60)
        assert model(prompt) == [f"reply to {prompt}"]


def hold(folder: Path, held: Any) -> None:
    def work() -> None:
        held.set()
        time.sleep(600)

    Flight(folder).run("k", work)


def test_processes_that_ask_the_same_at_once_call_the_model_once(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    count = max(3, scaled(8))
    with processes(count, call_the_model, tmp_path / "replies", log, fork.Barrier(count)) as callers:
        for caller in callers:
            caller.join(60)
        assert [caller.exitcode for caller in callers] == [0] * count
    assert sorted(log.read_text().split()) == ["a", "b", "c"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_ends_with_its_holder(number: signal.Signals, tmp_path: Path) -> None:
    flight, held, took = Flight(tmp_path), fork.Event(), []
    with processes(1, hold, tmp_path, held) as (holder,):
        assert held.wait(60)
        waiting = threading.Thread(target=lambda: flight.run("k", lambda: took.append(time.monotonic())))
        waiting.start()
        assert flight.run("another key", lambda: 1) == 1, "no other key waits"
        time.sleep(0.1)
        assert took == []
        killed = time.monotonic()
        os.kill(holder.pid, number)
        waiting.join(60)
    assert took[0] - killed < 5


def test_a_holder_that_never_lets_go_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.lm.cache.flight.PATIENCE", 0.1)
    held = fork.Event()
    with processes(1, hold, tmp_path, held):
        assert held.wait(60)
        assert Flight(tmp_path).run("k", lambda: 1) == 1


def test_a_fork_waits_for_its_parent_and_leaves_it_its_locks(tmp_path: Path) -> None:
    flight, log = Flight(tmp_path), tmp_path / "log"

    def note(text: str) -> None:
        with log.open("a") as out:
            out.write(f"{text} ")

    def parent() -> int:
        child = os.fork()
        if child == 0:
            try:
                flight.close()
                flight.run("k", lambda: note("child"))
            finally:
                os._exit(0)
        time.sleep(0.1)
        note("parent")
        return child

    assert os.waitpid(flight.run("k", parent), 0)[1] == 0
    assert log.read_text() == "parent child "


def test_a_folder_without_locks_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file"):
        assert Flight(folder).run("k", lambda: 1) == 1


def test_two_models_on_one_folder_share_a_flight(tmp_path: Path) -> None:
    def slow(seen: Seen) -> str:
        time.sleep(0.1)
        return "done"

    models = [FunctionLM(slow, cache=ReplyCache(tmp_path / "replies"), version="1") for _ in range(8)]
    replies: list[Any] = []
    run_in_threads(8, lambda number: replies.append(models[number]("same")))
    assert replies == [["done"]] * 8
    assert sum(len(model.requests) for model in models) == 1


def test_close_lets_go_of_the_file_unless_it_is_needed(tmp_path: Path) -> None:
    flight = Flight(tmp_path)

    def is_open() -> bool:
        return any(file.path == str(tmp_path / "flight.lock") for file in psutil.Process().open_files())

    def work() -> None:
        flight.close()
        assert is_open()

    flight.run("k", work)
    assert is_open()
    flight.close()
    assert not is_open()
    assert flight.run("k", lambda: 2) == 2


def test_a_cache_without_a_paid_call_locks_nothing_and_two_of_a_folder_share_the_flight(tmp_path: Path) -> None:
    one, other = ReplyCache(tmp_path), ReplyCache(tmp_path)
    assert one.get("k") is None
    one.close()
    assert not (tmp_path / "flight.lock").exists()

    assert one.flight is other.flight
