"""Check and type examples in memory against the signature of a program."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith.data.keys import fields_of
from tunesmith.data.rows import Column, columns_for, meant_name, missing_text
from tunesmith.errors import RowError, brief, shown
from tunesmith.signatures import Example, InvalidError, Signature

__all__ = ["Fitted", "fitted", "with_labels"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Examples with typed values.

    Attributes:
        examples: in the given order. An example without changes is the same object.
        inputs: names of all input fields.
        notes: sentences that a reader of the scores should know.
    """

    examples: tuple[Example, ...]
    inputs: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return brief(self, f"{len(self.examples)} examples", f"{len(self.notes)} notes")


def fitted(examples: Sequence[Example], signature: type[Signature], name: str) -> Fitted:
    """Return `examples` typed for a program of `signature`.

    Values are converted as in `Dataset.load`. A label that is absent or does not fit its type stays unchanged and gets
    a note, since only the metric uses labels. A missing input is an error.

    Args:
        examples: with or without marked inputs; the signature names the inputs.
        signature: the program's signature.
        name: the name of the examples in errors and notes.

    Raises:
        RowError: an example lacks an input.
    """
    columns = columns_for(signature, require_outputs=True)
    given = [fields_of(example) for example in examples]
    seen = {column.name for column in columns if any(column.name in fields for fields in given)}
    problems, inputs = _Problems(len(given)), tuple(column.name for column in columns if column.is_input)
    known = signature.fields  # DSPy builds it on every access
    extra = tuple(
        dict.fromkeys(
            n for e, fields in zip(examples, given, strict=True) for n in _marked(e, fields) if n not in known
        )
    )
    typed = tuple(
        _typed(example, fields, columns, seen, problems, number, name, (*inputs, *extra))
        for number, (example, fields) in enumerate(zip(examples, given, strict=True), 1)
    )
    notes = [*problems.notes(columns), *_notes_of_names(columns, seen, extra, _others(given, known))]
    return Fitted(typed, (*inputs, *extra), tuple(f"{name}: {note}" for note in notes))


def with_labels(
    examples: Sequence[Example], signatures: Mapping[str, type[Signature]], name: str
) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Return `examples` with texts converted to labels, and notes on texts that match no label.

    Args:
        examples: with their inputs marked.
        signatures: for each label field, a signature whose output of that name is a closed set of texts.
        name: the name of the examples in notes.
    """
    columns = [
        column
        for field_name, signature in signatures.items()
        for column in columns_for(signature, require_outputs=False)
        if column.name == field_name
    ]
    problems, typed = _Problems(len(examples)), []
    for number, example in enumerate(examples, 1):
        fields, changes = fields_of(example), dict[str, Any]()
        inputs = _marked(example, fields)
        for column in columns:
            if column.name not in inputs and isinstance(fields.get(column.name), str):
                _read(column, fields[column.name], changes, problems, number)
        typed.append(_changed(example, fields, changes, inputs))
    return tuple(typed), tuple(f"{name}: {note}" for note in problems.notes(columns))


@dataclass(frozen=True, slots=True)
class _Problems:
    """For each field, the numbers of the examples that lack it, and the values that do not fit."""

    total: int
    absent: dict[str, list[int]] = field(default_factory=dict)
    misfits: dict[str, list[tuple[int, object, str]]] = field(default_factory=dict)

    def notes(self, columns: Iterable[Column]) -> list[str]:
        notes = []
        for column in columns:
            role = "input" if column.is_input else "label"
            misfits, absent = self.misfits.get(column.name, []), self.absent.get(column.name, [])
            if misfits:
                number, value, problem = misfits[0]
                notes.append(
                    f"the {role} `{column.name}` of {len(misfits)} of {self.total} examples does not fit its type and "
                    f"is used unchanged; the first is example {number}: {problem}. Given: {shown(value, 80)}."
                )
            if 0 < len(absent) < self.total:
                notes.append(
                    f"{len(absent)} of {self.total} examples have no label `{column.name}`; the first is example "
                    f"{absent[0]}."
                )
        return notes


def _typed(
    example: Example,
    fields: dict[str, Any],
    columns: Sequence[Column],
    seen: set[str],
    problems: _Problems,
    number: int,
    name: str,
    inputs: tuple[str, ...],
) -> Example:
    changes: dict[str, Any] = {}
    for column in columns:
        value = fields.get(column.name)
        if column.name not in fields and column.fills and (column.is_input or column.name in seen):
            changes[column.name] = column.default
        elif value is None and not column.takes_none:
            if column.is_input:
                problem = "The value must not be None." if column.name in fields else missing_text(column.name, fields)
                raise RowError(problem, source=name, line=number, field=column.name)
            problems.absent.setdefault(column.name, []).append(number)
        elif column.name in fields:
            _read(column, value, changes, problems, number)
    return _changed(example, fields, changes, tuple(n for n in inputs if n in fields or n in changes))


def _read(column: Column, value: object, changes: dict[str, Any], problems: _Problems, number: int) -> None:
    try:
        typed = column.value_of(value)
    except InvalidError as error:
        problems.misfits.setdefault(column.name, []).append((number, value, str(error)))
        return
    if typed is not value:
        changes[column.name] = typed


def _changed(example: Example, fields: dict[str, Any], changes: dict[str, Any], inputs: tuple[str, ...]) -> Example:
    changed = {n: v for n, v in changes.items() if n not in fields or not _same(v, fields[n])}
    if not changed and set(_marked(example, fields)) == set(inputs):
        return example
    copied = example.copy()
    for name, value in changed.items():
        copied[name] = value
    made: Example = copied.with_inputs(*inputs)
    return made


def _same(typed: Any, given: Any) -> bool:
    try:
        return type(typed) is type(given) and bool(typed == given)
    except Exception:  # noqa: BLE001 - the `__eq__` of a user's class may raise
        return False


def _marked(example: Example, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the marked inputs that the example has; `example.inputs()` would build another `Example`."""
    marked = example._input_keys
    return () if marked is None else tuple([name for name in fields if name in marked])


def _others(given: Iterable[dict[str, Any]], known: Mapping[str, Any]) -> list[str]:
    """Return the names of fields that the signature lacks."""
    return list(dict.fromkeys(name for fields in given for name in fields if name not in known))


def _notes_of_names(
    columns: Sequence[Column], seen: set[str], extra: Sequence[str], others: Sequence[str]
) -> list[str]:
    notes: list[str] = []
    outputs = [column.name for column in columns if not column.is_input]
    meant = {name: meant_name(name, others) for name in outputs if name not in seen}
    notes += [
        f"no example has a label `{name}`, which the program returns. Is `{near}` meant? Name it `{name}`."
        for name, near in meant.items()
        if near is not None
    ]
    if extra:
        notes.append(f"the signature has no input {', '.join(extra)}, so the model does not see it.")
    notes += [
        f"no example has the input `{column.name}`; all examples use the default {shown(column.default)}."
        for column in columns
        if column.is_input and column.name not in seen
    ]
    return notes
