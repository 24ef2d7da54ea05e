"""Convert a data file from the shape that it has to rows of tunesmith."""

import keyword
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.data.datafile import DataFile, plain
from tunesmith.data.keys import canonical_json
from tunesmith.data.shapes.registry import get_shape, shape_of
from tunesmith.data.shapes.shape import Dropped, Given, Shape, WrongField
from tunesmith.data.source import Row
from tunesmith.errors import DataError, RowError, UsageError, brief

__all__ = ["Conversion", "convert_file"]

_SAMPLE = 100  # rows looked at to tell the shape
_NOT_IN_A_NAME = re.compile(r"\W+")


@dataclass(frozen=True, slots=True)
class Conversion:
    """A converted file. Nothing is written yet.

    Attributes:
        path: the file.
        shape: the name of its shape.
        signature: a signature that the rows fit; empty if the shape says none.
        read: rows of the file.
        rows: what they became.
        wrong: the rows that do not have the shape.
        dropped_fields: fields that nothing was made of, with the number of rows that have them.
        dropped: what else was left out, with how often.
        renamed: new names of fields whose name cannot be that of a field.
        notes: what the reader left out or guessed.
    """

    path: Path
    shape: str
    signature: str
    read: int
    rows: tuple[dict[str, Any], ...]
    wrong: tuple[RowError, ...] = ()
    dropped_fields: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return brief(self, self.shape, read=self.read, rows=len(self.rows), wrong=len(self.wrong))

    @property
    def fields(self) -> dict[str, int]:
        """The fields of the rows, with the number of rows that have a value in them."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: sum(row.get(name) is not None for row in self.rows) for name in names}

    def checked(self, *, skip_bad: bool = False) -> "Conversion":
        """Return the conversion if it can be used.

        Raises:
            RowError: a row is wrong, unless `skip_bad`.
            DataError: no row is left.
        """
        if self.wrong and not skip_bad:
            first = self.wrong[0]
            more = "" if len(self.wrong) == 1 else f" {len(self.wrong) - 1} other row(s) are wrong too."
            first.add_note(
                f"The file was read as `{self.shape}`; `--from` chooses another shape, `--skip-bad` leaves such rows "
                f"out.{more}"
            )
            raise first
        if not self.rows:
            reasons = ", ".join(f"{reason} ({count})" for reason, count in self.dropped.items())
            raise DataError(
                f"No row of `{self.path}` is left, read as `{self.shape}`. Left out: {reasons or 'nothing'}."
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """Return what was done as JSON values, without the rows."""
        return {
            "file": str(self.path),
            "shape": self.shape,
            "signature": self.signature or None,
            "read": self.read,
            "rows": len(self.rows),
            "fields": self.fields,
            "wrong": [{"line": error.line, "field": error.field, "message": str(error)} for error in self.wrong],
            "dropped_fields": dict(self.dropped_fields),
            "dropped": dict(self.dropped),
            "renamed": dict(self.renamed),
            "notes": list(self.notes),
        }


def convert_file(
    path: str | Path,
    *,
    shape: str | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    keep: Sequence[str] = (),
    delimiter: str | None = None,
    encoding: str | None = None,
) -> Conversion:
    """Convert a file; nothing is written.

    Args:
        path: the file.
        shape: the name of its shape (`known_shapes`); default the one that its first rows have.
        columns: where fields stand in a row, as in `Dataset.load`; taken before the shape is looked at.
        labels: the names of label ids by field, in the order of the ids from 0.
        keep: fields of a row to keep, though the shape has no use for them, such as `category`.
        delimiter: the separator of a table; detected by default.
        encoding: of a text file.

    Raises:
        UsageError: there is no such file or shape, or two shapes fit.
        DataError: the file cannot be read, or has no rows.
    """
    file = DataFile.read(path, columns=columns, delimiter=delimiter, encoding=encoding)
    if not file.rows:
        raise file.wrong[0] if file.wrong else DataError(f"`{file.path}` has no rows.")
    kind = get_shape(shape) if shape is not None else shape_of([row.value for row in file.rows[:_SAMPLE]], file.path)
    made = _Maker(file.path, kind, labels or {}, keep)
    for row in file.rows:
        made.add(row)
    made.check_names(file.fields)
    return Conversion(
        file.path,
        kind.name,
        kind.signature,
        len(file.rows) + len(file.wrong),
        tuple(made.rows),
        tuple(sorted((*file.wrong, *made.wrong), key=lambda error: error.line or 0)),
        dict(made.dropped.fields.most_common()),
        dict(made.dropped.rows.most_common()),
        made.renamed,
        file.notes,
    )


class _Maker:
    """Collects the rows of a conversion."""

    def __init__(self, path: Path, shape: Shape, labels: Mapping[str, Sequence[str]], keep: Sequence[str]) -> None:
        self._path, self._shape, self._labels, self._keep = path, shape, labels, keep
        self.rows: list[dict[str, Any]] = []
        self.wrong: list[RowError] = []
        self.dropped = Dropped()
        self.renamed: dict[str, str] = {}

    def add(self, row: Row) -> None:
        """Add what a row becomes, or its error."""
        dropped = Dropped()
        try:
            given = Given({str(name): value for name, value in row.value.items()}, dropped)
            kept = {name: given.get(name) for name in self._keep if name in given.value}
            converted = self._shape.convert(given, self._path)
            rows = [made for found in converted for made in self._named({**kept, **found}, dropped)]
        except WrongField as error:
            self.wrong.append(
                RowError(error.problem, source=str(self._path), line=row.line, field=error.path, value=error.value)
            )
            return
        self.rows += rows
        self.dropped.rows.update(dropped.rows)
        if rows:
            self.dropped.fields.update(dropped.fields)
            self.dropped.fields.update(Counter(set(given.unread())))

    def check_names(self, given: Sequence[str]) -> None:
        """Check that each field of `labels` exists in the rows, and each of `keep` in the file.

        Raises:
            UsageError: one does not.
        """
        fields = dict.fromkeys(name for row in self.rows for name in row)
        for name in self._labels:
            if self.rows and name not in fields:
                raise UsageError(f"`labels` names the field `{name}`; the rows have: {', '.join(fields)}.")
        for name in self._keep:
            if name not in given:
                raise UsageError(f"`keep` names the field `{name}`; the file has: {', '.join(given)}.")

    def _named(self, found: Mapping[str, Any], dropped: Dropped) -> Iterator[dict[str, Any]]:
        """Yield the row with JSON values, names that a signature can have, and names of labels."""
        row: dict[str, Any] = {}
        for name, value in found.items():
            new = self._name(name)
            if new in row:
                raise WrongField(name, f"Two fields get the name `{new}`. Rename one with `--columns`.")
            row[new] = _json_value(name, value)
        for name, names in self._labels.items():
            if name in row and row[name] is not None:
                row[name] = _label(name, row[name], names)
                if row[name] is None:
                    dropped.rows[f"a row without a label in `{name}` (-1)"] += 1
                    return
        yield row

    def _name(self, name: str) -> str:
        if name.isidentifier() and not keyword.iskeyword(name):
            return name
        new = _NOT_IN_A_NAME.sub("_", name).strip("_") or "field"
        new = new if new.isidentifier() else f"field_{new}"
        self.renamed[name] = new = f"{new}_" if keyword.iskeyword(new) else new
        return new


def _json_value(name: str, value: Any) -> Any:
    try:
        found = plain(value)
        canonical_json(found)
    except (TypeError, ValueError, RecursionError) as error:
        raise WrongField(name, f"The value has no JSON form: {error}.", value) from error
    return found


def _label(name: str, value: Any, names: Sequence[str]) -> str | None:
    """Return the name of a label id; `None` for the id -1, which stands for "not known"."""
    if isinstance(value, str) and value in names:
        return value
    text = str(value)
    if text == "-1":
        return None
    if isinstance(value, bool) or not text.isdecimal() or int(text) >= len(names):
        raise WrongField(name, f"This is no label id; there are {len(names)} names: {', '.join(names[:8])}.", value)
    return names[int(text)]
