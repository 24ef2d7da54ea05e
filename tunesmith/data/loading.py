"""The steps of `Dataset.load`, from a source to checked examples."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from tunesmith.data.frames import rows_of
from tunesmith.data.paths import MISSING, at_path, opened, steps_of
from tunesmith.data.readers import read_file
from tunesmith.data.rows import Columns, meant_name, names_of
from tunesmith.data.source import Reading, Row
from tunesmith.errors import DataError, RowError, UsageError, shown
from tunesmith.signatures import Example, Signature

__all__ = ["OnBad", "check_arguments", "columns_of", "examples_of", "no_value", "open_source", "picked"]

_log = logging.getLogger("tunesmith")

OnBad = Literal["raise", "skip"]
Rows = Iterable[Row | RowError]


def check_arguments(signature: object, inputs: object, on_bad: object, columns: object = None) -> None:
    """Raise `UsageError` for arguments that contradict each other."""
    if on_bad not in ("raise", "skip"):
        raise UsageError(f"`on_bad` must be `raise` or `skip`. Given: {shown(on_bad)}.")
    if signature is not None and inputs is not None:
        raise UsageError("Give `signature` or `inputs`, not both: a signature names its inputs.")
    if isinstance(inputs, str):
        raise UsageError(f"`inputs` must be a list of field names. Given: {inputs!r}.")
    if columns is not None:
        _check_columns(columns, getattr(signature, "fields", {}))


def _check_columns(columns: object, fields: Mapping[str, object]) -> None:
    texts = [*columns.keys(), *columns.values()] if isinstance(columns, Mapping) else [None]
    if not isinstance(columns, Mapping) or not all(isinstance(text, str) and text for text in texts):
        raise UsageError(
            "`columns` must map each field to its place in a row, as in `columns={'answer': 'answers.text.0'}`. "
            f"Given: {shown(columns)}."
        )
    if columns and all(place in fields for place in columns.values()) and not any(name in fields for name in columns):
        turned = {place: name for name, place in columns.items()}
        raise UsageError(f"`columns` maps a field to its place, not a place to a field. Swap them: `columns={turned}`.")


def open_source(source: Any, name: str | None, reading: Reading) -> tuple[Rows, str, str]:
    """Return the rows of a source, a description of the source for errors, and the name of the dataset."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        stem = path.name[:-3] if path.suffix.lower() == ".gz" else path.name
        return read_file(path, reading), str(path), Path(stem).stem if name is None else name
    for option in ("delimiter", "encoding"):
        if getattr(reading, option) is not None:
            raise UsageError(f"`{option}` is only for files. Given: {shown(source, 80)}, a {type(source).__name__}.")
    where = "rows" if name is None else name
    return rows_of(source, where), where, where


def picked(rows: Rows, columns: Mapping[str, str] | None) -> Rows:
    """Return the rows with each field of `columns` taken from its place.

    A renamed column loses its old name. A value from inside a column is copied.
    """
    if not columns:
        return rows
    return (row if isinstance(row, RowError) else _picked(row, columns) for row in rows)


def _picked(row: Row, columns: Mapping[str, str]) -> Row:
    value = row.value
    if isinstance(value, Example):
        value = dict(value.items(include_dspy=True))
    if not isinstance(value, Mapping):
        return row
    found = {name: at_path(value, path) for name, path in columns.items()}
    rest = {name: item for name, item in value.items() if name not in columns.values() and name not in columns}
    fields = {**rest, **{name: item for name, item in found.items() if item is not MISSING}}
    return replace(row, value=fields, origin=value)


def columns_of(
    where: str,
    signature: type[Signature] | None,
    inputs: Iterable[str] | None,
    *,
    require_outputs: bool,
    rows: Rows = (),
) -> Columns:
    """Return the columns that every row must have; `rows` gives an error the columns there are.

    Raises:
        UsageError: there is neither a signature nor names of inputs.
        SignatureError: `signature` is not a signature class.
    """
    if signature is not None:
        return Columns.of(where, signature, require_outputs=require_outputs)
    names = () if inputs is None else tuple(inputs)
    if not names or not all(isinstance(name, str) for name in names):
        given = "" if inputs is None else f" Given: {shown(inputs)}."
        raise UsageError(
            f"The input fields of `{where}` are unknown.{_there(rows)} Give `signature=`, or name them as in "
            f"`inputs=['question']`.{given}"
        )
    return Columns(where, tuple(dict.fromkeys(names)))


def _there(rows: Rows) -> str:
    """Return a sentence with the columns of the first row."""
    first = next(iter(rows), None)
    value = first.value if isinstance(first, Row) else None
    names = [str(name) for name in value] if isinstance(value, Mapping) else []
    return f" It has the columns {', '.join(names[:20])}." if names else ""


def examples_of(
    rows: Rows,
    columns: Columns,
    report: Callable[[RowError], None] | None,
    paths: Mapping[str, str] | None = None,
) -> Iterator[tuple[Example, str]]:
    """Yield each example with its key. A bad row is raised, or passed to `report`.

    `paths` are the places from which `picked` took fields, for errors.

    Raises:
        DataError: an output with a default is absent in all rows, or a path of `paths` has no value in any row.
    """
    seen: set[str] = set()
    first: Row | None = None
    for row in rows:
        try:
            if isinstance(row, RowError):
                raise row
            pair = columns.example(row)
            seen.update(names_of(row.value))
            first = first or row
        except RowError as error:
            told = _with_path(error, row, paths or {})
            if report is None:
                raise told from error.__cause__
            report(told)
        else:
            yield pair
    if first is not None:
        _check_paths(paths or {}, seen, first, columns)
        columns.check_seen(seen)


def _check_paths(paths: Mapping[str, str], seen: Set[str], first: Row, columns: Columns) -> None:
    """Check that every path has a value in some row; log a warning for a field that may be absent.

    Raises:
        DataError: the path of a required field has no value in any row.
    """
    for name, path in paths.items():
        if name in seen:
            continue
        text = no_value(columns.source, name, path, first)
        column = next((column for column in columns.columns if column.name == name), None)
        if column is None or column.required:
            raise DataError(f"{text} Correct the path, or remove it.")
        _log.warning(text)


def no_value(source: str, name: str, path: str, first: Row) -> str:
    """Return in words that `path`, from which `name` is taken, has a value in no row; `first` is one of them."""
    way = _on_the_way(first.origin, path)
    return f"`{source}`: no row has a value at `{path}`, the place of `{name}` in `columns`.{way}"


def _with_path(error: RowError, row: Row | RowError, paths: Mapping[str, str]) -> RowError:
    """Return the error with the path of `columns` and what the row has there."""
    if error.field is None or isinstance(row, RowError):
        return error
    if error.field not in paths:
        misspelt = meant_name(error.field, paths) if error.field not in names_of(row.value) else None
        if misspelt is not None:
            text = f"The field is missing. `columns` has `{misspelt}`: did you mean `{error.field}`?"
            return RowError(text, source=error.source, line=error.line, field=error.field, value=error.value)
        part = _part(error)
        if part is None:
            return error
        text = f"{error.problem} To use a part of it, give `columns={{{error.field!r}: {part!r}}}`."
        return RowError(text, source=error.source, line=error.line, field=error.field, value=error.value)
    path = paths[error.field]
    if isinstance(row.value, Mapping) and error.field not in row.value:
        text = f"There is no value at `{path}`, its place in `columns`.{_on_the_way(row.origin, path)}"
    else:
        text = f"{error.problem} `columns` takes it from `{path}`.{_inside(path, error.value)}"
    return RowError(text, source=error.source, line=error.line, field=error.field, value=error.value)


def _part(error: RowError) -> str | None:
    """Return the path of a part of a value that does not have its field's shape; `None` if it has no parts."""
    value = error.value
    if not value or not error.problem.startswith("Input should be"):
        return None
    if isinstance(value, Mapping):
        return f"{error.field}.{next(iter(value))}"
    return f"{error.field}.0" if isinstance(value, (list, tuple)) else None


def _on_the_way(row: Mapping[str, Any], path: str) -> str:
    """Return a sentence with the missing step of the path and the value before it."""
    steps = steps_of(path)
    for count in range(len(steps) - 1, 0, -1):
        there = ".".join(steps[:count])
        value = at_path(row, there)
        if value is not MISSING:
            stands = _inside(there, value) or f" The value is {shown(value, 80)}."
            return f" `{there}` has no `{steps[count]}`.{stands}"
    return f" The row has no `{steps[0]}`. It has: {', '.join(map(str, row))}."


def _inside(path: str, value: object) -> str:
    """Return a sentence with the paths of a value's parts; empty if it has none."""
    value = opened(value)
    if isinstance(value, Mapping) and value:
        return f" It has {', '.join(f'`{path}.{name}`' for name in list(value)[:8])}."
    if isinstance(value, (list, tuple)) and value:
        item = _inside(f"{path}.0", value[0]) if isinstance(value[0], Mapping) else ""
        return f" Its first item is `{path}.0`.{item}"
    return ""
