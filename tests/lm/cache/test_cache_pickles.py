"""No pickle runs, wherever in a cache it is planted and however it is read."""

import contextlib
import copyreg
import os
import pickle  # noqa: TID251 - planted, to show that it is never unpickled
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.each import each
from tunesmith.errors import CacheError
from tunesmith.lm.cache.reply_cache import ReplyCache

EXTENSIONS = {0x70: ("os", "mkdir"), 0x7070: ("posix", "mkdir"), 0x707070: ("os", "makedirs")}


def _families(mark: str) -> dict[str, bytes]:
    """Return one pickle for each way in which opcodes call code: here `os.mkdir(mark)`."""
    path = f"V{mark}\n".encode()
    short = b"\x8c" + bytes([len(mark)]) + mark.encode()
    namespace = b"(cargparse\nNamespace\no"
    lazily = b"cbuiltins\ntuple\n(cbuiltins\nmap\n(cos\nmkdir\n(" + path + b"ttt"  # a tuple of map(mkdir, (mark,))
    return {
        "GLOBAL REDUCE": b"cos\nmkdir\n(" + path + b"tR.",
        "STACK_GLOBAL REDUCE": b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + short + b"\x85R.",
        "INST": b"(" + path + b"ios\nmkdir\n.",
        "OBJ": b"(cos\nmkdir\n" + path + b"o.",
        "NEWOBJ": b"\x80\x02" + lazily.replace(b"ttt", b"tt\x81") + b"t\x81.",
        "NEWOBJ_EX": b"\x80\x04" + lazily.replace(b"ttt", b"tt}\x92") + b"t}\x92.",
        "BUILD": namespace + b"}V__setstate__\ncos\nmkdir\nsb" + path + b"b.",
        "APPEND": namespace + b"}Vappend\ncos\nmkdir\nsb" + path + b"a.",
        "APPENDS": namespace + b"}Vappend\ncos\nmkdir\nsb(" + path + b"e.",
        "ADDITEMS": b"\x80\x04" + namespace + b"}Vadd\ncos\nmkdir\nsb(" + path + b"\x90.",
        "EXT1": b"\x80\x02\x82\x70(" + path + b"tR.",
        "EXT2": b"\x80\x02\x83\x70\x70(" + path + b"tR.",
        "EXT4": b"\x80\x02\x84\x70\x70\x70\x00(" + path + b"tR.",
        "MEMO": b"cos\nmkdir\np0\n0g0\n(" + path + b"tR.",
        **{f"protocol {n}, as written": pickle.dumps(_Payload(mark), protocol=n) for n in range(6)},
    }


class _Payload:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (self.mark,)


FAMILIES = tuple(_families("x"))


@pytest.fixture(autouse=True)
def _extensions() -> Iterator[None]:
    """Register what the extension opcodes name: only then are they worth planting."""
    for code, (module, name) in EXTENSIONS.items():
        copyreg.add_extension(module, name, code)
    yield
    for code, (module, name) in EXTENSIONS.items():
        copyreg.remove_extension(module, name, code)
    copyreg._extension_cache.clear()


ASKED: list[str] = []
_watching = [False]


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _watching[0] and event == "pickle.find_class":
        ASKED.append(repr(arguments))


sys.addaudithook(_watch)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Check that nothing looks for the class or function that a pickle names."""
    ASKED.clear()
    _watching[0] = True
    try:
        yield
    finally:
        _watching[0] = False
    assert ASKED == []


@each("family", FAMILIES)
def test_each_payload_would_run(family: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    with contextlib.suppress(Exception):  # some fail after they ran
        pickle.loads(_families(str(mark))[family])
    assert mark.exists()


PLACES: dict[str, Callable[[bytes, str], dict[str, Any]]] = {
    "mode pickle, value": lambda code, name: {"mode": 4, "value": code},
    "mode pickle, value file": lambda code, name: {"mode": 4, "filename": name},
    "mode pickle, text value": lambda code, name: {"mode": 4, "value": code.decode("latin-1")},
    "mode raw": lambda code, name: {"mode": 1, "value": code},
    "mode bytes, value file": lambda code, name: {"mode": 2, "filename": name},
    "mode text, value file": lambda code, name: {"mode": 3, "filename": name},
    "no mode": lambda code, name: {"mode": None, "value": code},
    "key that is no raw one": lambda code, name: {"key": code, "raw": 0, "value": b"x"},
    "raw key": lambda code, name: {"key": code, "raw": 1, "value": code},
    "text key that is no raw one": lambda code, name: {"raw": 0, "mode": 4, "value": code},
    "tag": lambda code, name: {"tag": code, "mode": 4, "value": code},
}


@each("place", PLACES)
def test_a_planted_pickle_is_a_miss_and_never_runs(place: str, tmp_path: Path) -> None:
    mark, cache = tmp_path / "ran", ReplyCache(tmp_path / "replies")
    cache.put("good", {"text": "good"})
    cache.close()
    planted = _families(str(mark))
    (cache.folder / "ab" / "cd").mkdir(parents=True)
    with database(cache) as rows:
        for number, code in enumerate(planted.values()):
            name = f"ab/cd/{number:028x}.val"
            (cache.folder / name).write_bytes(code)
            row = {"key": f"key {number}", "raw": 1, "store_time": 1.0, "mode": 1, "size": 0}
            plant(rows, "Cache", row | PLACES[place](code, name))
    with watched():
        cache = ReplyCache(cache.folder)
        assert cache.get("good") == {"text": "good"}
        assert [cache.get(f"key {number}") for number in range(len(planted))] == [None] * len(planted)
        cache.put("good", {"text": "good"})
        for use in (cache._rows.get, cache._rows.peekitem, lambda *_: list(cache._rows)):  # diskcache's own reading
            with contextlib.suppress(TypeError):
                use("key 0")
        found = cache.verify()
        assert (found.rows, len(found.bad)) == (len(planted) + 1, len(planted))
        assert cache.stats().rows == len(planted) + 1
        assert cache.prune(older_than=1e12) == 0
        assert cache.prune(corrupt=True) == len(planted)
        cache.put("key 0", {"text": "new"})
        assert cache.get("key 0") == {"text": "new"}
        assert cache.verify().ok
        assert cache.clear() == 2
        cache.close()
    assert not mark.exists()


@pytest.mark.parametrize("name", ["disk_pickle_protocol", "size", "sqlite_mmap_size", "eviction_policy", "unknown"])
def test_a_pickle_in_the_settings_never_runs(name: str, tmp_path: Path) -> None:
    mark, cache = tmp_path / "ran", ReplyCache(tmp_path / "replies")
    cache.put("good", {"text": "good"})
    cache.close()
    for code in list(_families(str(mark)).values())[::5]:
        with database(cache) as rows:
            plant(rows, "Settings", {"key": name, "value": code})
        with watched():
            cache.put("other", {})
            assert cache.get("good") == {"text": "good"}
            with contextlib.suppress(CacheError):
                cache.verify()
                cache.stats()
            cache.close()
    assert not mark.exists()


@contextlib.contextmanager
def database(cache: ReplyCache) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(cache.folder / "cache.db")) as rows:
        yield rows
        rows.commit()


def plant(rows: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    rows.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
