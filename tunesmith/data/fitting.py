"""Examples in memory, checked against the signature of the program that gets them."""

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
        examples: in the order given; one that needed no change is the same object.
        inputs: names of all input fields.
        notes: what a reader of the scores has to know, in words.
    """

    examples: tuple[Example, ...]
    inputs: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return brief(self, f"{len(self.examples)} examples", f"{len(self.notes)} notes")


def fitted(examples: Sequence[Example], signature: type[Signature], name: str) -> Fitted:
    """Return `examples` as a program of `signature` gets them.

    Every value is read as `Dataset.load` reads it. Labels are the affair of the metric: one that does not fit its type
    is left as it was given, and noted, and so is one that is absent. Without an input there is nothing to ask.

    Args:
        examples: with or without their inputs marked; the signature names them.
        signature: what the program stands for.
        name: what the examples are called, for errors and notes.

    Raises:
        RowError: an example lacks an input.
    """
    columns = columns_for(signature, require_outputs=True)
    given = [fields_of(example) for example in examples]
    seen = {column.name for column in columns if any(column.name in fields for fields in given)}
    found, inputs = _Found(len(given)), tuple(column.name for column in columns if column.is_input)
    known = signature.fields  # DSPy makes it anew at each look
    extra = tuple(dict.fromkeys(n for e in examples for n in _marked(e) if n not in known))
    typed = tuple(
        _typed(example, fields, columns, seen, found, number, name, (*inputs, *extra))
        for number, (example, fields) in enumerate(zip(examples, given, strict=True), 1)
    )
    notes = [*found.notes(columns), *_notes_of_names(columns, seen, extra, _others(given, known))]
    return Fitted(typed, (*inputs, *extra), tuple(f"{name}: {note}" for note in notes))


def with_labels(
    examples: Sequence[Example], signatures: Mapping[str, type[Signature]], name: str
) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Return `examples` with texts read as the labels that they mean, and notes on those that mean none.

    Args:
        examples: with their inputs marked.
        signatures: of each label field, one whose output of that name is a closed set of texts.
        name: what the examples are called, for notes.
    """
    columns = [
        column
        for field_name, signature in signatures.items()
        for column in columns_for(signature, require_outputs=False)
        if column.name == field_name
    ]
    found, typed = _Found(len(examples)), []
    for number, example in enumerate(examples, 1):
        fields, changes, inputs = fields_of(example), dict[str, Any](), _marked(example)
        for column in columns:
            if column.name not in inputs and isinstance(fields.get(column.name), str):
                _read(column, fields[column.name], changes, found, number)
        typed.append(_changed(example, fields, changes, inputs))
    return tuple(typed), tuple(f"{name}: {note}" for note in found.notes(columns))


@dataclass(frozen=True, slots=True)
class _Found:
    """What was met on the way: for each field the examples that lack it, and those whose value does not fit."""

    total: int
    absent: dict[str, list[int]] = field(default_factory=dict)
    misfits: dict[str, list[tuple[int, object, str]]] = field(default_factory=dict)

    def notes(self, columns: Iterable[Column]) -> list[str]:
        found = []
        for column in columns:
            role = "input" if column.is_input else "label"
            misfits, absent = self.misfits.get(column.name, []), self.absent.get(column.name, [])
            if misfits:
                number, value, problem = misfits[0]
                found.append(
                    f"the {role} `{column.name}` of {len(misfits)} of {self.total} examples does not fit its type and "
                    f"is used as it was given; the first is example {number}: {problem}. Given: {shown(value, 80)}."
                )
            if 0 < len(absent) < self.total:
                found.append(
                    f"{len(absent)} of {self.total} examples have no label `{column.name}`; the first is example "
                    f"{absent[0]}."
                )
        return found


def _typed(
    example: Example,
    fields: dict[str, Any],
    columns: Sequence[Column],
    seen: set[str],
    found: _Found,
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
                problem = "A value is wanted, not None." if column.name in fields else missing_text(column.name, fields)
                raise RowError(problem, source=name, line=number, field=column.name)
            found.absent.setdefault(column.name, []).append(number)
        elif column.name in fields:
            _read(column, value, changes, found, number)
    return _changed(example, fields, changes, tuple(n for n in inputs if n in fields or n in changes))


def _read(column: Column, value: object, changes: dict[str, Any], found: _Found, number: int) -> None:
    try:
        typed = column.value_of(value)
    except InvalidError as error:
        found.misfits.setdefault(column.name, []).append((number, value, str(error)))
        return
    if typed is not value:
        changes[column.name] = typed


def _changed(example: Example, fields: dict[str, Any], changes: dict[str, Any], inputs: tuple[str, ...]) -> Example:
    changed = {n: v for n, v in changes.items() if n not in fields or not _same(v, fields[n])}
    if not changed and set(_marked(example)) == set(inputs):
        return example
    copied = example.copy()
    for name, value in changed.items():
        copied[name] = value
    made: Example = copied.with_inputs(*inputs)
    return made


def _same(typed: Any, given: Any) -> bool:
    try:
        return type(typed) is type(given) and bool(typed == given)
    except Exception:  # noqa: BLE001 - a class of the user's decides what equal means, and may fail
        return False


def _marked(example: Example) -> tuple[str, ...]:
    """Return the names that are marked as inputs and are there: `example.inputs()` without the cost of an `Example`."""
    marked = example._input_keys
    return () if marked is None else tuple(name for name in fields_of(example) if name in marked)


def _others(given: Iterable[dict[str, Any]], known: Mapping[str, Any]) -> list[str]:
    """Return the names of fields that are none of the signature's."""
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
        notes.append(f"the signature has no input {', '.join(extra)}; what is given for it is not shown to the model.")
    notes += [
        f"no example has the input `{column.name}`; it is {shown(column.default)} in all of them."
        for column in columns
        if column.is_input and column.name not in seen
    ]
    return notes
