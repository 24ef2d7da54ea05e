"""Every race in synthetic worlds, against scoring everything and against ProTeGi's released UCB. No model is needed.

    python benchmarks/race_worlds.py            1,000 seeds in each world: some minutes on one core
    python benchmarks/race_worlds.py --seeds 50 fewer, printed only
    python benchmarks/race_worlds.py --table    write the committed figures into docs/racing.md

Writes benchmarks/race_worlds.json. A world has 20 candidates and 200 examples; each pair has one fixed outcome, right
with a chance that is logistic in the candidate's skill less the example's difficulty. The figure of a race is the true
accuracy of the candidate it puts first. Nobody sees the truth, scoring everything does not either.
"""

import argparse
import json
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tables import filled

from tunesmith.evaluation import RACES, paired_gain

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "racing.md"

ARMS, ITEMS = 20, 200
EVERYTHING = ARMS * ITEMS
BUDGETS = (2048, 1024, 512)
AT = 2048  # the budget of ProTeGi's released configuration, at which the promises are held
RELEASED = "ucb, as released"
WORLDS = ("fixed outcomes", "two within 0.01 of the best", "5 % error rows")
PROMISED = ("paired-halving", "block-race")
LEAST_GAIN, MOST_LOSS, LEAST_SAVED = -0.005, 0.005, 0.4
LEFT_OUT = {"full", "bound"}  # they are what the others are measured against


@dataclass(frozen=True, slots=True)
class World:
    """Scores of every pair, not a number where the metric failed, and each candidate's true accuracy."""

    scores: NDArray[np.float64]
    truth: NDArray[np.float64]


def world_of(kind: str, seed: int) -> World:
    """Draw one world."""
    rng = np.random.default_rng([WORLDS.index(kind), seed])
    skills, difficulty = rng.normal(0.3, 0.4, ARMS), rng.normal(0, 1.5, ITEMS)
    if kind == "two within 0.01 of the best":
        best = int(np.argmax(skills))
        rivals = rng.choice([k for k in range(ARMS) if k != best], 2, replace=False)
        at_best = _chance(skills[best], difficulty)
        slope = float((at_best * (1 - at_best)).mean())
        skills[rivals] = skills[best] - rng.uniform(0, 0.0095, 2) / slope
    chance = _chance(skills[:, None], difficulty[None, :])
    scores = (rng.random((ARMS, ITEMS)) < chance).astype(float)
    truth = chance.mean(axis=1)
    if kind == "5 % error rows":
        drawn = rng.random((ARMS, ITEMS))
        scores[drawn < 0.05] = 0.0  # the program failed: the floor
        scores[drawn < 0.01] = math.nan  # the metric failed: no score
        truth = truth * (1 - 0.04 / 0.99)
    return World(scores, truth)


def _chance(skill: Any, difficulty: Any) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(difficulty - skill))
    return found


def raced(race: str, world: World, budget: int, seed: int) -> tuple[float, int]:
    """Return the true accuracy of the race's choice, and what it spent."""
    rows = [[None if score != score else score for score in row] for row in world.scores.tolist()]
    asked = [0] * ARMS

    def extend(candidate: int, n: int) -> list[float | None]:
        asked[candidate] = max(asked[candidate], n)
        return rows[candidate][:n]

    results = RACES[race](ARMS, extend, ITEMS, budget, seed=seed)
    return float(world.truth[results[0].candidate]), sum(asked)


def released_ucb(world: World, budget: int, seed: int, rounds: int = 400) -> tuple[float, int]:
    """Return the same of ProTeGi's released UCB evaluator, rewritten from its behaviour, its faults included.

    A round draws one sample of the examples for the 8 candidates of the highest index; the logarithm is of the number
    of the round, so that the second one is greedy; candidates without a score count as 0. A pair that was scored before
    is not charged again, and rounds go on until the next would go over the budget, which is kinder than its 8 rounds.
    """
    rng, chance = random.Random(seed), np.random.default_rng(seed)
    scores = np.nan_to_num(world.scores)
    known = np.zeros(scores.shape, dtype=bool)
    counts, sums = np.zeros(ARMS), np.zeros(ARMS)
    prompts, samples = 8, budget // 64
    for number in range(rounds):
        means = np.divide(sums, counts, out=np.zeros(ARMS), where=counts > 0)
        if number:
            index = means + np.sqrt(np.log(number) / (counts + 1e-3))
            chosen = np.argsort(index)[::-1][:prompts]
        else:
            chosen = np.array(rng.sample(range(ARMS), prompts))
        items = chance.choice(ITEMS, samples, replace=False)
        block = np.ix_(chosen, items)
        if known.sum() + (~known[block]).sum() > budget:
            break
        known[block] = True
        counts[chosen] += samples
        sums[chosen] += scores[block].sum(axis=1)
    means = np.divide(sums, counts, out=np.zeros(ARMS), where=counts > 0)
    return float(world.truth[int(np.argmax(means))]), int(known.sum())


def measured(kind: str, seeds: Iterable[int], budgets: Iterable[int] = BUDGETS) -> list[dict[str, Any]]:
    """Return a row per budget and race."""
    numbers = list(seeds)
    worlds = [world_of(kind, seed) for seed in numbers]
    whole = [raced("full", world, EVERYTHING, seed)[0] for seed, world in zip(numbers, worlds, strict=True)]
    rows = []
    for budget in budgets:
        found = {
            RELEASED: [released_ucb(world, budget, seed) for seed, world in zip(numbers, worlds, strict=True)],
            **{
                race: [raced(race, world, budget, seed) for seed, world in zip(numbers, worlds, strict=True)]
                for race in RACES
                if race not in LEFT_OUT
            },
        }
        theirs = [accuracy for accuracy, _ in found[RELEASED]]
        for race, pairs in found.items():
            ours, calls = [accuracy for accuracy, _ in pairs], [spent for _, spent in pairs]
            over, loss = paired_gain(theirs, ours), paired_gain(ours, whole)
            rows.append(
                {
                    "world": kind,
                    "budget": budget,
                    "race": race,
                    "accuracy": round(float(np.mean(ours)), 4),
                    "over_released_ucb": _rounded(over.mean, over.low, over.high),
                    "loss": _rounded(loss.mean, loss.low, loss.high),
                    "calls": round(float(np.mean(calls)), 1),
                    "most_calls": max(calls),
                    "saved": round(1 - float(np.mean(calls)) / EVERYTHING, 4),
                }
            )
    return rows


def _rounded(*values: float | None) -> list[float]:
    return [round(value, 5) for value in values if value is not None]


def broken(rows: list[dict[str, Any]]) -> list[str]:
    """Return the promises that the rows do not keep."""
    wrong = [f"{row['race']} spent {row['most_calls']}" for row in rows if row["most_calls"] > row["budget"]]
    for row in rows:
        if row["race"] not in PROMISED or row["budget"] != AT:
            continue
        name = f"{row['race']}, {row['world']}"
        if not row["over_released_ucb"][1] > LEAST_GAIN:
            wrong.append(f"{name}: {row['over_released_ucb']} over the released UCB")
        if not row["saved"] >= LEAST_SAVED:
            wrong.append(f"{name}: saves {row['saved']}")
        if not row["loss"][0] <= MOST_LOSS:
            wrong.append(f"{name}: loses {row['loss']}")
    return wrong


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = []
    for kind in WORLDS:
        lines += [
            f"**{kind[0].upper()}{kind[1:]}**; scoring everything: {EVERYTHING:,} calls.",
            "",
            "| race | budget | calls | saved | accuracy of the choice | less released UCB's | lost to `full` |",
            "|---|--:|--:|--:|--:|--:|--:|",
        ]
        for row in found["rows"]:
            if row["world"] == kind:
                name = row["race"] if row["race"] == RELEASED else f"`{row['race']}`"
                lines.append(
                    f"| {name} | {row['budget']} | {row['calls']:.0f} | {row['saved']:.0%} | {row['accuracy']:.4f} | "
                    f"{_shown(row['over_released_ucb'])} | {_shown(row['loss'])} |"
                )
        lines.append("")
    return "\n".join(lines).strip()


def _shown(values: list[float]) -> str:
    mean, low, high = values
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"


def rendered(page: str, found: dict[str, Any]) -> str:
    """Return the page with the table of the figures in its place."""
    return filled(page, {"race_worlds": lambda: table(found)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        found = json.loads(OUT.read_text(encoding="utf-8"))
        PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
        return
    rows = []
    for kind in WORLDS:
        rows += measured(kind, range(given.seeds))
        print(f"{kind}: done", flush=True)
    found = {"seeds": given.seeds, "candidates": ARMS, "examples": ITEMS, "everything": EVERYTHING, "rows": rows}
    wrong = broken(rows)
    print(table(found), *wrong, sep="\n")
    if given.seeds >= 1_000:
        OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
