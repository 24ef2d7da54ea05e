"""Read rows of data files, one after the other: JSONL, JSON, YAML, CSV, TSV and Parquet."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.data.jsontext import JsonError, decode_json, located_items
from tunesmith.data.source import Reading, Row, Rows
from tunesmith.data.tables import read_table
from tunesmith.data.textfile import misread, starts_with, text_lines
from tunesmith.data.yamltext import YamlError, located_yaml
from tunesmith.errors import DataError, RowError, UsageError

__all__ = ["parquet_metadata", "read_file"]

_PARQUET_BATCH = 1024
_DOCUMENT = ("[{", "[]")  # the start of a JSON array of objects, for any file name


def read_file(path: Path, reading: Reading) -> Rows:
    """Return the rows of a file. The suffix selects the reader; `.gz` may follow it.

    Raises:
        UsageError: the file does not exist, its suffix is unknown, an option does not apply to it,
            or it is a Parquet file and the extra `parquet` is missing.
        DataError: the file cannot be read, or is not text (mostly raised while reading).
        RowError: an error after which the rest of the file cannot be read (raised while reading).
    """
    _check_path(path)
    suffix = _suffix(path)
    reader = _READERS[suffix]
    if suffix not in (".csv", ".tsv") and reading.delimiter is not None:
        raise UsageError(f"`delimiter` is only for `.csv` and `.tsv` files. Given: `{path}`.")
    if suffix == ".parquet" and reading.encoding is not None:
        raise UsageError(f"`encoding` is only for text files. Given: `{path}`.")
    if reader is read_jsonl and starts_with(path, reading.encoding, _DOCUMENT):
        reader = read_json
    return reader(path, reading)


def _suffix(path: Path) -> str:
    """Return the suffix that selects the reader.

    Raises:
        UsageError: the suffix is unknown.
    """
    name = path.name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix in _READERS and (suffix != ".parquet" or not name.endswith(".gz")):
        return suffix
    known = ", ".join(sorted(_READERS))
    last = Path(name).suffix
    if last in _ELSEWHERE:
        raise UsageError(f"`{path}`: tunesmith does not read `{last}`. {_ELSEWHERE[last]}.")
    raise UsageError(
        f"The suffix of `{path}` is unknown. Known: {known}; all except `.parquet` may have `.gz` after it. "
        "Rename the file, or pass a data frame."
    )


def _check_path(path: Path) -> None:
    try:
        is_file, is_folder, exists = path.is_file(), path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        raise UsageError(f"`{path}` is not a file name: {error}.") from error
    if not is_file:
        there = "is a folder" if is_folder else "is a pipe or a device"
        problem = there if exists else "does not exist"
        raise UsageError(f"`{path}` {problem}. Give the path of a data file.")


def read_jsonl(path: Path, reading: Reading) -> Rows:
    """Yield one row for each line that is not blank."""
    for line, text in enumerate(text_lines(path, reading.encoding), 1):
        if text.strip(" \t\r\n"):
            yield misread(path, line, text, reading.encoding) or _jsonl_row(path, line, text)


def _jsonl_row(path: Path, line: int, text: str) -> Row | RowError:
    try:
        return Row(line, decode_json(text))
    except JsonError as error:
        return RowError(
            f"{error.problem}{_hint(text.strip(), error.problem)}",
            source=str(path),
            line=line,
            value=text[:400].strip(),
        )


def _hint(line: str, problem: str) -> str:
    """Return advice for a line that is not JSON, or an empty text."""
    if line in ("[", "{", "[{"):
        return " Put one object on each line, or name the file `.json`."
    if line in ("]", "}", "}]", "],"):
        return " Remove this line, or name the file `.json`."
    if line.startswith(("//", "#", "/*")):
        return " JSON has no comments: remove this line."
    if line.endswith("},"):
        return " Remove the comma at its end, or put all lines between `[` and `]`."
    if problem.startswith("There is text after"):
        return " Put each object on its own line, or name the file `.json`."
    return " Write rows with `json.dumps`, not with `str`." if line.startswith("{'") else ""


def read_json(path: Path, reading: Reading) -> Rows:
    """Yield the rows of a JSON text with their line numbers."""
    lines = list(text_lines(path, reading.encoding))
    for number, line in enumerate(lines, 1):
        error = misread(path, number, line, reading.encoding, is_row=False)
        if error is not None:
            raise error
    text = "".join(lines)
    if not text.strip():
        return
    try:
        for line_number, value in located_items(text):
            is_bad = isinstance(value, JsonError)
            yield RowError(value.problem, source=str(path), line=value.line) if is_bad else Row(line_number, value)
    except JsonError as error:
        raise RowError(error.problem, source=str(path), line=error.line) from error


def read_yaml(path: Path, reading: Reading) -> Rows:
    """Yield the rows of a YAML text with their line numbers."""
    lines = list(text_lines(path, reading.encoding))
    for number, line in enumerate(lines, 1):
        error = misread(path, number, line, reading.encoding, is_row=False)
        if error is not None:
            raise error
    try:
        for line_number, value in located_yaml("".join(lines), reading.note):
            is_bad = isinstance(value, YamlError)
            yield RowError(value.problem, source=str(path), line=value.line) if is_bad else Row(line_number, value)
    except YamlError as error:
        raise RowError(error.problem, source=str(path), line=error.line) from error


def _read_csv(path: Path, reading: Reading) -> Rows:
    return read_table(path, ",", reading)


def _read_tsv(path: Path, reading: Reading) -> Rows:
    return read_table(path, "\t", reading)


def read_parquet(path: Path, reading: Reading) -> Rows:
    """Yield the rows of a Parquet file, read in batches."""
    arrow, parquet = _arrow()
    failures = (OSError, ValueError, arrow.ArrowException)
    try:
        # Without `buffer_size`, pyarrow loads a whole column of a row group.
        file = parquet.ParquetFile(path, buffer_size=2**16, pre_buffer=False)
    except failures as error:
        raise DataError(f"`{path}` cannot be read as Parquet: {error}") from error
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


def parquet_metadata(path: Path) -> dict[str, str]:
    """Return the notes that the writer of a Parquet file left in it.

    Raises:
        DataError: the file cannot be read.
        UsageError: the extra `parquet` is missing.
    """
    arrow, parquet = _arrow()
    try:
        found = parquet.read_schema(path).metadata or {}
    except (OSError, ValueError, arrow.ArrowException) as error:
        raise DataError(f"`{path}` cannot be read as Parquet: {error}") from error
    return {name.decode("utf-8", "replace"): text.decode("utf-8", "replace") for name, text in found.items()}


def _arrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError("Parquet files need pyarrow. Install it with `pip install 'tunesmith[parquet]'`.") from error


_READERS: dict[str, Callable[[Path, Reading], Rows]] = {
    ".csv": _read_csv,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
    ".tsv": _read_tsv,
    ".yaml": read_yaml,
    ".yml": read_yaml,
}
_FRAME = "Save it as CSV or JSONL, or pass a data frame: `Dataset.load(pandas.read_{}(...))`"
_UNPACK = "Unpack it, or compress it with gzip instead, as in `rows.jsonl.gz`"
_ELSEWHERE = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), _FRAME.format("excel")),
    **dict.fromkeys((".arrow", ".feather"), _FRAME.format("feather")),
    ".xml": _FRAME.format("xml"),
    **dict.fromkeys((".bz2", ".xz", ".zst", ".zip", ".7z", ".rar", ".tar", ".tgz", ".br", ".lz4"), _UNPACK),
    **dict.fromkeys(
        (".txt", ".tab", ".dat"), "Name a table `.csv` or `.tsv`, and a file with one object per line `.jsonl`"
    ),
}
