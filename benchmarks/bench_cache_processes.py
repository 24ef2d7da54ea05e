"""Eight processes on one cache: no lock error, no lost write, and identical prompts in flight reach the model once.

    python benchmarks/bench_cache_processes.py            60 seconds of each kind of work
    python benchmarks/bench_cache_processes.py measure 5  5 seconds of each

First every process writes rows, of which one in a hundred lies in a file, and reads them back with those of others;
every few seconds one is killed and replaced. Each write that came back is noted in a file that outlives its process,
and at the end a fresh process reads all of them.

Then all processes ask one model the same prompts at the same moment, over and over. The model takes 20 ms, and appends
a line to a file at each call. For comparison they do the same with the single flight of each process alone.
"""

import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

from measure import Row, main

from tunesmith.lm import FunctionLM, ReplyCache
from tunesmith.lm.cache.flight import Flight
from tunesmith.lm.doubles import Seen

PROCESSES = 8
SECONDS = 60.0
THINKING = 0.02  # seconds that the model needs for a reply
KILLED_EVERY = 3.0  # seconds
fork = multiprocessing.get_context("fork")


def value(name: str) -> dict[str, Any]:
    """Return what is stored under `name`: the same in every process."""
    chance = random.Random(name)
    size = 40_000 if chance.random() < 0.01 else chance.randint(200, 3_000)
    return {"v": 1, "name": name, "text": chance.randbytes(size // 2).hex()}


def write_and_read(folder: Path, notes: Path, stop: Event) -> None:
    """Write rows of its own and read rows of all; note each acknowledged write, and each error."""
    cache, me, chance = ReplyCache(folder), os.getpid(), random.Random(os.getpid())
    with (
        (notes / f"{me}.written").open("w", buffering=1) as written,
        (notes / f"{me}.wrong").open("w", buffering=1) as wrong,
    ):
        for number in itertools.count():
            if stop.is_set():
                return
            name = f"{me} {number}"
            cache.put(name, value(name))
            if cache.lost_writes:
                wrong.write("a write was refused\n")
                return
            written.write(f"{name}\n")
            other = f"{chance.choice(list(notes.glob('*.written'))).stem} {chance.randrange(number + 1)}"
            for asked in (name, other):
                found = cache.get(asked)
                if found != value(asked) and (found is not None or asked == name):
                    wrong.write(f"wrong reply: {asked}\n")
            if cache.corrupt:
                wrong.write("damaged row\n")


def ask(folder: Path, log: Path, single: bool, barrier: Any, until: float) -> None:
    """Ask prompt after prompt, each at the same moment as all other processes."""

    def answer(seen: Seen) -> str:
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, f"{seen.text}\n".encode())
        os.close(file)
        time.sleep(THINKING)
        return f"reply to {seen.text}"

    cache = ReplyCache(folder)
    if not single:
        cache.flight = Flight(folder / f"{os.getpid()}")  # that of this process alone
    model = FunctionLM(answer, cache=cache, version="1")
    try:
        for number in itertools.count():
            with contextlib.suppress(BrokenBarrierError):  # another one saw the end
                barrier.wait(120)
            if barrier.broken or time.monotonic() > until:
                return
            if model(f"prompt {number}") != [f"reply to prompt {number}"]:
                raise AssertionError(f"a wrong reply to prompt {number}")
    finally:
        barrier.abort()


def read_back(folder: Path, names: list[str]) -> int:
    """Return how many of the rows are not there, read by a process that has nothing open."""
    with fork.Pool(1) as pool:
        return pool.apply(_missing, (folder, names))


def _missing(folder: Path, names: list[str]) -> int:
    cache = ReplyCache(folder)
    return sum(cache.get(name) != value(name) for name in names)


def writing(folder: Path, seconds: float) -> dict[str, Any]:
    notes, stop = folder / "notes", fork.Event()
    notes.mkdir()

    def started() -> Any:
        process = fork.Process(target=write_and_read, args=(folder / "replies", notes, stop))
        process.start()
        return process

    running, killed, chance = [started() for _ in range(PROCESSES)], 0, random.Random(0)
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        time.sleep(min(KILLED_EVERY, seconds / 4))
        victim = running.pop(chance.randrange(PROCESSES))
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        killed += 1
        running.append(started())
    stop.set()
    for process in running:
        process.join(120)
    spent = time.monotonic() - begun
    failed = sum(process.exitcode != 0 for process in running)
    names = [name for path in notes.glob("*.written") for name in path.read_text().split("\n")[:-1]]
    problems = Counter(line for path in notes.glob("*.wrong") for line in path.read_text().splitlines())
    report = ReplyCache(folder / "replies").verify()
    return {
        "acknowledged": len(names),
        "lost": read_back(folder / "replies", names),
        "errors": sum(problems.values()) + failed,
        "problems": dict(problems.most_common(5)),
        "killed": killed,
        "damaged_rows": len(report.bad) + len(report.damage),
        "writes_per_second": round(len(names) / spent),
    }


def asking(folder: Path, seconds: float, *, single: bool) -> dict[str, Any]:
    folder.mkdir()
    log, barrier = folder / "calls", fork.Barrier(PROCESSES)
    until = time.monotonic() + seconds
    processes = [
        fork.Process(target=ask, args=(folder / "replies", log, single, barrier, until)) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(seconds + 120)
    called = Counter(log.read_text().splitlines())
    return {
        "failed_processes": sum(process.exitcode != 0 for process in processes),
        "prompts": len(called),
        "calls": called.total(),
        "calls_per_prompt": round(called.total() / len(called), 4),
        "most_calls_of_a_prompt": max(called.values()),
    }


def rows(seconds: float = SECONDS) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wrote = writing(folder, seconds)
        asked = asking(folder / "single", seconds, single=True)
        apart = asking(folder / "apart", min(seconds, 5.0), single=False)
    about = f"{PROCESSES} processes on one cache for {seconds:g} s"
    errors = wrote["errors"] + wrote["damaged_rows"] + asked["failed_processes"]
    return [
        Row(
            "cache_lock_errors",
            f"{about}: lock errors, wrong replies, damaged rows",
            errors,
            0,
            required=True,
            details=wrote,
        ),
        Row("cache_lost_writes", f"{about}: acknowledged writes lost", wrote["lost"], 0, required=True, details=wrote),
        Row(
            "cache_single_flight",
            f"{about}: calls of the model per prompt that all ask at once",
            asked["calls_per_prompt"],
            1,
            required=True,
            details={**asked, "without_it": apart},
        ),
    ]


def measure(seconds: str) -> list[dict[str, Any]]:
    return [row.to_json() for row in rows(float(seconds))]


if __name__ == "__main__":
    main(rows, measure=measure)
