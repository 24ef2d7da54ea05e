"""SQLite files: opened, damaged, refused."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tunesmith.sqlite import Database, connect, is_damage, is_refusal, set_aside


def test_a_file_is_set_aside_with_its_log_and_under_a_free_name(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    for content in ("first", "second"):
        for ending in ("", "-wal"):
            Path(f"{path}{ending}").write_text(content, encoding="utf-8")
        set_aside(path)
    assert sorted(tmp_path.iterdir()) == [Path(f"{path}.damaged-{end}") for end in ("1", "1-wal", "2", "2-wal")]
    assert [Path(f"{path}.damaged-{n}").read_text(encoding="utf-8") for n in (1, 2)] == ["first", "second"]


def test_a_schema_that_is_not_text_is_an_error_of_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE rows (name)")
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE rows", b"CREATE TABL\xff rows"))
    opened = contextlib.closing(sqlite3.connect(path, factory=Database))
    with opened as database, pytest.raises(sqlite3.DatabaseError) as found:
        database.execute("SELECT name FROM rows")
    assert found.value.sqlite_errorcode == sqlite3.SQLITE_CORRUPT


def test_a_damaged_file_is_told_from_a_machine_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    with contextlib.closing(connect(tmp_path / "broken.db")) as database, pytest.raises(sqlite3.Error) as damage:
        database.execute("SELECT * FROM sqlite_master")
    assert is_damage(damage.value)
    assert not is_refusal(damage.value)
    with pytest.raises(sqlite3.Error) as absent:
        connect(tmp_path / "absent.db", readonly=True)
    assert is_refusal(absent.value)
    assert not is_damage(absent.value)


def test_any_name_is_a_path_and_damaged_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a ?#%20 name.db"
    with contextlib.closing(connect(path)) as database:
        database.execute("CREATE TABLE rows (name TEXT)")
        database.execute("INSERT INTO rows VALUES (CAST(x'61ff' AS TEXT))")
        assert database.execute("SELECT name FROM rows").fetchall() == [("a\ufffd",)]
    assert path.exists()
