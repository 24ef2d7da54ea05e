"""What a search will do, as numbers, and what that takes in calls."""

import math
from dataclasses import dataclass
from typing import Any

from tunesmith.compilers._racing import Bounds, forecast, shares
from tunesmith.lm import Budget

__all__ = ["Effort", "planned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a search will do beside scoring the program as given. A plan makes calls of it.

    Attributes:
        candidates: how many are compared on validation.
        race: the rule that compares them, a name of `RACES`; `None` if each is scored on every example.
        finalists: leaders of the race that are scored on every example.
        bounds: lowest and highest score, if the race gets them.
        proposals: calls of the prompt model.
        runs, most_runs: runs of a program on training examples, expected and at most.
    """

    candidates: int
    race: str | None = None
    finalists: int = 2
    bounds: Bounds = None
    proposals: int = 0
    runs: int = 0
    most_runs: int = 0


def planned(effort: Effort, budget: Budget, *, val: int, calls: float, advice: str = "") -> dict[str, Any]:
    """Return what `Compiler.plan` promises.

    Args:
        effort: what the search will do.
        budget: of the search.
        val: validation examples.
        calls: of one run of the program.
        advice: what else leaves more room.
    """
    limit = math.inf if budget.calls is None else budget.calls
    race, most = _race(effort, budget, val, calls), effort.candidates * val
    worst = min((val + most + effort.most_runs) * calls + effort.proposals, limit)
    expected = (val + race + effort.runs) * calls + effort.proposals
    return {
        "candidates": effort.candidates + 1,
        "proposals": effort.proposals,
        "calls": {"expected": round(min(expected, worst)), "worst": math.ceil(worst)},
        "notes": _notes_of_room(effort, budget, val, calls, advice),
    }


def _race(effort: Effort, budget: Budget, val: int, calls: float) -> int:
    """Return how many evaluations comparing the candidates is expected to take."""
    count, everything = effort.candidates, effort.candidates * val
    if effort.race is None or not everything:
        return everything
    room = None
    if budget.calls is not None and calls > 0:
        room = max(0, int((budget.calls - effort.proposals) / calls) - val - effort.runs)
    share, finalists = shares(effort.race, count, val, room, effort.finalists)
    return forecast(effort.race, count=count, total=val, budget=share, finalists=finalists, bounds=effort.bounds)


def _notes_of_room(effort: Effort, budget: Budget, val: int, calls: float, advice: str) -> list[str]:
    """Return a sentence if the budget of calls leaves no room to score one candidate on validation."""
    limit, one = budget.calls, math.ceil(val * calls)
    before = effort.runs * calls + effort.proposals
    if limit is None or not effort.candidates or limit >= 2 * one + before:
        return []
    surely = limit < 2 * one
    about = f", bootstrapping about {math.ceil(effort.runs * calls)}" if effort.runs else ""
    about += f", proposals {effort.proposals}" if effort.proposals else ""
    ways = [f"Raise the budget by {'about ' if before else ''}{math.ceil(2 * one + before) - limit} calls"]
    ways += [advice] if advice and effort.runs and not surely else []
    return [
        f"{'No' if surely else 'Probably no'} candidate will be tried: of the {limit} calls that the search may "
        f"make, scoring the program as given on {val} validation examples takes {one}{about}, and scoring a "
        f"candidate as many as the program as given. {', '.join(ways)}, or pass fewer validation examples."
    ]
