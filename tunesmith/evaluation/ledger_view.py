"""What an evaluation is filed under, and the part of the ledger that one program with one model uses."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.data import content_key
from tunesmith.errors import BudgetExceeded, DataError
from tunesmith.evaluation.ledger import Ledger
from tunesmith.evaluation.ledger_entry import Entry, RowKey
from tunesmith.evaluation.report import Failure, Row, Step
from tunesmith.lm import LM, SECRET_OPTIONS, Call, as_lm, rollout_number
from tunesmith.metrics import code_identity, source_key
from tunesmith.modules import Module, caller_adapter, class_name, program_fingerprint
from tunesmith.signatures import Demo, Signature, to_json_value

__all__ = ["LedgerView", "lm_key", "program_key", "program_source", "typed_outputs", "typed_steps"]

_log = logging.getLogger("tunesmith")
_OURS = ("dspy", "tunesmith")
_warned: set[str] = set()


def program_source(program: Module) -> str:
    """Return the sha256 of the sources of the program's own classes and what they use (`code_identity`).

    Best effort: a class without a source, as one typed in at a prompt, counts by its name, with one warning.
    """
    classes = {class_name(module): type(module) for _, module in program.named_sub_modules()}
    own = {name: kind for name, kind in classes.items() if kind.__module__.partition(".")[0] not in _OURS}
    return content_key({name: _source(name, kind) for name, kind in own.items()})


def _source(name: str, kind: type) -> Any:
    if source_key(kind) is not None:
        return code_identity(kind)
    if name not in _warned:
        _warned.add(name)
        _log.warning("The source of %s cannot be had: a change of it is not seen when a run goes on.", name)
    return name


def program_key(program: Module) -> str:
    """Return the identity of a program for its evaluations: structure, sources, and the caller's adapter if set."""
    adapter = caller_adapter()
    return content_key(
        [program_fingerprint(program), program_source(program), None if adapter is None else class_name(adapter)]
    )


def lm_key(lm: LM, program: Module) -> str:
    """Return the identity of the models that `program` asks, `lm` if it has none of its own, with their options."""
    own = {
        path: [None if predictor.lm is None else _model(as_lm(predictor.lm)), _options(predictor.config)]
        for path, predictor in program.named_predictors()
    }
    return content_key([_model(lm), own])


def _model(lm: LM) -> list[Any]:
    return [lm.identity.to_json(), _options(lm.kwargs)]


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as JSON values, without secrets and without the rollout, which is filed by itself."""
    found = {}
    for name, value in given.items():
        if value is None or name in SECRET_OPTIONS or name == "rollout_id":
            continue
        try:
            content_key(value)
            found[name] = value
        except DataError:
            found[name] = class_name(value)
    return found


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The rows of one candidate of one program, judged by one metric.

    Attributes:
        ledger: where they are.
        program, candidate, lm, metric, mode, rollout: as in `RowKey`.
        rescore: whether a row of another metric is scored again, rather than its example evaluated.
    """

    ledger: Ledger
    program: str
    candidate: str
    lm: str
    metric: str
    mode: str = "eval"
    rollout: int = 0
    rescore: bool = False

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        *,
        program: str,
        candidate: str,
        models: str,
        lm: LM,
        metric: str,
        mode: str = "eval",
        rescore: bool = False,
    ) -> "LedgerView":
        """Return the view for evaluations by `lm`; `models` is its `lm_key`."""
        rollout = rollout_number(lm.kwargs.get("rollout_id"))
        return cls(ledger, program, candidate, models, metric, mode, rollout, rescore)

    def key(self, example: str) -> RowKey:
        """Return the key of the row of an example."""
        return RowKey(self.program, self.candidate, self.lm, self.metric, self.mode, example, self.rollout)

    def row(self, example: str) -> Entry | None:
        """Return the row of an example."""
        return self.ledger.get(self.key(example))

    def row_to_rescore(self, example: str, there: Entry | None) -> Entry | None:
        """Return the row of an example that can be scored again: this metric failed on it, or another one judged it.

        Args:
            example: its key.
            there: its row by this metric.
        """
        if there is not None:
            return there if _metric_failed(there) and there.whole else None
        return self.ledger.with_another_metric(self.key(example)) if self.rescore else None

    def stop(self, example: str) -> Entry | None:
        """Return the budget's stop in the middle of an example."""
        return self.ledger.get(replace(self.key(example), kind="stop"))

    def keep(self, row: Row, calls: Sequence[Call], notes: Sequence[str], *, bare: bool) -> Entry:
        """Write a finished row; return what the ledger holds: a row that is there stays, unless the metric failed."""
        entry = Entry(self.key(row.key), row, tuple(calls), tuple(notes), bare=bare, time=time.time())
        held = self.ledger.put(entry)
        if held.row is row or not _metric_failed(held):
            return held
        return entry if row.failure == held.row.failure else self.ledger.replace(entry)

    def keep_stop(self, example: str, calls: Sequence[Call], stop: BudgetExceeded) -> None:
        """Write that the budget ended in the middle of an example, and what it was charged until then."""
        row = Row(example, None, None, Failure("budget", type(stop).__name__, str(stop)))
        key = replace(self.key(example), kind="stop")
        self.ledger.put(Entry(key, row, tuple(calls), time=time.time()))


def _metric_failed(entry: Entry) -> bool:
    failure = entry.row.failure
    return failure is not None and failure.fault == "metric"


def typed_steps(steps: Sequence[Step], signatures: Mapping[str, type[Signature]]) -> tuple[Step, ...]:
    """Return steps of JSON values with their outputs as the types that their signatures declare."""
    return tuple(
        Step(step.predictor, step.inputs, _typed(signatures.get(step.predictor), step.outputs)) for step in steps
    )


def typed_outputs(outputs: Mapping[str, Any], steps: Sequence[Step]) -> dict[str, Any]:
    """Return a program's outputs of JSON values, those typed that the last step with the same value has typed."""
    found = dict(outputs)
    for name, value in outputs.items():
        for step in reversed(steps):
            if name in step.outputs and _plain(step.outputs[name]) == value:
                found[name] = step.outputs[name]
                break
    return found


def _typed(signature: type[Signature] | None, outputs: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(outputs)
    fields = {} if signature is None else signature.output_fields  # DSPy makes them anew each time
    for name, value in outputs.items():
        if signature is not None and name in fields:
            if type(value) is str and fields[name].annotation is str:  # nearly always, and a demo costs 0.15 ms
                continue
            try:
                found[name] = Demo.of(signature, {name: value}).outputs[name]
            except DataError:
                continue
    return found


def _plain(value: Any) -> Any:
    try:
        return to_json_value(value)
    except (TypeError, ValueError, RecursionError):
        return None
