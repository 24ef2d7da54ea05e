"""What a search will do, as numbers, and what that takes in calls."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunesmith.evaluation import RACES
from tunesmith.lazy import lazy_module
from tunesmith.lm import Budget
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

__all__ = ["Bounds", "demos_of", "Effort", "forecast", "planned", "prompt_start", "shares"]


Bounds = tuple[float, float] | None
"""Lowest and highest score of a metric, if it has such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a search will do beside scoring the program as given. A plan makes calls of it.

    Attributes:
        candidates: how many are compared on validation, or would be if each was scored on every example.
        most: how many there may be if a race shows most of them few examples; default `candidates`. The same candidate
            with offsets for its labels, which takes no call, is not counted.
        race: the rule that compares them, a name of `RACES`; `None` if each is scored on every example.
        finalists: leaders of the race that are scored on every example.
        bounds: lowest and highest score, if the race gets them.
        evaluations: the most evaluations of an example before the leaders are scored whole, if the race gets that.
        options: of the race.
        races: how many such races follow each other, each with its own `evaluations`; the last one has the finalists.
        proposals: calls of the prompt model.
        runs, most_runs: runs of a program on training examples, expected and at most.
        fills: whether it tries more candidates as long as a budget of calls has room.
        start: runs and proposals before the first candidate is compared, if others follow; default all.
        notes: what else somebody has to know before.
    """

    candidates: int
    most: int | None = None
    race: str | None = None
    finalists: int = 2
    bounds: Bounds = None
    evaluations: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    races: int = 1
    proposals: int = 0
    runs: int = 0
    most_runs: int = 0
    fills: bool = False
    start: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()

    def compared(self, val: int) -> int:
        """Return the most evaluations of an example that comparing the candidates takes."""
        everything = self.candidates * val
        if self.races == 1 or self.evaluations is None:
            return everything
        return min(everything, self.races * self.evaluations + self.finalists * val)


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
    race, most = _race(effort, budget, val, calls), effort.compared(val)
    everything = (val + most + effort.most_runs) * calls + effort.proposals
    grows = effort.fills and everything < limit < math.inf
    worst = limit if grows else min(everything, limit)
    expected = limit if grows else (val + race + effort.runs) * calls + effort.proposals
    return {
        "candidates": (effort.most or effort.candidates) + 1,
        "proposals": effort.proposals,
        "calls": {"expected": round(min(expected, worst)), "worst": math.ceil(worst)},
        "notes": [*_notes_of_room(effort, budget, val, calls, advice), *effort.notes],
    }


def _race(effort: Effort, budget: Budget, val: int, calls: float) -> int:
    """Return how many evaluations comparing the candidates is expected to take."""
    count, everything = effort.candidates, effort.candidates * val
    if effort.race is None or effort.races > 1 or not everything:
        return effort.compared(val)
    room = None
    if budget.calls is not None and calls > 0:
        room = max(0, int((budget.calls - effort.proposals) / calls) - val - effort.runs)
    share, finalists = shares(effort.race, count, val, room, effort.finalists, effort.evaluations)
    return forecast(
        effort.race,
        count=count,
        total=val,
        budget=share,
        finalists=finalists,
        bounds=effort.bounds,
        options=effort.options,
    )


def _notes_of_room(effort: Effort, budget: Budget, val: int, calls: float, advice: str) -> list[str]:
    """Return a sentence if the budget of calls leaves no room to score one candidate on validation."""
    limit, one = budget.calls, math.ceil(val * calls)
    runs, proposals = (effort.runs, effort.proposals) if effort.start is None else effort.start
    before = runs * calls + proposals
    if limit is None or not effort.candidates or limit >= 2 * one + before:
        return []
    surely = limit < 2 * one
    about = f", runs on training examples about {math.ceil(runs * calls)}" if runs else ""
    about += f", proposals {proposals}" if proposals else ""
    ways = [f"Raise the budget by {'about ' if before else ''}{math.ceil(2 * one + before) - limit} calls"]
    ways += [advice] if advice and effort.runs and not surely else []
    return [
        f"{'No' if surely else 'Probably no'} candidate will be tried: of the {limit} calls that the search may "
        f"make, scoring the program as given on {val} validation examples takes {one}{about}, and scoring a "
        f"candidate as many as the program as given. {', '.join(ways)}, or pass fewer validation examples."
    ]


_WHOLE = ("full", "bound")  # races that get as many evaluations as there are
_EFFORT = 0.62  # of the evaluations that scoring every candidate on every example would take
_RUNS = 5  # races that are averaged for a forecast; more cost time and change little
_MOST_DRAWN = 400  # validation examples of a drawn race: beyond, its cost grows in proportion
_MOST_RACING = 1000  # candidates of a drawn race, likewise
_MIDDLE, _SPREAD = 0.6, 0.08  # of the drawn candidates' abilities
_LUCK = 0.3  # how much of a score is chance, the rest being the example's difficulty


def shares(
    rule: str, count: int, total: int, room: int | None, finalists: int, evaluations: int | None = None
) -> tuple[int, int]:
    """Return how many evaluations a race gets, and how many of its leaders are scored on every example.

    What the leaders need is kept back from `room`, but at most half of it.

    Args:
        rule: a name of `RACES`.
        count: candidates.
        total: validation examples.
        room: evaluations that the budget has room for; `None` without a limit.
        finalists: leaders that are wanted.
        evaluations: what the race gets at most; default a part of what scoring every candidate whole would take.
    """
    everything, finalists = count * total, min(finalists, count)
    budget = everything if rule in _WHOLE or count == 1 else int(everything * _EFFORT)
    budget = budget if evaluations is None else min(everything, evaluations)
    if room is None:
        return budget, finalists
    if not finalists:
        return min(budget, room), 0
    if room < total:
        return 0, 0  # no candidate could be scored on every example, so none could be chosen
    finalists = max(1, min(finalists, room // (2 * total)))
    return max(0, min(budget, room - finalists * total)), finalists


def prompt_start(candidate: Candidate) -> list[tuple[str, str, int]]:
    """Return a sort key that puts candidates with a shared prompt prefix side by side: servers reuse what they read."""
    return [(str(part.format), part.instruction or "", len(part.demos)) for part in candidate.parts.values()]


def demos_of(candidate: Candidate) -> int:
    """Return how many demos a candidate shows, all predictors together: the most make the most expensive calls."""
    return sum(map(candidate.shown_demos, candidate.parts))


def forecast(
    rule: str,
    *,
    count: int,
    total: int,
    budget: int,
    finalists: int,
    bounds: Bounds = None,
    options: Mapping[str, Any] | None = None,
) -> int:
    """Return the mean number of evaluations of one example that a race takes, its leaders scored whole afterwards.

    Each race drops candidates by a rule of its own, some by their scores, so there is no formula for all: the race is
    run on drawn 0/1 scores of candidates whose abilities differ by a few hundredths, as those of drawn demo sets do.
    The same arguments give the same number in every process.
    """
    if count < 1 or total < 1:
        return 0
    drawn = total if options else min(total, _MOST_DRAWN)  # an option may be a number of examples
    few = min(count, _MOST_RACING)
    share = int(budget * drawn * few / (total * count))
    runs = [_one(rule, few, drawn, share, finalists, bounds, seed, options or {}) for seed in range(_RUNS)]
    return min(count * total, round(sum(runs) / _RUNS * total / drawn * count / few))


def _one(
    rule: str,
    count: int,
    total: int,
    budget: int,
    finalists: int,
    bounds: Bounds,
    seed: int,
    options: Mapping[str, Any],
) -> int:
    rng = np.random.default_rng(seed)
    ability = rng.normal(_MIDDLE, _SPREAD, size=(count, 1))
    hard = rng.random(total)
    own = rng.random((count, total))
    right = np.where(rng.random((count, total)) < _LUCK, own, hard) < ability
    low, high = (0.0, 1.0) if bounds is None else bounds
    scores: Sequence[Sequence[float]] = np.where(right, high, low).tolist()
    results = RACES[rule](count, lambda k, n: scores[k][:n], total, budget, bounds=bounds, seed=seed, **options)
    seen = [result.n for result in results if result.n]
    return sum(seen) + sum(total - n for n in seen[:finalists]) if seen else min(count, 1) * total
