"""One row to one example: fields checked against the types of a signature."""

import difflib
import logging
import types
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from tunesmith.data.keys import content_key, fields_of
from tunesmith.data.source import Row
from tunesmith.errors import DataError, RowError, shown
from tunesmith.signatures import Example, InvalidError, Signature, given_value, input_types, output_types

__all__ = ["Column", "Columns", "columns_for", "meant_name", "missing_text", "names_of", "near_name"]

_log = logging.getLogger("tunesmith")


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a signature, as rows must give it.

    Attributes:
        name: of the field.
        signature: whose field it is.
        takes_none: whether `None` is a value of its type.
        fills: whether an absent field is filled with its default, or `None`.
        required: whether a row without it is refused.
        is_input: whether it is an input.
        default: what fills it.
    """

    name: str
    signature: type[Signature]
    takes_none: bool
    fills: bool
    required: bool
    is_input: bool
    default: Any = None

    def value_of(self, given: object, *, is_text: bool = False) -> Any:
        """Return the typed value; see `given_value`. In a row of text, such as one of a CSV file, "" is absent.

        Raises:
            InvalidError: it is no such value.
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
    """Return what to say of a row that has `names` and not `name`."""
    names = list(names)
    has, near = [shown(other, 80) for other in names], meant_name(name, names)
    meant = (
        f" Is `{near}` meant? Rename it to `{name}`." if near else f" Give the field that holds it the name `{name}`."
    )
    return f"The field is missing. The row has: {', '.join(has[:20]) or 'no fields'}.{meant}"


def _inside(name: str, row: Mapping[Any, Any]) -> str | None:
    """Return the path of `name` one level down, as in the rows that `datasets` servers give."""
    return next((f"{at}.{name}" for at, value in row.items() if isinstance(value, Mapping) and name in value), None)


def near_name(name: str, names: Iterable[object]) -> str | None:
    """Return the one of `names` that differs from `name` in case, outer white space, `-` or `_` alone."""
    return next(
        (other for other in names if isinstance(other, str) and other != name and _bare(other) == _bare(name)), None
    )


def meant_name(name: str, names: Iterable[object]) -> str | None:
    """Return the one of `names` that may be meant by `name`, for advice: nearly the same, or spelt much like it."""
    names = list(names)
    close = difflib.get_close_matches(name, [str(other) for other in names], n=1, cutoff=0.75)
    return near_name(name, names) or next(iter(close), None)


def _bare(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign not in " _-\t\ufeff")


@dataclass(frozen=True, slots=True)
class Columns:
    """What every row of one source must hold.

    Attributes:
        source: file name or description, for errors.
        inputs: names of the input fields, in order.
        columns: the fields to check; empty without a signature.
    """

    source: str
    inputs: tuple[str, ...]
    columns: tuple[Column, ...] = ()

    @classmethod
    def of(cls, source: str, signature: type[Signature], *, require_outputs: bool) -> "Columns":
        """Return the columns that `signature` asks for."""
        inputs = tuple(input_types(signature))
        return cls(source, inputs, columns_for(signature, require_outputs=require_outputs))

    def example(self, row: Row) -> tuple[Example, str]:
        """Return the example of a row, and its content key.

        Raises:
            RowError: the row does not fit.
        """
        given = row.value
        if isinstance(given, Example):
            given = dict(given.items(include_dspy=True))
        if not isinstance(given, Mapping):
            raise self._error(
                row, None, f"A {type(given).__name__} stands where an object should: a row names its fields."
            )
        fields: dict[str, Any] = dict(given)
        for name in fields:
            if not isinstance(name, str):
                raise self._error(row, name, "The name of a field must be text.")
        for column in self.columns:
            self._fill(fields, column, row)
        for name in self.inputs:
            if name not in fields:
                raise self._missing(row, name)
        example: Example = Example(base=fields).with_inputs(*self.inputs)
        return example, self._key(example, row)

    def check_seen(self, seen: Set[str]) -> None:
        """Refuse rows of which none has an output: every label would be its default, and be judged as one.

        Raises:
            DataError: an output that is filled in stands in no row.
        """
        labelled = any(column.required and not column.is_input for column in self.columns)
        for column in self.columns:
            if column.fills and not column.is_input and column.name not in seen:
                near = meant_name(column.name, seen - {other.name for other in self.columns})
                rename = "the column that holds it" if near is None else f"`{near}`"
                raise DataError(
                    f"`{self.source}`: no row has the output `{column.name}`, so every label would be "
                    f"{shown(column.default)}. Their fields: {', '.join(sorted(seen)[:20])}. Rename {rename} to "
                    f"`{column.name}`, or say where it stands with `columns=`. Without labels, pass "
                    "`require_outputs=False`, or give the column with empty values."
                )
            if labelled and column.fills and column.is_input and column.name not in seen:
                _log.warning(
                    "%s: no row has the input `%s`; it is %s in all of them.",
                    self.source,
                    column.name,
                    shown(column.default),
                )

    def _fill(self, fields: dict[str, Any], column: Column, row: Row) -> None:
        name = column.name
        if name not in fields:
            # A column with nearly that name is misspelt, not absent.
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
                problem = "NaN has no JSON form. pandas writes it if there is no value: give None."
            raise RowError(problem, source=self.source, line=row.line, field=name, value=value) from error

    def _missing(self, row: Row, name: str) -> RowError:
        problem = missing_text(name, row.value)
        close = difflib.get_close_matches(name.lower(), [str(other).lower() for other in row.value], n=1)
        inside = _inside(name, row.value)
        if close:
            meant = next(other for other in row.value if str(other).lower() == close[0])
            problem += f" Or let `Dataset.load` take it from there: `columns={{{name!r}: {meant!r}}}`."
        elif inside is not None:
            problem += f" Or take it from where it stands: `columns={{{name!r}: {inside!r}}}`."
        elif row.value:
            problem += f" Or say which field that is: `columns={{{name!r}: 'ITS NAME'}}`."
        wanted = {*self.inputs, *(column.name for column in self.columns)}
        if row.is_text and wanted.isdisjoint(row.value) and (len(row.value) == 1 or not close):
            problem += (
                " The first line of a table names its columns; if they are not cut where they should be, give "
                "`delimiter=`, as in `delimiter=';'`."
            )
        return RowError(problem, source=self.source, line=row.line, field=name)

    def _error(self, row: Row, name: object, problem: str) -> RowError:
        field = None if name is None else shown(name)
        return RowError(problem, source=self.source, line=row.line, field=field, value=row.value)


def columns_for(signature: type[Signature], *, require_outputs: bool) -> tuple[Column, ...]:
    """Return a column for every field of `signature`, inputs first."""
    found = [_column(signature, name, kind, required=True) for name, kind in input_types(signature).items()]
    found += [
        _column(signature, name, kind, required=require_outputs) for name, kind in output_types(signature).items()
    ]
    return tuple(found)


def _column(signature: type[Signature], name: str, kind: object, *, required: bool) -> Column:
    info = signature.fields[name]
    takes_none, has_default = _takes_none(kind), not info.is_required()
    return Column(
        name,
        signature,
        takes_none,
        # An output that nobody labelled stays absent: None would be a label.
        fills=required and (takes_none or has_default),
        required=required,
        is_input=name in signature.input_fields,
        default=info.get_default(call_default_factory=True) if has_default else None,
    )


def names_of(value: object) -> Iterable[str]:
    """Return the names of the fields of a row."""
    return value.keys() if isinstance(value, (Mapping, Example)) else ()


def _others(fields: Mapping[str, Any], columns: Iterable[Column]) -> list[str]:
    """Return the names in a row that are no field's of the signature."""
    known = {column.name for column in columns}
    return [name for name in fields if name not in known]


def _takes_none(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _takes_none(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return any(_takes_none(part) for part in get_args(kind))
    if get_origin(kind) is Literal:
        return None in get_args(kind)
    return kind is None or kind is type(None) or kind is Any
