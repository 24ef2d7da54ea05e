"""One row to one example: fields checked against the types of a signature."""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from tunesmith.data.jsontext import JsonError, decode_json
from tunesmith.data.keys import content_key, fields_of
from tunesmith.data.readers import Row
from tunesmith.errors import DataError, RowError, shown
from tunesmith.signatures import Example, Signature, input_types, output_types

__all__ = ["Columns"]


_COMPOSITE = frozenset({"dict_type", "list_type", "model_attributes_type", "model_type", "set_type", "tuple_type"})


class _MisfitError(ValueError):
    """A value that does not fit its field; the text says why."""


@dataclass(frozen=True, slots=True)
class _Column:
    """One field of a signature, as rows must give it."""

    name: str
    adapter: TypeAdapter[Any]
    takes_none: bool
    fills: bool  # an absent field is filled with its default, or None
    required: bool
    default: Any = None

    def value_of(self, given: object, *, is_text: bool) -> Any:
        absent = given is None or (is_text and given == "")
        if absent and (self.takes_none or (self.fills and self.default is None)):
            return None
        try:
            return self._checked(given)
        except _MisfitError:
            if not is_text or not isinstance(given, str):
                raise
            return self._from_cell(given)

    def _from_cell(self, given: str) -> Any:
        """Return the value of a CSV cell that holds a number, a list or an object as JSON."""
        try:
            decoded = decode_json(given)
        except JsonError:
            decoded = given
        try:
            return self._checked(decoded)
        except _MisfitError as error:
            if given == "":
                raise _MisfitError("The cell is empty.") from error
            raise

    def _checked(self, given: object) -> Any:
        try:
            value = self.adapter.validate_python(given)
        except ValidationError as error:
            raise _MisfitError(_reason(error, given)) from error
        except RecursionError as error:
            raise _MisfitError("The value is nested too deeply.") from error
        except UnicodeEncodeError as error:
            raise _MisfitError("The text holds a lone surrogate.") from error
        if isinstance(given, bool) and type(value) in (int, float):
            raise _MisfitError("A number is wanted, not true or false.")
        if isinstance(given, (bytes, bytearray)) and isinstance(value, str):
            raise _MisfitError("Text is wanted, not bytes.")
        return value


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
    columns: tuple[_Column, ...] = ()

    @classmethod
    def of(cls, source: str, signature: type[Signature], *, require_outputs: bool) -> "Columns":
        """Return the columns that `signature` asks for."""
        inputs = input_types(signature)
        columns = [_column(signature, name, kind, required=True) for name, kind in inputs.items()]
        columns += [
            _column(signature, name, kind, required=require_outputs) for name, kind in output_types(signature).items()
        ]
        return cls(source, tuple(inputs), tuple(columns))

    def example(self, row: Row) -> tuple[Example, str]:
        """Return the example of a row, and its content key.

        Raises:
            RowError: the row does not fit.
        """
        given = row.value
        if isinstance(given, Example):
            given = dict(given.items(include_dspy=True))
        if not isinstance(given, Mapping):
            raise self._error(row, None, f"A {type(given).__name__} stands where an object should.")
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

    def _fill(self, fields: dict[str, Any], column: _Column, row: Row) -> None:
        name = column.name
        if name not in fields:
            if column.fills:
                fields[name] = column.default
            elif column.required:
                raise self._missing(row, name)
            return
        given = fields[name]
        absent = given is None or (row.is_text and given == "")
        try:
            fields[name] = column.value_of(given, is_text=row.is_text)
        except _MisfitError as error:
            if absent and not column.required:
                del fields[name]
                return
            raise RowError(str(error), source=self.source, line=row.line, field=name, value=given) from error

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
            raise RowError(problem, source=self.source, line=row.line, field=name, value=value) from error

    def _missing(self, row: Row, name: str) -> RowError:
        has = [shown(given, 80) for given in row.value]
        problem = f"The field is missing. The row has: {', '.join(has[:20]) or 'no fields'}."
        if row.is_text and len(has) == 1 and any(sign in has[0] for sign in (",", ";", "|", "\\t")):
            problem += " Separate columns by a comma in a `.csv` file and by a tab in a `.tsv` file."
        return RowError(problem, source=self.source, line=row.line, field=name)

    def _error(self, row: Row, name: object, problem: str) -> RowError:
        field = None if name is None else shown(name)
        return RowError(problem, source=self.source, line=row.line, field=field, value=row.value)


def _column(signature: type[Signature], name: str, kind: object, *, required: bool) -> _Column:
    info = signature.fields[name]
    takes_none, has_default = _takes_none(kind), not info.is_required()
    return _Column(
        name,
        _adapter(kind),
        takes_none,
        # An output that nobody labelled stays absent: None would be a label.
        fills=required and (takes_none or has_default),
        required=required,
        default=info.get_default(call_default_factory=True) if has_default else None,
    )


def _adapter(kind: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(kind)
    except PydanticSchemaGenerationError:
        return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))


def _takes_none(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _takes_none(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return any(_takes_none(part) for part in get_args(kind))
    return kind is None or kind is type(None) or kind is Any


def _reason(error: ValidationError, given: object) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    text = f"At `{where}`: {first['msg']}." if where else f"{first['msg']}."
    if first["type"] == "string_type" and isinstance(given, (bool, int, float)):
        return f"{text} Write it in quotes, or declare the field as a number."
    if first["type"] in _COMPOSITE and isinstance(given, str):
        return f"{text} Write it as JSON."
    return text
