"""What a compile will need, before its first call, and what of its budget is kept for the test."""

from dataclasses import replace
from typing import Any

from tunesmith.compilers._calls import calls_of_example
from tunesmith.compilers._job import Job
from tunesmith.compilers._search import Search
from tunesmith.compilers._verdict import POWER
from tunesmith.data import example_key
from tunesmith.errors import BudgetExceeded, UsageError, brief
from tunesmith.evaluation import binary_spread, examples_needed, least_changed, minimum_detectable_effect
from tunesmith.lm import Budget

__all__ = ["Plan", "notes_of_room", "plan_of", "search_budget", "stop_of_compile"]


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
    found = planned.plan(train=len(job.train), val=len(job.val), calls=float(each.total))
    return Plan(
        {
            **found,
            "calls": {kind: _within(count + tested, job.budget) for kind, count in found["calls"].items()},
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
    if count < least_changed():
        return [f"{count} {what} can prove nothing: at least {least_changed()} must differ. Have 100 or more."]
    spread = binary_spread(0.5, 0.5)
    shown = minimum_detectable_effect(count, spread, power=POWER)
    text = f"{count} {what} most likely show a gain of {min(shown, 1.0):.2f} or more"
    return [f"{text}, of a score from 0 to 1; a gain of 0.1 needs about {examples_needed(0.1, spread, power=POWER)}."]


def _notes_of_other_limits(budget: Budget) -> list[str]:
    limits = [f"{value} {name}" for name, value in budget.to_json().items() if name != "calls"]
    if not limits:
        return []
    return [f"Only calls are planned: the budget of {' and '.join(limits)} may end the compile earlier."]


def _within(count: int, budget: Budget) -> int:
    return count if budget.calls is None else min(count, budget.calls)


def _test_calls(job: Job) -> int:
    """Return how many calls it takes to test both programs."""
    return 0 if job.test is None else 2 * len(job.test) * calls_of_example(job.program, job.metric).total


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
    if kept and job.test is not None and kept >= limit:
        raise UsageError(
            f"The budget of {limit} calls has no room for a search: testing on {len(job.test)} examples "
            f"alone takes {kept}. Raise the budget or pass a smaller test split."
        )
    each = calls_of_example(job.program, job.metric)
    least = each.total if each.known else 1  # which of its predictors a program calls is its own affair
    needed = least * len({example_key(example.inputs()) for example in job.val})  # equal inputs are charged once
    if kept + needed > limit:
        aside = "" if job.test is None else f"{kept} are kept for testing on {len(job.test)} examples twice, and "
        raise UsageError(
            f"The budget of {limit} calls has no room for a search: {aside}scoring the program as given on "
            f"{len(job.val)} validation examples takes {needed}. Raise the budget to more than {kept + needed}, or "
            "pass smaller splits."
        )
    return replace(job.budget, calls=limit - kept)


def stop_of_compile(job: Job, search: Search, stop: BudgetExceeded, *, in_run: bool) -> BudgetExceeded:
    """Return `stop` with the limit that was reached, and with what helps: with another budget a run is another one."""
    room = search.meter.room()
    reached = next((name for name in job.budget.to_json() if getattr(room, name) == 0), None)
    if reached is None:
        return stop
    limit, searched = getattr(job.budget, reached), search.meter.budget.calls
    kept = limit - searched if reached == "calls" and searched is not None else 0
    aside = f"{kept} are kept for testing on {len(job.test or ())} examples twice, and the rest" if kept else "it"
    way = "Raise it"
    if in_run:
        way += ", with --fork NAME to start a run from what this one has evaluated, or --new to set this one aside"
    return BudgetExceeded(
        f"The budget of {limit} {reached} is too small: {aside} ended before the program as given was scored on "
        f"{len(job.val)} validation examples. {way}; what was paid for is in the cache.",
        spent=stop.spent or search.meter.charged.to_json(),
    )
