"""Rows in memory: examples, mappings and data frames."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tunesmith.data.jsontext import rows_of_columns
from tunesmith.data.keys import fields_of
from tunesmith.data.source import Row
from tunesmith.errors import DataError, RowError, UsageError, shown
from tunesmith.signatures import Example, without_numpy

__all__ = ["own_inputs", "rows_of"]


def rows_of(source: Any, where: str) -> Iterator[Row]:
    """Return the rows of a data frame (pandas, polars), or of an iterable of examples or mappings.

    Raises:
        UsageError: `source` is neither.
        DataError: the columns of a data frame have no names, or two have the same name.
    """
    if hasattr(source, "columns") and hasattr(source, "to_dict"):
        return _numbered(_frame_rows(source, where))
    if isinstance(source, Mapping) and not isinstance(source, Example):
        return _numbered(_column_rows(source))
    if isinstance(source, (bytes, Example)) or not isinstance(source, Iterable):
        raise UsageError(
            f"The source must be a file name, a list of examples or mappings, or a data frame. "
            f"Given: {shown(source)}, a {type(source).__name__}."
        )
    return _numbered(source)


def _column_rows(columns: Mapping[Any, Any]) -> list[Any]:
    """Return the rows of a mapping of columns, as `pandas.DataFrame` takes one."""
    rows = rows_of_columns(columns)
    if rows is None:
        raise UsageError(
            "A mapping must hold columns: lists of the same length by name. Pass one part of it, as in "
            f"`splits['train']`, or a list of rows. Given: {shown(columns, 80)}."
        )
    return rows


def own_inputs(rows: Iterable[Row | RowError], where: str) -> tuple[list[Row | RowError], tuple[str, ...]]:
    """Return the rows, and the inputs that all of them have set.

    Raises:
        DataError: there are no rows.
        UsageError: a row has no inputs set.
        RowError: two examples have different inputs set.
    """
    kept = list(rows)
    if not kept:
        raise DataError(f"`{where}` has no rows.")
    inputs: tuple[str, ...] | None = None
    for row in kept:
        own = None if isinstance(row, RowError) else _set_inputs(row.value)
        if own is None:
            raise UsageError(
                f"The input fields of `{where}` are unknown. Give `signature=`, name them as "
                "in `inputs=['question']`, or set them with `Example.with_inputs`."
            )
        if inputs is not None and set(own) != set(inputs):
            raise RowError(
                f"The inputs of this example differ from those before it, {sorted(inputs)}. "
                "Name the inputs with `inputs=`.",
                source=where,
                line=row.line,
                value=sorted(own),
            )
        inputs = own if inputs is None else inputs
    return kept, inputs or ()


def _set_inputs(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, Example) or value._input_keys is None:  # `with_inputs` was not called
        return None
    return tuple(name for name in fields_of(value) if name in value._input_keys)


def _numbered(values: Iterable[Any]) -> Iterator[Row]:
    return (Row(number, value) for number, value in enumerate(values, 1))


def _frame_rows(frame: Any, where: str) -> list[dict[str, Any]]:
    names = list(frame.columns)
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"`{where}` has a column named {shown(name)}. Column names must be text.")
        if names.count(name) > 1:
            raise DataError(f"`{where}` has two columns named `{name}`. Rename one.")
    records = frame.to_dicts() if hasattr(frame, "to_dicts") else frame.to_dict("records")
    return [{name: _present(value) for name, value in row.items()} for row in records]


def _present(value: Any) -> Any:
    """Replace pandas values in a cell, at any depth: NaN, NaT and NA by `None`, arrays by lists."""
    value = without_numpy(value)
    if type(value) is dict:
        return {name: _present(item) for name, item in value.items()}
    if type(value) is list:
        return [_present(item) for item in value]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return None if isinstance(value, float) and value != value else value
