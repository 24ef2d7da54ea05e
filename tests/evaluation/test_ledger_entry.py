"""A row whose checksum is right and whose content is of another type is a damaged one, whatever stands where."""

import copy
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.each import each
from tests.evaluation.ledgers import entry_of, filled, key_of
from tunesmith.evaluation import Ledger, count_ledger, read_entries
from tunesmith.evaluation import ledger_entry as entries
from tunesmith.evaluation.ledger_columns import columns_of
from tunesmith.sqlite import connect

OTHER: tuple[Any, ...] = (None, True, 7, 7.5, "text", [], ["text"], {}, {"a": 1})
TAKEN = {  # places where another type is as good
    ("outputs",): (None, {}, {"a": 1}),
    ("feedback",): (None, "text"),
}


def signed(values: Sequence[Any], **changes: Any) -> tuple[Any, ...]:
    """Return the columns of a row with some of them changed, under a checksum that is right."""
    found = {**dict(zip(entries.COLUMNS, values, strict=True)), **changes}
    given = [found[name] for name in entries.COLUMNS if name != "sha256"]
    text = json.dumps(given, separators=(",", ":"))
    return (*given, hashlib.sha256(text.encode("ascii")).hexdigest())


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a body, but for what a program's own values hold."""
    yield path
    if path in (("outputs",), ("steps", 0, 1), ("steps", 0, 2)):
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in pairs:
        yield from places(item, (*path, name))


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    found = copy.deepcopy(body)
    place = found
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return found


def at(body: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        body = body[name]
    return body


def is_alike(one: Any, other: Any) -> bool:
    numbers = all(type(value) in (int, float) for value in (one, other))
    return numbers or type(one) is type(other)


BODY = json.loads(columns_of(entry_of(1), 1)[-2])


@each("path", list(places(BODY)), ids=str)
def test_any_type_in_any_place_of_a_body_is_damage_or_what_was_meant(path: tuple[Any, ...]) -> None:
    good = columns_of(entry_of(1), 1)
    for value in OTHER:
        values = signed(good, body=json.dumps(replaced(BODY, path, value)))
        try:
            found = entries.entry_of(values)
        except entries.DamagedRow:
            continue
        assert is_alike(at(BODY, path), value) or value in TAKEN.get(path, ()) or path[0] == "calls", (path, value)
        again = signed(columns_of(found, 1))
        assert entries.entry_of(again) == found


@each("name", [name for name in entries.COLUMNS if name not in ("seq", "sha256", "body")])
def test_any_type_in_any_column_is_damage_or_what_was_meant(name: str) -> None:
    for number in (1, 3):  # a score, a failure
        good = columns_of(entry_of(number), 1)
        known = dict(zip(entries.COLUMNS, good, strict=True))[name]
        for value in (None, 7, 7.5, "text"):
            try:
                entries.entry_of(signed(good, **{name: value}))
            except entries.DamagedRow:
                continue
            assert is_alike(known, value) or name in ("score", "fault", "error"), (number, name, value)


@pytest.mark.parametrize("body", ["[]", "null", "7", '"text"', "{}", '{"calls": [[]], "notes": []}', "[" * 100_000])
def test_such_a_row_is_dropped_and_said_and_its_ledger_goes_on(
    tmp_path: Path, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run.db"
    filled(path, 3)
    with closing(connect(path)) as connection:
        values = connection.execute(f"SELECT {', '.join(entries.COLUMNS)} FROM rows WHERE seq = 2").fetchone()
        changed = signed(values, body=body)
        connection.execute("UPDATE rows SET body = ?, sha256 = ? WHERE seq = 2", changed[-2:])

    assert len(read_entries(path)) == 2
    assert count_ledger(path).damaged == 1
    with caplog.at_level(logging.WARNING, "tunesmith"), Ledger(path) as ledger:
        assert ledger.get(key_of(1)) is None
        assert ledger.get(key_of(2)) == ledger.put(entry_of(2))
        assert ledger.put(entry_of(1)).seq == 4
    assert "row 2" in caplog.text
