"""Write rows to data files: JSONL, CSV and TSV."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.atomic import write_atomically
from tunesmith.errors import DataError, UsageError, refusal_advice

__all__ = ["check_targets", "jsonl", "write_rows"]

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def check_targets(paths: Iterable[Path], *, force: bool) -> None:
    """Check that files may be written: none exists, or `force` is set; and their folders take files or can be made.

    Raises:
        UsageError: a file exists, is not a file, has a suffix that is not written, or a place that takes no files.
    """
    for path in paths:
        if path.suffix.lower() not in (".jsonl", *_DELIMITERS):
            raise UsageError(f"`{path}` cannot be written: name a `.jsonl`, `.csv` or `.tsv` file.")
        if path.is_dir():
            raise UsageError(f"`{path}` is a folder. Name a file.")
        if path.exists() and not force:
            raise UsageError(f"`{path}` exists. Name another file, or pass --force to replace it.")
        place = next(folder for folder in path.absolute().parents if folder.exists())
        if not place.is_dir() or not os.access(place, os.W_OK):
            why = "this user may not write there" if place.is_dir() else "it is a file and no folder"
            raise UsageError(f"`{path}` cannot be written below {str(place)!r}: {why}. Name another file.")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of JSON values, whole or not at all; the suffix selects the form.

    Folders are made. A `.csv` or `.tsv` file gets every field of any row as a column, and an empty cell for a field
    that a row lacks.

    Raises:
        DataError: the file cannot be written.
        UsageError: its suffix is not written.
    """
    check_targets([path], force=True)
    delimiter = _DELIMITERS.get(path.suffix.lower())
    text = jsonl(rows) if delimiter is None else _table(rows, delimiter)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise DataError(f"`{path}` cannot be written: {error.strerror}. {refusal_advice(path, error)}.") from error


def jsonl(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows of JSON values as JSONL."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _table(rows: Sequence[Mapping[str, Any]], delimiter: str) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([_text(row.get(name)) for name in names] for row in rows)]
    return "".join(f"{delimiter.join(_cell(text, delimiter) for text in line)}\n" for line in lines)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(text: str, delimiter: str) -> str:
    """Return the text of a cell; `csv.writer` leaves a carriage return at the end of a text without quotes."""
    plain = text and text == text.strip() and not any(sign in text for sign in (delimiter, '"', "\n", "\r"))
    return text if plain else '"{}"'.format(text.replace('"', '""'))
