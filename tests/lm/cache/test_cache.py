import contextlib
import logging
import os
import shutil
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lm.cache.test_flight import fork, processes, run_in_threads
from tests.scale import scaled
from tunesmith.errors import CacheError, UsageError
from tunesmith.lm.cache.reply_cache import ReplyCache

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


# --- values


def test_what_is_put_comes_back(cache: ReplyCache) -> None:
    @settings(max_examples=max(30, scaled(100)))
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
    assert cache.stats().rows == 0


def test_the_folder_is_private_with_every_parent(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "new" / "replies")
    cache.put("k", {})
    for folder in (cache.folder.parent, cache.folder):
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
def test_a_row_of_another_kind_is_a_counted_miss(columns: dict[str, Any], cache: ReplyCache) -> None:
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


def test_a_setting_diskcache_does_not_know_is_deleted_and_never_applied(cache: ReplyCache) -> None:
    cache.put("k", {"text": "kept"})
    cache.close()
    with database(cache) as rows:
        rows.execute("INSERT INTO Settings VALUES ('disk_put', 1), ('sqlite_writable_schema', 1), (x'80', 1)")
    other = ReplyCache(cache.folder)
    assert other.get("k") == {"text": "kept"}
    other.put("other", {})
    assert other.get("k") == {"text": "kept"}
    with database(cache) as rows:
        names = {name for (name,) in rows.execute("SELECT key FROM Settings")}
    assert names.isdisjoint({"disk_put", "sqlite_writable_schema", b"\x80"})


def test_a_value_under_another_key_is_a_miss(cache: ReplyCache) -> None:
    cache.put("a", {"text": "a"})
    cache.put("b", {"text": "b"})
    with database(cache) as rows:
        rows.execute("UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = 'a') WHERE key = 'b'")
    assert cache.get("b") is None
    assert cache.verify().bad == (("b", "its checksum does not match"),)


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
    assert cache.prune(corrupt=True) == 2
    assert cache.verify().ok


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


@pytest.mark.parametrize("content", [b"noise" * 1000, b"SQLite format 3\0" + b"noise" * 1000], ids=["noise", "header"])
def test_a_database_of_noise_is_set_aside_with_one_warning(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache.db").write_bytes(content)
    cache = ReplyCache(tmp_path)
    with caplog.at_level(logging.WARNING, logger="tunesmith"):
        cache.put("k", {"text": "new"})
        assert cache.get("k") == {"text": "new"}
    (aside,) = tmp_path.glob("*damaged*")
    (warning,) = (record.getMessage() for record in caplog.records)
    assert aside.name in warning
    assert aside.read_bytes() == content
    assert not cache.verify().ok
    assert cache.prune(corrupt=True) == 0
    assert not aside.exists()
    assert cache.verify().ok


def test_a_table_that_is_not_ours_is_set_aside(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "cache.db")) as other:
        other.execute("CREATE TABLE Cache (key, raw, value)")
    cache = ReplyCache(tmp_path)
    cache.put("k", {})
    assert cache.get("k") == {}


def test_a_database_that_breaks_in_use_is_set_aside_by_all_who_use_it(
    cache: ReplyCache, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(300):
        cache.put(f"{number:03}" * 30, {"text": f"{number}"})
    other = ReplyCache(cache.folder)
    other.put("k", {})
    cache.close()
    other.close()
    path = cache.folder / "cache.db"
    assert cache.get("k") == other.get("k") == {}
    path.write_bytes(path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096))
    with caplog.at_level(logging.WARNING, logger="tunesmith"):
        assert cache.get("000" * 30) is None
        for user in (cache, other):
            user.put("k", {"text": "new"})
    assert "is damaged (" in caplog.records[0].getMessage()
    assert len(caplog.records) == 1
    assert cache.get("k") == other.get("k") == {"text": "new"}
    assert path.with_name("cache.db.damaged-1").exists()
    assert not path.with_name("cache.db.damaged-2").exists()
    assert cache.lost_writes == other.lost_writes == 0
    assert cache.prune(corrupt=True) == 0
    assert cache.verify().ok
    assert cache.get("k") == {"text": "new"}


@pytest.mark.parametrize("content", [b"noise" * 2000, b"SQLite format 3\0" + b"noise" * 2000])
def test_only_a_run_and_prune_replace_a_damaged_database(content: bytes, cache: ReplyCache) -> None:
    path = cache.folder / "cache.db"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(CacheError):
        cache.stats()
    assert not cache.verify().ok
    assert path.read_bytes() == content
    assert cache.prune(corrupt=True) == 0
    assert cache.verify().ok
    assert list(cache.folder.glob("*damaged*")) == []


def test_what_an_older_version_set_aside_is_listed_and_pruned(cache: ReplyCache) -> None:
    cache.put("k", {})
    for name in ("damaged-17-4.db", "damaged-17-4.db-wal"):
        (cache.folder / name).touch()
    assert cache.verify().damage == ("damaged-17-4.db was set aside",)
    cache.prune(corrupt=True)
    assert cache.verify().ok
    assert list(cache.folder.glob("*damaged*")) == []


def test_a_folder_that_is_removed_while_it_is_used_is_made_again(cache: ReplyCache) -> None:
    cache.put("k", {})
    shutil.rmtree(cache.folder)
    cache.put("k", {"text": "again"})
    assert ReplyCache(cache.folder).get("k") == {"text": "again"}


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


def test_a_full_disk_costs_one_warning_and_is_counted(cache: ReplyCache, caplog: pytest.LogCaptureFixture) -> None:
    cache.put("old", {"text": "kept"})
    pages = cache._rows._con.execute("PRAGMA page_count").fetchone()[0]
    cache._rows._con.execute(f"PRAGMA max_page_count = {pages}")
    with caplog.at_level(logging.WARNING, logger="tunesmith"):
        for number in range(5):
            cache.put(f"{number}", {"text": "x" * 9_000})
    (record,) = caplog.records
    assert "database or disk is full" in record.getMessage()
    assert cache.lost_writes == 5
    assert cache.get("old") == {"text": "kept"}


def test_the_methods_for_people_always_raise(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = ReplyCache(tmp_path / "file")
    for use in (cache.stats, cache.verify, cache.prune, cache.clear):
        with pytest.raises(CacheError, match="deleting the folder"):
            use()


# --- upkeep


def test_stats_count_rows_bytes_and_ages(cache: ReplyCache) -> None:
    empty = cache.stats()
    assert (empty.rows, empty.bytes, empty.oldest, empty.newest) == (0, 0, None, None)
    before = time.time()
    cache.put("a", {"text": "x"})
    cache.put("b", {"text": "x" * 50_000})
    stats = cache.stats()
    assert stats.rows == 2
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
    assert cache.stats().rows == 0
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
    assert cache.stats().rows == 8 * count
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


def write_many(folder: Path, count: int, together: Any) -> None:
    name = os.getpid()
    cache = ReplyCache(folder)
    together.wait(60)
    for n in range(count):
        cache.put(f"{name} {n}", {"n": n})
        assert cache.get(f"{name} {n}") == {"n": n}
    assert cache.lost_writes == 0


def test_processes_that_open_a_fresh_cache_together_lose_nothing(tmp_path: Path) -> None:
    count, folder = scaled(4_000), tmp_path / "replies"
    with processes(4, write_many, folder, count, fork.Barrier(4)) as writers:
        for writer in writers:
            writer.join(120)
        assert [writer.exitcode for writer in writers] == [0] * 4
    cache = ReplyCache(folder)
    assert cache.stats().rows == 4 * count
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
        for n in range(max(3, scaled(100))):
            child = fork.Process(target=use_in_child, args=(cache, n))
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
