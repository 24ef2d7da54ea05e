"""What a candidate's output is compared with, and how outputs are shown to a judge."""

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
"""A program, the outputs by example key (as in a report's rows), a function of the example, or the example's field."""


@dataclass(frozen=True, slots=True)
class Opponent:
    """Gives the baseline's output on an example.

    Attributes:
        find: returns the output; raises what the baseline raises.
        key: which baseline it is.
    """

    find: Callable[[Example], Any]
    key: str

    def __deepcopy__(self, memo: dict[int, Any]) -> "Opponent":
        return self  # it is no part of the judge's own program


def baseline_of(value: Baseline) -> Opponent:
    """Return the baseline that `value` stands for.

    Raises:
        UsageError: it stands for none.
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
    """Return an output as a judge sees it: `field` of it, else its only field, else all of them as JSON.

    Returns:
        `None` where there is no such output: the program's fault.

    Raises:
        MetricError: it cannot be shown.
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
    """Return whether there was no model to ask, which is nobody's fault."""
    return isinstance(error, (ModelMissing, ModelUnavailable))
