"""Examples and demos, checked against the program that gets them, before its first call."""

from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from tunesmith.data import Dataset, fields_of
from tunesmith.errors import DataError, RowError, UsageError, shown
from tunesmith.formats import Format, carries, default_format, get_format
from tunesmith.modules import DspyPredict, Module, ProgramInputs, bound_format, caller_adapter, program_inputs
from tunesmith.signatures import Demo, Example, Signature, output_types

__all__ = ["as_dataset", "checked_demos", "fit_to_program"]


def as_dataset(examples: Sequence[Example], name: str) -> Dataset:
    """Return `examples` as a `Dataset`.

    Raises:
        UsageError: it is no list of examples, or an example does not say which fields are inputs.
        DataError: it is empty.
    """
    if isinstance(examples, Dataset):
        return examples
    if isinstance(examples, (str, bytes)) or not hasattr(examples, "__len__"):
        raise UsageError(f"`{name}` is a `Dataset` or a list of `dspy.Example`. Given: {shown(examples)}.")
    return Dataset.load(list(examples), name=name)


def fit_to_program(program: Module, examples: Dataset) -> tuple[Dataset, tuple[str, ...]]:
    """Return examples as `program` gets them, and what to note of them.

    A program that stands for one signature types its inputs and labels (`Dataset.fitted`). Of other programs, what is
    given must be what `forward` takes; only its code knows what it returns, so of its labels none but texts are read,
    where a predictor of it chooses among texts ("Good" is the label `good`).

    Raises:
        RowError: an example lacks an input, or the program cannot be called with what it has.
    """
    known = _known(program)
    if known is None:
        return examples.with_labels(_text_labels(program))
    if known.exact and known.signature is not None:
        fitted, notes = examples.fitted(known.signature)
        if fitted is examples:  # it was checked before, maybe as a part of a larger one
            return fitted, ()
        return fitted, (
            *notes,
            *_notes_of_none(known.signature, fitted),
            *_notes_of_empty_labels(program, known.signature, fitted),
        )
    for number, example in enumerate(examples, 1):
        given = dict(example.inputs().items())
        problem = known.misfit(given)
        if problem is not None:
            raise RowError(
                f"The program cannot be called with the inputs of this example: {problem}. It takes "
                f"{', '.join(known.names)}; the example has {', '.join(given) or 'none'}. Name the inputs so.",
                source=examples.name,
                line=number,
            )
    return examples.with_labels(_text_labels(program))


def checked_demos(program: Module) -> tuple[str, ...]:
    """Return what to note of the demos that `program` brings: those that would not be shown, or not whole.

    Raises:
        DataError: in a program of one predictor, a demo lacks every input or every output, or does not fit.
    """
    predictors = program.named_predictors()
    notes = []
    for path, predictor in predictors:
        problems = [
            (number, problem)
            for number, demo in enumerate(predictor.demos, 1)
            if (problem := _problem_of(predictor, demo)) is not None
        ]
        if not problems:
            continue
        number, problem = problems[0]
        text = (
            f"{len(problems)} of {len(predictor.demos)} demos of the predictor `{path}` cannot be shown to the model; "
            f"the first is demo {number}: {problem}"
        )
        if len(predictors) == 1:
            raise DataError(f"{text} Correct them, or take them out.")
        notes.append(text)
    return tuple(notes)


def _problem_of(predictor: DspyPredict, demo: Any) -> str | None:
    signature: type[Signature] = predictor.signature  # type: ignore[assignment]
    values = dict(demo.items()) if hasattr(demo, "items") else {}
    for role, fields in (("inputs", signature.input_fields), ("outputs", signature.output_fields)):
        if fields and not any(name in values for name in fields):
            return (
                f"it has none of the {role} {', '.join(fields)}. It has: {', '.join(map(str, values)) or 'no fields'}."
            )
    try:
        made = Demo.of(signature, values)
    except DataError as error:
        return str(error)
    chosen = bound_format(predictor)
    adapter = caller_adapter() if chosen is None else get_format(chosen)
    if isinstance(adapter, Format) and adapter.refuses(signature, made) is not None:
        return f"the format `{adapter.name}` cannot carry it. Given: {shown(dict(made.outputs))}."
    return None


def _notes_of_none(signature: type[Signature], examples: Dataset) -> tuple[str, ...]:
    """Say where every label is `None`: a model that always says so would be right."""
    return tuple(
        f"{examples.name}: the label `{name}` is None in all {len(examples)} examples."
        for name in signature.output_fields
        if all(fields_of(example).get(name, name) is None for example in examples)
    )


def _notes_of_empty_labels(program: Module, signature: type[Signature], examples: Dataset) -> tuple[str, ...]:
    """Say that answers which are no text at all cannot be given in the format that the program has now."""
    predictors = program.named_predictors()
    if len(predictors) != 1 or caller_adapter() is not None:
        return ()
    predictor = predictors[0][1]
    chosen = bound_format(predictor) or default_format(predictor.signature, predictor.demos)
    names = [name for name in signature.output_fields if name in predictor.signature.output_fields]
    empty = [
        example
        for example in map(fields_of, examples)
        if any(isinstance(example.get(name), str) and not example[name].strip() for name in names)
    ]
    values = {name: empty[0][name] for name in names if name in empty[0]} if empty else {}
    if not values or carries(chosen, predictor.signature, (Demo({}, values),)):
        return ()
    return (
        f"{examples.name}: {len(empty)} of {len(examples)} examples expect an empty text, which no reply in the format "
        f"`{chosen}` can give. Bind the format `json`: `tunesmith.modules.bind(predictor, 'json')`.",
    )


def _text_labels(program: Module) -> dict[str, type[Signature]]:
    """Return a signature for each output that is the same choice among texts wherever a predictor has it."""
    found: dict[str, type[Signature]] = {}
    kinds: dict[str, list[Any]] = {}
    for _, predictor in program.named_predictors():
        for name, kind in output_types(predictor.signature).items():
            kinds.setdefault(name, []).append(kind)
            if get_origin(kind) is Literal and all(isinstance(label, str) for label in get_args(kind)):
                found[name] = predictor.signature
    return {name: signature for name, signature in found.items() if all(kind == kinds[name][0] for kind in kinds[name])}


def _known(program: Module) -> ProgramInputs | None:
    try:
        return program_inputs(program)
    except UsageError:  # what a program with `**kwargs` takes is known to its code alone
        return None
