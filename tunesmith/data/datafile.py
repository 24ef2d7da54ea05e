"""A data file as it is: its rows with their lines, before any check against a signature."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from tunesmith.data.dataset import Dataset
from tunesmith.data.loading import no_value, picked
from tunesmith.data.readers import read_file
from tunesmith.data.rows import Columns
from tunesmith.data.source import Reading, Row
from tunesmith.errors import DataError, RowError, UsageError, shown
from tunesmith.signatures import Example

__all__ = ["DataFile", "compared_fields", "is_empty"]

_NAMES_A_ROW = re.compile(r"(?:^|[_\W])(?:id|idx|index|uuid|guid)$", re.IGNORECASE)
_WHOLE = re.compile(r"[0-9]{1,18}")
_FEWEST_COUNTED = 5  # rows: numbers in a row may be chance in fewer


@dataclass(frozen=True, slots=True)
class DataFile:
    """The rows of a file.

    Attributes:
        path: the file.
        rows: the rows that are objects, each with its line.
        wrong: the rows that are not.
        notes: what the reader left out or guessed.
    """

    path: Path
    rows: tuple[Row, ...]
    wrong: tuple[RowError, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str] | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
    ) -> "DataFile":
        """Read a file as `Dataset.load` does, without a signature. Wrong rows are kept in `wrong`.

        Raises:
            UsageError: there is no such file, or its suffix or an option is wrong.
            DataError: it cannot be read, or a place of `columns` has a value in no row.
        """
        notes: list[str] = []
        rows: list[Row] = []
        wrong: list[RowError] = []
        given = read_file(Path(path), Reading(notes.append, delimiter, encoding))
        try:
            for row in picked(given, columns):
                problem = row if isinstance(row, RowError) else _problem(row, str(path))
                if problem is not None:
                    wrong.append(problem)
                elif isinstance(row, Row):
                    rows.append(row)
        except RowError as error:
            wrong.append(error)
            notes.append(f"`{path}`: what follows line {error.line} could not be read.")
        for name, place in (columns or {}).items():
            if rows and not any(name in row.value for row in rows):
                raise DataError(f"{no_value(str(path), name, place, rows[0])} Correct it, or remove it.")
        return cls(Path(path), tuple(rows), tuple(wrong), tuple(notes))

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of all fields, in the order in which they come first."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.value))

    @property
    def counters(self) -> tuple[str, ...]:
        """The fields that number the rows: each value is a whole number, one more than that of the row before."""
        return tuple(name for name in self.fields if _counts_up([row.value.get(name) for row in self.rows]))

    def checked(self) -> "DataFile":
        """Return the file itself if it has rows and none is wrong.

        Raises:
            RowError: the first wrong row.
            DataError: there is no row.
        """
        if self.wrong:
            raise self.wrong[0]
        if not self.rows:
            raise DataError(f"`{self.path}` has no rows.")
        return self

    def dataset(self, inputs: Sequence[str]) -> Dataset:
        """Return the rows as a dataset whose examples are in the order of `rows`, unchanged but for JSON's types.

        Raises:
            RowError: a row lacks an input.
        """
        wanted = Columns(str(self.path), tuple(inputs))
        for row in self.rows:
            wanted.check_inputs(row, row.value)
        examples = (Example(base=plain(row.value)).with_inputs(*inputs) for row in self.rows)
        return Dataset(tuple(examples), tuple(inputs), self.path.stem)


def plain(value: Any) -> Any:
    """Return a value of a file with JSON's types only: dates of Parquet become texts, bytes Base64.

    Raises:
        DataError: it is nested too deeply.
    """
    try:
        return to_jsonable_python(value, bytes_mode="base64")
    except ValueError as error:
        raise DataError(f"A value cannot be written as JSON: {error}. Given: {shown(value)}.") from error


def is_empty(row: Row, name: str) -> bool:
    """Return whether a row has no value in a field: the field is absent, `None`, or a text without characters."""
    value = row.value.get(name)
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], {})


def compared_fields(
    fields: Iterable[str], others: Iterable[str | None] = (), counters: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the fields that say whether two rows are the same if nobody named the inputs.

    Left out are `others`, such as labels, and what names a row: fields such as `id` and `row_index`, and `counters`;
    unless nothing would be left.

    Raises:
        UsageError: one of `others` is not a field.
    """
    fields, named = tuple(fields), [name for name in others if name is not None]
    for name in named:
        if name not in fields:
            raise UsageError(f"There is no field `{name}`. The rows have: {', '.join(fields[:20])}.")
    rest = tuple(name for name in fields if name not in named)
    return tuple(name for name in rest if not _NAMES_A_ROW.search(name) and name not in counters) or rest or fields


def _counts_up(values: Sequence[Any]) -> bool:
    if len(values) < _FEWEST_COUNTED or not all(_WHOLE.fullmatch(str(value)) for value in values):
        return False
    first = int(values[0])
    return all(int(value) == first + place for place, value in enumerate(values))


def _problem(row: Row, where: str) -> RowError | None:
    if isinstance(row.value, Mapping):
        return None
    problem = f"This is a {type(row.value).__name__}, but a row must be an object with named fields."
    return RowError(problem, source=where, line=row.line, value=row.value)
