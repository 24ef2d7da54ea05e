"""A cache that an earlier version wrote still answers: keys, rows and files are what they were."""

import contextlib
import json
import sqlite3
from pathlib import Path

from tunesmith.lm.cache.reply_cache import ReplyCache
from tunesmith.lm.doubles import FunctionLM, Seen

ROWS = Path(__file__).with_name("older.sql")
"""The database as SQL. Its second reply was too long for it: it is in the file below, written out here."""
FILE = "1e/7e/1fb216867daa9827e61fb4f61733.val"
LONG = (
    "8e4fe42b6b04c8a51f431399d152a0844d39c43e671fa6f872793bcc74ccc106\n"
    + '{"v":1,"text":"'
    + "x" * 40_000
    + '","finish":"stop","model":"function","in":3,"out":1,"hit":null,"seconds":0.0001}'
)


def older_cache(folder: Path) -> ReplyCache:
    (folder / FILE).parent.mkdir(parents=True)
    (folder / FILE).write_text(LONG, encoding="utf-8")
    with contextlib.closing(sqlite3.connect(folder / "cache.db")) as database:
        database.executescript(ROWS.read_text(encoding="utf-8"))
    return ReplyCache(folder)


def test_replies_of_an_earlier_version_are_not_paid_again(tmp_path: Path) -> None:
    def pay(seen: Seen) -> str:
        raise AssertionError(f"paid again: {seen.text}")

    cache = older_cache(tmp_path)
    model = FunctionLM(pay, cache=cache, version="1")
    assert model("What is six times seven?") == ["forty-two"]
    assert model("Say something long.") == ["x" * 40_000]
    assert cache.verify().ok


def test_rows_are_written_as_an_earlier_version_wrote_them(tmp_path: Path) -> None:
    cache = older_cache(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "cache.db")) as database:
        select = "SELECT key, raw, size, mode, value FROM Cache ORDER BY rowid"
        before = database.execute(select).fetchall()
        for key, _, _, _, value in before:
            stored = LONG if value is None else value.decode()
            cache.put(key, json.loads(stored.partition("\n")[2]))
        assert database.execute(select).fetchall() == before
        (name,) = database.execute("SELECT filename FROM Cache WHERE filename IS NOT NULL").fetchone()
    assert name != FILE
    assert (tmp_path / name).read_text(encoding="utf-8") == LONG
    assert not (tmp_path / FILE).exists()
