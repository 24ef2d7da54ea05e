import asyncio
import contextlib
import logging
import multiprocessing
import os
import pickle  # noqa: TID251 - planted, to show that nobody unpickles it
import random
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scale import scaled
from tunesmith.errors import CacheError, UsageError
from tunesmith.lm.cache import ReplyCache, SingleFlight

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters()),  # lone surrogates included
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    cache = ReplyCache(tmp_path / "replies")
    yield cache
    cache.close()


@contextlib.contextmanager
def database(cache: ReplyCache) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(cache.folder / "cache.db")) as connection:
        yield connection
        connection.commit()


@contextlib.contextmanager
def as_a_plain_user() -> Iterator[Path]:
    """Give a folder of a user who is not root, for whom modes mean something."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        if os.geteuid() != 0:
            yield Path(name)
            return
        os.chown(name, 65534, -1)
        os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(0)


class Payload:
    """Unpickling it makes the folder `/.../ran`."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


# --- values


def test_what_is_put_comes_back(cache: ReplyCache) -> None:
    @given(st.dictionaries(st.text(st.characters()), JSON, max_size=5))
    def check(value: dict[str, Any]) -> None:
        cache.put("key", value)
        assert cache.get("key") == value

    check()
    assert cache.corrupt == cache.lost_writes == 0


def test_a_large_value_lives_in_a_file_and_goes_with_its_row(cache: ReplyCache) -> None:
    value = {"text": "é" * 40_000}
    cache.put("k", value)
    assert cache.get("k") == value
    assert len(list(cache.folder.rglob("*.val"))) == 1
    cache.put("k", {"text": "short"})
    assert cache.get("k") == {"text": "short"}
    assert list(cache.folder.rglob("*.val")) == []


def test_a_row_outlives_the_object_that_wrote_it(cache: ReplyCache) -> None:
    cache.put("k", {"text": "yes"})
    cache.close()
    assert ReplyCache(cache.folder).get("k") == {"text": "yes"}
    assert cache.get("k") == {"text": "yes"}, "a closed cache opens again"


def test_what_is_not_json_is_a_bug_of_the_caller(cache: ReplyCache) -> None:
    with pytest.raises(TypeError):
        cache.put("k", {"text": {1, 2}})
    assert len(cache) == 0


def test_the_folder_is_private_with_every_parent_it_needed(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "new" / "replies")
    cache.put("k", {})
    for folder in (cache.folder, cache.folder.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nothing_is_ever_evicted_by_size(cache: ReplyCache) -> None:
    cache.put("k", {})
    with database(cache) as rows:
        settings = dict(rows.execute("SELECT key, value FROM Settings"))
    assert settings["eviction_policy"] == "none"
    assert settings["cull_limit"] == 0
    assert settings["sqlite_synchronous"] == 1


# --- planted rows


def planted(cache: ReplyCache, **columns: Any) -> None:
    row = {"key": "k", "raw": 1, "store_time": 1.0, "mode": 1, "size": 0, **columns}
    names = ", ".join(row)
    with database(cache) as rows:
        rows.execute("DELETE FROM Cache WHERE key = 'k'")
        marks = ", ".join("?" * len(row))
        rows.execute(f"INSERT INTO Cache ({names}) VALUES ({marks})", tuple(row.values()))


@pytest.mark.parametrize("place", ["value", "value file", "raw value", "key", "text key", "raw key", "bytes file"])
def test_a_planted_pickle_is_a_miss_and_never_runs(place: str, cache: ReplyCache) -> None:
    mark = cache.folder / "ran"
    code = pickle.dumps(Payload(mark))
    cache.put("other", {})
    name = "ab/cd/" + "0" * 28 + ".val"
    (cache.folder / "ab" / "cd").mkdir(parents=True)
    (cache.folder / name).write_bytes(code)
    columns: dict[str, dict[str, Any]] = {
        "value": {"mode": 4, "value": code},
        "value file": {"mode": 4, "filename": name},
        "raw value": {"value": code},
        "key": {"key": code, "raw": 0, "value": b"x"},
        "text key": {"key": "k", "raw": 0, "mode": 4, "value": code},
        "raw key": {"key": code, "raw": 1, "value": b"x"},
        "bytes file": {"mode": 2, "filename": name},
    }
    planted(cache, **columns[place])

    assert cache.get("k") is None
    assert cache.corrupt == (0 if "key" in place else 1)
    assert [row.number for row in cache.verify().bad] != []
    assert cache.stats().rows == 2
    assert cache.prune(corrupt=True) == 1
    cache.put("k", {"text": "good"})
    assert cache.get("k") == {"text": "good"}
    assert cache.verify().ok
    assert not mark.exists()


@pytest.mark.parametrize(
    "columns",
    [
        {"value": "text"},
        {"value": 7},
        {"value": None},
        {"mode": 3, "filename": "ab/cd/" + "0" * 28 + ".val"},
        {"mode": 9, "value": b"x"},
        {"mode": None, "value": b"x"},
        {"mode": 2, "filename": None},
        {"value": b"0" * 64 + b'\n{"text": "no"}'},
        {"value": b""},
    ],
)
def test_a_row_nobody_of_us_wrote_is_a_counted_miss(columns: dict[str, Any], cache: ReplyCache) -> None:
    cache.put("k", {})
    planted(cache, **columns)
    assert cache.get("k") is None
    assert cache.corrupt == 1
    cache.put("k", {"text": "good"})
    assert cache.get("k") == {"text": "good"}


def test_a_planted_file_name_reaches_nothing_outside_the_folder(cache: ReplyCache, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    for spelled in ("../mine.txt", str(mine)):
        cache.put("k", {})
        planted(cache, mode=2, filename=spelled, size=8)
        assert cache.get("k") is None
        cache.put("k", {})
        planted(cache, mode=2, filename=spelled, size=8)
        assert cache.prune(corrupt=True) == 1
        planted(cache, mode=2, filename=spelled, size=8)
        assert cache.clear() == 1
    assert mine.read_text() == "precious"


def test_a_setting_diskcache_does_not_know_closes_the_cache(cache: ReplyCache) -> None:
    cache.put("k", {})
    cache.close()
    with database(cache) as rows:
        rows.execute("INSERT INTO Settings VALUES ('disk_put', 1)")
    with pytest.raises(CacheError, match="disk_put"):
        ReplyCache(cache.folder, on_error="raise").get("k")


def test_a_value_under_another_key_is_a_miss(cache: ReplyCache) -> None:
    cache.put("a", {"text": "a"})
    cache.put("b", {"text": "b"})
    with database(cache) as rows:
        rows.execute("UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = 'a') WHERE key = 'b'")
    assert cache.get("b") is None
    assert [row.key for row in cache.verify().bad] == ["b"]


def test_a_missing_value_file_is_a_counted_miss(cache: ReplyCache) -> None:
    cache.put("k", {"text": "x" * 40_000})
    next(cache.folder.rglob("*.val")).unlink()
    assert cache.get("k") is None
    assert cache.corrupt == 1


def test_a_damaged_row_is_warned_of_once(cache: ReplyCache, caplog: pytest.LogCaptureFixture) -> None:
    for key in ("a", "b"):
        cache.put(key, {})
    with database(cache) as rows:
        rows.execute("UPDATE Cache SET value = x'00'")
    with caplog.at_level(logging.WARNING, logger="tunesmith"):
        assert cache.get("a") is cache.get("b") is None
    assert [record.name for record in caplog.records] == ["tunesmith"]
    assert "tunesmith cache verify" in caplog.text
    assert cache.corrupt == 2


def test_flipped_bytes_give_a_miss_or_the_right_reply(tmp_path: Path) -> None:
    rng = random.Random(0)
    written = ReplyCache(tmp_path / "whole")
    values = {f"key {n}": {"text": "ab" * rng.randint(0, 600), "n": n} for n in range(20)}
    for key, value in values.items():
        written.put(key, value)
    assert written.prune(older_than=1e9) == 0, "and the log is in the database now"
    written.close()
    whole = (tmp_path / "whole" / "cache.db").read_bytes()
    right = 0
    for round_ in range(scaled(600)):
        folder = tmp_path / f"{round_}"
        folder.mkdir()
        broken = bytearray(whole)
        for _ in range(rng.choice([1, 1, 4, 200])):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (folder / "cache.db").write_bytes(broken)
        cache = ReplyCache(folder)
        for key, value in values.items():
            found = cache.get(key)
            assert found is None or found == value
            right += found is not None
        cache.put("key 1", {"text": "new"})
        assert cache.get("key 1") in (None, values["key 1"], {"text": "new"})
        with contextlib.suppress(CacheError):
            cache.verify()
            cache.stats()
            cache.prune(corrupt=True)
            cache.clear()
        cache.close()
    assert right > 0


# --- a folder that cannot be used


def uses_of(cache: ReplyCache, caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.WARNING, logger="tunesmith"):
        for n in range(3):
            cache.put(f"{n}", {"n": n})
            assert cache.get(f"{n}") is None
    return [record.getMessage() for record in caplog.records]


def test_a_folder_that_is_a_file_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    cache = ReplyCache(tmp_path / "file")
    (warning,) = uses_of(cache, caplog)
    assert str(tmp_path / "file") in warning
    assert cache.lost_writes == 3


def test_a_database_of_noise_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache.db").write_bytes(b"noise" * 1000)
    cache = ReplyCache(tmp_path)
    assert len(uses_of(cache, caplog)) == 1
    assert cache.lost_writes == 3


def test_a_read_only_folder_costs_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with as_a_plain_user() as folder:
        ReplyCache(folder).put("0", {"n": 0})
        (folder / "cache.db").chmod(0o400)
        folder.chmod(0o500)
        cache = ReplyCache(folder)
        assert len(uses_of(cache, caplog)) == 1
        assert cache.lost_writes == 3
        folder.chmod(0o700)


def test_a_folder_that_turns_read_only_costs_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with as_a_plain_user() as folder:
        cache = ReplyCache(folder)
        cache.put("old", {"text": "kept"})
        with contextlib.closing(sqlite3.connect(folder / "cache.db")) as other:
            other.execute("CREATE TRIGGER full BEFORE INSERT ON Cache BEGIN"
                          " SELECT RAISE(ABORT, 'database or disk is full'); END")  # fmt: skip
        assert len(uses_of(cache, caplog)) == 1
        assert cache.lost_writes == 3
        assert cache.get("old") == {"text": "kept"}, "what is there can still be read"


def test_an_unusable_folder_can_raise_instead(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = ReplyCache(tmp_path / "file", on_error="raise")
    for use in (lambda: cache.get("k"), lambda: cache.put("k", {})):
        with pytest.raises(CacheError, match="deleting the folder"):
            use()


def test_the_methods_for_people_always_raise(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = ReplyCache(tmp_path / "file")
    for use in (cache.stats, cache.verify, cache.prune, cache.clear, cache.__len__):
        with pytest.raises(CacheError):
            use()


# --- upkeep


def test_stats_count_rows_bytes_and_ages(cache: ReplyCache) -> None:
    empty = cache.stats()
    assert (empty.rows, empty.bytes, empty.oldest, empty.newest) == (0, 0, None, None)
    before = time.time()
    cache.put("a", {"text": "x"})
    cache.put("b", {"text": "x" * 50_000})
    stats = cache.stats()
    assert stats.rows == len(cache) == 2
    assert 50_000 < stats.bytes < 51_000
    assert stats.oldest is not None
    assert stats.newest is not None
    assert before <= stats.oldest <= stats.newest <= time.time()


def test_prune_removes_by_age(cache: ReplyCache) -> None:
    for key in ("old", "new"):
        cache.put(key, {})
    with database(cache) as rows:
        rows.execute("UPDATE Cache SET store_time = store_time - 1000 WHERE key = 'old'")
    assert cache.prune(older_than=500) == 1
    assert cache.get("old") is None
    assert cache.get("new") == {}
    assert cache.prune() == 0


def test_prune_removes_the_oldest_until_the_rest_fits(cache: ReplyCache) -> None:
    for n in range(10):
        cache.put(f"{n}", {"text": "x" * 1000})
    assert cache.prune(max_bytes=3500) == 7
    assert cache.stats().bytes <= 3500
    assert [n for n in range(10) if cache.get(f"{n}") is not None] == [7, 8, 9]
    assert cache.prune(max_bytes=0) == 3


@pytest.mark.parametrize("number", [-1, float("nan")])
def test_prune_refuses_a_negative_number(number: float, cache: ReplyCache) -> None:
    with pytest.raises(UsageError, match="older_than"):
        cache.prune(older_than=number)


def test_verify_finds_value_files_without_a_row_and_prune_removes_them(cache: ReplyCache) -> None:
    cache.put("k", {"text": "x" * 40_000})
    lost = cache.folder / "ab" / "cd" / ("0" * 28 + ".val")
    fresh = lost.with_name("1" * 28 + ".val")
    lost.parent.mkdir(parents=True)
    for path in (lost, fresh):
        path.write_bytes(b"x")
    os.utime(lost, (1, 1))
    report = cache.verify()
    assert (report.rows, report.orphans, report.ok) == (1, 1, True)
    assert cache.prune(corrupt=True) == 0
    assert not lost.exists()
    assert fresh.exists(), "its row may still come"
    assert cache.get("k") is not None


def test_clear_leaves_nothing(cache: ReplyCache) -> None:
    for n in range(5):
        cache.put(f"{n}", {"text": "secret " * 10_000 * (n % 2)})
    assert cache.clear() == 5
    assert len(cache) == 0
    assert list(cache.folder.rglob("*.val")) == []
    assert not [path for path in cache.folder.iterdir() if b"secret" in path.read_bytes()]


# --- threads, processes, forks


def test_eight_threads_share_one_cache(cache: ReplyCache) -> None:
    count = scaled(2_000)

    def work(thread: int) -> None:
        for n in range(count):
            cache.put(f"{thread} {n}", {"n": n})
            assert cache.get(f"{thread} {n}") == {"n": n}

    run_in_threads(8, work)
    assert len(cache) == 8 * count
    assert cache.lost_writes == cache.corrupt == 0


def test_close_lets_go_of_what_every_thread_opened(cache: ReplyCache) -> None:
    def opened() -> list[str]:
        files = (file.path for file in psutil.Process().open_files())
        return [path for path in files if path.startswith(str(cache.folder))]

    barrier = threading.Barrier(4)

    def work(thread: int) -> None:
        cache.put(f"{thread}", {})
        barrier.wait()
        if thread == 0:
            assert opened() != []
            cache.close()
            assert opened() == []
        barrier.wait()

    run_in_threads(4, work)


WRITER = """
import sys
from pathlib import Path
from tunesmith.lm.cache import ReplyCache
folder, name, count = sys.argv[1:]
cache = ReplyCache(Path(folder), on_error="raise")
for n in range(int(count)):
    cache.put(f"{name} {n}", {"n": n})
    assert cache.get(f"{name} {n}") == {"n": n}
"""


def test_processes_that_open_a_fresh_cache_together_lose_nothing(tmp_path: Path) -> None:
    count = scaled(4_000)
    folder = tmp_path / "replies"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), name, str(count)],
            cwd=Path(__file__).parents[2],
        )
        for name in ("a", "b")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    cache = ReplyCache(folder)
    assert len(cache) == 2 * count
    assert cache.verify().ok


def test_a_fork_uses_the_cache_while_threads_of_the_parent_write(cache: ReplyCache) -> None:
    cache.put("before", {"text": "parent"})
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.is_set():
            cache.put("busy", {"text": "parent"})

    thread = threading.Thread(target=keep_writing)
    thread.start()
    try:
        for n in range(scaled(100)):
            child = multiprocessing.get_context("fork").Process(target=use_in_child, args=(cache, n))
            child.start()
            child.join(60)
            assert child.exitcode == 0
    finally:
        stop.set()
        thread.join()
    assert cache.get("child 0") == {"n": 0}
    assert cache.verify().ok
    assert cache.lost_writes == 0


def use_in_child(cache: ReplyCache, n: int) -> None:
    cache.put(f"child {n}", {"n": n})
    assert cache.get(f"child {n}") == {"n": n}
    assert cache.get("before") == {"text": "parent"}
    assert cache.lost_writes == 0
    os._exit(0)


# --- single flight


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


def test_eight_threads_with_one_key_run_it_once() -> None:
    flight, finish = SingleFlight(), threading.Event()
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


def test_a_later_call_runs_again_and_other_keys_do_not_wait() -> None:
    flight = SingleFlight()
    assert flight.run("k", lambda: flight.run("other", lambda: 1) + 1) == 2
    assert flight.run("k", lambda: 3) == 3
    assert flight.run("k", lambda: flight.run("k", lambda: 4)) == 4, "one's own key is no deadlock"


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_followers_of_a_failed_leader_take_over_one_by_one(kind: type[BaseException]) -> None:
    flight, barrier, alone = SingleFlight(), threading.Barrier(8), threading.Lock()
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


def test_none_is_a_result_like_any_other() -> None:
    flight = SingleFlight()
    assert flight.run("k", lambda: None) is None


def test_coroutines_with_one_key_run_it_once() -> None:
    flight, calls = SingleFlight(), []

    async def slow() -> str:
        calls.append(1)
        await asyncio.sleep(0.05)
        return "done"

    async def main() -> list[str]:
        return await asyncio.gather(*(flight.arun("k", slow) for _ in range(8)))

    for loops in (1, 2):  # a second loop finds nothing of the first
        assert asyncio.run(main()) == ["done"] * 8
        assert len(calls) == loops


def test_coroutines_survive_a_failed_and_a_cancelled_leader() -> None:
    flight, calls = SingleFlight(), []

    async def slow() -> str:
        calls.append(1)
        number = len(calls)
        await asyncio.sleep(0.05)
        if number == 2:
            raise ValueError(number)
        return "done"

    async def main() -> list[object]:
        tasks = [asyncio.create_task(flight.arun("k", slow)) for _ in range(6)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()  # the leader
        tasks[5].cancel()  # a follower
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(main())
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "CancelledError", "ValueError", "str", "str", "str", "CancelledError",
    ]  # fmt: skip
    assert len(calls) == 3


def test_event_loops_of_two_threads_do_not_touch_each_other() -> None:
    flight = SingleFlight()

    async def one(number: int) -> int:
        await asyncio.sleep(0.05)
        return number

    async def main(number: int) -> list[int]:
        return await asyncio.gather(*(flight.arun("k", lambda: one(number)) for _ in range(4)))

    def work(number: int) -> None:
        assert asyncio.run(main(number)) == [number] * 4

    run_in_threads(4, work)
