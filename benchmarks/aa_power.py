"""How often a compile ships what is no better, and what is: the whole `ts.compile` on a simulated model. No network.

    python benchmarks/aa_power.py                    400 runs of each setting: about 20 minutes of one core
    python benchmarks/aa_power.py --jobs 2           in that many processes
    python benchmarks/aa_power.py --runs 20          fewer, printed only
    python benchmarks/aa_power.py --minutes 10       ends where that much processor time is used up, settings in turn
    python benchmarks/aa_power.py --table            write the committed figures into docs/verdict.md

Writes benchmarks/aa_power.json. The model is a double at the engine seam: whether it is right is drawn for each (run,
prompt, input), independently, with a chance of the candidate. Eight candidates are drawn, raced and selected on 200
validation examples, and the one selected is tested against the program as given. A/A: all have the same chance, 0.70,
or of graded scores the same distribution, so that whatever ships is a mistake. Power: one of the eight, another in each
run, has 0.80.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tables import filled

import tunesmith as ts
from tunesmith.evaluation import wilson
from tunesmith.lm import Seen

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "verdict.md"

RUNS, CANDIDATES, VALIDATION = 400, 8, 200
AS_GIVEN, BETTER = 0.70, 0.80
MOST_SHIPPED, MOST_UPPER, LEAST_POWER = 0.05, 0.075, 0.80
_WAYS = 64  # instructions to draw the candidates from


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: test examples, graded scores or 0 and 1, and whether one candidate is better."""

    n: int
    graded: bool
    better: bool = False

    @property
    def name(self) -> str:
        """What the table calls it."""
        kind = "power" if self.better else "A/A"
        return f"{kind}, n = {self.n}, {'graded' if self.graded else '0/1'}"


SETTINGS = (*(Setting(n, graded) for n in (20, 50, 100, 400) for graded in (False, True)), Setting(400, False, True))


class Simulated:
    """A model that is right by chance.

    Args:
        seed: of the run.
        setting: what is simulated.
    """

    def __init__(self, seed: int, setting: Setting) -> None:
        self._seed, self._setting = seed, setting
        self._prompts: dict[str, int] = {}  # in the order in which they were first asked; the program as given is 0
        self._better = 1 + seed % CANDIDATES

    def __call__(self, seen: Seen) -> str:
        """Answer with a score."""
        place = self._prompts.setdefault(seen.system, len(self._prompts))
        chance = BETTER if self._setting.better and place == self._better else AS_GIVEN
        drawn = self._drawn(seen)
        if not self._setting.graded:
            return "1" if drawn < chance else "0"
        # Skewed, as overlaps of texts are: a mean of 0.7, many near 1.
        return f"{drawn ** (1 / chance - 1):.6f}"

    def _drawn(self, seen: Seen) -> float:
        text = f"{self._seed}\n{seen.system}\n{seen.text}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest()) / 2**56


class Guess(ts.Signature):  # type: ignore[misc]  # DSPy's metaclass, seen without py.typed
    """Guess."""

    question: str = ts.InputField()
    guess: float = ts.OutputField()


def score(example: Any, prediction: Any, trace: Any = None) -> float:
    """Return what the model drew."""
    return float(prediction.guess)


def examples(name: str, count: int) -> ts.Dataset:
    """Return different questions."""
    return ts.Dataset.load([{"question": f"{name} {i}"} for i in range(count)], inputs=["question"], name=name)


def compiled(seed: int, setting: Setting) -> ts.CompileResult:
    """Compile once."""
    return ts.compile(
        ts.Predict(Guess),
        metric=score,
        trainset=examples("train", 2),
        valset=examples("val", VALIDATION),
        testset=examples("test", setting.n),
        compiler=ts.RandomSearch(
            metric=score,
            instructions=[f"Guess in the way {i}." for i in range(_WAYS)],
            formats=["bare"],
            num_candidates=CANDIDATES,
            max_labeled_demos=0,
            max_bootstrapped_demos=0,
            seed=seed,
        ),
        lm=ts.FunctionLM(Simulated(seed, setting), name="simulated", version=f"{setting.name} {seed}"),
        seed=seed,
    )


def shipped(seed: int, setting: Setting) -> tuple[str, int, float]:
    """Return a compile's verdict, its charged calls and the processor seconds it took."""
    start = time.process_time()
    result = compiled(seed, setting)
    assert len(result.report.trials) == 1 + CANDIDATES, result.notes
    return result.verdict, result.charged.calls, time.process_time() - start


def row_of(setting: Setting, found: list[tuple[str, int, float]]) -> dict[str, Any]:
    """Return the figures of a setting."""
    verdicts = [verdict for verdict, _, _ in found]
    share = wilson(verdicts.count("ship"), len(found))
    return {
        "setting": setting.name,
        "runs": len(found),
        "shipped": verdicts.count("ship"),
        "share": round(share.mean or 0.0, 4),
        "low": round(share.low or 0.0, 4),
        "high": round(share.high or 0.0, 4),
        "regression": verdicts.count("regression"),
        "calls": round(sum(calls for _, calls, _ in found) / len(found)),
        "cpu_seconds": round(sum(seconds for _, _, seconds in found) / len(found), 3),
    }


def broken(row: dict[str, Any]) -> list[str]:
    """Return the promises that a row does not keep."""
    if row["setting"].startswith("power"):
        return [] if row["share"] >= LEAST_POWER else [f"{row['setting']}: ships {row['share']:.1%}"]
    holds = row["share"] <= MOST_SHIPPED and row["high"] <= MOST_UPPER
    return [] if holds else [f"{row['setting']}: ships {row['share']:.1%}, at most {row['high']:.1%}"]


def measured(runs: int, jobs: int, minutes: float | None) -> list[dict[str, Any]]:
    """Return a row per setting; the runs of all settings go on in turn, until the processor time is used up."""
    found: dict[Setting, list[tuple[str, int, float]]] = {setting: [] for setting in SETTINGS}
    used = 0.0
    with ProcessPoolExecutor(jobs) as pool:
        for seeds in _portions(runs):
            wanted = [(seed, setting) for setting in SETTINGS for seed in seeds]
            for (_, setting), one in zip(wanted, pool.map(shipped, *zip(*wanted, strict=True)), strict=True):
                found[setting].append(one)
                used += one[2]
            so_far = ", ".join(str(sum(one[0] == "ship" for one in results)) for results in found.values())
            count = len(found[SETTINGS[0]])
            print(f"{count} runs of each setting, {used / 60:.1f} processor minutes; shipped {so_far}", flush=True)
            if minutes is not None and used > minutes * 60:
                break
    return [row_of(setting, results) for setting, results in found.items()]


def _portions(runs: int, size: int = 20) -> Iterator[range]:
    for start in range(0, runs, size):
        yield range(start, min(runs, start + size))


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = ["| setting | runs | shipped | 95 % interval | regression | calls |", "|---|--:|--:|---|--:|--:|"]
    lines += [
        f"| {row['setting']} | {row['runs']} | {row['share']:.1%} | {row['low']:.1%} to {row['high']:.1%} | "
        f"{row['regression'] / row['runs']:.1%} | {row['calls']:,} |"
        for row in found["rows"]
    ]
    return "\n".join(lines)


def rendered(page: str, found: dict[str, Any]) -> str:
    """Return the page with the table of the figures in its place."""
    return filled(page, {"aa_power": lambda: table(found)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        PAGE.write_text(
            rendered(PAGE.read_text(encoding="utf-8"), json.loads(OUT.read_text(encoding="utf-8"))), encoding="utf-8"
        )
        return
    with TemporaryDirectory() as folder:  # the openings of simulated test splits are nobody's
        os.environ["TUNESMITH_HOME"] = folder
        rows = measured(given.runs, given.jobs, given.minutes)
    found = {
        "candidates": CANDIDATES,
        "validation": VALIDATION,
        "as_given": AS_GIVEN,
        "better": BETTER,
        "machine": {"python": platform.python_version(), "cores": os.cpu_count()},
        "rows": rows,
    }
    wrong = [line for row in rows for line in broken(row)]
    print(table(found), *wrong, sep="\n")
    if all(row["runs"] >= RUNS for row in rows):
        OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
