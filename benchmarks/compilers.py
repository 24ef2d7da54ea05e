"""Every compiler and DSPy's optimizers on the embedded model at equal charged calls: four tasks, tested apart.

    python benchmarks/compilers.py                            the whole grid: many hours on two cores
    python benchmarks/compilers.py --cells 'sentiment:random-search:0,*:as-given:*'
    python benchmarks/compilers.py --cells '*a third*'        after the rest: with a third of the calls of DSPy's best
    python benchmarks/compilers.py --list                     the cells, and which of them are done

A cell is TASK:ARM:SEED. Each one that is done is a line of `runs/compilers.jsonl` and is not run again, nor is one that
is in benchmarks/compilers.json, so an interrupted grid goes on; `--again` runs the chosen cells anew. Writes
benchmarks/compilers.json, from which `python benchmarks/tables.py` makes the table of docs/benchmarks.md.

Tasks: `sentiment` and `antonyms` of instruction_induction and `banking77` reduced to six intents, from ../shared/data,
and the comments of the demo. The first arms are run on all tasks with two seeds, the others on two tasks with one. Our
compilers have their defaults and stop at the budget. DSPy's are given the settings that fit into it; what has no such
setting runs to its end, or to `MOST` calls, and says how many it made. Each of DSPy's is run twice: as it comes, under
DSPy's own adapter, and in our format. All write with the embedded model. Testing is not counted.
"""

import argparse
import contextlib
import fnmatch
import json
import logging
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dspy
from dspy.teleprompt import GEPA, BootstrapFewShotWithRandomSearch, MIPROv2
from goals import THIRD, NothingThere, best_of_dspy
from measure import add_line, finished
from public_tasks import DATA, Task, banking77, sentiment

import tunesmith as ts
from tunesmith.compilers import compilers
from tunesmith.errors import TunesmithError, UsageError
from tunesmith.evaluation import evaluate
from tunesmith.experiments.demo import GuestComment, demo_splits
from tunesmith.lm import Budget, Meter, StopSignal, metered
from tunesmith.metrics import exact_match
from tunesmith.modules import bind

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).with_suffix(".json")
ROWS = ROOT / "runs" / "compilers.jsonl"

CALLS, MOST = 200, 1500
"""The budget of a compile, and where an optimizer of DSPy without a setting for it is stopped."""

REPLY, WRITING = 32, 256  # the most tokens of an answer, and of a proposal
BOTH = "knn-few-shot + calibrate"
OURS = ("random-search", "joint-search", BOTH, "portfolio")
THEIRS = ("BootstrapFewShotWithRandomSearch", "MIPROv2")
ADAPTERS = ("own adapter", "our format")
DSPY = tuple(f"dspy {name} ({adapter})" for name in THEIRS for adapter in ADAPTERS)
GEPAS = tuple(f"dspy GEPA ({adapter})" for adapter in ADAPTERS)
FEW = ("sentiment", "banking77")  # tasks of the other arms


class Antonym(dspy.Signature):
    """Write the antonym of the word."""

    word: str = dspy.InputField()
    antonym: str = dspy.OutputField()


def antonyms(seed: int) -> Task:
    """Return 60 + 60 pairs of `induce`, and the 100 of `execute`."""

    def read(side: str) -> list[dspy.Example]:
        text = (DATA / "instruction_induction" / side / "antonyms.json").read_text(encoding="utf-8")
        rows = json.loads(text)["examples"].values()
        return [dspy.Example(word=row["input"], antonym=row["output"]).with_inputs("word") for row in rows]

    test = read("execute")
    words = {example.word for example in test}
    pool = list({e.word: e for e in read("induce") if e.word not in words}.values())
    random.Random(seed).shuffle(pool)
    return Task("antonyms", Antonym, "word", "antonym", CALLS, pool[:60], pool[60:120], test)


def demo(seed: int) -> Task:
    """Return 60 + 60 comments of the demo's splits, and all 200 of its test."""
    splits = demo_splits(seed)
    train, val = list(splits.train)[:60], list(splits.val)[:60]
    return Task("demo", GuestComment, "comment", "topic", CALLS, train, val, list(splits.test))


TASKS: Mapping[str, Callable[[int], Task]] = {
    "sentiment": sentiment,
    "antonyms": antonyms,
    "banking77": banking77,
    "demo": demo,
}

Cell = tuple[str, str, int]


def cells() -> list[Cell]:
    """Return the grid: the first arms everywhere, the others in a part."""
    known = compilers()
    first = ["as-given", *(arm for arm in OURS if arm in known or arm == BOTH), *DSPY]
    others = [name for name in sorted(known) if name not in first and name != "dspy"]
    found = [(task, arm, seed) for seed in (0, 1) for task in TASKS for arm in first]
    found += [(task, arm, 0) for task in FEW for arm in (*others, *GEPAS)]
    return found + [(task, THIRD, seed) for seed in (0, 1) for task in TASKS]


class Skipped(Exception):
    """A cell that cannot be run, and why."""


def third(task: str, seed: int, rows: Mapping[Cell, dict[str, Any]]) -> int:
    """Return a third of the calls that the best of DSPy's arms has made on `task` with this seed.

    Raises:
        Skipped: none is measured.
    """
    try:
        arm, _ = best_of_dspy(rows.values(), task)
        return int(rows[task, arm, seed]["calls"]) // 3
    except (NothingThere, KeyError) as error:
        raise Skipped("no optimizer of DSPy is measured on this task") from error


def run(cell: Cell, lm: ts.LM, writer: ts.LM, rows: Mapping[Cell, dict[str, Any]]) -> dict[str, Any]:
    """Return the line of one cell; `rows` are those of the cells that are done."""
    name, arm, seed = cell
    try:
        task = TASKS[name](seed)
    except FileNotFoundError as error:
        return {"cell": cell, "skipped": f"the data are missing: {error.filename}"}
    meter, started = Meter(), time.monotonic()
    try:
        calls = third(name, seed, rows) if arm == THIRD else CALLS
        with metered(meter):
            program, adapter = _compiled(arm, task, seed, lm, writer, calls)
    except (Skipped, TunesmithError) as error:
        return {"cell": cell, "skipped": " ".join(str(error).split())[:300], "calls": meter.charged.calls}
    wall = time.monotonic() - started
    with dspy.context(adapter=adapter) if adapter else contextlib.nullcontext():
        report = evaluate(program, task.test, exact_match(task.label), lm=lm)
    spent = meter.charged
    return {
        "cell": cell,
        **report.summary(),
        "calls": spent.calls,
        "tokens": spent.tokens,
        "seconds": round(spent.seconds, 1),
        "wall": round(wall, 1),
        "notes": list(getattr(getattr(program, "compile_report", None), "notes", ()))[:12],
    }


def _compiled(arm: str, task: Task, seed: int, lm: ts.LM, writer: ts.LM, calls: int) -> tuple[Any, Any]:
    """Return the program, and the adapter that it is tested under."""
    program = dspy.Predict(task.signature)
    if arm == "as-given":
        return program, None
    if arm in (*DSPY, *GEPAS):
        name, _, adapter = arm.removeprefix("dspy ").removesuffix(")").partition(" (")
        if adapter == ADAPTERS[1]:  # of the task alone: what asks for proposals was made for DSPy's adapter
            bind(program, "bare")
        own = dspy.ChatAdapter()
        return _theirs(name, task, program, seed, lm, writer, own), own
    if arm == BOTH:
        return _both(task, program, seed, lm, writer), None
    return _ours("portfolio" if arm == THIRD else arm, task, program, seed, lm, writer, calls), None


def _ours(arm: str, task: Task, program: Any, seed: int, lm: ts.LM, writer: ts.LM, calls: int, **options: Any) -> Any:
    compiler = compilers()[arm](metric=exact_match(task.label), seed=seed, budget=calls, **options)
    with dspy.context(lm=lm):
        return compiler.compile(program, trainset=task.train, valset=task.val, prompt_lm=writer)


def _both(task: Task, program: Any, seed: int, lm: ts.LM, writer: ts.LM) -> Any:
    """Choose demos for each input, then learn the offsets of labels with what is left of the budget."""
    found = _ours("knn-few-shot", task, program, seed, lm, writer, CALLS - len(task.val))
    try:
        return _ours("calibrate", task, found, seed, lm, writer, 2 * len(task.val), num_candidates=0)
    except UsageError:  # the output has no closed set of labels
        return found


def _theirs(name: str, task: Task, program: Any, seed: int, lm: ts.LM, writer: ts.LM, adapter: Any) -> Any:
    metric = exact_match(task.label)

    def judged(example: Any, prediction: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        value = metric(example, prediction, trace).value
        if pred_name is None:
            return value
        return dspy.Prediction(score=value, feedback=f"The right answer is {example[task.label]}.")

    train = list(task.train)
    random.Random(seed).shuffle(train)
    try:
        with metered(Meter(Budget(calls=MOST))), dspy.context(lm=lm, adapter=adapter, max_errors=100_000):
            optimizer, given = _made(name, judged, task, seed, lm, writer)
            return optimizer.compile(program, trainset=train, valset=task.val, **given)
    except StopSignal as stop:
        raise Skipped(f"it was stopped after {MOST} calls") from stop
    except Exception as error:  # what DSPy raises is a result
        raise Skipped(f"{type(error).__name__}: {error}") from error


def _made(name: str, judged: Any, task: Task, seed: int, lm: ts.LM, writer: ts.LM) -> tuple[Any, dict[str, Any]]:
    """Return an optimizer of DSPy with settings that fit into the budget if it has such, and what `compile` takes."""
    if name == "GEPA":
        return GEPA(metric=judged, max_metric_calls=CALLS, reflection_lm=writer, num_threads=1, seed=seed), {}
    if name == "MIPROv2":  # without `task_model` it asks for a model that is set for the whole process
        models = {"prompt_model": writer, "task_model": lm}
        return MIPROv2(metric=judged, auto="light", num_threads=1, seed=seed, max_errors=100_000, **models), {}
    count = max(0, CALLS // len(task.val) - 3)
    made = BootstrapFewShotWithRandomSearch(
        metric=judged,
        max_bootstrapped_demos=4,
        max_labeled_demos=8,
        num_candidate_programs=count,
        num_threads=1,
        max_errors=100_000,
    )
    return made, {}


def chosen(patterns: str) -> Iterator[Cell]:
    """Yield the cells that one of the patterns fits.

    Raises:
        SystemExit: none does.
    """
    found = [cell for cell in cells() if any(fnmatch.fnmatch(named(cell), one) for one in patterns.split(","))]
    if not found:
        sys.exit(f"No cell is like {patterns!r}. See `--list`.")
    yield from found


def named(cell: Cell) -> str:
    """Return TASK:ARM:SEED."""
    return ":".join(map(str, cell))


def write(rows: Mapping[Cell, dict[str, Any]], lm: ts.LM) -> None:
    """Write the results of all cells that are done."""
    done = [rows[cell] for cell in cells() if cell in rows]
    found = {
        "model": lm.identity.to_json(),
        "python": platform.python_version(),
        "platform": sys.platform,
        "calls": CALLS,
        "cells": len(cells()),
        "rows": done,
    }
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run the grid, or a part of it, and write what is there after every cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="*", help="patterns of TASK:ARM:SEED with commas between; default all")
    parser.add_argument("--rows", type=Path, default=ROWS, help="where the lines of finished cells are kept")
    parser.add_argument("--again", action="store_true", help="run the chosen cells anew")
    parser.add_argument("--list", action="store_true", help="print the chosen cells, run nothing")
    args = parser.parse_args()
    wanted, rows = list(chosen(args.cells)), finished(OUT, args.rows)
    if args.list:
        print("\n".join(f"{named(cell)}{'  done' if cell in rows else ''}" for cell in wanted))
        return
    logging.getLogger("dspy").setLevel(logging.CRITICAL)
    lm, writer = (ts.lm("embedded", max_tokens=most) for most in (REPLY, WRITING))
    for cell in wanted:
        if cell in rows and not args.again:
            continue
        row = run(cell, lm, writer, rows)
        add_line(args.rows, row)
        rows[cell] = row
        write(rows, lm)
        print(
            named(cell), row.get("skipped") or f"{row['mean']:.3f} ({row['calls']} calls, {row['wall']} s)", flush=True
        )


if __name__ == "__main__":
    main()
