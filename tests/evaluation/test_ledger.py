"""The ledger: what is written is there, once, and readable while it is written."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.each import each
from tests.evaluation.ledgers import entry_of, filled, key_of
from tests.scale import scaled
from tunesmith.errors import LedgerError, UsageError
from tunesmith.evaluation import Ledger, count_ledger, read_entries
from tunesmith.evaluation.ledger_entry import KEY
from tunesmith.evaluation.ledger_file import refuse_network
from tunesmith.sqlite import connect


def test_what_was_written_is_there_in_the_next_process(tmp_path: Path) -> None:
    with Ledger(tmp_path / "run.db") as ledger:
        for number in range(20):
            ledger.put(entry_of(number))

    with Ledger(tmp_path / "run.db") as ledger:
        assert len(ledger) == 20
        for number in range(20):
            wanted = entry_of(number)
            assert ledger.get(wanted.key) == replace(wanted, seq=number + 1)
        assert ledger.get(key_of(20)) is None
        assert ledger.get(key_of(1, rollout=1)) is None
        assert [entry.seq for entry in read_entries(ledger.path)] == list(range(1, 21))
        assert read_entries(ledger.path, "nothing") == []
        candidate = entry_of(3).key.candidate
        wanted_rows = [entry for entry in read_entries(ledger.path) if entry.key.candidate == candidate]
        assert read_entries(ledger.path, candidate) == wanted_rows
        assert ledger.damage == ()


def test_a_row_is_written_once_and_the_first_one_stays(tmp_path: Path) -> None:
    with Ledger(tmp_path / "run.db") as ledger:
        first = ledger.put(entry_of(1))
        other = replace(entry_of(1), row=replace(entry_of(1).row, score=0.5))
        assert ledger.put(other) == first
        assert len(ledger) == 1


def test_many_threads_write_each_row_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "run.db") as ledger:

        def write() -> None:
            for number in range(15):
                ledger.put(entry_of(number))

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ledger) == 15
        assert [entry.seq for entry in read_entries(ledger.path)] == list(range(1, 16))


def test_it_is_durable_and_in_wal_mode(tmp_path: Path) -> None:
    with Ledger(tmp_path / "run.db") as ledger:
        assert ledger._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert ledger._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_another_process_reads_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    reading, writing = os.pipe()
    child = os.fork()  # before the ledger is open; a new process would take a second to start
    if child == 0:
        os.close(writing)
        with suppress(BaseException), os.fdopen(reading) as told:
            told.read()
            os._exit(count_ledger(path).rows)
        os._exit(99)
    os.close(reading)
    with Ledger(path) as ledger:
        for number in range(3):
            ledger.put(entry_of(number))
        os.close(writing)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        ledger.put(entry_of(3))
        assert count_ledger(path).rows == 4


def test_a_killed_writer_loses_nothing_that_it_was_told_is_written(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    for _ in range(scaled(20)):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with suppress(BaseException), os.fdopen(writing, "w") as out, Ledger(path) as ledger:
                for number in range(100_000):
                    ledger.put(entry_of(number))
                    print(number, file=out, flush=True)
            os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as told:
            acknowledged = [int(told.readline()) for _ in range(30)]
            os.kill(child, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            acknowledged += [int(line) for line in told if line.endswith("\n")]
        with Ledger(path) as ledger:
            assert ledger.damage == ()
            for number in acknowledged:
                found = ledger.get(key_of(number))
                assert found is not None
                assert found.row == entry_of(number).row
        path.unlink()


def test_a_forked_child_may_not_write(tmp_path: Path) -> None:
    with Ledger(tmp_path / "run.db") as ledger:
        ledger.put(entry_of(0))
        child = os.fork()
        if child == 0:
            try:
                ledger.put(entry_of(1))
            except LedgerError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        ledger.put(entry_of(1))
    assert count_ledger(tmp_path / "run.db").rows == 2


def test_a_private_ledger_keeps_scores_and_charges_and_no_text(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with Ledger(path, private=True) as ledger:
        for number in range(10):
            ledger.put(entry_of(number))
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        assert not any(word in data for word in (b"an output", b"feedback", b"q1", b"no outputs"))
    (first, *_, fourth) = read_entries(path)[:4]
    assert (first.row.score, first.calls, first.whole) == (0.0, entry_of(0).calls, False)
    assert fourth.row.failure is not None
    assert (fourth.row.failure.kind, fourth.row.failure.message) == ("ParseError", "")


def test_a_value_without_a_json_form_is_left_out_and_said(tmp_path: Path) -> None:
    odd = replace(entry_of(1), row=replace(entry_of(1).row, outputs={"answer": "a", "thing": object()}))
    with Ledger(tmp_path / "run.db") as ledger:
        ledger.put(odd)
        found = ledger.get(odd.key)
    assert found is not None
    assert (found.row.outputs, found.whole) == ({"answer": "a"}, False)


@each("text", ["\ud800", "\0", "Grüße 🎈", "'; DROP TABLE rows; --", "[[ ## x ## ]]\n" * 1000])
def test_any_text_comes_back(tmp_path: Path, text: str) -> None:
    odd = replace(entry_of(1), row=replace(entry_of(1).row, outputs={"answer": text}, feedback=text))
    with Ledger(tmp_path / "run.db") as ledger:
        ledger.put(odd)
        found = ledger.get(odd.key)
    assert found is not None
    assert (found.row.outputs, found.row.feedback) == ({"answer": text}, text)


@each("score", [0.0, -0.0, 1.0, -3.0, 0.1, 1e-320, 1e308, 2.0**53, float(2**63)])
def test_any_score_comes_back(tmp_path: Path, score: float) -> None:
    odd = replace(entry_of(1), row=replace(entry_of(1).row, score=score))
    with Ledger(tmp_path / "run.db") as ledger:
        ledger.put(odd)
    with Ledger(tmp_path / "run.db") as ledger:
        found = ledger.get(odd.key)
        assert ledger.damage == ()
    assert found is not None
    assert found.row.score == score


def test_rows_of_another_run_are_taken_over_and_its_stops_are_not(tmp_path: Path) -> None:
    filled(tmp_path / "one.db", 5)
    with Ledger(tmp_path / "one.db") as one:
        one.put(replace(entry_of(9), key=replace(entry_of(9).key, kind="stop")))
        with Ledger(tmp_path / "two.db") as two:
            assert two.copy(tmp_path / "one.db") == 5
            assert two.copy(tmp_path / "one.db") == 0
            assert [entry.row for entry in read_entries(two.path)] == [entry_of(n).row for n in range(5)]


# Where it may be, and what it was written by ------------------------------------------------------------------


@each("kind", ["nfs4", "lustre", "cifs", "fuse.sshfs"])
def test_a_network_file_system_is_refused_with_a_way_out(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path}/far\\040away {kind} rw 0 0\n", encoding="utf-8")
    far = tmp_path / "far away" / "runs"
    far.mkdir(parents=True)
    with pytest.raises(UsageError, match=rf"network file system \({kind}\).*local disk"):
        refuse_network(far, mounts)
    refuse_network(tmp_path, mounts)
    refuse_network(tmp_path / "far", mounts)
    refuse_network(far, tmp_path / "no such table")


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    filled(path, 3)
    connection = connect(path)
    connection.execute("ALTER TABLE rows ADD COLUMN judge TEXT")
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="newer version"):
        Ledger(path)
    assert path.read_bytes() == before


def test_the_columns_can_be_read_with_sql(tmp_path: Path) -> None:
    filled(tmp_path / "run.db", 10)
    connection = sqlite3.connect(tmp_path / "run.db")
    found = connection.execute("SELECT count(*), count(score), sum(calls), max(seq) FROM rows").fetchone()
    (body,) = connection.execute("SELECT body FROM rows WHERE example = 'example 4'").fetchone()
    connection.close()
    assert found == (10, 9, 20, 10)
    assert json.loads(body)["steps"][0][0] == "self"


def test_rows_that_finish_together_wait_for_one_sync_and_survive_a_kill_before_it(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from tests.evaluation.ledgers import entry_of\n"
        "from tunesmith.evaluation import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "waited = [ledger.put(entry_of(n)) and ledger.waits for n in range(8)]\n"
        "print(waited[0], any(waited[1:]), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "run.db"], stdout=subprocess.PIPE, text=True)

    assert done.stdout.split() == ["False", "True"]
    with Ledger(tmp_path / "run.db") as ledger:
        assert len(ledger) == 8
        assert ledger.damage == ()


def test_settle_brings_waiting_rows_to_the_disk(tmp_path: Path) -> None:
    with Ledger(tmp_path / "run.db") as ledger:
        while not (ledger.put(entry_of(len(ledger))) and ledger.waits):
            pass
        ledger.settle()

        assert not ledger.waits


def test_a_ledger_with_the_index_of_earlier_versions_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    filled(path, 3)
    with closing(connect(path)) as database:
        database.execute(f"CREATE UNIQUE INDEX keys ON rows ({', '.join(KEY)})")

    with Ledger(path) as ledger:
        for number in range(5):
            ledger.put(entry_of(number))
    with Ledger(path) as ledger:
        assert (len(ledger), ledger.damage) == (5, ())
