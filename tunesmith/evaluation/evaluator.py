"""Judge a program on a dataset; the door to DSPy's settings for this package."""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from dspy import context
from dspy.dsp.utils.settings import settings

from tunesmith.data import Dataset, example_key, fields_of
from tunesmith.errors import (
    BudgetExceeded,
    Interrupted,
    MetricError,
    ModelMissing,
    ModelUnavailable,
    UsageError,
    shown,
)
from tunesmith.evaluation.compared import check_compared
from tunesmith.evaluation.examples import checked_demos, fit_to_program
from tunesmith.evaluation.ledger_entry import Entry
from tunesmith.evaluation.ledger_shelf import Shelf, typed_outputs, typed_steps
from tunesmith.evaluation.report import METRIC_ERROR_LIMIT, Failure, Report, Row, Step
from tunesmith.evaluation.turns import Line, Turns
from tunesmith.lm import (
    LM,
    BaseLM,
    Call,
    Meter,
    Spend,
    StopSignal,
    as_lm,
    current_scope,
    metered,
    replay_calls,
    run_under_way,
)
from tunesmith.metrics import MISSING_FIELD, Judge, check_metric, judges_used, metric_name, score_of
from tunesmith.modules import Module, Prediction, with_default_formats
from tunesmith.signatures import Example, notes_watched

__all__ = ["Metric", "Runner", "as_model", "evaluate"]

Metric = Callable[..., Any]

_log = logging.getLogger("tunesmith")
_UNCHANGED = contextlib.nullcontext()


def evaluate(
    program: Module,
    dataset: Sequence[Example],
    metric: Metric,
    *,
    lm: BaseLM | None = None,
    slots: int | None = None,
    meter: Meter | None = None,
    floor: float = 0.0,
    steps: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Run `program` on every example and score what it returns.

    The program is not changed. Examples and demos are checked against it first: `docs/data.md` says what is converted,
    refused and noted. Predictors that are bound to no format use tunesmith's default one, unless the caller
    set `dspy.settings.adapter`.

    Args:
        program: any `dspy.Module`.
        dataset: examples with their inputs marked, such as a `Dataset` or a list of `dspy.Example`.
        metric: `metric(example, prediction, trace=None)`, or with the five arguments of `dspy.GEPA`'s metrics; it
            returns a bool, a number, a `Score`, or what has a `score` and `feedback`.
        lm: the model; default `dspy.settings.lm`.
        slots: examples on the way at once; default what the LM says.
        meter: counts the calls and holds the budget; default a fresh one.
        floor: the score of an example the program fails on.
        steps: whether rows keep the program's inner predictions.
        progress: is told how many of how many examples are done.

    Returns:
        One row per example in the dataset's order, whatever the order they finished in.

    Raises:
        UsageError: an argument that cannot be used, or a metric that names a field which is not there.
        RowError: an example lacks an input of the program.
        DataError: there are no examples, or a demo of the program cannot be shown.
        MetricError: the metric failed on more than 2 % of the examples.
        ModelUnavailable, ModelMissing: there is nobody to answer; finished calls are in the cache.
        BudgetExceeded: the budget ended first.
        Interrupted: by Ctrl-C; `partial` holds the finished rows.

    Example:
        >>> import tunesmith as ts
        >>> rows = [{"text": "Cold soup.", "topic": "food"}, {"text": "Loud street.", "topic": "room"}]
        >>> data = ts.Dataset.load(rows, signature=ts.Signature("text -> topic"))
        >>> lm = ts.FunctionLM(lambda seen: "food")
        >>> report = ts.evaluate(ts.Predict("text -> topic"), data, ts.metrics.exact_match, lm=lm)
        >>> report.mean, report.n, report.errors
        (0.5, 2, 0)
    """
    runner = Runner(program, metric, lm=lm, floor=floor, steps=steps, meter=meter)
    examples, notes = fit_to_program(program, _examples(dataset))
    check_compared(metric, examples, program)
    notes = (*checked_demos(program), *notes)
    for note in notes:
        _log.warning("%s", note)
    report = runner.run(examples, slots=slots, progress=progress)
    return replace(report, notes=(*notes, *report.notes, *_notes_of_failures(report.rows)))


class Runner:
    """One program, one metric, one model: runs single examples and whole datasets.

    Args: as `evaluate`, and
        show_trace: whether the metric gets the trace, as DSPy's bootstrapping does it; an evaluation gives `None`.
        shelf: where finished rows are kept and come from; default nowhere. A row that is there is charged as it was,
            and makes no call.
        turns: says which examples may be on the way at once; default one of its own. Runners with a common meter, one
            after the other, share it.
    """

    def __init__(
        self,
        program: Module,
        metric: Metric,
        *,
        lm: BaseLM | None = None,
        floor: float = 0.0,
        steps: bool = False,
        show_trace: bool = False,
        meter: Meter | None = None,
        shelf: Shelf | None = None,
        turns: Turns | None = None,
    ) -> None:
        if not isinstance(program, Module):
            raise UsageError(f"A program is a `dspy.Module`. Given: {shown(program)}. Pass an instance, not a class.")
        check_metric(metric)
        self.lm = as_model(lm)
        self.meter = Meter() if meter is None else meter
        self._program = with_default_formats(program)
        self._paths = {id(p): path for path, p in self._program.named_predictors()}
        self._signatures = {path: p.signature for path, p in self._program.named_predictors()}
        for _, predictor in self._program.named_predictors():
            if predictor.lm is not None:
                predictor.lm = as_lm(predictor.lm)
        own = (predictor.lm for _, predictor in self._program.named_predictors() if predictor.lm is not None)
        self._models = (self.lm, *own)
        self._metric = metric
        self._floor, self._steps, self._show_trace = floor, steps, show_trace
        self._shelf = shelf
        self._turns = Turns(self.meter, len(self._paths)) if turns is None else turns
        self._tracing = steps or (shelf is not None and not shelf.ledger.private)

    def run(
        self,
        examples: Sequence[Example],
        *,
        slots: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        failed: int = 0,
        total: int | None = None,
    ) -> Report:
        """Run all `examples`; see `evaluate`.

        Args: as `evaluate`, and
            failed: on how many examples of the same dataset the metric failed before.
            total: how many examples that dataset has, where these are a part of it; the 2 % are of it.
        """
        before = self.meter.charged, self.meter.paid
        groups = examples.groups if isinstance(examples, Dataset) else None
        work = _Work(len(examples), progress, failed, len(examples) if total is None else total)
        count = self.lm.slots if slots is None else slots
        try:
            with run_under_way():
                stop = None if self._shelf is None else self._replay(self._shelf, examples, work)
                line = Line(work.left, self._turns)
                line.run(lambda: self._drain(examples, work, line), count)
                if stop is not None:
                    raise stop
        except KeyboardInterrupt:
            raise Interrupted(
                f"Stopped after {work.done} of {len(examples)} examples. Finished calls are in the cache; "
                "the same command goes on.",
                partial=self._report(work, before, groups),
            ) from None
        except StopSignal as stop:
            raise stop.error from None
        report = self._report(work, before, groups)
        return replace(report, notes=(*report.notes, *_notes_of_labels(examples, report.rows)))

    def _report(self, work: "_Work", before: tuple[Spend, Spend], groups: Sequence[str] | None) -> Report:
        charged, paid = self.meter.charged, self.meter.paid
        return Report(
            tuple(row for row in work.rows if row is not None),
            self._floor,
            _minus(charged, before[0]),
            _minus(paid, before[1]),
            tuple(sorted(work.notes)),
            None
            if groups is None
            else tuple(group for row, group in zip(work.rows, groups, strict=True) if row is not None),
        )

    def _replay(self, shelf: Shelf, examples: Sequence[Example], work: "_Work") -> StopSignal | None:
        """Take over what an earlier process finished; return the budget's stop where it met one.

        All of it before anything new is asked for, and in the order in which it was finished: whatever that process
        was admitted to is charged first, so that the budget has room for the same as then.
        """
        keys = [example_key(example) for example in examples]
        with self._settings([None]), metered(self.meter):
            found = [(index, entry) for index, key in enumerate(keys) if (entry := self._kept(shelf, key)) is not None]
            for index, entry in sorted(found, key=lambda pair: pair[1].seq):
                work.finish(index, self._taken(entry), entry.notes)
            work.left = [index for index, row in enumerate(work.rows) if row is None]
            stops = [entry for index in work.left if (entry := shelf.stop(keys[index])) is not None]
            for entry in sorted(stops, key=lambda entry: entry.seq):
                replay_calls(entry.calls)
        if not stops:
            return None
        stopped = {entry.key.example for entry in stops}
        # What the clock stopped is not tried again; else what was on its way then still has its place in the budget.
        clock = self.meter.budget.wall_seconds is not None
        work.left = [] if clock else [index for index in work.left if keys[index] not in stopped]
        return _stop_of(stops[0])

    def _kept(self, shelf: Shelf, key: str) -> Entry | None:
        """Return the row of an example that serves here: a metric that failed is asked again."""
        entry = shelf.row(key)
        if entry is None or (self._steps and not entry.whole):
            return None
        return None if entry.row.failure is not None and entry.row.failure.fault == "metric" else entry

    def _taken(self, entry: Entry) -> Row:
        """Charge what the row took, take over what was found out with it about the models, and return it."""
        replay_calls(entry.calls)
        self._turns.took(entry.row)
        for model in self._models:
            model.findings.recall(entry.notes)
        steps = typed_steps(entry.row.steps, self._signatures)
        outputs = None if entry.row.outputs is None else typed_outputs(entry.row.outputs, steps)
        return replace(entry.row, outputs=outputs, steps=steps if self._steps else (), cached=True)

    def _drain(self, examples: Sequence[Example], work: "_Work", line: Line[int]) -> None:
        shared: list[Any] = [None]
        with self._settings(shared), metered(self.meter):
            line.each(lambda index: work.finish(index, *self._row(examples[index], shared)))

    def one(self, example: Example) -> Row:
        """Run one example, metered like all others.

        Raises:
            StopSignal: the budget ended or the model is away.
        """
        shared: list[Any] = [None]
        with self._settings(shared), metered(self.meter):
            if self._shelf is not None:
                key = example_key(example)
                entry = self._kept(self._shelf, key)
                if entry is not None:
                    return self._taken(entry)
                stop = self._shelf.stop(key)
                if stop is not None:
                    replay_calls(stop.calls)
                    raise _stop_of(stop)
            return self._row(example, shared)[0]

    def _settings(self, shared: list[Any]) -> Any:
        # Threads that DSPy starts get its settings and nothing else of the running context, so the meters go there too.
        return context(lm=self.lm, disable_history=True, trace=_NO_TRACE, tunesmith_scope=shared)

    def _row(self, example: Example, shared: list[Any]) -> tuple[Row, tuple[str, ...]]:
        """Return the example's row and what a reader of its score has to know."""
        calls: list[Call] = []
        key, shelf = example_key(example), self._shelf
        if shelf is not None:
            there = self._kept(shelf, key)  # the same example twice
            if there is not None:
                return self._taken(there), there.notes
        again = None if shelf is None else shelf.row_to_rescore(key)
        try:
            with judges_used() as used, notes_watched() as noted:
                if again is None:
                    row, bare = self._evaluated(key, example, shared, calls)
                else:
                    row, bare = self._rescored(example, again, shared, calls)
        except StopSignal as stop:
            if shelf is not None and isinstance(stop.error, BudgetExceeded) and current_scope().paying:
                shelf.keep_stop(key, calls, stop.error)
            raise
        self._turns.took(row)
        notes = (*_notes(used.values(), self.lm), *sorted(noted))
        notes += tuple(note for model in self._models for note in model.findings.notes)
        if shelf is not None:
            kept = shelf.keep(row, calls, notes, bare=bare)
            if kept.row is not row and (kept.whole or not self._steps):
                # The same example twice, at once: all see what the ledger holds.
                return self._taken(kept), kept.notes
        return (row if self._steps or not row.steps else replace(row, steps=())), notes

    def _evaluated(self, key: str, example: Example, shared: list[Any], calls: list[Call]) -> tuple[Row, bool]:
        """Run the program; return the row, and whether the program returned something other than a prediction."""
        trace: list[Any] = []
        with metered(sink=calls.append), context(trace=trace) if self._tracing else _UNCHANGED:
            shared[0] = current_scope()
            try:
                prediction = self._program(**_inputs(example))
            except (ModelUnavailable, ModelMissing) as error:
                raise StopSignal(error) from error
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a program raises is its own failure
                failure = Failure("program", _kind(error), str(error))
                return Row(key, None, None, failure, **_tally(calls)), False
            if prediction is None:
                return Row(key, None, None, _NOTHING, **_tally(calls)), False
            return self._score(key, example, prediction, trace, calls), not hasattr(prediction, "items")

    def _rescored(self, example: Example, entry: Entry, shared: list[Any], calls: list[Call]) -> tuple[Row, bool]:
        """Score stored outputs and the stored trace; the program is not run, and charged as it was."""
        old = entry.row
        calls += [call for call in entry.calls if call.role != "judge"]
        replay_calls(calls)
        if old.outputs is None:  # the program failed, whatever the metric says
            return replace(old, **_tally(calls)), entry.bare
        steps = typed_steps(old.steps, self._signatures)
        outputs = typed_outputs(old.outputs, steps)
        prediction = outputs.get("result") if entry.bare else Prediction(**outputs)
        predictors = dict(self._program.named_predictors())
        trace = [(predictors[s.predictor], dict(s.inputs), Prediction(**s.outputs)) for s in steps]
        with metered(sink=calls.append):
            shared[0] = current_scope()
            return self._score(old.key, example, prediction, trace, calls), entry.bare

    def _score(self, key: str, example: Example, prediction: Any, trace: list[Any], calls: list[Call]) -> Row:
        outputs = _outputs(prediction)
        found = self._trace(trace) if self._tracing else ()
        try:
            score = score_of(self._metric, example, prediction, trace if self._show_trace else None)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a metric raises is its own failure
            failure = Failure("metric", _kind(error), str(error))
            return Row(key, outputs, None, failure, steps=found, **_tally(calls))
        return Row(key, outputs, score.value, feedback=score.feedback, steps=found, **_tally(calls))

    def _trace(self, trace: list[Any]) -> tuple[Step, ...]:
        """Return the steps of predictors that have a path; frozen sub-modules have none."""
        return tuple(
            Step(self._paths[id(predictor)], dict(inputs), _outputs(prediction))
            for predictor, inputs, prediction in trace
            if id(predictor) in self._paths
        )


_NOTHING = Failure("program", "TypeError", "The program returned None. Let its `forward` return a `dspy.Prediction`.")

# DSPy's BestOfN and Refine extend the trace whatever it is; this one keeps nothing.
_NO_TRACE: deque[Any] = deque(maxlen=0)


class _Work:
    """The rows of one dataset as they come, from any thread."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None, failed: int, dataset: int) -> None:
        self.rows: list[Row | None] = [None] * total
        self.notes: set[str] = set()
        self.left = list(range(total))
        self.done = 0
        self._total, self._progress = total, progress
        self._metric_errors, self._dataset = failed, dataset
        self._lock = threading.Lock()

    def finish(self, index: int, row: Row, notes: Iterable[str]) -> None:
        with self._lock:
            self.rows[index] = row
            self.notes.update(notes)
            self.done += 1
            done = self.done
            failure = row.failure
            if failure is not None and failure.fault == "metric":
                self._metric_errors += 1
                if self._metric_errors > METRIC_ERROR_LIMIT * self._dataset:
                    raise StopSignal(
                        MetricError(
                            f"The metric failed on {self._metric_errors} examples, more than "
                            f"{METRIC_ERROR_LIMIT:.0%} of {self._dataset}. The last failure: {failure.kind}: "
                            f"{failure.message} Fix the metric; replies are in the cache."
                        )
                    )
        if self._progress is not None:
            self._progress(done, self._total)


def _stop_of(entry: Entry) -> StopSignal:
    message = "" if entry.row.failure is None else entry.row.failure.message
    return StopSignal(BudgetExceeded(message))


def _notes(judges: Iterable[Judge], lm: LM) -> tuple[str, ...]:
    found = {(metric_name(judge), judge.is_measured) for judge in judges if not judge.is_measured_under(lm)}
    return tuple(
        f"the agreement of `{name}` with given labels was not measured{' under this model' if elsewhere else ''} "
        "(see `evaluation.agreement`)"
        for name, elsewhere in sorted(found)
    )


def _notes_of_failures(rows: Sequence[Row]) -> tuple[str, ...]:
    """Say why, where the program failed on every example: its score is that of no answer at all."""
    failures = [row.failure for row in rows if row.failure is not None and row.failure.fault == "program"]
    if not failures or len(failures) < len(rows):
        return ()
    first = failures[0]
    return (f"The program failed on all {len(rows)} examples, the first time with {first.kind}: {first.message}",)


def _notes_of_labels(examples: Sequence[Example], rows: Sequence[Row]) -> tuple[str, ...]:
    """Say that nothing could score, where no prediction had what the metric looked for by the name of a label."""
    scored = [(example, row) for example, row in zip(examples, rows, strict=True) if row.score is not None]
    if not scored or any((row.score or 0) > 0 or MISSING_FIELD not in (row.feedback or "") for _, row in scored):
        return ()
    labels = {name for example, _ in scored for name in fields_of(example) if name not in _inputs(example)}
    outputs = {name for _, row in scored for name in row.outputs or ()}
    return (
        "Nothing could score: the metric compares labels with outputs of the same name, and no prediction had one. "
        f"The labels are {', '.join(sorted(labels)) or 'none'}; "
        f"the outputs are {', '.join(sorted(outputs)) or 'none'}.",
    )


def _examples(dataset: Sequence[Example]) -> Dataset:
    try:
        count = len(dataset)
    except TypeError as error:
        raise UsageError(f"A dataset is a `Dataset` or a list of `dspy.Example`. Given: {shown(dataset)}.") from error
    if count == 0:
        raise UsageError("The dataset is empty: there is nothing to evaluate. Pass at least one example.")
    for index, example in enumerate(dataset):
        if getattr(example, "_input_keys", None) is None:
            raise UsageError(
                f"Example {index} does not say which fields are inputs. Given: {shown(example)}. "
                "Call `.with_inputs(...)` on it, or load the data with `Dataset.load`."
            )
    if isinstance(dataset, Dataset):
        return dataset
    inputs = dict.fromkeys(name for example in dataset for name, _ in example.inputs().items())
    return Dataset(tuple(dataset), tuple(inputs), "dataset")


def as_model(lm: BaseLM | None) -> LM:
    """Return the model to ask, metered.

    Raises:
        UsageError: there is none, or it is no LM.
    """
    model = settings.lm if lm is None else lm
    if model is None:
        raise UsageError("There is no model. Pass `lm=ts.lm(...)`, or set one with `dspy.configure(lm=...)`.")
    if not isinstance(model, BaseLM):
        raise UsageError(f"`lm` must be an LM, such as `ts.lm('embedded')`. Given: {shown(model)}.")
    return as_lm(model)


def _kind(error: BaseException) -> str:
    """Return the error's name in `tunesmith.errors`, where engines and formats raise subclasses of their own."""
    kinds = type(error).__mro__
    return next((kind.__name__ for kind in kinds if kind.__module__ == MetricError.__module__), kinds[0].__name__)


def _outputs(prediction: Any) -> dict[str, Any]:
    if hasattr(prediction, "items"):
        return dict(prediction.items())
    return {"result": prediction}


def _inputs(example: Example) -> dict[str, Any]:
    """Return what `example.inputs()` holds, without the cost of the `Example` around it."""
    wanted = example._input_keys
    if wanted is None:
        return dict(example.inputs())  # raises DSPy's own error
    return {name: value for name, value in fields_of(example).items() if name in wanted}


def _tally(calls: list[Call]) -> dict[str, Any]:
    if len(calls) == 1:  # nearly always
        (call,) = calls
        return {"calls": 1, "tokens": call.tokens, "seconds": call.seconds, "cached": not call.paid}
    return {
        "calls": len(calls),
        "tokens": sum(call.tokens for call in calls),
        "seconds": sum(call.seconds for call in calls),
        "cached": bool(calls) and not any(call.paid for call in calls),
    }


def _minus(now: Spend, before: Spend) -> Spend:
    return Spend(
        now.calls - before.calls,
        now.input_tokens - before.input_tokens,
        now.output_tokens - before.output_tokens,
        now.seconds - before.seconds,
        now.usd - before.usd,
    )
