"""Judge a program on a dataset."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from tunesmith.data import Dataset, example_key, fields_of
from tunesmith.errors import (
    BudgetExceeded,
    Interrupted,
    MetricError,
    UsageError,
    shown,
)
from tunesmith.evaluation.compared import check_compared
from tunesmith.evaluation.examples import checked_demos, fit_to_program
from tunesmith.evaluation.executor import Evaluate, Executor, current_executor, executing
from tunesmith.evaluation.ledger_entry import Entry
from tunesmith.evaluation.ledger_view import LedgerView
from tunesmith.evaluation.report import METRIC_ERROR_LIMIT, Report, Row
from tunesmith.evaluation.subject import Subject, as_model, inputs_of
from tunesmith.evaluation.turns import Line, Turns
from tunesmith.lm import (
    BaseLM,
    Call,
    Meter,
    Spend,
    StopSignal,
    current_scope,
    metered,
    replay_calls,
    run_under_way,
)
from tunesmith.metrics import MISSING_FIELD, Metric
from tunesmith.modules import Candidate, Module
from tunesmith.signatures import Example

__all__ = ["Runner", "as_model", "evaluate"]

_log = logging.getLogger("tunesmith")


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
    executor: str | Executor | None = None,
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
        slots: examples on the way at once; default what the LM says, or how many threads a Dask cluster has.
        meter: counts the calls and holds the budget; default a fresh one.
        floor: the most that an example counts that the program fails on; the lowest score of any example if that is
            less, as a metric may go below zero.
        steps: whether rows keep the program's inner predictions.
        progress: is told how many of how many examples are done.
        executor: where examples run: `threads` of this process, the default, `processes`, `dask`, or an object such as
            `DaskExecutor(address)` (docs/executors.md).

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
    with executing(executor):
        report = runner.run(examples, slots=slots, progress=progress)
    return replace(report, notes=(*notes, *report.notes, *_notes_of_failures(report.rows)))


class Runner:
    """One program, one metric, one model: runs single examples and whole datasets.

    Args: as `evaluate`, and
        show_trace: whether the metric gets the trace, as DSPy's bootstrapping does it; an evaluation gives `None`.
        view: where finished rows are kept and come from; default nowhere. A row that is there is charged as it was,
            and makes no call.
        turns: says which examples may be on the way at once; default one of its own. Runners with a common meter, one
            after the other, share it.
        candidate: what the program uses; default what it has.
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
        view: LedgerView | None = None,
        turns: Turns | None = None,
        candidate: Candidate | None = None,
    ) -> None:
        tracing = steps or (view is not None and not view.ledger.private)
        self._subject = Subject(program, metric, lm=lm, tracing=tracing, show_trace=show_trace, candidate=candidate)
        self.lm = self._subject.lm
        self.meter = Meter() if meter is None else meter
        self._floor, self._steps = floor, steps
        self._view = view
        self._turns = Turns(self.meter, len(self._subject.paths)) if turns is None else turns

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
        keys = examples.keys if isinstance(examples, Dataset) else tuple(map(example_key, examples))
        work = _Work(keys, progress, failed, len(examples) if total is None else total)
        try:
            with run_under_way():
                stop = None if self._view is None else self._replay(self._view, work)
                line, executor = Line(work.left, self._turns), current_executor()
                if work.left:
                    executor.check(self._subject)
                    slots = executor.slots(self.lm) if slots is None else slots
                try:
                    line.run(lambda: self._drain(examples, work, line, executor), slots or 1)
                finally:
                    self._settle(work)
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

    def _replay(self, view: LedgerView, work: "_Work") -> StopSignal | None:
        """Take over what an earlier process finished; return the budget's stop if there was one.

        All of it before anything new is asked for, and in the order in which it was finished: whatever that process
        was admitted to is charged first, so that the budget has room for the same as then.
        """
        if not len(view.ledger):
            return None
        with self._subject.settings([None]), metered(self.meter):
            rows = [(index, self._kept(view.row(key))) for index, key in enumerate(work.keys)]
            found = [(entry.seq, index, entry) for index, entry in rows if entry is not None]
            for _, index, kept in sorted(found, key=lambda one: one[:2]):
                work.finish(index, self._taken(kept), kept.notes)
            work.left = [index for index, row in enumerate(work.rows) if row is None]
            stops = [entry for index in work.left if (entry := view.stop(work.keys[index])) is not None]
            for entry in sorted(stops, key=lambda entry: entry.seq):
                replay_calls(entry.calls)
        if not stops:
            return None
        stopped = {entry.key.example for entry in stops}
        # What the clock stopped is not tried again; else what was on its way then still has its place in the budget.
        clock = self.meter.budget.wall_seconds is not None
        work.left = [] if clock else [index for index in work.left if work.keys[index] not in stopped]
        return _stop_of(stops[0])

    def _kept(self, entry: Entry | None) -> Entry | None:
        """Return the row of an example if it serves here: a metric that failed is asked again."""
        if entry is None or (self._steps and not entry.whole):
            return None
        return None if entry.row.failure is not None and entry.row.failure.fault == "metric" else entry

    def _taken(self, entry: Entry) -> Row:
        """Charge what the row took, take over what was found out with it about the models, and return it."""
        replay_calls(entry.calls)
        self._turns.took(entry.row)
        self._subject.recall(entry.notes)
        return self._shown(replace(self._subject.typed(entry.row), cached=True))

    def _shown(self, row: Row) -> Row:
        return row if self._steps or not row.steps else row.without_steps()

    def _drain(self, examples: Sequence[Example], work: "_Work", line: Line[int], executor: Executor) -> None:
        scope: list[Any] = [None]
        with self._subject.settings(scope), metered(self.meter), executor.seat(self._subject) as evaluate:

            def finish(index: int) -> None:
                work.finish(index, *self._row(work.keys[index], examples[index], scope, evaluate), told=False)
                if self._view is None or not self._view.ledger.waits:
                    work.tell()

            line.each(finish)

    def _settle(self, work: "_Work") -> None:
        """Bring the rows to the disk before anything is told of them."""
        if self._view is not None:
            self._view.ledger.settle()
        work.tell()

    def one(self, example: Example) -> Row:
        """Run one example, metered like all others.

        Raises:
            StopSignal: the budget ended or the model is away.
        """
        scope: list[Any] = [None]
        key = example_key(example)
        with self._subject.settings(scope), metered(self.meter):
            if self._view is not None:
                entry = self._kept(self._view.row(key))
                if entry is not None:
                    return self._taken(entry)
                stop = self._view.stop(key)
                if stop is not None:
                    replay_calls(stop.calls)
                    raise _stop_of(stop)
            row = self._row(key, example, scope, self._subject.evaluate)[0]
        if self._view is not None:
            self._view.ledger.settle()
        return row

    def _row(self, key: str, example: Example, scope: list[Any], evaluate: Evaluate) -> tuple[Row, tuple[str, ...]]:
        """Return the example's row and what a reader of its score has to know."""
        calls: list[Call] = []
        view, again = self._view, None
        if view is not None:
            there = view.row(key)
            if (kept := self._kept(there)) is not None:  # the same example twice
                return self._taken(kept), kept.notes
            again = view.row_to_rescore(key, there)
        try:
            row, notes, bare = evaluate(key, example, scope, calls, again)
        except StopSignal as stop:
            if view is not None and isinstance(stop.error, BudgetExceeded) and current_scope().paying:
                view.keep_stop(key, calls, stop.error)
            raise
        self._turns.took(row)
        if view is not None:
            found = view.keep(row, calls, notes, bare=bare)
            if found.row is not row and (found.whole or not self._steps):
                # The same example twice, at once: all see what the ledger holds.
                return self._taken(found), found.notes
        return self._shown(row), notes


class _Work:
    """The rows of one dataset as they come, from any thread."""

    def __init__(
        self, keys: Sequence[str], progress: Callable[[int, int], None] | None, failed: int, dataset: int
    ) -> None:
        self.keys = keys
        self.rows: list[Row | None] = [None] * len(keys)
        self.notes: set[str] = set()
        self.left = list(range(len(keys)))
        self.done = 0
        self._told = 0
        self._progress = progress
        self._metric_errors, self._dataset = failed, dataset
        self._lock = threading.Lock()

    def finish(self, index: int, row: Row, notes: Iterable[str], *, told: bool = True) -> None:
        """Take a row; tell of it now, or with the next call of `tell`."""
        with self._lock:
            self.rows[index] = row
            if notes:
                self.notes.update(notes)
            self.done += 1
            failure = row.failure
            if failure is not None and failure.fault == "metric":
                self._metric_errors += 1
                if self._metric_errors > METRIC_ERROR_LIMIT * self._dataset:
                    raise StopSignal(
                        MetricError(
                            f"The metric failed on {self._metric_errors} examples, more than "
                            f"{METRIC_ERROR_LIMIT:.0%} of {self._dataset}: the others' mean says nothing of all. "
                            f"The last failure, on the example {row.key[:12]}: {failure.kind}: "
                            f"{failure.message.rstrip('.')}. Let the metric give every prediction a score, such as 0.0 "
                            "for one that it cannot judge, or mend the label. Then do the same again: replies are in "
                            "the cache, so that what was paid for is not paid again."
                        )
                    )
        if told:
            self.tell()

    def tell(self) -> None:
        """Tell the progress of every row that was not told of yet."""
        if self._progress is None:
            return
        with self._lock:
            first, last = self._told + 1, self.done
            self._told = last
        for done in range(first, last + 1):
            self._progress(done, len(self.keys))


def _stop_of(entry: Entry) -> StopSignal:
    message = "" if entry.row.failure is None else entry.row.failure.message
    return StopSignal(BudgetExceeded(message))


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
    labels = {name for example, _ in scored for name in fields_of(example) if name not in inputs_of(example)}
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


def _minus(now: Spend, before: Spend) -> Spend:
    return Spend(
        now.calls - before.calls,
        now.input_tokens - before.input_tokens,
        now.output_tokens - before.output_tokens,
        now.seconds - before.seconds,
        now.usd - before.usd,
    )
