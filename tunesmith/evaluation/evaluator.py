"""Judge a program on a dataset; the door to DSPy's settings for this package."""

import contextlib
import contextvars
import inspect
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dspy import context
from dspy.dsp.utils.settings import settings

from tunesmith.data import Score, example_key, fields_of
from tunesmith.errors import (
    Interrupted,
    MetricError,
    ModelMissing,
    ModelUnavailable,
    UsageError,
    shown,
)
from tunesmith.evaluation.report import Failure, Report, Row, Step
from tunesmith.lm import LM, BaseLM, Call, Meter, Spend, StopSignal, as_lm, current_scope, metered, run_under_way
from tunesmith.metrics import Judge, judges_used, metric_name
from tunesmith.modules import Module, with_default_formats
from tunesmith.signatures import Example

__all__ = ["Metric", "Runner", "as_model", "evaluate"]

Metric = Callable[..., Any]

METRIC_ERROR_LIMIT = 0.02
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

    The program is not changed. Predictors that are bound to no format use tunesmith's default one, unless the caller
    set `dspy.settings.adapter`.

    Args:
        program: any `dspy.Module`.
        dataset: examples with their inputs marked, such as a `Dataset` or a list of `dspy.Example`.
        metric: `metric(example, prediction, trace=None)`, returning a bool, a number or a `Score`.
        lm: the model; default `dspy.settings.lm`.
        slots: examples on the way at once; default what the LM says.
        meter: counts the calls and holds the budget; default a fresh one.
        floor: the score of an example the program fails on.
        steps: whether rows keep the program's inner predictions.
        progress: is told how many of how many examples are done.

    Returns:
        One row per example in the dataset's order, whatever the order they finished in.

    Raises:
        UsageError: an argument that cannot be used.
        MetricError: the metric failed on more than 2 % of the examples.
        ModelUnavailable, ModelMissing: there is nobody to answer; finished calls are in the cache.
        BudgetExceeded: the budget ended first.
        Interrupted: by Ctrl-C; `partial` holds the finished rows.
    """
    runner = Runner(program, metric, lm=lm, floor=floor, steps=steps, meter=meter)
    return runner.run(_examples(dataset), slots=slots, progress=progress)


class Runner:
    """One program, one metric, one model: runs single examples and whole datasets.

    Args: as `evaluate`, and
        show_trace: whether the metric gets the trace, as DSPy's bootstrapping does it; an evaluation gives `None`.
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
    ) -> None:
        if not isinstance(program, Module):
            raise UsageError(f"A program is a `dspy.Module`. Given: {shown(program)}. Pass an instance, not a class.")
        if not callable(metric):
            raise UsageError(f"A metric is a function of (example, prediction, trace=None). Given: {shown(metric)}.")
        self.lm = as_model(lm)
        self.meter = Meter() if meter is None else meter
        self._program = with_default_formats(program)
        self._paths = {id(p): path for path, p in self._program.named_predictors()}
        for _, predictor in self._program.named_predictors():
            if predictor.lm is not None:
                predictor.lm = as_lm(predictor.lm)
        self._metric, self._takes_trace = metric, _takes_trace(metric)
        self._floor, self._steps, self._show_trace = floor, steps, show_trace

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
        work = _Work(len(examples), progress, failed, len(examples) if total is None else total)
        count = self.lm.slots if slots is None else slots
        used: dict[int, Judge] = {}
        try:
            with run_under_way(), judges_used() as used:
                if count <= 1 or len(examples) <= 1:
                    self._drain(examples, work)
                else:
                    self._drain_threads(examples, work, count)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Stopped after {work.done} of {len(examples)} examples. Finished calls are in the cache; "
                "the same command goes on.",
                partial=self._report(work, before, used),
            ) from None
        except StopSignal as stop:
            raise stop.error from None
        return self._report(work, before, used)

    def _report(self, work: "_Work", before: tuple[Spend, Spend], used: Mapping[int, Judge]) -> Report:
        charged, paid = self.meter.charged, self.meter.paid
        return Report(
            tuple(row for row in work.rows if row is not None),
            self._floor,
            _minus(charged, before[0]),
            _minus(paid, before[1]),
            _notes(used.values(), self.lm),
        )

    def _drain(self, examples: Sequence[Example], work: "_Work") -> None:
        shared: list[Any] = [None]
        with self._settings(shared), metered(self.meter):
            for index in work.indices():
                work.finish(index, self._row(examples[index], shared))

    def _drain_threads(self, examples: Sequence[Example], work: "_Work", count: int) -> None:
        with ThreadPoolExecutor(min(count, len(examples)), thread_name_prefix="tunesmith") as pool:
            futures = [
                pool.submit(contextvars.copy_context().run, self._drain, examples, work)
                for _ in range(min(count, len(examples)))
            ]
            try:
                for future in futures:
                    future.result()
            finally:
                work.stop()

    def one(self, example: Example) -> Row:
        """Run one example, metered like all others.

        Raises:
            StopSignal: the budget ended or the model is away.
        """
        shared: list[Any] = [None]
        with self._settings(shared), metered(self.meter):
            return self._row(example, shared)

    def _settings(self, shared: list[Any]) -> Any:
        # Threads that DSPy starts get its settings and nothing else of the running context, so the meters go there too.
        return context(lm=self.lm, disable_history=True, trace=_NO_TRACE, tunesmith_scope=shared)

    def _row(self, example: Example, shared: list[Any]) -> Row:
        calls: list[Call] = []
        key = example_key(example)
        trace: list[Any] = []
        with metered(sink=calls.append), context(trace=trace) if self._steps else _UNCHANGED:
            shared[0] = current_scope()
            try:
                prediction = self._program(**_inputs(example))
            except (ModelUnavailable, ModelMissing) as error:
                raise StopSignal(error) from error
            except Exception as error:  # noqa: BLE001 - whatever a program raises is its own failure
                failure = Failure("program", _kind(error), str(error))
                return Row(key, None, None, failure, **_tally(calls))
            return self._score(key, example, prediction, trace, calls)

    def _score(self, key: str, example: Example, prediction: Any, trace: list[Any], calls: list[Call]) -> Row:
        outputs = _outputs(prediction)
        found = self._trace(trace) if self._steps else ()
        try:
            if self._takes_trace:
                given = self._metric(example, prediction, trace if self._show_trace else None)
            else:
                given = self._metric(example, prediction)
            score = Score.of(given)
        except Exception as error:  # noqa: BLE001 - whatever a metric raises is its own failure
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


# DSPy's BestOfN and Refine extend the trace whatever it is; this one keeps nothing.
_NO_TRACE: deque[Any] = deque(maxlen=0)


class _Work:
    """The shared list of rows; workers take the next index until there is none, or one of them failed."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None, failed: int, dataset: int) -> None:
        self.rows: list[Row | None] = [None] * total
        self.done = 0
        self._total, self._progress = total, progress
        self._next = 0
        self._metric_errors, self._dataset = failed, dataset
        self._lock = threading.Lock()
        self._stopped = False

    def indices(self) -> Iterable[int]:
        while True:
            with self._lock:
                if self._stopped or self._next >= self._total:
                    return
                index, self._next = self._next, self._next + 1
            try:
                yield index
            except GeneratorExit:
                self.stop()  # this worker raised: the others finish what they have and end
                raise

    def stop(self) -> None:
        self._stopped = True

    def finish(self, index: int, row: Row) -> None:
        with self._lock:
            self.rows[index] = row
            self.done += 1
            done = self.done
            failure = row.failure
            if failure is not None and failure.fault == "metric":
                self._metric_errors += 1
                if self._metric_errors > METRIC_ERROR_LIMIT * self._dataset:
                    self._stopped = True
                    raise StopSignal(
                        MetricError(
                            f"The metric failed on {self._metric_errors} examples, more than "
                            f"{METRIC_ERROR_LIMIT:.0%} of {self._dataset}. The last failure: {failure.kind}: "
                            f"{failure.message} Fix the metric; replies are in the cache."
                        )
                    )
        if self._progress is not None:
            self._progress(done, self._total)


def _notes(judges: Iterable[Judge], lm: LM) -> tuple[str, ...]:
    found = {(metric_name(judge), judge.is_measured) for judge in judges if not judge.is_measured_under(lm)}
    return tuple(
        f"the agreement of `{name}` with given labels was not measured{' under this model' if elsewhere else ''} "
        "(see `evaluation.agreement`)"
        for name, elsewhere in sorted(found)
    )


def _examples(dataset: Sequence[Example]) -> Sequence[Example]:
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
    return dataset


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


def _takes_trace(metric: Metric) -> bool:
    try:
        parameters = inspect.signature(metric).parameters.values()
    except (TypeError, ValueError):
        return True
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= 3 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def _kind(error: Exception) -> str:
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
