"""Read CSV, as spreadsheets, pandas and RFC 4180 write it, and TSV."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tunesmith.data.source import Reading, Row, Rows
from tunesmith.data.textfile import misread, text_lines
from tunesmith.errors import RowError, shown

__all__ = ["read_table"]

_LONGEST_CELL = 2**26  # 64 Mi characters; limits how much text an unclosed quote can take
_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 2**16  # characters read to detect the delimiter
_BLANK = " \t\xa0\u3000\u200b\ufeff"  # stripped from column names
_SEP = re.compile(r'"?sep=(.)"?[,;\t]*\r?\n?', re.IGNORECASE)


def read_table(path: Path, own: str, reading: Reading) -> Rows:
    """Yield the rows below the header.

    The delimiter comes from `reading`, or from a first line such as `sep=;`. Otherwise it is the one of comma,
    semicolon, tab and bar that splits header and rows into the same number of cells; `own` wins a tie. Empty rows and
    columns without a name are skipped; a note is given if such a column holds values.
    """
    # The limit holds for the whole process, so it is never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    lines = text_lines(path, reading.encoding)
    sample, whole = _sample(lines)
    said = _SEP.fullmatch(sample[0]) if sample else None
    if said is not None:
        sample[0] = "\n"  # keeps the line numbers
    delimiter = reading.delimiter or (said.group(1) if said else _delimiter(sample, own, whole=whole))
    reader = _reader(chain(sample, lines), delimiter, spaced=_is_spaced(sample, delimiter))
    header: _Header | None = None
    for line, row in _cells(path, reader, reading.encoding):
        if header is None:
            header = _Header.of(path, line, row, delimiter)
        elif isinstance(row, RowError):
            yield row
        else:
            yield header.row(line, row, reading)


@dataclass(slots=True)
class _Header:
    """The positions of the named columns, the number of cells up to the last of them, and of all cells."""

    path: Path
    places: dict[str, int]
    named: int
    width: int
    delimiter: str
    noted: bool = False

    @classmethod
    def of(cls, path: Path, line: int, row: list[str] | RowError, delimiter: str) -> "_Header":
        if isinstance(row, RowError):
            raise row
        places: dict[str, int] = {}
        for place, cell in enumerate(row):
            name = cell.strip(_BLANK)
            if name in places:
                problem = "The header has this name twice. Rename one of the two columns."
                raise RowError(problem, source=str(path), line=line, field=name)
            if name.strip():
                places[name] = place
        return cls(path, places, max(places.values()) + 1, len(row), delimiter)

    def row(self, line: int, cells: list[str], reading: Reading) -> Row | RowError:
        nameless = []
        if len(cells) != self.width or len(self.places) != self.width:  # usually every cell has a name
            nameless = [place for place in _filled(cells) if place not in self.places.values()]
        if len(cells) < self.named or any(place >= self.width for place in nameless):
            return self._misfit(line, cells)
        if nameless and not self.noted:
            self.noted = True
            reading.note(f"`{self.path}`: column {nameless[0] + 1} has no name and is skipped. Name it to keep it.")
        return Row(line, {name: cells[place] for name, place in self.places.items()}, is_text=True)

    def _misfit(self, line: int, cells: list[str]) -> RowError:
        sign = {"\t": "a tab", ",": "a comma"}.get(self.delimiter, f"`{self.delimiter}`")
        if len(cells) < self.named:
            width, remedy = self.named, f"Columns are separated by {sign}, also if a cell is empty."
        else:
            width, remedy = self.width, f"Put cells that contain {sign} in double quotes, and name every column."
        if self.width == 1:
            remedy += " Remove lines above the header."
        problem = f"The row has {len(cells)} cells, the header has {width}. {remedy} For another separator give"
        return RowError(f"{problem} `delimiter=`.", source=str(self.path), line=line, value=cells)


def _sample(lines: Iterator[str]) -> tuple[list[str], bool]:
    """Return the first lines, and whether they are the whole file."""
    found, size = [], 0
    for line in lines:
        found.append(line)
        size += len(line)
        if size >= _SAMPLE:
            return found, False
    return found, True


def _delimiter(sample: list[str], own: str, *, whole: bool) -> str:
    scores = {sign: _agreement(sample, sign, whole=whole) for sign in dict.fromkeys((own, *_DELIMITERS))}
    return max(scores, key=lambda sign: scores[sign])  # `own` comes first, so it wins a tie


def _agreement(sample: list[str], delimiter: str, *, whole: bool) -> float:
    """Return the share of rows with as many cells as the header; -1 if the header has one cell or is unreadable."""
    reader = _reader(sample, delimiter, spaced=True)
    header = _next(reader)
    while header is not None and not _filled(header):
        header = _next(reader)
    width = len(header or ())
    if header is None or width < 2:
        return -1.0
    fits = []
    while (row := _next(reader, failed=["", ""] * width)) is not None:
        filled = _filled(row)
        if filled:
            fits.append(filled[-1] < width and len(row) > _filled(header)[-1])
    fits = fits if whole else fits[:-1]
    return sum(fits) / len(fits) if fits else 1.0


def _next(reader: Any, failed: list[str] | None = None) -> list[str] | None:
    try:
        found: list[str] | None = next(reader, None)
    except csv.Error:
        return failed
    return found


def _is_spaced(sample: list[str], delimiter: str) -> bool:
    """Return whether the header has a blank after the delimiter; then every row is read that way."""
    reader = _reader(sample, delimiter, spaced=False)
    header = _next(reader)
    while header is not None and not _filled(header):
        header = _next(reader)
    return any(cell.startswith(" ") and cell.strip() for cell in (header or ())[1:])


def _reader(lines: Iterable[str], delimiter: str, *, spaced: bool) -> Any:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced, strict=True)


def _filled(row: Sequence[str]) -> list[int]:
    return [place for place, cell in enumerate(row) if cell.strip()]


def _cells(path: Path, reader: Any, encoding: str | None) -> Iterator[tuple[int, list[str] | RowError]]:
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield line, RowError(_csv_problem(str(error), reader.dialect.delimiter), source=str(path), line=line)
            continue
        if row is None:
            return
        if any(cell.strip() for cell in row):
            yield line, _bad_cell(path, line, row, encoding) or row


def _csv_problem(message: str, delimiter: str) -> str:
    plain = "If quotes are plain text here, pass a data frame: `Dataset.load(pandas.read_csv(..., quoting=3))`."
    if "unexpected end of data" in message or "field larger" in message:
        return f"A quoted cell that starts in this row is never closed. {plain}"
    if "new-line character" in message:
        return "There is a carriage return without a line feed. End lines with a line feed, or quote the cell."
    escaped = "If the quote has a backslash before it: `Dataset.load(pandas.read_csv(..., escapechar='\\\\'))`."
    problem = f"This is not CSV with {shown(delimiter)} between cells: {message}."
    return f"{problem} Write a quote inside a quoted cell twice. {escaped} {plain}"


def _bad_cell(path: Path, line: int, row: Sequence[str], encoding: str | None) -> RowError | None:
    joined = " ".join(row)
    if "\0" in joined:
        problem = "The row holds a NUL byte. If the file is UTF-16, give `encoding='utf-16'`."
        return RowError(problem, source=str(path), line=line, value=row)
    return misread(path, line, joined, encoding)
