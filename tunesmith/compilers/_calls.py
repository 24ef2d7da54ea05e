"""How many LM calls scoring one example takes, as far as that can be said before the first one."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from tunesmith.evaluation import Metric
from tunesmith.formats import Format, get_format
from tunesmith.lm import BaseLM
from tunesmith.metrics import Judge
from tunesmith.modules import Module, caller_adapter, calls_of

__all__ = ["ExampleCalls", "calls_of_example"]


@dataclass(frozen=True, slots=True)
class ExampleCalls:
    """LM calls that scoring one example takes.

    Attributes:
        program: of the program.
        judge: of the metric.
        known: whether there can be no more.
    """

    program: int
    judge: int
    known: bool

    @property
    def total(self) -> int:
        """Both together."""
        return self.program + self.judge

    @property
    def note(self) -> str:
        """What a plan says of it; empty where there is nothing to say."""
        if self.known and not self.judge:
            return ""
        text = (
            f"Calls per example are taken as {self.total}: {self.program} of the program, {self.judge} of the metric."
        )
        if self.known:
            return text
        return f"{text} Where a predictor or a judge is called more than once, only a budget of calls bounds them."


def calls_of_example(program: Module, metric: Metric) -> ExampleCalls:
    """Return how many calls scoring one example takes if every predictor and every judge is called once.

    That is known if the program is a predictor or a registered module under formats of ours, and the metric a judge or
    none: what code of the caller's does is seen only in a run. A judge of pairs makes two calls.
    """
    adapter = caller_adapter()
    ours = adapter is None or isinstance(adapter, Format | type(get_format("chat")))
    calls, counted = calls_of(program)
    judges = list(_judges(metric))
    known = ours and counted and all(known for _, known in judges)
    return ExampleCalls(calls, sum(calls for calls, _ in judges), known)


def _judges(metric: Any) -> Iterator[tuple[int, bool]]:
    """Yield the calls of every judge, program and LM that a metric has, and whether there can be no more."""
    if isinstance(metric, Judge):
        yield 2 if metric.pairwise else 1, metric.alone() is metric
    elif isinstance(metric, Module | BaseLM):
        yield 1, False
    elif isinstance(metric, tuple | list):
        for part in metric:
            yield from _judges(part)
    elif is_dataclass(metric) and not isinstance(metric, type):
        for field in fields(metric):
            yield from _judges(getattr(metric, field.name))
    elif inspect.isfunction(metric):
        names = inspect.getclosurevars(metric)
        for value in {**names.nonlocals, **names.globals}.values():
            if isinstance(value, Module | BaseLM):
                yield from ((calls, False) for calls, _ in _judges(value))  # it may stand in a loop
