"""What a candidate is measured by: the score, and what one run of the program costs."""

from collections.abc import Mapping, Sequence
from typing import Literal

from tunesmith.errors import UsageError, shown

__all__ = ["check_limits", "check_objectives", "front_in_words", "OBJECTIVES", "pareto_front"]

OBJECTIVES: Mapping[str, Literal["maximize", "minimize"]] = {
    "score": "maximize",
    "tokens": "minimize",
    "latency": "minimize",
    "calls": "minimize",
}
"""What may be an objective, and whether more or less of it is better.

`score` is the mean of the metric. The others are charged, per example: `tokens` in and out, `latency` in seconds of the
engine, LM `calls`. A charged value is the same whether a reply comes from the cache or not, so that a replay decides
alike.
"""


def check_objectives(given: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the objectives.

    Raises:
        UsageError: one is unknown or named twice, or the score is missing.
    """
    names = (given,) if isinstance(given, str) else tuple(given)
    unknown = [name for name in names if name not in OBJECTIVES]
    if unknown:
        raise UsageError(f"There is no objective {shown(unknown[0])}. Use some of: {', '.join(OBJECTIVES)}.")
    if len(set(names)) < len(names) or "score" not in names:
        raise UsageError(f"Objectives are `score` and others, each once, as in ('score', 'tokens'). Given: {names}.")
    return names


def check_limits(given: Mapping[str, float]) -> dict[str, float]:
    """Return the limits of what a candidate may cost.

    Raises:
        UsageError: a limit is on nothing that costs, or is no positive number.
    """
    costs = [name for name in OBJECTIVES if name != "score"]
    for name, limit in given.items():
        if name not in costs:
            raise UsageError(f"There is no limit on {shown(name)}. A limit is on one of: {', '.join(costs)}.")
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit < float("inf"):
            raise UsageError(f"The limit on {name} must be a positive number. Given: {shown(limit)}.")
    return {name: float(limit) for name, limit in given.items()}


def pareto_front(points: Sequence[Mapping[str, float]], objectives: Sequence[str]) -> list[int]:
    """Return the indices of the points that no other one beats: at least as good in all, better in one."""
    signs = [1 if OBJECTIVES[name] == "maximize" else -1 for name in objectives]
    values = [[sign * point[name] for sign, name in zip(signs, objectives, strict=True)] for point in points]
    return [index for index, mine in enumerate(values) if not any(_beats(other, mine) for other in values)]


def front_in_words(tried: Sequence[tuple[str, Sequence[float]]], objectives: Sequence[str]) -> str:
    """Return the front of what was tried, given as (where it came from, its values)."""
    points = [dict(zip(objectives, values, strict=True)) for _, values in tried]
    found = []
    for index in pareto_front(points, objectives):
        values = ", ".join(f"{name} {value:.4g}" for name, value in points[index].items())
        found.append(f"{tried[index][0]} ({values})")
    return f"Nothing that was tried beats these in {' and '.join(objectives)}: {'; '.join(found)}."


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
