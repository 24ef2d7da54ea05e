"""Damage to what a compile has stored: seen, repaired from what is whole, and the same artifact in the end."""

import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.victims import Whole
from tests.scale import scaled

FLIPS = 150  # in each of the two compiles
AT_ONCE = 25  # rows that are damaged before one resume


def payloads(database: Path) -> dict[int, tuple[int, int]]:
    """Return where the bodies of the rows begin and how long they are, by number, for rows that lie in one piece."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT seq, body, sha256 FROM rows").fetchall()
    data, found = database.read_bytes(), {}
    for seq, body, checksum in rows:
        content = body.encode() + checksum.encode()  # the last two columns of a row
        if data.count(content) == 1:
            found[seq] = data.index(content), len(body.encode())
    return found


def harm(path: Path, place: int, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= rng.randrange(1, 256)
    path.write_bytes(data)


@pytest.mark.timeout(3600)
def test_flips_inside_payloads_are_all_seen_and_repaired_at_no_call(whole: Whole, tmp_path: Path) -> None:
    rng, left, turn = random.Random(0), scaled(FLIPS), 0
    while left > 0:
        turn, folder = turn + 1, tmp_path / str(turn)
        shutil.copytree(whole.folder, folder)
        database = folder / "run" / "run.db"
        places = payloads(database)
        assert len(places) > len(whole.rows) * 0.8
        harmed = rng.sample(sorted(places), min(left, AT_ONCE))
        for seq in harmed:
            start, length = places[seq]
            harm(database, start + rng.randrange(length), rng)

        whole.check_end(folder)

        with closing(sqlite3.connect(database)) as connection:
            dropped = [seq for (seq,) in connection.execute("SELECT seq FROM dropped ORDER BY seq")]
        assert dropped == sorted(harmed)
        assert whole.server.take() == []
        left -= len(harmed)
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_damage_anywhere_ends_in_the_same_artifact(whole: Whole, tmp_path: Path) -> None:
    """Flips and cuts of the ledger, the replies and the mirror; only lost replies may cost calls."""
    rng = random.Random(1)
    for number in range(max(4, scaled(24))):
        folder = tmp_path / str(number)
        shutil.copytree(whole.folder, folder)
        run, cache = folder / "run" / "run.db", folder / "cache" / "cache.db"
        hit = [[run], [cache], [folder / "run" / "study.db"], [run, cache]][number % 4]
        for path in hit:
            if rng.random() < 0.3:
                os.truncate(path, rng.randrange(path.stat().st_size))
            else:
                harm(path, rng.randrange(path.stat().st_size), rng)

        whole.check_end(folder)

        calls = whole.server.take()
        assert set(calls) <= set(whole.calls)
        assert len(calls) == len(set(calls))
        assert hit == [run, cache] or calls == [], "what is left of the two makes the other whole"
        shutil.rmtree(folder)
