"""Damaged files: every read is right or a miss, and damage inside a value costs that row alone."""

import contextlib
import json
import logging
import os
import random
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.scale import scaled
from tunesmith.errors import CacheError
from tunesmith.lm.cache.reply_cache import ReplyCache

FLIPS = 400
ROWS = 400
LARGE = 40  # every so many rows one has more than 32 KB and lies in a file


@dataclass(frozen=True)
class Stored:
    """A cache at rest (`folder`), and what it must answer."""

    folder: Path
    values: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    rng = random.Random(0)
    values = {}
    for number in range(max(100, scaled(ROWS))):
        size = rng.randint(33_000, 40_000) if number % LARGE == 0 else rng.randint(10, 700)
        values[f"key {number}"] = {"v": 1, "text": rng.randbytes(size // 2).hex(), "n": number}
    folder = tmp_path_factory.mktemp("stored") / "replies"
    cache = ReplyCache(folder)
    for key, value in values.items():
        cache.put(key, value)
    cache.close()
    return Stored(folder, values)


@pytest.fixture(scope="module")
def busy(stored: Stored, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """The same as a killed process leaves it: the last rows are in the log alone."""
    folder = tmp_path_factory.mktemp("busy") / "replies"
    shutil.copytree(stored.folder, folder)
    cache, values = ReplyCache(folder), dict(stored.values)
    for number in range(max(20, scaled(50))):
        values[f"late {number}"] = {"v": 1, "text": f"{number} " * 100}
        cache.put(f"late {number}", values[f"late {number}"])
    left = folder.with_name("left")
    shutil.copytree(folder, left)
    cache.close()
    assert (left / "cache.db-wal").stat().st_size > 0
    return Stored(left, values)


def copied(source: Path, target: Path) -> Path:
    """Copy a cache; the value files, which are never changed, as links."""
    shutil.copytree(
        source, target, copy_function=lambda a, b: os.link(a, b) if a.endswith(".val") else shutil.copy(a, b)
    )
    return target


def damage(path: Path, rng: random.Random, place: int | None = None) -> None:
    """Flip bits of a byte of the file, or cut it off there."""
    data = bytearray(path.read_bytes())
    cut = place is None and rng.random() < 0.25
    place = rng.randrange(len(data)) if place is None else place
    data[place] ^= rng.randrange(1, 256)
    path.unlink()  # it may be a link
    path.write_bytes(data[:place] if cut else data)


def damage_a_value(folder: Path, rng: random.Random, values: dict[str, Any]) -> str:
    """Flip a byte of a random value, or cut its file; return its key."""
    database = (folder / "cache.db").read_bytes()
    while True:
        key = rng.choice(sorted(values))
        text = values[key]["text"]
        with contextlib.closing(sqlite3.connect(folder / "cache.db")) as rows:
            (name,) = rows.execute("SELECT filename FROM Cache WHERE key = ?", (key,)).fetchone()
        if name is not None:
            cut = rng.random() < 0.5
            damage(folder / name, rng, None if cut else rng.randrange((folder / name).stat().st_size))
            return key
        start = rng.randrange(max(1, len(text) - 8))
        place = database.find(text[start : start + 8].encode())  # a value that spans pages lies there in pieces
        if len(text) >= 16 and place >= 0 and database.count(text[start : start + 8].encode()) == 1:
            damage(folder / "cache.db", rng, place + rng.randrange(8))
            return key


def in_a_fresh_process(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Read everything in a process that has nothing open: which keys missed, which replies were wrong, what was said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as out:
                json.dump(read_all(folder, values), out)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as found:
        text = found.read()
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert text, f"the reader died: {folder}"
    return json.loads(text)


def read_all(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("tunesmith").addHandler(handler)
    cache = ReplyCache(folder)
    found = {key: cache.get(key) for key in values}
    missed = [key for key, value in found.items() if value is None]
    wrong = [key for key, value in found.items() if value is not None and value != values[key]]
    for key in missed[:5]:
        cache.put(key, values[key])
        again = cache.get(key)
        wrong += [key] if again not in (None, values[key]) else []
    for use in (cache.verify, cache.stats):
        with contextlib.suppress(CacheError):
            use()
    cache.prune(corrupt=True)
    healed = cache.verify().ok
    after = {key: cache.get(key) for key in values}
    wrong += [key for key, value in after.items() if value is not None and value != values[key]]
    kept = sum(value is not None for value in after.values())
    return {
        "missed": missed, "wrong": wrong, "said": said, "healed": healed, "kept": kept, "lost": cache.lost_writes,
    }  # fmt: skip


def test_a_flip_in_a_value_costs_that_row_alone(stored: Stored, tmp_path: Path) -> None:
    for number in range(scaled(FLIPS // 2)):
        folder = copied(stored.folder, tmp_path / "broken")
        key = damage_a_value(folder, random.Random(number), stored.values)
        found = in_a_fresh_process(folder, stored.values)
        assert found["missed"] == [key], number
        assert found["wrong"] == [], number
        assert len(found["said"]) == 1, number
        assert repr(key) in found["said"][0]
        assert found["healed"]
        assert found["kept"] == len(stored.values)
        shutil.rmtree(folder)


def test_a_schema_that_is_not_text_any_more_gives_right_replies_or_misses(stored: Stored, tmp_path: Path) -> None:
    data = (stored.folder / "cache.db").read_bytes()
    schema = range(data.index(b"CREATE "), 4096)
    for number in range(scaled(100)):
        folder, harmed = copied(stored.folder, tmp_path / "broken"), bytearray(data)
        harmed[random.Random(number).choice(schema)] |= 0x80
        (folder / "cache.db").write_bytes(harmed)
        found = in_a_fresh_process(folder, stored.values)
        assert found["wrong"] == [], number
        assert len(found["said"]) <= 1, number
        assert found["healed"], number
        shutil.rmtree(folder)


def test_a_flip_or_a_cut_anywhere_gives_right_replies_or_misses(stored: Stored, busy: Stored, tmp_path: Path) -> None:
    read = 0
    for number in range(scaled(FLIPS // 2)):
        rng = random.Random(number)
        whole = rng.choice([stored, busy])
        folder = copied(whole.folder, tmp_path / "broken")
        files = sorted(path for path in folder.iterdir() if path.name.startswith("cache.db") and path.stat().st_size)
        damage(rng.choice(files), rng)
        found = in_a_fresh_process(folder, whole.values)
        assert found["wrong"] == [], number
        assert len(found["said"]) <= 2, found["said"]
        assert found["healed"], number
        read += len(whole.values) - len(found["missed"])
        shutil.rmtree(folder)
    assert read > 0
