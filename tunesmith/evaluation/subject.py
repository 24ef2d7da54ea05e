"""What is evaluated: a program with its metric and its model; the door to DSPy's settings for this package.

It holds no budget and no ledger. Those stay with the `Runner`, wherever a program runs.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dspy import context
from dspy.dsp.utils.settings import settings

from tunesmith.data import fields_of, input_fields_of
from tunesmith.errors import ModelMissing, ModelUnavailable, UsageError, kind_of, shown
from tunesmith.evaluation.ledger_entry import Entry
from tunesmith.evaluation.ledger_view import typed_outputs, typed_steps
from tunesmith.evaluation.report import Failure, Row, Step
from tunesmith.lm import LM, BaseLM, Call, StopSignal, as_lm, metered, replay_calls
from tunesmith.metrics import Judge, Metric, check_metric, judges_used, metric_name, scorer_of
from tunesmith.modules import (
    Candidate,
    Module,
    Prediction,
    bind_defaults,
    copy_program,
    forgetful,
    lone_prediction,
    lone_predictor,
)
from tunesmith.signatures import Example, notes_watched

__all__ = ["Subject", "as_model", "inputs_of"]


class Subject:
    """A program, its metric and its model, ready to be run on single examples from any thread.

    Args:
        program: any `dspy.Module`; predictors without a format get tunesmith's default one.
        metric: judges one prediction.
        lm: answers; default the model of `dspy.settings`.
        tracing: whether rows keep the inner predictions.
        show_trace: whether the metric gets the trace.
        candidate: what the program uses; default what it has.

    Raises:
        UsageError: the program is not a module, there is no model, or the metric cannot be called.
    """

    def __init__(
        self,
        program: Module,
        metric: Metric,
        *,
        lm: BaseLM | None = None,
        tracing: bool = False,
        show_trace: bool = False,
        candidate: Candidate | None = None,
    ) -> None:
        if not isinstance(program, Module):
            raise UsageError(f"A program is a `dspy.Module`. Given: {shown(program)}. Pass an instance, not a class.")
        check_metric(metric)
        self.lm, self.metric = as_model(lm), metric
        self.origin, self.candidate = program, candidate
        self.program = bind_defaults(copy_program(program) if candidate is None else candidate.apply(program))
        predictors = self.program.named_predictors()
        for _, predictor in predictors:
            if predictor.lm is not None:
                predictor.lm = as_lm(predictor.lm)
        self.models = (self.lm, *(predictor.lm for _, predictor in predictors if predictor.lm is not None))
        self._lone = None if any(model.sees_callers for model in self.models) else lone_predictor(self.program)
        self.paths = {id(predictor): path for path, predictor in predictors}
        self.signatures = {path: predictor.signature for path, predictor in predictors}
        self._score_of = scorer_of(metric)
        self.tracing, self._show_trace = tracing, show_trace

    def settings(self, scope: list[Any]) -> contextlib.AbstractContextManager[None]:
        """Return DSPy's settings for every example of one thread; `scope` holds what counts its calls.

        Threads that DSPy starts get these settings and nothing else of the running context.
        """
        return forgetful(lm=self.lm, tunesmith_scope=scope)

    def evaluate(
        self, key: str, example: Example, scope: list[Any], calls: list[Call], again: Entry | None = None
    ) -> tuple[Row, tuple[str, ...], bool]:
        """Run the program on an example and score what it returns.

        Args:
            key: content key of the example.
            example: what it is run on.
            scope: as in `settings`; the calls of this example are counted through it.
            calls: gets every call, also if the example does not end.
            again: an earlier row whose outputs are scored, instead of running the program.

        Returns:
            The row, what a reader of its score has to know, and whether the program returned something other than a
            prediction.

        Raises:
            StopSignal: the budget ended, or the model is not there.
        """
        with judges_used() as used, notes_watched() as noted:
            if again is None:
                row, bare = self._run(key, example, scope, calls)
            else:
                row, bare = self._rescored(example, again, scope, calls)
        notes = (*_notes(used.values(), self.lm), *sorted(noted)) if used or noted else ()
        for model in self.models:
            notes += model.findings.notes
        return row, notes, bare

    def recall(self, notes: Iterable[str]) -> None:
        """Take over what was found out about the models elsewhere, from the notes that it left."""
        for model in self.models:
            model.findings.recall(notes)

    def typed(self, row: Row) -> Row:
        """Return a row of JSON values with its outputs and steps as the types that the signatures declare."""
        steps = typed_steps(row.steps, self.signatures)
        return replace(row, outputs=None if row.outputs is None else typed_outputs(row.outputs, steps), steps=steps)

    def _run(self, key: str, example: Example, scope: list[Any], calls: list[Call]) -> tuple[Row, bool]:
        with metered(sink=calls.append) as scope[0]:
            try:
                prediction, trace = self._called(inputs_of(example))
            except (ModelUnavailable, ModelMissing) as error:
                raise StopSignal(error) from error
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a program raises is its own failure
                failure = Failure("program", kind_of(error), str(error))
                return Row(key, None, None, failure, **_tally(calls)), False
            if prediction is None:
                return Row(key, None, None, _NOTHING, **_tally(calls)), False
            return self._scored(key, example, prediction, trace, calls), not hasattr(prediction, "items")

    def _called(self, inputs: dict[str, Any]) -> tuple[Any, list[Any]]:
        """Return what the program returns, and its trace if the subject keeps traces."""
        prediction = None if self._lone is None else lone_prediction(self._lone, inputs)
        if prediction is not None:
            return prediction, [(self._lone, inputs, prediction)]
        if not self.tracing:
            return self.program(**inputs), []
        trace: list[Any] = []
        with context(trace=trace):
            return self.program(**inputs), trace

    def _rescored(self, example: Example, entry: Entry, scope: list[Any], calls: list[Call]) -> tuple[Row, bool]:
        """Score stored outputs and the stored trace; the program is not run, and charged as it was."""
        old = entry.row
        calls += [call for call in entry.calls if call.role != "judge"]
        replay_calls(calls)
        if old.outputs is None:  # the program failed, whatever the metric says
            return replace(old, **_tally(calls)), entry.bare
        typed = self.typed(old)
        outputs = dict(typed.outputs or {})
        prediction = outputs.get("result") if entry.bare else Prediction(**outputs)
        predictors = dict(self.program.named_predictors())
        trace = [(predictors[s.predictor], dict(s.inputs), Prediction(**s.outputs)) for s in typed.steps]
        with metered(sink=calls.append) as scope[0]:
            return self._scored(old.key, example, prediction, trace, calls), entry.bare

    def _scored(self, key: str, example: Example, prediction: Any, trace: list[Any], calls: list[Call]) -> Row:
        outputs = _outputs(prediction)
        found = self._steps(trace) if self.tracing else ()
        try:
            score = self._score_of(example, prediction, trace if self._show_trace else None)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a metric raises is its own failure
            failure = Failure("metric", kind_of(error), str(error))
            return Row(key, outputs, None, failure, steps=found, **_tally(calls))
        return Row(key, outputs, score.value, feedback=score.feedback, steps=found, **_tally(calls))

    def _steps(self, trace: list[Any]) -> tuple[Step, ...]:
        """Return the steps of predictors that have a path; frozen sub-modules have none."""
        return tuple(
            Step(self.paths[id(predictor)], dict(inputs), _outputs(prediction))
            for predictor, inputs, prediction in trace
            if id(predictor) in self.paths
        )


_NOTHING = Failure("program", "TypeError", "The program returned None. Let its `forward` return a `dspy.Prediction`.")


def as_model(lm: BaseLM | None) -> LM:
    """Return the model to ask, metered.

    Raises:
        UsageError: there is no model, or `lm` is not one.
    """
    model = settings.lm if lm is None else lm
    if model is None:
        raise UsageError("There is no model. Pass `lm=ts.lm(...)`, or set one with `dspy.configure(lm=...)`.")
    if not isinstance(model, BaseLM):
        raise UsageError(f"`lm` must be an LM, such as `ts.lm('embedded')`. Given: {shown(model)}.")
    return as_lm(model)


def inputs_of(example: Example) -> dict[str, Any]:
    """Return what `example.inputs()` holds, without the cost of the `Example` around it."""
    if example._input_keys is None:
        return dict(example.inputs())  # raises DSPy's own error
    return input_fields_of(example)


def _notes(judges: Iterable[Judge], lm: LM) -> tuple[str, ...]:
    found = {(metric_name(judge), judge.is_measured) for judge in judges if not judge.is_measured_under(lm)}
    return tuple(
        f"the agreement of `{name}` with given labels was not measured{' under this model' if elsewhere else ''} "
        "(see `evaluation.agreement`)"
        for name, elsewhere in sorted(found)
    )


def _outputs(prediction: Any) -> dict[str, Any]:
    if isinstance(prediction, Example):
        return fields_of(prediction)
    if hasattr(prediction, "items"):
        return dict(prediction.items())
    return {"result": prediction}


def _tally(calls: Sequence[Call]) -> Mapping[str, Any]:
    if len(calls) == 1:  # nearly always
        (call,) = calls
        return {"calls": 1, "tokens": call.tokens, "seconds": call.seconds, "cached": not call.paid}
    return {
        "calls": len(calls),
        "tokens": sum(call.tokens for call in calls),
        "seconds": sum(call.seconds for call in calls),
        "cached": bool(calls) and not any(call.paid for call in calls),
    }
