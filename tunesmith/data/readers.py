"""Rows of data files: JSONL, JSON, CSV, TSV and Parquet, one after the other."""

import csv
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tunesmith.data.jsontext import JsonError, decode_json, located_items
from tunesmith.errors import DataError, RowError, UsageError

__all__ = ["Row", "read_file"]

_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")
_LONGEST_CELL = 2**26  # 64 Mi characters; bounds what an unclosed quote can swallow
_PARQUET_BATCH = 1024
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was read.

    Attributes:
        line: 1-based line on which it starts; the number of the row where a file has no lines.
        value: the fields by name, or whatever stood there instead.
        is_text: every value is text that stands for a value of another type (CSV).
    """

    line: int
    value: Any
    is_text: bool = False


Rows = Iterator[Row | RowError]
"""A bad row comes as an error, so that the reader can go on after it."""


def read_file(path: Path, *, stream: bool = False) -> Rows:
    """Return the rows of a file, by its suffix.

    `stream` refuses what cannot be read in bounded memory.

    Raises:
        UsageError: no such file, a suffix that is not known, a JSON array with `stream`, or a
            Parquet file without the extra `parquet`.
        DataError: the file cannot be read, or is not UTF-8 (raised while reading).
        RowError: a fault after which the rest of the file cannot be read (raised while reading).
    """
    suffix = path.suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        raise UsageError(f"`{path}` has no suffix that tunesmith reads. Known: {', '.join(sorted(_READERS))}.")
    if stream and suffix == ".json":
        raise UsageError(
            f"`{path}` is a JSON array and cannot be streamed. Write one object a line to a "
            "`.jsonl` file, or use `Dataset.load`."
        )
    _check_path(path)
    return reader(path)


def _check_path(path: Path) -> None:
    try:
        is_file, is_folder, exists = path.is_file(), path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        raise UsageError(f"`{path}` is no file name: {error}.") from error
    if not is_file:
        there = "is a folder" if is_folder else "is a pipe or a device"
        problem = there if exists else "does not exist"
        raise UsageError(f"`{path}` {problem}. Give the path of a data file.")


def _open(path: Path) -> BinaryIO:
    try:
        file = path.open("rb")
        head = file.read(_HEAD)
    except OSError as error:
        raise DataError(f"`{path}` cannot be read: {error}.") from error
    # A text of Latin letters in UTF-16 without a mark has a zero in every second byte.
    if head.startswith(_OTHER_BOMS) or b"\0" in (head[1:2], head[:1]):
        file.close()
        raise DataError(f"`{path}` is UTF-16 or UTF-32, or no text. Save it as UTF-8.")
    file.seek(len(_BOM) if head.startswith(_BOM) else 0)
    return file


def read_jsonl(path: Path) -> Rows:
    """Yield one row for each line that is not blank."""
    with _open(path) as file:
        for line, raw in enumerate(file, 1):
            if raw.strip():
                yield _jsonl_row(path, line, raw)


def _jsonl_row(path: Path, line: int, raw: bytes) -> Row | RowError:
    try:
        return Row(line, decode_json(raw.decode("utf-8")))
    except UnicodeDecodeError as error:
        return _not_utf8(path, line, raw[error.start : error.start + 8])
    except JsonError as error:
        hint = " Put one object on each line." if raw.strip() in (b"[", b"{", b"[{") else ""
        return RowError(f"{error.problem}{hint}", source=str(path), line=line, value=_cut(raw))


def read_json(path: Path) -> Rows:
    """Yield the items of the array, with the line on which each starts."""
    with _open(path) as file:
        raw = file.read()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _not_utf8(path, line, raw[error.start : error.start + 8]) from error
    if not text.strip():
        return
    try:
        for line, value in located_items(text):
            yield Row(line, value)
    except JsonError as error:
        raise RowError(error.problem, source=str(path), line=error.line) from error


def _read_csv(path: Path) -> Rows:
    return read_table(path, ",")


def _read_tsv(path: Path) -> Rows:
    return read_table(path, "\t")


def read_table(path: Path, delimiter: str) -> Rows:
    """Yield the rows below the header; blank lines are skipped (RFC 4180, quotes as in Excel)."""
    # The limit is the process's; it is only ever raised, and a longer cell is no fault.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    with _open(path) as file:
        # Bytes that are no UTF-8 are kept as lone surrogates, so that the quoting stays in step.
        lines = (raw.decode("utf-8", "surrogateescape") for raw in file)
        cells = _cells(path, csv.reader(lines, delimiter=delimiter, strict=True))
        header: list[str] | None = None
        for line, row in cells:
            if header is None:
                header = _header(path, line, row)
            elif isinstance(row, RowError):
                yield row
            elif len(row) != len(header):
                yield RowError(
                    f"The row has {len(row)} cells, the header has {len(header)}.",
                    source=str(path),
                    line=line,
                    value=row,
                )
            else:
                yield Row(line, dict(zip(header, row, strict=True)), is_text=True)


def _cells(path: Path, reader: Any) -> Iterator[tuple[int, list[str] | RowError]]:
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield line, RowError(_csv_problem(str(error)), source=str(path), line=line)
            continue
        if row is None:
            return
        if row:
            yield line, _bad_cell(path, line, row) or row


def _csv_problem(message: str) -> str:
    if "unexpected end of data" in message or "field larger" in message:
        return "A quoted cell that opens in this row is never closed."
    if "new-line character" in message:
        return "A carriage return stands alone. End lines with a line feed, or quote the cell."
    return f"This is not CSV: {message}. Write a quote inside a quoted cell twice."


def _bad_cell(path: Path, line: int, row: Sequence[str]) -> RowError | None:
    joined = "".join(row)
    if "\0" in joined:
        return RowError("The row holds a NUL byte.", source=str(path), line=line, value=row)
    if not joined.isascii():
        try:
            joined.encode("utf-8")
        except UnicodeEncodeError as error:
            given = joined[error.start : error.start + 8].encode("utf-8", "surrogateescape")
            return _not_utf8(path, line, given)
    return None


def _header(path: Path, line: int, row: list[str] | RowError) -> list[str]:
    if isinstance(row, RowError):
        raise row
    for column, name in enumerate(row, 1):
        if not name.strip():
            problem = f"Column {column} of the header has no name."
            raise RowError(f"{problem} Name it or leave it out.", source=str(path), line=line)
        if name in row[: column - 1]:
            raise RowError("The header has this name twice.", source=str(path), line=line, field=name)
    return row


def read_parquet(path: Path) -> Rows:
    """Yield the rows of a Parquet file, read in batches."""
    arrow, parquet = _arrow()
    failures = (OSError, ValueError, arrow.ArrowException)
    try:
        # Without `buffer_size` a whole column of a row group is held at once.
        file = parquet.ParquetFile(path, buffer_size=2**16, pre_buffer=False)
    except failures as error:
        raise DataError(f"`{path}` is not a Parquet file that can be read: {error}") from error
    with file:
        batches = file.iter_batches(batch_size=_PARQUET_BATCH)
        number = 0
        while True:
            try:
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            except failures as error:
                raise RowError(
                    f"The rest of the Parquet file cannot be read: {error}",
                    source=str(path),
                    line=number + 1,
                ) from error
            if batch is None:
                return
            for value in rows:
                number += 1
                yield Row(number, value)


def _arrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError("Parquet files need pyarrow. Install it with `pip install 'tunesmith[parquet]'`.") from error


def _not_utf8(path: Path, line: int, given: bytes) -> RowError:
    return RowError("The line is not UTF-8.", source=str(path), line=line, value=given)


def _cut(raw: bytes) -> str:
    return raw[:400].decode("utf-8", "replace").strip()


_READERS: dict[str, Callable[[Path], Rows]] = {
    ".csv": _read_csv,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
    ".tsv": _read_tsv,
}
