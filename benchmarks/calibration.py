"""What offsets for labels gain on two public tasks, by the way they are learned, on the embedded model.

    python benchmarks/calibration.py    measure, and write calibration.json; then run benchmarks/tables.py

Reads ../shared/data. Each cell has the demos of `LabeledFewShot`; raw and calibrated scores are of the same replies.
Cells are written one by one. Replies come from the cache where they are there.
"""

import json
import logging
from pathlib import Path
from typing import Any

import dspy
from public_tasks import Task, banking77, sentiment

import tunesmith as ts
from tunesmith.compilers import Calibrate
from tunesmith.evaluation import evaluate
from tunesmith.metrics import exact_match

OUT = Path(__file__).parent / "calibration.json"
CELLS = [
    (sentiment, 0, 1),
    (sentiment, 2, 3),
    (sentiment, 4, 3),
    (sentiment, 8, 3),
    (banking77, 0, 1),
    (banking77, 6, 2),
]
METHODS = ("contextual", "batch", "likelihood", "fitted", "auto")
MOST_TESTED = 120


def cell(task: Task, demos: int, draw: int, lm: ts.LM) -> dict[str, Any]:
    """Return the scores on test of one set of demos, raw and calibrated in every way."""
    metric = exact_match(task.label)
    program: Any = ts.Classify(task.signature)
    if demos:
        program = ts.LabeledFewShot(demos, seed=draw).compile(program, trainset=task.train)
    test = task.test[:MOST_TESTED]
    found = {"task": task.name, "demos": demos, "draw": draw, "n": len(test), "format": program.step.tunesmith_format}
    found["raw"] = evaluate(program, test, metric, lm=lm).mean
    for method in METHODS:
        compiler = Calibrate(metric=metric, num_candidates=0, method=method)
        with dspy.context(lm=lm):
            calibrated = compiler.compile(program, trainset=task.train, valset=task.val)
        report = evaluate(calibrated, test, metric, lm=lm)
        found[method] = report.mean
        found[f"{method} calls"] = calibrated.compile_report.charged.calls - len(task.val)
    return found


def measure() -> None:
    """Measure every cell; print and write after each."""
    lm = ts.lm("embedded")
    found: dict[str, Any] = {"model": lm.identity.to_json(), "cells": []}
    for task, demos, draws in CELLS:
        for draw in range(draws):
            found["cells"].append(cell(task(0), demos, draw, lm))
            print(json.dumps(found["cells"][-1]), flush=True)
            OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    logging.getLogger("tunesmith").setLevel(logging.ERROR)
    measure()
