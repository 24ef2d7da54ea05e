"""Whether the fields that a metric names are there, before anything is asked."""

import difflib
from collections.abc import Iterable, Sequence

from tunesmith.errors import UsageError, shown
from tunesmith.evaluation.report import METRIC_ERROR_LIMIT
from tunesmith.metrics import Metric, Scorer, check_metric, metric_name, without_call
from tunesmith.modules import Module, program_inputs
from tunesmith.signatures import Example

__all__ = ["check_compared"]


def check_compared(metric: Metric, examples: Sequence[Example], program: Module | None = None) -> None:
    """Refuse a metric that names a field which the examples, or the program's predictions, lack.

    Only the metrics of `ts.metrics` say which fields they name. As many examples may lack a label as an evaluation
    leaves out.

    Raises:
        UsageError: a field is not there, or `metric` is not a metric.
    """
    check_metric(metric)
    metric = without_call(metric)
    if not isinstance(metric, Scorer):
        return
    for name in metric.labels:
        lacking = [example for example in examples if name not in example]
        if len(lacking) > METRIC_ERROR_LIMIT * len(examples):
            count = "all" if len(lacking) == len(examples) else f"{len(lacking)} of {len(examples)}"
            there = list(map(str, lacking[0].keys()))
            raise UsageError(
                f"The metric {metric_name(metric)} compares the field `{name}`, which {count} examples lack. The first "
                f"of them has: {_listed(there)}.{_near(name, there)}"
            )
    known = () if program is None else _outputs(program)
    for name in metric.outputs:
        if known and name not in known:
            raise UsageError(
                f"The metric {metric_name(metric)} compares the field `{name}`, which the program does not return. It "
                f"returns: {_listed(known)}.{_near(name, known)}"
            )


def _outputs(program: Module) -> tuple[str, ...]:
    """Return the outputs of a program that returns what its only predictor returns; empty for any other."""
    predictors = program.named_predictors()
    try:
        known = program_inputs(program)
    except UsageError:
        return ()
    if not known.exact or len(predictors) != 1 or known.signature is None:
        return ()
    own = predictors[0][1].signature
    return tuple(own.output_fields) if own.input_fields.keys() == known.signature.input_fields.keys() else ()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(shown(name, 40) for name in names)


def _near(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(names), n=1)
    return f" Is {found[0]!r} meant?" if found else ""
