"""From a source to checked examples: the steps that `Dataset.load` and `Dataset.scan` share."""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from tunesmith.data.frames import rows_of
from tunesmith.data.readers import Row, read_file
from tunesmith.data.rows import Columns, names_of
from tunesmith.errors import RowError, UsageError, shown
from tunesmith.signatures import Example, Signature

__all__ = ["OnBad", "check_arguments", "columns_of", "examples_of", "open_source", "scanned"]

_log = logging.getLogger("tunesmith")

OnBad = Literal["raise", "skip"]
Rows = Iterable[Row | RowError]


def check_arguments(signature: object, inputs: object, on_bad: object) -> None:
    """Raise `UsageError` for arguments that contradict each other."""
    if on_bad not in ("raise", "skip"):
        raise UsageError(f"`on_bad` is `raise` or `skip`. Given: {shown(on_bad)}.")
    if signature is not None and inputs is not None:
        raise UsageError("Give `signature` or `inputs`, not both: a signature names its inputs.")
    if isinstance(inputs, str):
        raise UsageError(f"`inputs` is a list of field names. Given: {inputs!r}.")


def open_source(source: Any, name: str | None) -> tuple[Rows, str, str]:
    """Return the rows of a source, where errors say they are, and the name of the dataset."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        return read_file(path), str(path), path.stem if name is None else name
    where = "rows" if name is None else name
    return rows_of(source, where), where, where


def columns_of(
    where: str,
    signature: type[Signature] | None,
    inputs: Iterable[str] | None,
    *,
    require_outputs: bool,
) -> Columns:
    """Return what every row must hold.

    Raises:
        UsageError: neither a signature nor names of inputs.
        SignatureError: `signature` is no signature class.
    """
    if signature is not None:
        return Columns.of(where, signature, require_outputs=require_outputs)
    names = () if inputs is None else tuple(inputs)
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"The input fields of `{where}` are not known. Give `signature=`, or name them as in "
            f"`inputs=['question']`. Given: {shown(inputs)}."
        )
    return Columns(where, tuple(dict.fromkeys(names)))


def examples_of(
    rows: Rows, columns: Columns, report: Callable[[RowError], None] | None
) -> Iterator[tuple[Example, str]]:
    """Yield each example with its key; a bad row is raised, or given to `report`.

    Raises:
        DataError: an output that is filled in where it is absent stands in no row.
    """
    seen: set[str] = set()
    for row in rows:
        try:
            if isinstance(row, RowError):
                raise row
            pair = columns.example(row)
            seen.update(names_of(row.value))
        except RowError as error:
            if report is None:
                raise
            report(error)
        else:
            yield pair
    if seen:
        columns.check_seen(seen)


def scanned(rows: Rows, columns: Columns, on_bad: OnBad) -> Iterator[Example]:
    """Yield the examples; skipped rows are counted in the log, not kept."""
    count = 0

    def skip(error: RowError) -> None:
        nonlocal count
        count += 1
        _log.debug("skipped %s", error)

    for example, _ in examples_of(rows, columns, skip if on_bad == "skip" else None):
        yield example
    if count > 0:
        _log.warning("%s: skipped %d bad rows", columns.source, count)
