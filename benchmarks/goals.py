"""The goals that have a number: what was promised, what was measured, and what holds back those that are missed.

    python benchmarks/goals.py     print them all

`goals.toml` says each goal in words, its bound, and the committed file of results with the place in it, so that a value
is read and never typed. `python benchmarks/tables.py` makes the table of docs/benchmarks.md from it.
"""

import json
import math
import re
import statistics
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FILE = HERE / "goals.toml"

THIRD = "portfolio (a third of the calls of DSPy's best)"  # an arm of compilers.py
_PART = re.compile(r"([^.\[\]]+)(?:\[([^\]]*)\])?\.?")
_TAKE: Mapping[str, Callable[[Sequence[float]], float]] = {"max": max, "min": min, "mean": statistics.fmean}


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal, with one of `at`, `made_by`, `test` and `todo`. Without results yet, it is not measured.

    Attributes:
        area: what it is about.
        goal: it in words.
        script: which script under `benchmarks/` measures it.
        at_most: the bound; else `at_least` is.
        at_least: the bound.
        at: the place of the value in the script's results, see `found`.
        take: which of several values counts: `max`, `min` or `mean`.
        results: the name of the file of results if it is not that of the script, or `results` for a `bench_...`.
        made_by: the function of this file that makes the value from the results.
        given: what that function takes beside the results.
        test: the test that holds it, if it is not measured but tested.
        todo: why there can be no value yet.
        why: what holds it back, if it is missed.
    """

    area: str
    goal: str
    script: str = ""
    at_most: float | None = None
    at_least: float | None = None
    at: str = ""
    take: str = ""
    results: str = ""
    made_by: str = ""
    given: str = ""
    test: str = ""
    todo: str = ""
    why: str = ""

    @property
    def bound(self) -> float:
        """What the value is held against."""
        bound = self.at_least if self.at_most is None else self.at_most
        assert bound is not None, f"no bound: {self.goal}"
        return bound

    @property
    def value(self) -> float | None:
        """What was measured, `None` if nothing was."""
        if self.todo or self.test:
            return None
        try:
            data = read(self.results or ("results" if self.script.startswith("bench_") else self.script))
            if self.made_by:
                return MADE[self.made_by](data, *filter(None, [self.given]))
            values = [float(one) for one in found(data, self.at)]
        except (FileNotFoundError, NothingThere):
            return None
        if not self.take and len(values) != 1:
            raise ValueError(f"`at` must be one place. Given: {self.at}, which is {len(values)}.")
        return round(_TAKE[self.take or "max"](values), 9)  # a mean of 0.8 may be 0.7999999999999999

    @property
    def met(self) -> bool | None:
        """Whether it is met, `None` if nothing was measured."""
        value = self.value
        if value is None:
            return True if self.test else None
        return value >= self.bound if self.at_most is None else value <= self.bound


class NothingThere(ValueError):
    """No member of a list fits the conditions: it was not measured yet."""


def goals() -> list[Goal]:
    """Return the goals of `goals.toml`, in its order."""
    areas = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return [Goal(area, **one) for area, group in areas.items() for one in group]


def read(name: str) -> Any:
    """Return the results in `name`.json."""
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def found(data: Any, at: str) -> list[Any]:
    """Return what is at a place such as `machine.cores`, `rows[name=import].figure` or `rows[*].loss.0`.

    In brackets are conditions on the members of a list, with `; ` between them: `name=import`, or `name^=comp` for a
    value that starts so. A value itself may not hold a bracket.

    Raises:
        NothingThere: no member fits.
        ValueError: a name is wrong.
    """
    places = [data]
    for name, conditions in _PART.findall(at):
        places = [_member(one, name) for one in places]
        if conditions:
            places = [row for rows in places for row in rows if _fits(row, conditions)]
    if not places:
        raise NothingThere(f"Nothing is at {at}.")
    return places


def _member(data: Any, name: str) -> Any:
    try:
        return data[int(name)] if isinstance(data, list) else data[name]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ValueError(f"There is no {name!r}.") from error


def _fits(row: Any, conditions: str) -> bool:
    for one in [] if conditions == "*" else conditions.split("; "):
        name, _, wanted = one.partition("=")
        value: Any = row
        for part in name.removesuffix("^").split("."):
            value = _member(value, part)
        if not (str(value).startswith(wanted) if name.endswith("^") else str(value) == wanted):
            return False
    return True


# Values that are made from several ------------------------------------------------------------------------------


def behind_on_task(data: Any, task: str) -> float:
    """Return how far another compiler of ours or of DSPy's is above Portfolio's interval, on the same seeds."""
    arms: dict[str, dict[int, Any]] = {}
    for row in data["rows"]:
        name, arm, seed = row["cell"]
        if name == task and "mean" in row:
            arms.setdefault(arm, {})[seed] = row
    ours = arms.pop("portfolio")
    arms.pop(THIRD, None)  # the same compiler with fewer calls
    above = [[rows[seed]["mean"] - ours[seed]["high"] for seed in ours.keys() & rows.keys()] for rows in arms.values()]
    return max(statistics.fmean(one) for one in above if one)


def reached_with_a_third(data: Any) -> float:
    """Return on how many tasks Portfolio with a third of the calls has the mean of the best of DSPy's optimizers."""
    third: dict[str, list[float]] = {}
    for row in data["rows"]:
        task, arm, _ = row["cell"]
        if arm == THIRD:
            third.setdefault(task, []).append(row.get("mean", 0.0))
    if not third:
        raise NothingThere("Nothing was measured with a third of the calls.")
    return sum(statistics.fmean(found) >= best_of_dspy(data["rows"], task)[1] for task, found in third.items())


def best_of_dspy(rows: Iterable[Any], task: str) -> tuple[str, float]:
    """Return the best of DSPy's arms on a task, and its mean over seeds. GEPA was run on one seed of two tasks alone.

    Raises:
        NothingThere: none is measured.
    """
    means: dict[str, list[float]] = {}
    for row in rows:
        name, arm, _ = row["cell"]
        if name == task and arm.startswith("dspy ") and "GEPA" not in arm and "mean" in row:
            means.setdefault(arm, []).append(row["mean"])
    if not means:
        raise NothingThere(f"No optimizer of DSPy is measured on {task}.")
    return max(((arm, statistics.fmean(found)) for arm, found in means.items()), key=itemgetter(1))


def behind_in_landscape(data: Any) -> float:
    """Return how far Portfolio is below the best compiler, where that is farthest."""
    best: dict[tuple[float, int], float] = {}
    for row in data["rows"]:
        place = row["skill"], row["budget"]
        best[place] = max(row["mean"], best.get(place, 0.0))
    mine = [row for row in data["rows"] if row["compiler"] == "portfolio"]
    return max(best[row["skill"], row["budget"]] - row["mean"] for row in mine)


def right_calls(data: Any) -> float:
    """Return how many times as many right calls of functions `ReAct` makes as `dspy.ReAct`."""
    ours, theirs = (
        found(data, f"rows[cell.0=bfcl simple; cell.1={name}].scores.exact.mean")[0] for name in ("ReAct", "dspy ReAct")
    )
    return float(ours / theirs) if theirs else math.inf


def growth_of_looking(data: Any, what: str) -> float:
    """Return the exponent of the CPU of a command over the evaluations of the run, without the start of the process."""
    (start,) = found(data, "rows[what=start].cpu")
    points = [(math.log(row["evaluations"]), math.log(row["cpu"] - start)) for row in found(data, f"rows[what={what}]")]
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def lost_by_schema(data: Any) -> float:
    """Return how far `bare` on a server that takes schemas is below itself on the embedded engine, at most."""
    means: dict[tuple[str, int], dict[str, list[float]]] = {}
    for row in data["cells"]:
        if row["format"] == "bare":
            place = means.setdefault((row["task"], row["demos"]), {})
            place.setdefault(row["engine"], []).append(row["mean"])
    return max(statistics.fmean(one["embedded"]) - statistics.fmean(one["ollama"]) for one in means.values())


def unread_types(data: Any) -> float:
    """Return the number of types of which more than 2 % of the replies could not be read."""
    return sum(row["errors"] > 0.02 * row["calls"] for row in data["types"])


MADE: Mapping[str, Callable[..., float]] = {
    one.__name__: one
    for one in (
        behind_on_task,
        reached_with_a_third,
        behind_in_landscape,
        growth_of_looking,
        lost_by_schema,
        right_calls,
        unread_types,
    )
}


# What is printed ------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Return a value with four digits that count."""
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"


def cells(goal: Goal) -> tuple[str, str, str]:
    """Return the bound, the measured value, and what is to be said of it."""
    sign = "≥" if goal.at_most is None else "≤"
    bound, value = f"{sign} {number(goal.bound)}", goal.value
    if goal.test:
        return bound, "in a test", "met"
    if value is None:
        return bound, "-", f"not measured yet: {goal.todo}" if goal.todo else "not measured yet"
    return bound, number(value), "met" if goal.met else f"**missed**: {goal.why}"


def counted(all_of: Sequence[Goal]) -> str:
    """Return how many are met, missed and not measured."""
    met = [goal.met for goal in all_of]
    return f"{len(met)} goals: {met.count(True)} met, {met.count(False)} missed, {met.count(None)} not measured yet."


def printed(wanted: Sequence[Goal]) -> str:
    """Return a line for each goal, and how many are met."""
    lines = []
    for goal in wanted:
        bound, value, said = cells(goal)
        lines.append(f"{goal.area:<12} {value:>9} {bound:<9} {goal.goal}: {said}")
    return "\n".join([*lines, counted(wanted)])


if __name__ == "__main__":
    print(printed(goals()))
