"""How the cost of a compile grows with its evaluations, and what a second run of the same command pays.

Each size is compiled in a fresh process with a double in place of the model and a run folder, then compiled again as
after an interruption. The exponent is the slope of CPU seconds over evaluations, both as logarithms: 1 is a constant
cost for each.
"""

import logging
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import Row, child, main

SIZES = (1_000, 2_000, 4_000, 8_000)
ROUNDS = 3
MOST = 1.1


def compiled(size: str) -> dict[str, float]:
    """Return the CPU seconds of a compile and of its second run, and the calls that this one pays."""
    import dspy
    from noop import Mood, examples, our_lm

    import tunesmith as ts

    logging.disable(logging.WARNING)
    metric, model = ts.metrics.exact_match("label"), our_lm()

    def run(count: int, start: int, folder: Path) -> tuple[float, Any]:
        begun = time.process_time()
        found = ts.compile(
            dspy.Predict(Mood),
            metric=metric,
            trainset=examples(start, 40),
            valset=examples(start + 40, count),
            compiler=ts.LabeledFewShot(k=0, metric=metric),
            lm=model,
            run=folder,
            mirror=False,
        )
        return time.process_time() - begun, found

    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as name:
        run(40, 1_000_000, Path(name) / "warm")
        first, found = run(int(size), 0, Path(name) / "run")
        again, resumed = run(int(size), 0, Path(name) / "run")
    if found.charged != resumed.charged:
        raise AssertionError(f"the second run differs: {found.charged}, {resumed.charged}")
    return {"first": first, "again": again, "paid": resumed.paid.calls}


def rows() -> list[Row]:
    found = {size: [child(__file__, "compiled", size) for _ in range(ROUNDS)] for size in SIZES}

    def medians(side: str) -> dict[int, float]:
        return {size: round(statistics.median(one[side] for one in ran), 4) for size, ran in found.items()}

    def exponent(side: str) -> float:
        seconds = medians(side)
        return float(np.polyfit(np.log(SIZES), np.log([seconds[size] for size in SIZES]), 1)[0])

    ran = f"{SIZES[0]:,} to {SIZES[-1]:,} evaluations with a ledger"
    paid = max(one["paid"] for runs in found.values() for one in runs)
    return [
        Row(
            "growth_compile",
            f"exponent of the CPU of a compile, {ran}",
            exponent("first"),
            MOST,
            details={"seconds": medians("first")},
        ),
        Row(
            "growth_resume",
            f"exponent of the CPU of its second run, {ran}",
            exponent("again"),
            MOST,
            details={"seconds": medians("again")},
        ),
        Row("resume_paid", "calls that a second run of the same command pays", paid, 0, required=True),
    ]


if __name__ == "__main__":
    main(rows, compiled=compiled)
