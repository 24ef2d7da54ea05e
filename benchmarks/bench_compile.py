"""CPU of one evaluated example through `ts.compile`, the model in this process, against an earlier commit and DSPy.

    git worktree add --detach ../base 5741c49
    TUNESMITH_BASE=../base python benchmarks/run.py compile

Each figure is of fresh processes, this tree and the earlier one in turn with the same environment, so that the ratio
holds on a busy machine. `ledger` rows have a run folder: outputs, scores and traces of every example are on the disk.
`dspy.Evaluate` keeps nothing. Without TUNESMITH_BASE only the row against DSPy is measured.
"""

import gc
import itertools
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import Row, child, in_turn, main, medians, ratio, spread

VAL = 1000
LIMIT, LEAD = 0.4, 2.4
SETTINGS = tuple(itertools.product((0, 8), (1, 8)))


def cpu(demos: str, threads: str, ledger: str) -> float:
    """Return the CPU seconds of one evaluated example of a whole compile."""
    import dspy
    from noop import Mood, examples, our_lm

    import tunesmith as ts

    logging.disable(logging.WARNING)
    count, model = int(demos), our_lm()
    program = dspy.Predict(Mood)
    program.demos = examples(-count, count)

    def compiled(size: int, start: int, run: str | None) -> tuple[float, int]:
        train, val = examples(start, 40), examples(start + 40, size)
        compiler = ts.LabeledFewShot(k=count, metric=same_label, slots=int(threads))
        begun = time.process_time()
        found = ts.compile(
            program, metric=same_label, trainset=train, valset=val, compiler=compiler, lm=model, run=run, mirror=False
        )
        spent = time.process_time() - begun
        if found.report.baseline.mean != 1.0:
            raise AssertionError(str(found.report))
        return spent, found.charged.calls

    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as folder:
        compiled(40, 100_000, str(Path(folder) / "warm"))  # imports, and whatever is made once
        spare_collections()
        spent, calls = compiled(VAL, 0, str(Path(folder) / "run") if ledger == "1" else None)
    return spent / calls


def evaluate(demos: str, threads: str) -> float:
    """Return the CPU seconds of one example of `dspy.Evaluate`."""
    import dspy
    from noop import Mood, examples, their_lm

    logging.disable(logging.WARNING)
    count = int(demos)
    program = dspy.Predict(Mood)
    program.demos = examples(-count, count)

    def run(size: int, start: int) -> float:
        data = examples(start, size)
        with dspy.context(lm=their_lm()):
            begun = time.process_time()
            judge = dspy.Evaluate(devset=data, metric=same_label, num_threads=int(threads), display_progress=False)
            if judge(program).score != 100.0:
                raise AssertionError("a wrong answer")
            return time.process_time() - begun

    run(40, 100_000)
    spare_collections()
    return run(VAL, 0) / VAL


def spare_collections() -> None:
    """Keep what is loaded out of the collections of garbage: one of them takes half as long as what is measured."""
    gc.collect()
    gc.freeze()


def same_label(example: Any, prediction: Any, trace: object = None) -> bool:
    return bool(example.label == prediction.label)


def sides(base: str | None, demos: int, threads: int) -> dict[str, Callable[[], float]]:
    """Return what takes turns: DSPy, this tree and the earlier one, each with a run folder and without."""
    here = str(Path(__file__).resolve().parents[1])
    found: dict[str, tuple[str, tuple[object, ...]]] = {
        "dspy": (here, ("evaluate", demos, threads)),
        "ledger": (here, ("cpu", demos, threads, 1)),
    }
    if base is not None:
        found |= {
            "base_ledger": (base, ("cpu", demos, threads, 1)),
            "memory": (here, ("cpu", demos, threads, 0)),
            "base_memory": (base, ("cpu", demos, threads, 0)),
        }
    return {
        name: lambda tree=tree, task=task: float(child(__file__, *task, env={"PYTHONPATH": tree}))
        for name, (tree, task) in found.items()
    }


def one(base: str | None, demos: int, threads: int) -> list[Row]:
    found = in_turn(sides(base, demos, threads))
    setting = f"{demos}_demos_{threads}_thread{'s' if threads > 1 else ''}"
    rows = [
        Row(
            f"compile_lead_{setting}",
            f"examples per CPU second, `ts.compile` with a ledger over `dspy.Evaluate`, {demos} demos, slots {threads}",
            ratio(found, "dspy", "ledger"),
            LEAD,
            at_most=False,
            details={"microseconds": medians(found, 1e6), "rounds": spread(found, "dspy", "ledger")},
        )
    ]
    kinds = (("memory", "", "compile"), ("ledger", ", with a run folder", "compile_ledger"))
    for side, how, name in kinds if base is not None else ():
        rows.append(
            Row(
                f"{name}_{setting}",
                f"CPU of one evaluated example through `ts.compile`{how}, {demos} demos, slots={threads}, tunesmith / "
                "commit 5741c49",
                ratio(found, side, f"base_{side}"),
                LIMIT,
                details={"rounds": spread(found, side, f"base_{side}")},
            )
        )
    return rows


def rows() -> list[Row]:
    base = os.environ.get("TUNESMITH_BASE")
    if base is None:
        print("TUNESMITH_BASE is not set: nothing is compared with an earlier commit.", file=sys.stderr)
    tree = None if base is None else str(Path(base).resolve())
    return [row for setting in SETTINGS for row in one(tree, *setting)]


if __name__ == "__main__":
    main(rows, cpu=cpu, evaluate=evaluate)
