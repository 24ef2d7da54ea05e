"""The reply cache against DSPy's disk cache: 20,000 rows of 2 to 4 KB under distinct keys, in random order.

DSPy's side is the `FanoutCache` that its own `Cache` makes, memory cache off; ours is `ReplyCache`, whose rows carry a
checksum that every read verifies. Both get the key as it is and the same value, and run with the same durability, which
is asked of the database itself. Every write and every read is a pass of its own over all rows in a fresh process.
"""

import math
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from measure import Row, child, in_turn, main, medians, ratio, spread

ROWS = 20_000
SMALLEST, LARGEST = 2048, 4096  # characters of a reply
ROUNDS = 7
READS, WRITES = 2.0, 1.0


def key_of(number: int) -> str:
    return sha256(b"row %d" % number).hexdigest()


def rows_of() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every key and value, the same in every process."""
    chance = random.Random(0)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(5000)]
    corpus = " ".join(chance.choices(words, k=200_000))
    for number in range(ROWS):
        size, start = chance.randint(SMALLEST, LARGEST), chance.randrange(len(corpus) - LARGEST)
        value = {
            "v": 1,
            "text": corpus[start : start + size],
            "finish": "stop",
            "model": "noop",
            "in": number,
            "out": size // 4,
            "hit": None,
            "seconds": 0.25,
        }
        yield key_of(number), value


def opened(side: str, folder: str) -> tuple[Callable[[str], Any], Callable[[str, Any], Any], Callable[[], None]]:
    """Return the side's `get`, `put` and `close`."""
    if side == "tunesmith":
        from tunesmith.lm import ReplyCache

        ours = ReplyCache(Path(folder))
        ours.get("")  # opens it
        return ours.get, ours.put, ours.close
    from dspy.clients import DISK_CACHE_LIMIT
    from dspy.clients.cache import Cache

    theirs = Cache(
        enable_disk_cache=True,
        enable_memory_cache=False,
        disk_cache_dir=folder,
        disk_size_limit_bytes=DISK_CACHE_LIMIT,
    ).disk_cache
    return theirs.get, theirs.set, theirs.close


def write(side: str, folder: str) -> dict[str, float]:
    _, put, close = opened(side, folder)
    given = list(rows_of())
    random.Random(1).shuffle(given)
    wall, cpu = time.perf_counter(), time.process_time()
    for key, value in given:
        put(key, value)
    found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    close()
    return found


def read(side: str, folder: str, seed: str) -> dict[str, float]:
    get, _, close = opened(side, folder)
    expected = dict(rows_of())
    order = list(expected)
    random.Random(seed).shuffle(order)
    got = []
    wall, cpu = time.perf_counter(), time.process_time()
    for key in order:
        got.append(get(key))
    found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    for key, value in zip(order, got, strict=True):
        if value != expected[key]:
            raise AssertionError(f"a wrong value under {key}")
    close()
    return found


def durability(folder: Path) -> list[str]:
    """Return journal and synchronous mode that the caches in `folder` are opened with."""
    found = set()
    for path in folder.rglob("cache.db"):
        database = sqlite3.connect(path)
        journal = database.execute("PRAGMA journal_mode").fetchone()[0]
        (mode,) = database.execute("SELECT value FROM Settings WHERE key = 'sqlite_synchronous'").fetchone()
        found.add(f"{journal}, synchronous={mode}")
        database.close()
    return sorted(found)


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cpu: dict[str, list[float]] = {}
        fresh = iter(range(1000))
        newest: dict[str, Path] = {}

        def writing(side: str) -> Callable[[], float]:
            def run() -> float:
                newest[side] = folder / f"{side}-{next(fresh)}"
                found = child(__file__, "write", side, newest[side])
                cpu.setdefault(f"write {side}", []).append(found["cpu"])
                return float(found["wall"])

            return run

        def reading(side: str) -> Callable[[], float]:
            def run() -> float:
                found = child(__file__, "read", side, newest[side], next(fresh))
                cpu.setdefault(f"read {side}", []).append(found["cpu"])
                return float(found["wall"])

            return run

        writes = in_turn({side: writing(side) for side in ("dspy", "tunesmith")}, ROUNDS)
        modes = {side: durability(path) for side, path in newest.items()}
        if modes["dspy"] != modes["tunesmith"] or len(modes["dspy"]) != 1:
            raise AssertionError(f"not the same durability: {modes}")
        reads = in_turn({side: reading(side) for side in ("dspy", "tunesmith")}, ROUNDS)

    def row(kind: str, found: dict[str, list[float]], limit: float) -> Row:
        sides = {side: cpu[f"{kind} {side}"] for side in found}
        return Row(
            f"cache_{kind}s",
            f"{kind}s per second of {ROWS:,} rows of 2 to 4 KB, tunesmith / dspy",
            ratio(found, "dspy", "tunesmith"),
            limit,
            at_most=False,
            details={
                "wall_microseconds": medians(found, 1e6 / ROWS),
                "cpu_microseconds": medians(sides, 1e6 / ROWS),
                "rounds": spread(found, "dspy", "tunesmith"),
                "durability": modes["dspy"][0],
                "geometric_mean_of_rounds": round(
                    math.exp(
                        sum(math.log(a / b) for a, b in zip(found["dspy"], found["tunesmith"], strict=True)) / ROUNDS
                    ),
                    3,
                ),
            },
        )

    return [row("read", reads, READS), row("write", writes, WRITES)]


if __name__ == "__main__":
    main(rows, write=write, read=read)
