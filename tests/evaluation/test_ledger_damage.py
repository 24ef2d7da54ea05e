"""A ledger that is damaged, and disks that refuse: seen, said, repaired, and never a wrong number."""

import os
import random
import resource
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.each import each
from tests.evaluation.ledgers import assert_no_wrong_number, entry_of, filled, flip, key_of
from tests.scale import FULL, scaled
from tunesmith.errors import LedgerError
from tunesmith.evaluation import Ledger, count_ledger
from tunesmith.sqlite import connect

ROWS = 400 if FULL else 150


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run.db"
    filled(path, ROWS)
    return path


def copied(whole: Path, folder: Path) -> Path:
    return Path(shutil.copy(whole, folder / "run.db"))


def clean(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def test_a_flipped_bit_anywhere_is_seen_or_harmless(whole: Path, tmp_path: Path) -> None:
    rng = random.Random(1)
    for _ in range(scaled(160)):
        path = copied(whole, tmp_path)
        place = flip(path, rng)
        there, seen = assert_no_wrong_number(path, ROWS)
        assert there == ROWS or seen, f"rows are gone after a flip at {place}, and nothing was said"
        clean(tmp_path)


def test_a_schema_that_is_no_text_any_more_is_seen_or_harmless(whole: Path, tmp_path: Path) -> None:
    rng, data = random.Random(3), whole.read_bytes()
    schema = range(data.index(b"CREATE TABLE"), 4096)
    for _ in range(scaled(60)):
        path, harmed = copied(whole, tmp_path), bytearray(data)
        harmed[rng.choice(schema)] |= 0x80
        path.write_bytes(harmed)
        there, seen = assert_no_wrong_number(path, ROWS)
        assert there == ROWS or seen
        clean(tmp_path)


def test_a_flipped_bit_in_a_payload_is_seen_every_time(whole: Path, tmp_path: Path) -> None:
    rng, data = random.Random(2), whole.read_bytes()
    marks = [f"an output, number {n}. ".encode() for n in range(ROWS)]
    places = [data.find(mark) for mark in marks]
    inside = [(place, len(mark)) for place, mark in zip(places, marks, strict=True) if place >= 0]
    assert len(inside) > ROWS / 2
    for _ in range(scaled(160)):
        path = copied(whole, tmp_path)
        place, length = rng.choice(inside)
        harmed = bytearray(data)
        harmed[place + rng.randrange(length)] ^= 1 << rng.randrange(8)
        path.write_bytes(harmed)

        there, seen = assert_no_wrong_number(path, ROWS)

        assert seen
        assert there == ROWS - 1, "one row is damaged, and no other is lost"
        clean(tmp_path)


def test_a_torn_file_loses_rows_and_says_so(whole: Path, tmp_path: Path) -> None:
    rng, size = random.Random(3), whole.stat().st_size
    for cut in [0, 1, 15, 100, 4095, 4096, size - 1, *(rng.randrange(size) for _ in range(scaled(100)))]:
        path = copied(whole, tmp_path)
        os.truncate(path, cut)
        there, seen = assert_no_wrong_number(path, ROWS)
        assert seen
        assert there < ROWS or cut > size - 4096
        clean(tmp_path)


def test_a_log_that_was_not_folded_in_is_read_and_a_damaged_one_gives_no_wrong_number(tmp_path: Path) -> None:
    path, rng = tmp_path / "run.db", random.Random(4)
    with Ledger(path) as ledger:
        for number in range(50):
            ledger.put(entry_of(number))
        kept = {name: (tmp_path / name).read_bytes() for name in ("run.db", "run.db-wal")}  # as after a kill
    for turn in range(scaled(100) + 1):
        clean(tmp_path)
        for name, data in kept.items():
            (tmp_path / name).write_bytes(data)
        if turn:
            flip(tmp_path / "run.db-wal", rng)
        there, _ = assert_no_wrong_number(path, 50)
        assert turn or there == 50


def behind(whole: Path, folder: Path, last: int, harmed: int) -> Path:
    """Return a ledger as a kill leaves it, its counter at `last`, and damage the page of the row `harmed`."""
    path = copied(whole, folder)
    with closing(connect(path)) as database:
        database.execute("UPDATE counter SET last = ?", (last,))
    data = bytearray(path.read_bytes())
    page = data.index(f"an output, number {harmed}. ".encode()) // 4096 * 4096
    data[page : page + 8] = b"\xff" * 8
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("last", [0, 17, ROWS])
def test_rows_above_the_counter_are_saved_and_the_missing_ones_counted(whole: Path, tmp_path: Path, last: int) -> None:
    path = behind(whole, tmp_path, last, harmed=ROWS // 2)

    there, seen = assert_no_wrong_number(path, ROWS)

    assert seen
    assert ROWS - 15 < there < ROWS
    assert count_ledger(path).damaged == ROWS - there


def test_rows_above_the_counter_are_saved_if_the_page_of_the_last_rows_is_damaged(whole: Path, tmp_path: Path) -> None:
    path = behind(whole, tmp_path, 17, harmed=ROWS - 1)
    data = bytearray(path.read_bytes())
    page = data.index(f"an output, number {ROWS // 2}. ".encode()) // 4096 * 4096
    data[page : page + 8] = b"\xff" * 8
    path.write_bytes(data)

    there, seen = assert_no_wrong_number(path, ROWS)

    assert seen
    assert ROWS - 30 < there < ROWS
    assert 0 < count_ledger(path).damaged < 15, "those of the page in the middle"


def test_what_was_dropped_is_written_again_and_said_once(whole: Path, tmp_path: Path) -> None:
    path = copied(whole, tmp_path)
    connection = connect(path)
    connection.execute("UPDATE rows SET score = 1.0 WHERE seq = 6")
    connection.close()
    with Ledger(path) as ledger:
        assert "row 6: its checksum does not match" in ledger.damage[0]
        assert ledger.get(key_of(5)) is None
        assert ledger.put(entry_of(5)).seq == ROWS + 1
    assert assert_no_wrong_number(path, ROWS) == (ROWS, False)
    assert count_ledger(path).damaged == 1


@pytest.mark.parametrize("gone", [1, ROWS // 2, ROWS])
def test_a_missing_row_is_seen_wherever_it_was(whole: Path, tmp_path: Path, gone: int) -> None:
    path = copied(whole, tmp_path)
    connection = connect(path)
    connection.execute("DELETE FROM rows WHERE seq = ?", (gone,))
    connection.close()
    with Ledger(path) as ledger:
        assert f"row {gone}: it is missing" in ledger.damage[0]
        assert len(ledger) == ROWS - 1


def test_a_row_that_was_moved_to_another_key_is_none_of_that_key(whole: Path, tmp_path: Path) -> None:
    path = copied(whole, tmp_path)
    connection = connect(path)
    connection.execute("UPDATE rows SET example = 'another' WHERE seq = 6")
    connection.close()
    with Ledger(path) as ledger:
        assert ledger.damage
        assert ledger.get(key_of(5, example="another")) is None


def test_damage_while_it_is_in_use_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with Ledger(path) as ledger:
        for number in range(5):
            ledger.put(entry_of(number))
        other = connect(path)
        other.execute("UPDATE rows SET score = 9 WHERE seq = 2")
        other.close()
        assert ledger.get(key_of(1)) is None
        assert ledger.damage
        assert ledger.put(entry_of(1)).seq == 6
    assert assert_no_wrong_number(path, 5) == (5, False)


@each("content", [b"", b"\0" * 5000, b"not a database" * 1000, b"SQLite format 3\0" + b"\1" * 9000])
def test_a_file_of_something_else_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(content)
    with Ledger(path) as ledger:
        assert ledger.damage
        ledger.put(entry_of(1))
    assert (tmp_path / "run.db.damaged-1").exists()
    assert count_ledger(path).rows == 1


# Disks that refuse --------------------------------------------------------------------------------------------


def test_a_full_disk_keeps_every_row_that_was_written(tmp_path: Path) -> None:
    path, written = tmp_path / "run.db", 0
    ledger = Ledger(path)
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count = {pages + 8}")
    with pytest.raises(LedgerError, match=r"safe.*Make room.*goes on where it stopped"):
        for number in range(1000):
            ledger.put(entry_of(number))
            written += 1
    assert len(ledger) == written > 0
    assert ledger.get(key_of(written - 1)) is not None, "it can still be read"
    ledger.close()
    assert assert_no_wrong_number(path, 1000) == (written, False)


def test_a_full_disk_at_any_byte_keeps_every_row_that_was_written(tmp_path: Path) -> None:
    rng = random.Random(5)
    for limit in [0, 1000, 4096, *(rng.randrange(200_000) for _ in range(scaled(60)))]:
        path = tmp_path / "run.db"
        there, back = os.pipe()
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            written = 0
            try:
                with Ledger(path) as ledger:
                    for number in range(60):
                        ledger.put(entry_of(number))
                        written += 1
                code = 0
            except LedgerError:
                code = 7
            except BaseException:
                code = 8
            os.write(back, written.to_bytes(2, "big"))
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        written = int.from_bytes(os.read(there, 2), "big")
        os.close(there)
        os.close(back)
        assert code in (0, 7)
        assert written == 60 or code == 7
        found, seen = assert_no_wrong_number(path, 60)
        assert (found, seen) == (written, False)
        clean(tmp_path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with Ledger(tmp_path / "run.db") as ledger:
        ledger.put(entry_of(0))
        ledger._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(LedgerError):
            ledger.put(entry_of(1))
        assert len(ledger) == 1
    with pytest.raises(LedgerError, match="cannot be written"):
        Ledger(tmp_path / "not there" / "run.db")


def test_a_second_writer_waits_or_is_told(tmp_path: Path) -> None:
    with Ledger(tmp_path / "run.db") as ledger:
        other = sqlite3.connect(tmp_path / "run.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        ledger._connection.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(LedgerError, match="Let the other process end"):
            ledger.put(entry_of(0))
        other.execute("COMMIT")
        other.close()
        assert ledger.put(entry_of(0)).seq == 1
