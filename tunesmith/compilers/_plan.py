"""What a compile will need, before its first call, and what of its budget is kept for the test."""

import inspect
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from statistics import fmean, pstdev
from typing import Any

from tunesmith.compilers._job import Job
from tunesmith.compilers._verdict import POWER
from tunesmith.data import example_key
from tunesmith.errors import UsageError, brief
from tunesmith.evaluation import LEAST_CHANGED, Row, binary_spread, examples_needed, minimum_detectable_effect
from tunesmith.formats import Format, get_format
from tunesmith.lm import BaseLM, Budget, Meter
from tunesmith.metrics import Judge, Metric
from tunesmith.modules import (
    Module,
    caller_adapter,
    calls_of,
    change_settings,
    choices_of,
    copy_program,
    settings_of,
)

__all__ = ["calls_of_example", "ExampleCalls", "notes_of_room", "Plan", "plan_of", "Reserve", "search_budget"]


class Plan(dict[str, Any]):
    """What a compile will need, as JSON values by name; it is shown in a few lines."""

    def __repr__(self) -> str:
        calls = self["calls"]
        return brief(self, f"{self['candidates']} candidates", f"{calls['expected']} calls, at most {calls['worst']}")

    def __str__(self) -> str:
        calls, sizes = self["calls"], self["examples"]
        lines = [
            f"{self['candidates']} candidates, the program as given included",
            f"{calls['expected']:,} calls expected, at most {calls['worst']:,}",
            f"{sizes['train']} train, {sizes['val']} validation, {sizes['test']} test examples",
        ]
        return "\n".join(lines + [f"Note: {note}" for note in self["notes"]])


def plan_of(job: Job) -> Plan:
    """Return what a compile will need, at no LM call; see `plan` of `tunesmith.experiments`."""
    each, tested = calls_of_example(job.program, job.metric), _test_calls(job)
    planned = job.compiler.with_budget(search_budget(job))
    tried = _calls_of_candidates(job)
    sizes = {"train": len(job.train), "val": len(job.val)}
    found = planned.plan(**sizes, calls=sum(tried) / len(tried))
    worst = planned.plan(**sizes, calls=float(max(tried)))["calls"]["worst"]
    calls = {"expected": found["calls"]["expected"], "worst": worst}
    return Plan(
        {
            **found,
            "calls": {kind: _within(count + tested, job.budget) for kind, count in calls.items()},
            "calls_per_example": {"program": each.program, "judge": each.judge, "known": each.known},
            "examples": {
                "train": len(job.train),
                "val": len(job.val),
                "test": 0 if job.test is None else len(job.test),
            },
            "budget": job.budget.to_json(),
            "notes": [
                *job.notes,
                *found.get("notes", []),
                *_notes_of_test(job),
                *_notes_of_bad_cases(job),
                *([each.note] if each.note else []),
                *_notes_of_other_limits(job.budget),
            ],
        }
    )


def notes_of_room(job: Job) -> list[str]:
    """Return what the plan says if the budget leaves no room to try a candidate.

    Raises: as `search_budget`.
    """
    planned = job.compiler.with_budget(search_budget(job))
    if planned.limit.calls is None:
        return []
    calls = calls_of_example(job.program, job.metric).total
    found: list[str] = planned.plan(train=len(job.train), val=len(job.val), calls=float(calls)).get("notes", [])
    return found


def _notes_of_test(job: Job) -> list[str]:
    """Return how small a gain the test split can show, before it is too late to take a larger one.

    For right and wrong answers of two programs that are independent and right in half of the cases: others show more.
    """
    if job.test is None:
        return ["There is no test split: the verdict will be `untested`."]
    count = len(job.test) if job.test.groups is None else len(set(job.test.groups))
    what = "test examples" if job.test.groups is None else "groups of test examples"
    if count < LEAST_CHANGED:
        return [f"{count} {what} can prove nothing: at least {LEAST_CHANGED} must differ. Have 100 or more."]
    spread = binary_spread(0.5, 0.5)
    shown = minimum_detectable_effect(count, spread, power=POWER)
    text = f"{count} {what} most likely show a gain of {min(shown, 1.0):.2f} or more"
    return [f"{text}, of a score from 0 to 1; a gain of 0.1 needs about {examples_needed(0.1, spread, power=POWER)}."]


def _notes_of_bad_cases(job: Job) -> list[str]:
    if job.bad_cases is None:
        return []
    return [f"{len(job.bad_cases.examples)} bad cases are among the training examples; both programs are run on them."]


def _notes_of_other_limits(budget: Budget) -> list[str]:
    limits = [f"{value} {name}" for name, value in budget.to_json().items() if name != "calls"]
    if not limits:
        return []
    return [f"Only calls are planned: the budget of {' and '.join(limits)} may end the compile earlier."]


def _within(count: int, budget: Budget) -> int:
    return count if budget.calls is None else min(count, budget.calls)


def _test_calls(job: Job) -> int:
    """Return how many calls it takes to test both programs, at most."""
    if not job.checked_at_end:
        return 0
    return job.checked_at_end * (calls_of_example(job.program, job.metric).total + max(_calls_of_candidates(job)))


def _calls_of_candidates(job: Job) -> list[int]:
    """Return how many calls an example takes for each value of the settings that the compiler tries.

    The last of several settings varies, and those before it have the value that makes the most calls.
    """
    tried = choices_of(job.program) if job.compiler.tries_settings else {}
    program = copy_program(job.program) if tried else job.program

    def calls() -> int:
        return calls_of_example(program, job.metric).total

    found = [calls()]
    for (path, name), choices in tried.items():
        by_value = {}
        for value in dict.fromkeys([settings_of(program)[path][name], *choices]):
            change_settings(program, {path: {name: value}})
            by_value[value] = calls()
        change_settings(program, {path: {name: max(by_value, key=by_value.__getitem__)}})
        found = list(by_value.values())
    return found


def search_budget(job: Job) -> Budget:
    """Return what the search may be charged: all but the calls that testing both programs takes.

    Of tokens, seconds and dollars the search keeps something once it knows what examples cost: `Reserve`.

    Raises:
        UsageError: the calls that are left cannot even score the program as given on validation.
    """
    limit = job.budget.calls
    if limit is None:
        return job.budget
    kept = _test_calls(job)
    if kept and kept >= limit:
        raise UsageError(
            f"The budget of {limit} calls has no room for a search: testing on {job.checked_at_end} examples "
            f"alone takes {kept}. Raise the budget or pass a smaller test split."
        )
    each = calls_of_example(job.program, job.metric)
    least = each.total if each.known else 1  # which of its predictors a program calls is its own affair
    needed = least * len({example_key(example.inputs()) for example in job.val})  # equal inputs are charged once
    if kept + needed > limit:
        aside = f"{kept} are kept for testing on {job.checked_at_end} examples twice, and " if kept else ""
        raise UsageError(
            f"The budget of {limit} calls has no room for a search: {aside}scoring the program as given on "
            f"{len(job.val)} validation examples takes {needed}. Raise the budget to more than {kept + needed}, or "
            "pass smaller splits."
        )
    return replace(job.budget, calls=limit - kept)


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
        """What a plan says of it; empty if there is nothing to say."""
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


_SURE = 2.0  # standard errors above what is expected


class Reserve:
    """Lowers the limits of a search's meter by what the test will take, as far as the rows so far tell.

    What the test takes is known only once both programs are: so the costs of the program as given on validation stand
    for its own test, and those of the most expensive candidate so far for the test of what will be found. Calls are not
    counted here: how many a test takes is known before the first one.

    Args:
        examples: of the test split.
        meter: of the search, with its whole budget.
        slots: requests on the way at once, each of which may end beyond a limit of the clock. Before other limits one
            example is alone on the way (`Turns`), so what is kept does not depend on them.
    """

    def __init__(self, examples: int, meter: Meter, slots: int) -> None:
        self._examples, self._meter, self._slots = examples, meter, slots
        self._whole = meter.budget
        self._kinds = [name for name in self._whole.to_json() if name != "calls"]

    @property
    def active(self) -> bool:
        """Whether there is a limit that something has to be kept of."""
        return bool(self._kinds) and self._examples > 0

    def keep(self, base: Sequence[Row], tried: Collection[Sequence[Row]]) -> None:
        """Set the limits by the rows of the program as given, on all examples, and of every candidate so far."""
        spent, left = self._meter.charged, self._meter.room()
        limits: dict[str, Any] = {}
        for name in self._kinds:
            limit = getattr(self._whole, name)
            used = getattr(self._meter.budget, name) - getattr(left, name)
            if name in ("tokens", "seconds"):
                kept = self._needed(base, tried, name)
            else:  # dollars follow the tokens, and the clock the seconds of the engine
                alike, under_way = ("tokens", 1) if name == "usd" else ("seconds", self._slots)
                basis = getattr(spent, alike)
                kept = self._needed(base, tried, alike, under_way) * used / basis if basis > 0 else 0.0
            limits[name] = max(limit - (math.ceil(kept) if name == "tokens" else kept), used)
        self._meter.budget = replace(self._meter.budget, **limits)

    def _needed(self, base: Sequence[Row], tried: Collection[Sequence[Row]], name: str, under_way: int = 1) -> float:
        costs = [float(getattr(row, name)) for row in base]
        mean = fmean(costs)
        most_expensive = max((fmean(getattr(row, name) for row in rows) for rows in tried if rows), default=mean)
        spread = pstdev(costs) / mean if mean else 0.0
        margin = 1 + _SURE * spread * math.sqrt(1 / self._examples + 1 / len(costs))
        last = under_way * max(costs) * (most_expensive / mean if mean else 0.0)
        return self._examples * (mean + max(mean, most_expensive)) * margin + last
