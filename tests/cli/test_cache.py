"""`tunesmith cache`."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import check_failure, run
from tunesmith.lm import ReplyCache, reply_cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReplyCache:
    """A cache of its own with three replies."""
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    found = reply_cache()
    for number in range(3):
        found.put(f"{number:064x}", {"v": 1, "text": "x" * 1000})
    return found


def test_stats_count_replies_and_bytes(cache: ReplyCache) -> None:
    found = json.loads(run("cache", "stats", "--json").stdout)
    assert found["rows"] == 3
    assert found["bytes"] > 3000
    assert found["folder"] == str(cache.folder)
    assert found["oldest"] <= found["newest"]
    assert run("cache", "stats").stdout.startswith("3 replies, 3.")


def test_verify_passes_what_is_whole_and_names_what_is_not(cache: ReplyCache) -> None:
    assert json.loads(run("cache", "verify", "--json").stdout) == {
        "rows": 3,
        "ok": True,
        "bad": [],
        "damage": [],
        "orphans": 0,
    }
    damage_a_row(cache)
    found = run("cache", "verify", "--json")
    assert found.exit_code == 1
    report = json.loads(found.stdout)
    assert (report["ok"], len(report["bad"])) == (False, 1)
    assert found.stderr.startswith("error: the cache is damaged.")
    assert run("cache", "prune", "--corrupt").stdout == "1 reply removed\n"
    assert run("cache", "verify").exit_code == 0


def test_prune_removes_by_age_and_size(cache: ReplyCache) -> None:
    assert json.loads(run("cache", "prune", "--older-than", "1h", "--json").stdout) == {"removed": 0}
    assert json.loads(run("cache", "prune", "--max-size", "2.5kB", "--json").stdout) == {"removed": 1}
    assert json.loads(run("cache", "prune", "--older-than", "0s", "--json").stdout) == {"removed": 2}


def test_clear_asks_first(cache: ReplyCache) -> None:
    assert run("cache", "clear", stdin="n\n").stdout == "0 replies removed\n"
    assert "--yes" in check_failure(run("cache", "clear", stdin=""), 2)
    assert cache.stats().rows == 3
    assert json.loads(run("cache", "clear", "--json", stdin="y\n").stdout) == {"removed": 3}
    assert run("cache", "clear", "--yes").stdout == "0 replies removed\n"


@pytest.mark.parametrize("text", ["", "1", "d", "-1d", "1 fortnight", "1e3d", "nan"])
def test_an_age_needs_a_number_and_a_unit(cache: ReplyCache, text: str) -> None:
    assert "--older-than" in check_failure(run("cache", "prune", f"--older-than={text}"), 2)


def test_a_home_that_is_a_file_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "file"))
    for arguments in (
        ("cache", "stats"),
        ("cache", "clear", "--yes"),
        ("models", "ls"),
        ("models", "pull", "embedded"),
    ):
        assert "TUNESMITH_HOME" in check_failure(run(*arguments), 2)


def damage_a_row(cache: ReplyCache) -> None:
    cache.close()
    with sqlite3.connect(cache.folder / "cache.db") as database:
        database.execute("UPDATE Cache SET value = X'00' WHERE rowid = 1")
    database.close()
