"""Parse inputs of the command line: `field=value`, and rows of JSONL."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from tunesmith.data import Dataset, as_options
from tunesmith.errors import DataError, RowError, UsageError, shown
from tunesmith.modules import ProgramInputs
from tunesmith.signatures import Example, unique_object

__all__ = ["advising_options", "columns_of", "json_values", "named_values", "pairs_of", "row_of", "typed_pairs"]


@contextmanager
def advising_options() -> Iterator[None]:
    """Let errors of a data file advise the options of a verb that has them, not the arguments of `Dataset.load`."""
    try:
        yield
    except (DataError, UsageError) as error:
        error.args = (as_options(str(error)),)
        raise


def columns_of(given: Sequence[str]) -> dict[str, str] | None:
    """Return what --columns says of where fields are, `None` if it was not given.

    Raises:
        UsageError: it has another form.
    """
    return named_values(given, "--columns", "answer=answers.text.0") or None


def named_values(given: Sequence[str], option: str, example: str) -> dict[str, str]:
    """Return the `field=value` texts of an option as a mapping.

    Raises:
        UsageError: one has another form.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value:
            raise UsageError(f"{option} takes `field=...`, as in `{option} {example}`. Given: {shown(text)}.")
        found[name.strip()] = value
    return found


def pairs_of(arguments: Sequence[str], inputs: ProgramInputs) -> dict[str, str]:
    """Return `field=value` arguments as a mapping.

    Args:
        arguments: the arguments as typed.
        inputs: the program's.

    Raises:
        UsageError: an argument has another form, an unknown or a duplicate field, or an input is missing.
    """
    found: dict[str, str] = {}
    names = inputs.names
    wanted = f"The inputs are: {', '.join(names)}. Write each as `{names[0] if names else 'field'}=value`."
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            raise UsageError(f"{shown(argument)} is not `field=value`. {wanted}")
        if name not in names:
            raise UsageError(f"The input field {shown(name)} is unknown. {wanted}")
        if name in found:
            raise UsageError(f"The field `{name}` is given twice. {wanted}")
        found[name] = value
    missing = [name for name, (_, needed) in inputs.parameters.items() if needed and name not in found]
    if missing:
        raise UsageError(f"The input `{missing[0]}` is missing. {wanted}")
    return found


def typed_pairs(pairs: Mapping[str, str], inputs: ProgramInputs) -> Example:
    """Return the typed inputs of `field=value` texts; a value that does not fit as text is parsed as JSON.

    Raises:
        RowError: a value does not fit its field.
    """
    row: dict[str, Any] = dict(pairs)
    if inputs.signature is None:
        return row_of({name: _read(name, text, inputs) for name, text in pairs.items()}, inputs, "arguments")
    for _ in range(len(row) + 1):
        try:
            return row_of(row, inputs, "arguments")
        except RowError as error:
            name = error.field
            if name is None or not isinstance(row.get(name), str) or row[name] != pairs[name]:
                raise
            try:
                row[name] = json.loads(pairs[name], object_pairs_hook=unique_object)
            except ValueError:
                raise error from None
            if isinstance(row[name], str):
                raise
    return row_of(row, inputs, "arguments")


def _read(name: str, text: str, inputs: ProgramInputs) -> Any:
    """Return the value of a parameter of `forward` that a text means."""
    kind, _ = inputs.parameters[name]
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        return adapter.validate_strings(text)
    except PydanticUserError:  # a class of the user's that reads no text, or a name that is not there
        return text
    except ValidationError as error:
        try:
            return adapter.validate_json(text)
        except ValidationError:
            problem = error.errors(include_url=False)[0]["msg"]
            raise RowError(f"{problem}.", source="arguments", field=name, value=text) from None


def row_of(row: object, inputs: ProgramInputs, source: str) -> Example:
    """Return the typed inputs of one row; outputs are optional.

    Raises:
        RowError: the row does not fit.
    """
    kept = {name: value for name, value in row.items() if name in inputs.names} if isinstance(row, dict) else row
    try:
        if inputs.signature is not None:
            data = Dataset.load([kept], signature=inputs.signature, require_outputs=False, name=source)
        else:
            data = Dataset.load([kept], inputs=_named(kept, inputs), name=source)
    except RowError as error:
        if not isinstance(row, dict) or error.field is None or error.field in row:
            raise
        has = ", ".join(shown(name, 80) for name in list(row)[:20])
        problem = f"The field is missing. The row has: {has or 'no fields'}. The inputs are: {', '.join(inputs.names)}."
        raise RowError(problem, source=source, line=error.line, field=error.field) from error
    return data[0].inputs()


def _named(row: object, inputs: ProgramInputs) -> list[str]:
    """Return the inputs that a row has or has to have."""
    return [
        name for name, (_, needed) in inputs.parameters.items() if needed or (isinstance(row, dict) and name in row)
    ]


def json_values(outputs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a prediction's outputs as JSON values, or as text if a value has no JSON form."""
    return {
        name: to_jsonable_python(value, fallback=str, inf_nan_mode="strings", by_alias=True) for name, value in outputs
    }
