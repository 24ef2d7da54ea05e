"""The baseline that a judge compares an output with, and the text of an output in a judge's prompt."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from tunesmith.data import content_key, example_key
from tunesmith.errors import MetricError, ModelMissing, ModelUnavailable, UsageError, shown
from tunesmith.metrics.metric import metric_fingerprint
from tunesmith.metrics.values import MISSING, given, plain
from tunesmith.modules import Candidate, Module, context, program_fingerprint, with_default_formats
from tunesmith.signatures import Example

__all__ = ["Baseline", "Opponent", "baseline_of", "shown_text"]

Baseline = Module | Mapping[str, Any] | Callable[[Example], Any] | str
"""A program, outputs by example key (as in a report's rows), a function of the example, or a field of the example."""


@dataclass(frozen=True, slots=True)
class Opponent:
    """Gives the baseline's output on an example.

    Attributes:
        find: returns the output. An error of the baseline is passed on.
        key: the baseline's identity.
    """

    find: Callable[[Example], Any]
    key: str

    def __deepcopy__(self, memo: dict[int, Any]) -> "Opponent":
        return self  # not part of the judge's program


def baseline_of(value: Baseline) -> Opponent:
    """Return `value` as an `Opponent`.

    Raises:
        UsageError: `value` is not a baseline.
    """
    if isinstance(value, Module):
        return _program(value)
    if isinstance(value, str):
        return Opponent(lambda example: _field(example, value), f"field {value}")
    if isinstance(value, Mapping):
        return Opponent(lambda example: _row(example, value), f"outputs {_outputs_key(value)}")
    if callable(value):
        return Opponent(value, f"function {metric_fingerprint(value)}")
    raise UsageError(
        f"A baseline is a program, outputs by example key, a function of the example, or a field's name. "
        f"Given: {shown(value)}."
    )


def _program(program: Module) -> Opponent:
    ready = with_default_formats(program)
    with context(adapter=None):
        key = f"program {program_fingerprint(program)} {Candidate.of(program).key}"
    return Opponent(lambda example: _run(ready, example), key)


def _run(program: Module, example: Example) -> Any:
    with context(trace=None):
        return program(**dict(example.inputs()))


def _field(example: Example, name: str) -> Any:
    if name not in example:
        raise MetricError(f"The example has no field `{name}` with the baseline's output. Given: {shown(example)}.")
    return example[name]


def _row(example: Example, outputs: Mapping[str, Any]) -> Any:
    key = example_key(example)
    if key not in outputs:
        raise MetricError(f"The baseline has no output for the example {key}: {shown(example)}.")
    return outputs[key]


def _outputs_key(outputs: Mapping[str, Any]) -> str:
    return content_key(sorted([str(key), shown_text(output)] for key, output in outputs.items()), escaped=True)


def shown_text(value: Any, field: str | None = None) -> str | None:
    """Return the text of an output for a judge: `field`, else the only field, else all fields as JSON.

    Returns:
        `None` if the output lacks the field, which is the program's fault.

    Raises:
        MetricError: the output has no text form.
    """
    if isinstance(value, str):
        return value
    if field is not None:
        found = given(value, field)
        return None if found is MISSING else _text(found)
    values = plain(value)
    if not isinstance(values, Mapping) or not values:
        return None
    return _text(next(iter(values.values())) if len(values) == 1 else dict(values))


def _text(value: Any) -> str:
    value = plain(value)
    if isinstance(value, str):
        return value
    try:
        return to_json(value, fallback=str).decode()
    except (ValueError, RecursionError, OverflowError) as error:
        raise MetricError(f"An output cannot be shown to a judge: {error}. Given: {shown(value)}.") from error


def is_absence(error: Exception) -> bool:
    """Return whether the model was missing or unavailable, so that neither program nor metric is at fault."""
    return isinstance(error, (ModelMissing, ModelUnavailable))
