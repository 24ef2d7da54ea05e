"""Samplers in synthetic worlds: what they find for a number of candidates, against random draws. No model is needed.

    nice -n 10 python benchmarks/sampler_worlds.py   200 seeds in each world: some minutes on one core
    python benchmarks/sampler_worlds.py --quick      10 seeds, printed only
    python benchmarks/sampler_worlds.py --table      write the committed figures into docs/study.md

Writes benchmarks/sampler_worlds.json. Examples and outcomes are those of race_worlds.py. A candidate is a point of a
space as `RandomSearch` searches it, and its skill is the sum of what each of its choices adds and of what only their
combination does, with the spread that the candidates of race_worlds.py have. A candidate that was tried before is not
paid again and told as one without a score, as `RandomSearch` does. Each is scored on all 200 examples, but for
`random, raced`, which draws more candidates and races them for the same number of evaluations. The figure is the true
accuracy of the candidate with the best score.
"""

import argparse
import importlib.util
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from race_worlds import ITEMS
from tables import filled

from tunesmith.compilers import SAMPLERS, Study
from tunesmith.evaluation import RACES, paired_gain

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "study.md"

SEEDS, TRIALS = 200, (16, 32, 64)
RACED = "random, raced"
EFFORT = 0.35  # of the evaluations that scoring every candidate on every example takes, as `RandomSearch` races
SPREAD, MIDDLE, HARDNESS = 0.4, 0.3, 1.5  # of skills and of examples, as in race_worlds.py
_ASKS = 5  # for each candidate, until one is new

ONE = {"instruction": 3, "format": 2, "demos": 5, "set": 16}
THREE = {f"{path}:{name}": count for path in ("first", "second", "third") for name, count in ONE.items()}


@dataclass(frozen=True, slots=True)
class Kind:
    """How a world is drawn: its space, the weight of each name, and the share of skill that is a sum over names."""

    space: Mapping[str, int]
    weights: Mapping[str, float] = field(default_factory=dict)
    additive: float = 0.8


KINDS = {
    "one predictor": Kind(ONE),
    "three predictors": Kind(THREE),
    "three predictors, one choice matters": Kind(THREE, {"second:format": 4.0, "second:demos": 2.0}),
    "three predictors, no choice matters by itself": Kind(THREE, additive=0.0),
}


class World:
    """One drawn world: the scores and the true accuracy of every point."""

    def __init__(self, kind: str, seed: int) -> None:
        self.kind, self._seed = KINDS[kind], [list(KINDS).index(kind), seed]
        rng = np.random.default_rng(self._seed)
        self._difficulty = rng.normal(0, HARDNESS, ITEMS)
        drawn = {name: rng.normal(0, 1, count) for name, count in self.kind.space.items()}
        weights = np.array([self.kind.weights.get(name, 1.0) for name in drawn])
        unit = math.sqrt(self.kind.additive / float((weights**2).sum()))
        self._effects = {
            n: weight * unit * effects for (n, effects), weight in zip(drawn.items(), weights, strict=True)
        }

    def _drawn(self, choices: Mapping[str, int]) -> tuple[float, np.random.Generator]:
        rng = np.random.default_rng([*self._seed, *choices.values()])
        added = sum(float(self._effects[name][index]) for name, index in choices.items())
        return MIDDLE + SPREAD * (added + math.sqrt(1 - self.kind.additive) * float(rng.normal())), rng

    def scores(self, choices: Mapping[str, int]) -> NDArray[np.float64]:
        """Return the outcome of each example, the same whenever it is asked for."""
        skill, rng = self._drawn(choices)
        return (rng.random(ITEMS) < _chance(skill, self._difficulty)).astype(float)

    def truth(self, choices: Mapping[str, int]) -> float:
        """Return the true accuracy."""
        return float(_chance(self._drawn(choices)[0], self._difficulty).mean())


def _chance(skill: float, difficulty: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(difficulty - skill))
    return found


def searched(sampler: str, world: World, seed: int) -> list[float]:
    """Return the true accuracy of the best scored candidate after each number of `TRIALS`."""
    study = Study(world.kind.space, sampler=sampler, seed=seed, population=10)
    best, chosen, found = -1.0, 0.0, []
    for number, (trial, choices) in enumerate(_new_points(study, max(TRIALS)), 1):
        score = float(world.scores(choices).mean())
        study.tell(trial, score)
        if score > best:
            best, chosen = score, world.truth(choices)
        if number in TRIALS:
            found.append(chosen)
    return found + [chosen] * (len(TRIALS) - len(found))  # a sampler that finds nothing new is done


def raced(world: World, seed: int) -> list[float]:
    """Return the same of as many evaluations, spent on a race of more candidates drawn at random."""
    found = []
    for trials in TRIALS:
        study = Study(world.kind.space, seed=seed)
        points = [choices for _, choices in _new_points(study, int(trials / EFFORT))]
        rows: list[list[float | None]] = [list(world.scores(choices).tolist()) for choices in points]

        def extend(candidate: int, n: int, rows: list[list[float | None]] = rows) -> list[float | None]:
            return rows[candidate][:n]

        standings = RACES["paired-halving"](len(points), extend, ITEMS, trials * ITEMS, seed=seed)
        found.append(world.truth(points[standings[0].candidate]))
    return found


def _new_points(study: Study, count: int) -> Iterator[tuple[Any, Mapping[str, int]]]:
    """Ask for points until `count` new ones were tried; those tried before are told as without a score."""
    seen: set[tuple[int, ...]] = set()
    for _ in range(_ASKS * count):
        if len(seen) == count or study.exhausted:
            return
        trial = study.ask()
        point = tuple(trial.choices.values())
        if point in seen:
            study.tell(trial, None)
            continue
        seen.add(point)
        yield trial, trial.choices


def here() -> list[str]:
    """Return the samplers that can be used on this machine."""
    return [name for name in SAMPLERS if name != "gp" or importlib.util.find_spec("torch") is not None]


def measured(kind: str, seeds: Iterable[int], samplers: Iterable[str]) -> list[dict[str, Any]]:
    """Return a row per number of candidates and sampler."""
    numbers = list(seeds)
    worlds = [World(kind, seed) for seed in numbers]
    found = {name: [searched(name, w, s) for s, w in zip(numbers, worlds, strict=True)] for name in samplers}
    found[RACED] = [raced(w, s) for s, w in zip(numbers, worlds, strict=True)]
    rows = []
    for index, trials in enumerate(TRIALS):
        at_random = [figures[index] for figures in found["random"]]
        for name, figures in found.items():
            ours = [values[index] for values in figures]
            over = paired_gain(at_random, ours)
            rows.append(
                {
                    "world": kind,
                    "candidates": trials,
                    "sampler": name,
                    "accuracy": round(float(np.mean(ours)), 4),
                    "over_random": [round(v, 5) for v in (over.mean, over.low, over.high) if v is not None],
                }
            )
    return rows


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = []
    for kind in KINDS:
        points = math.prod(KINDS[kind].space.values())
        lines += [
            f"**{kind[0].upper()}{kind[1:]}**; {points:,} points.",
            "",
            "| sampler | " + " | ".join(f"{trials} candidates | less `random`'s" for trials in TRIALS) + " |",
            "|---|" + "--:|--:|" * len(TRIALS),
        ]
        rows = [row for row in found["rows"] if row["world"] == kind]
        for name in dict.fromkeys(row["sampler"] for row in rows):
            mine = [row for row in rows if row["sampler"] == name]
            figures = " | ".join(f"{row['accuracy']:.4f} | {_shown(row['over_random'])}" for row in mine)
            lines.append(f"| {name if name == RACED else f'`{name}`'} | {figures} |")
        lines.append("")
    return "\n".join(lines).strip()


def _shown(values: list[float]) -> str:
    mean, low, high = values
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"


def rendered(page: str, found: dict[str, Any]) -> str:
    """Return the page with the table of the figures in its place."""
    return filled(page, {"sampler_worlds": lambda: table(found)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        found = json.loads(OUT.read_text(encoding="utf-8"))
        PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
        return
    seeds, rows = 10 if given.quick else given.seeds, []
    started = time.process_time()
    for kind in KINDS:
        rows += measured(kind, range(seeds), here())
        print(f"{kind}: done, {time.process_time() - started:.0f} s of CPU", flush=True)
    found = {"seeds": seeds, "examples": ITEMS, "trials": list(TRIALS), "rows": rows}
    print(table(found))
    if seeds >= SEEDS:
        OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
