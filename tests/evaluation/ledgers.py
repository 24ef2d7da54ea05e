"""Rows for ledgers, and ways to harm a file."""

import random
from functools import cache
from pathlib import Path

from tunesmith.evaluation import Entry, Failure, Ledger, Row, RowKey, Step
from tunesmith.lm import Call


@cache
def key_of(number: int, **changes: object) -> RowKey:
    given = {"program": "p", "candidate": f"c{number % 7}", "lm": "l", "metric": "m", "mode": "eval"}
    return RowKey(**{**given, "example": f"example {number}", **changes})  # type: ignore[arg-type]


@cache
def entry_of(number: int, **changes: object) -> Entry:
    """Return a row whose content depends on its number alone."""
    key = key_of(number, **changes)
    failure = Failure("program", "ParseError", f"no outputs: {'x' * (number % 50)}") if number % 10 == 3 else None
    text = f"an output, number {number}. " * (1 + number % 9)
    row = Row(
        key.example,
        None if failure else {"answer": text},
        None if failure else number / 7,
        failure,
        f"feedback {number}",
        calls=2,
        tokens=number,
        seconds=number / 3,
        steps=(Step("self", {"question": f"q{number}"}, {"answer": text}),),
    )
    calls = tuple(Call(f"key {number} {n}", "task", number, n, number / 6, paid=False) for n in range(2))
    return Entry(key, row, calls, ("a note",), time=1e9 + number)


def filled(path: Path, count: int) -> None:
    with Ledger(path) as ledger:
        ledger.copy_entries([entry_of(number) for number in range(count)])


def flip(path: Path, rng: random.Random) -> int:
    """Flip one random bit of the file and return where."""
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return place


def assert_no_wrong_number(path: Path, count: int) -> tuple[int, bool]:
    """Open the ledger; check that each row is as it was written or gone. Return how many are there, and whether all."""
    with Ledger(path) as ledger:
        there = 0
        for number in range(count):
            found, wanted = ledger.get(key_of(number)), entry_of(number)
            if found is not None:
                there += 1
                assert (found.key, found.row, found.calls, found.notes) == (
                    wanted.key,
                    wanted.row,
                    wanted.calls,
                    wanted.notes,
                )
        assert len(ledger) == there, "a row that nobody wrote"
        return there, bool(ledger.damage)
