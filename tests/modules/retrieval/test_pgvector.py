"""A table of PostgreSQL is searched as any corpus. Without PostgreSQL, pgvector or psycopg the whole tests are skipped."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.each import each
from tunesmith.errors import DataError, UsageError
from tunesmith.modules import Hybrid, PgVector

WORDS = ("card", "account", "fee")
ROWS = {"1": "my card", "2": "my account", "3": "card and fee", "4": "nothing", "5": "another card"}


def count(texts: list[str]) -> list[list[float]]:
    """Return how often each text has each of three words."""
    return [[float(text.count(word)) for word in WORDS] for text in texts]


class Connection:
    """A connection of a driver, which has the rows that it was given and remembers what it was asked."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows, self.asked, self.closed = rows, list[Any](), 0

    def cursor(self) -> "Connection":
        return self

    def execute(self, query: str, given: Any) -> None:
        if not self.rows:
            raise RuntimeError('relation "passages" does not exist\n')
        self.asked.append((query, given))

    def fetchall(self) -> list[Any]:
        return self.rows

    def close(self) -> None:
        self.closed += 1


def test_rows_become_passages_the_best_first_ties_by_id() -> None:
    rows = [(2, "b", None, 0.5), (7, "g", "g.md", 0.9), (1, "a", None, 0.5), (3, "zeros", None, float("nan"))]
    connection = Connection([*rows, (4, "no vector", None, None)])
    found = PgVector(lambda: connection, "docs.passages", count, source="file", min_score=0.5)("a card", k=9)

    assert [(one.id, one.source) for one in found] == [("7", "g.md"), ("1", ""), ("2", "")]
    assert connection.asked == [
        (
            'SELECT "id", "text", "file", 1 - ("embedding" <=> %s::vector) FROM "docs"."passages" '
            'ORDER BY "embedding" <=> %s::vector LIMIT %s',
            ("[1.0,0.0,0.0]", "[1.0,0.0,0.0]", 9),
        )
    ]
    assert connection.closed == 2  # the cursor, too


@each("names", [{"table": 'a"; drop'}, {"text": "a.b"}, {"table": "a.b.c"}, {"vector": ""}, {"id": None}])
def test_a_name_that_is_no_name_is_refused(names: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(names))}` must be a name"):
        PgVector(lambda: None, **{"table": "passages", "embed": count, **names})


def test_what_a_database_says_is_an_error_with_the_query() -> None:
    with pytest.raises(UsageError, match="`connect` must be a function"):
        PgVector("dbname=docs", "passages", count)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r'relation "passages" does not exist\. The query was: SELECT'):
        PgVector(lambda: Connection([]), "passages", count)("card")
    assert PgVector(lambda: Connection([]), "passages", count)("none of the words") == []


@pytest.fixture(scope="module")
def database() -> Iterator[Callable[[], Any]]:
    """A PostgreSQL of its own with pgvector, on a socket in a folder of its own."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    pg_ctl = shutil.which("pg_ctl")
    if pg_ctl is None:
        pytest.skip("PostgreSQL is not installed: there is no pg_ctl in PATH")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def run(*command: str) -> None:
        silent = subprocess.DEVNULL  # a server that keeps a pipe open would be waited for
        subprocess.run(command, check=True, cwd=folder, stdout=silent, stderr=silent, timeout=100, **owner)

    def connect() -> Any:
        return psycopg.connect(host=str(folder), dbname="postgres", user="tester")

    data = str(folder / "data")
    try:
        run(str(Path(pg_ctl).resolve().with_name("initdb")), "-D", data, "-U", "tester", "-A", "trust", "--no-sync")
        run(pg_ctl, "-D", data, "-w", "-o", f"-k {folder} -c listen_addresses='' -F", "start")
        try:
            try:
                with connect() as connection:
                    connection.execute("CREATE EXTENSION vector")
            except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as error:
                pytest.skip(f"pgvector is not installed in PostgreSQL: {error}")
            yield connect
        finally:
            run(pg_ctl, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.whole
def test_a_table_is_searched_in_postgresql(database: Callable[[], Any]) -> None:
    with database() as connection:
        connection.execute("CREATE TABLE passages (id text PRIMARY KEY, text text, file text, embedding vector(3))")
        for (key, text), row in zip(ROWS.items(), count(list(ROWS.values())), strict=True):
            given = (key, text, f"{key}.md", str(row))
            connection.execute("INSERT INTO passages VALUES (%s, %s, %s, %s::vector)", given)
        connection.execute("INSERT INTO passages VALUES ('6', 'a card without a vector', NULL, NULL)")

    search = PgVector(database, "passages", count, source="file", min_score=0.1)
    found = search("a card", k=5)

    assert [(one.id, round(one.score, 3), one.source) for one in found] == [
        ("1", 1.0, "1.md"),
        ("5", 1.0, "5.md"),
        ("3", 0.707, "3.md"),
    ]
    assert [one.id for one in search("a card", k=1)][0] in ("1", "5")
    assert [one.id for one in Hybrid(search, PgVector(database, "passages", count))("a fee", k=1)] == ["3"]
    with pytest.raises(DataError, match="different vector dimensions"):
        PgVector(database, "passages", lambda texts: [[1.0]] * len(texts))("card")
