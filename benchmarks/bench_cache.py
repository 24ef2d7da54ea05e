"""The reply cache against DSPy's disk cache: 20,000 replies of 2 to 4 KB to distinct requests, in random order.

A side does what it does for a prediction: from the request of a prompt with 4 demos to the stored reply, and from the
reply to the disk. DSPy's side is its `Cache`, the memory cache off, the disk cache as DSPy configures it. Ours checks a
checksum at every read. Each stores the reply in its own form, and both with the same durability, which is read off the
databases. Every pass over all rows is a fresh process. `store_alone` in the details begins at the key: a second pass.
"""

import itertools
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dspy.lm15 import Message, Response, Usage
from measure import Row, child, in_turn, main, medians, ratio, spread

ROWS = 20_000
SMALLEST, LARGEST = 2048, 4096  # characters of a reply
READS, WRITES = 2.0, 1.0
SYSTEM = "Say which of the topics a message belongs to. " * 8
TURNS = [
    part for n in range(4) for part in (f"Example {n}: my card has not come yet, and it is two weeks now", f"topic {n}")
]


def replies() -> Iterator[Response]:
    """Yield every reply, the same in every process."""
    chance = random.Random(0)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(5000)]
    corpus = " ".join(chance.choices(words, k=200_000))
    for number in range(ROWS):
        size, start = chance.randint(SMALLEST, LARGEST), chance.randrange(len(corpus) - LARGEST)
        message = Message.assistant(corpus[start : start + size])
        usage = Usage(number, size // 4)
        yield Response(id=None, model="noop", message=message, finish_reason="stop", usage=usage)


@dataclass(frozen=True, slots=True)
class Side:
    """One cache: `get` and `get_by_key` give what is stored, `reply` makes a reply of it."""

    get: Callable[[int], Any]
    get_by_key: Callable[[int], Any]
    put: Callable[[int, Response], None]
    reply: Callable[[Any], Response]
    close: Callable[[], None]


def opened(side: str, folder: str) -> Side:
    return {"tunesmith": _ours, "dspy": _theirs}[side](folder)


def _ours(folder: str) -> Side:
    from tunesmith.lm import Config, Identity, Prefix, ReplyCache
    from tunesmith.lm.wire import response_of, row_of

    cache, identity = ReplyCache(Path(folder)), Identity("noop", "noop", "0")
    shown = tuple(Message.user(t) if n % 2 == 0 else Message.assistant(t) for n, t in enumerate(TURNS))
    prefix = Prefix("noop", SYSTEM, shown, Config(temperature=0.0, seed=0, max_tokens=512))
    finals = [Message.user(question(number)) for number in range(ROWS)]
    keys = [prefix.key(identity, final, 0) for final in finals]
    cache.get("")  # opens it
    return Side(
        lambda number: cache.get(prefix.key(identity, finals[number], 0)),
        lambda number: cache.get(keys[number]),
        lambda number, reply: cache.put(prefix.key(identity, finals[number], 0), row_of(reply, 0.25) or {}),
        response_of,
        cache.close,
    )


def _theirs(folder: str) -> Side:
    from dspy.clients import DISK_CACHE_LIMIT
    from dspy.clients.cache import Cache
    from dspy.clients.call_result import CallResult
    from dspy.clients.execution import IGNORED_CACHE_KEYS

    cache = Cache(
        enable_disk_cache=True,
        enable_memory_cache=False,
        disk_cache_dir=folder,
        disk_size_limit_bytes=DISK_CACHE_LIMIT,
    )
    turns = [{"role": "assistant" if n % 2 else "user", "content": text} for n, text in enumerate(TURNS)]
    before = [{"role": "system", "content": SYSTEM}, *turns]
    name = "dspy.clients.lm.litellm_completion"

    def request(number: int) -> dict[str, Any]:
        messages = [*before, {"role": "user", "content": question(number)}]
        return {"model": "noop", "messages": messages, "temperature": 0.0, "max_tokens": 512, "_fn_identifier": name}

    asked = [request(number) for number in range(ROWS)]
    keys = [cache.cache_key(one, IGNORED_CACHE_KEYS) for one in asked]
    return Side(
        lambda number: cache.get(asked[number], IGNORED_CACHE_KEYS),
        lambda number: cache.disk_cache.get(keys[number]),
        lambda number, reply: cache.put(asked[number], CallResult.native(reply).dump(), IGNORED_CACHE_KEYS),
        lambda record: CallResult.load(record).responses[0],
        cache.disk_cache.close,
    )


def question(number: int) -> str:
    return f"Question {number}: which of the topics does this message belong to?"


def write(name: str, folder: str, seed: str) -> dict[str, dict[str, float]]:
    side, given = opened(name, folder), list(enumerate(replies()))
    random.Random(seed).shuffle(given)
    wall, cpu = time.perf_counter(), time.process_time()
    for number, reply in given:
        side.put(number, reply)
    found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    side.close()
    return {"write": found}


def read(name: str, folder: str, seed: str) -> dict[str, dict[str, float]]:
    side, expected = opened(name, folder), list(replies())
    chance, order = random.Random(seed), list(range(ROWS))
    found = {}
    for what, get in (("read", side.get), ("read by key", side.get_by_key)):
        chance.shuffle(order)
        wall, cpu = time.perf_counter(), time.process_time()
        got = [get(number) for number in order]
        found[what] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        for number, stored in zip(order, got, strict=True):
            reply, right = side.reply(stored), expected[number]
            if (reply.text, reply.usage.input_tokens) != (right.text, right.usage.input_tokens):
                raise AssertionError(f"a wrong reply to request {number}")
    side.close()
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
    spent: dict[tuple[str, str], dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, fresh = Path(name), itertools.count()
        newest: dict[str, Path] = {}

        def passing(task: str, side: str) -> Callable[[], float]:
            def run() -> float:
                if task == "write":
                    shutil.rmtree(newest.pop(side, folder / "none"), ignore_errors=True)
                    newest[side] = folder / f"{side}-{next(fresh)}"
                found = child(__file__, task, side, newest[side], next(fresh))
                for what, times in found.items():
                    for clock, seconds in times.items():
                        spent.setdefault((what, clock), {}).setdefault(side, []).append(seconds)
                return 0.0

            return run

        for task in ("write", "read"):
            in_turn({side: passing(task, side) for side in ("dspy", "tunesmith")})
        modes = {side: durability(path) for side, path in newest.items()}
    if modes["dspy"] != modes["tunesmith"] or len(modes["dspy"]) != 1:
        raise AssertionError(f"not the same durability: {modes}")

    def faster(what: str) -> dict[str, Any]:
        wall, cpu = spent[what, "wall"], spent[what, "cpu"]
        return {
            "wall_microseconds": medians(wall, 1e6 / ROWS),
            "cpu_microseconds": medians(cpu, 1e6 / ROWS),
            "wall_ratio": round(ratio(wall, "dspy", "tunesmith"), 3),
            "cpu_ratio": round(ratio(cpu, "dspy", "tunesmith"), 3),
            "rounds": spread(wall, "dspy", "tunesmith"),
        }

    def row(what: str, limit: float, **more: Any) -> Row:
        title = f"{what}s per second, {ROWS:,} replies of 2 to 4 KB, tunesmith / dspy"
        figure = ratio(spent[what, "wall"], "dspy", "tunesmith")
        details = {**faster(what), "durability": modes["dspy"][0], **more}
        return Row(f"cache_{what}s", title, figure, limit, at_most=False, details=details)

    return [row("read", READS, store_alone=faster("read by key")), row("write", WRITES)]


if __name__ == "__main__":
    main(rows, write=write, read=read)
