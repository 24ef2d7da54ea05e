"""Convert a row to an example, with its fields checked against the types of a signature."""

import difflib
import logging
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from tunesmith.data.keys import content_key, fields_of
from tunesmith.data.source import Row
from tunesmith.errors import DataError, RowError, shown
from tunesmith.signatures import Example, InvalidError, Signature, field_names, given_value, takes_none

__all__ = ["Column", "Columns", "columns_for", "meant_name", "missing_text", "names_of", "near_name"]

_log = logging.getLogger("tunesmith")


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a signature, as rows must provide it.

    Attributes:
        name: the field's name.
        signature: the signature that declares it.
        takes_none: whether `None` is a value of its type.
        fills: whether an absent field gets `default`.
        required: whether a row without it is an error.
        is_input: whether it is an input.
        default: the default, or `None`.
    """

    name: str
    signature: type[Signature]
    takes_none: bool
    fills: bool
    required: bool
    is_input: bool
    default: Any = None

    def value_of(self, given: object, *, is_text: bool = False) -> Any:
        """Return the typed value; see `given_value`. In a row of text, such as a CSV row, "" means absent.

        Raises:
            InvalidError: the value does not fit.
        """
        absent = given is None or (is_text and given == "")
        if absent and (self.takes_none or (self.fills and self.default is None)):
            return None
        try:
            return given_value(self.signature, self.name, given)
        except InvalidError as error:
            if is_text and given == "":
                raise InvalidError("The cell is empty") from error
            raise


def missing_text(name: str, names: Iterable[object]) -> str:
    """Return the error text for a row that has `names` but not `name`."""
    names = list(names)
    has, near = [shown(other, 80) for other in names], meant_name(name, names)
    meant = f" Is `{near}` meant? Rename it to `{name}`." if near else f" Name the field that holds it `{name}`."
    return f"The field is missing. The row has: {', '.join(has[:20]) or 'no fields'}.{meant}"


def _inside(name: str, row: Mapping[Any, Any]) -> str | None:
    """Return the path of `name` one level down, as in rows of a Hugging Face dataset server."""
    return next((f"{at}.{name}" for at, value in row.items() if isinstance(value, Mapping) and name in value), None)


def near_name(name: str, names: Iterable[object]) -> str | None:
    """Return the one of `names` that differs from `name` only in case, outer white space, `-` or `_`."""
    return next(
        (other for other in names if isinstance(other, str) and other != name and _bare(other) == _bare(name)), None
    )


def meant_name(name: str, names: Iterable[object]) -> str | None:
    """Return the one of `names` that looks like a misspelling of `name`, for advice."""
    names = list(names)
    close = difflib.get_close_matches(name, [str(other) for other in names], n=1, cutoff=0.75)
    return near_name(name, names) or next(iter(close), None)


def _bare(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign not in " _-\t\ufeff")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that every row of a source must have.

    Attributes:
        source: the file name or a description, for errors.
        inputs: names of the input fields, in order.
        columns: the fields to check; empty without a signature.
    """

    source: str
    inputs: tuple[str, ...]
    columns: tuple[Column, ...] = ()

    @classmethod
    def of(cls, source: str, signature: type[Signature], *, require_outputs: bool) -> "Columns":
        """Return the columns of `signature`."""
        return cls(source, field_names(signature).inputs, columns_for(signature, require_outputs=require_outputs))

    def example(self, row: Row) -> tuple[Example, str]:
        """Return the example of a row, and its content key.

        Raises:
            RowError: the row does not fit.
        """
        given = row.value
        if isinstance(given, Example):
            given = given._store
        if not isinstance(given, Mapping):
            raise self._error(
                row, None, f"This is a {type(given).__name__}, but a row must be an object with named fields."
            )
        fields: dict[str, Any] = dict(given)
        for name in fields:
            if not isinstance(name, str):
                raise self._error(row, name, "The name of a field must be text.")
        for column in self.columns:
            self._fill(fields, column, row)
        self.check_inputs(row, fields)
        example: Example = Example(base=fields)
        example._input_keys = set(self.inputs)  # what `with_inputs` does, without a second copy
        return example, self._key(example, row)

    def check_inputs(self, row: Row, fields: Mapping[str, Any]) -> None:
        """Check that every input is among the `fields` of a row.

        Raises:
            RowError: it lacks one.
        """
        for name in self.inputs:
            if name not in fields:
                raise self._missing(row, name)

    def check_seen(self, seen: Set[str]) -> None:
        """Check that each output with a default occurs in some row; else every label would be that default.

        Raises:
            DataError: an output with a default is absent in all rows.
        """
        labelled = any(column.required and not column.is_input for column in self.columns)
        for column in self.columns:
            if column.fills and not column.is_input and column.name not in seen:
                near = meant_name(column.name, seen - {other.name for other in self.columns})
                rename = "the column that holds it" if near is None else f"`{near}`"
                raise DataError(
                    f"`{self.source}`: no row has the output `{column.name}`, so every label would be "
                    f"{shown(column.default)}. The rows have: {', '.join(sorted(seen)[:20])}. Rename {rename} to "
                    f"`{column.name}`, or give its place with `columns=`. Without labels, pass "
                    "`require_outputs=False`, or give the column with empty values."
                )
            if labelled and column.fills and column.is_input and column.name not in seen:
                _log.warning(
                    "%s: no row has the input `%s`; all rows use the default %s.",
                    self.source,
                    column.name,
                    shown(column.default),
                )

    def _fill(self, fields: dict[str, Any], column: Column, row: Row) -> None:
        name = column.name
        if name not in fields:
            # A column with a similar name is a misspelling, so the field is not absent.
            if column.fills and near_name(name, _others(fields, self.columns)) is None:
                fields[name] = column.default
            elif column.fills or column.required:
                raise self._missing(row, name)
            return
        given = fields[name]
        absent = given is None or (row.is_text and given == "")
        try:
            fields[name] = column.value_of(given, is_text=row.is_text)
        except InvalidError as error:
            if absent and not column.required:
                del fields[name]
                return
            raise RowError(f"{error}.", source=self.source, line=row.line, field=name, value=given) from error

    def _key(self, example: Example, row: Row) -> str:
        fields = fields_of(example)
        try:
            return content_key(fields)
        except DataError:
            for name, value in fields.items():
                self._check_content(row, name, value)
            raise

    def _check_content(self, row: Row, name: str, value: object) -> None:
        try:
            content_key({name: value})
        except DataError as error:
            problem = f"The value has no JSON form: {error.__cause__}."
            if isinstance(value, float) and value != value:
                problem = "NaN has no JSON form. pandas writes NaN for a missing value; use None."
            raise RowError(problem, source=self.source, line=row.line, field=name, value=value) from error

    def _missing(self, row: Row, name: str) -> RowError:
        problem = missing_text(name, row.value)
        close = difflib.get_close_matches(name.lower(), [str(other).lower() for other in row.value], n=1)
        inside = _inside(name, row.value)
        if close:
            meant = next(other for other in row.value if str(other).lower() == close[0])
            problem += f" Or map it: `columns={{{name!r}: {meant!r}}}`."
        elif inside is not None:
            problem += f" Or map it: `columns={{{name!r}: {inside!r}}}`."
        elif row.value:
            problem += f" Or map it: `columns={{{name!r}: 'ITS NAME'}}`."
        wanted = {*self.inputs, *(column.name for column in self.columns)}
        if row.is_text and wanted.isdisjoint(row.value) and (len(row.value) == 1 or not close):
            problem += (
                " The first line of a table names its columns. If they are not split correctly, give "
                "`delimiter=`, as in `delimiter=';'`."
            )
        return RowError(problem, source=self.source, line=row.line, field=name)

    def _error(self, row: Row, name: object, problem: str) -> RowError:
        field = None if name is None else shown(name)
        return RowError(problem, source=self.source, line=row.line, field=field, value=row.value)


def columns_for(signature: type[Signature], *, require_outputs: bool) -> tuple[Column, ...]:
    """Return the columns for the fields of `signature`, inputs first."""
    names = field_names(signature)
    inputs = [_column(signature, name, required=True) for name in names.inputs]
    return (*inputs, *(_column(signature, name, required=require_outputs) for name in names.outputs))


def _column(signature: type[Signature], name: str, *, required: bool) -> Column:
    info = signature.fields[name]
    none, has_default = takes_none(signature, name), not info.is_required()
    return Column(
        name,
        signature,
        none,
        # An unlabelled output stays absent, because `None` would be a label.
        fills=required and (none or has_default),
        required=required,
        is_input=name in signature.input_fields,
        default=info.get_default(call_default_factory=True) if has_default else None,
    )


def names_of(value: object) -> Iterable[str]:
    """Return the names of the fields of a row."""
    if isinstance(value, Example):
        return fields_of(value)
    return value.keys() if isinstance(value, Mapping) else ()


def _others(fields: Mapping[str, Any], columns: Iterable[Column]) -> list[str]:
    """Return the names in a row that the signature does not declare."""
    known = {column.name for column in columns}
    return [name for name in fields if name not in known]
