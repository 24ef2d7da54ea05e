"""`ts.evaluate` against `dspy.Evaluate`: the same program with 4 demos on a model that costs nothing.

All work is in this process, so it is the CPU time that is compared; the time on the clock stands beside it.
"""

import itertools
import logging
import time
from collections.abc import Callable

import dspy
from measure import Row, in_turn, main, medians, ratio, spread
from noop import Mood, demos, examples, our_lm, their_lm

import tunesmith as ts

EXAMPLES = 400
LIMITS = {1: 5.0, 8: 3.0}


def same_label(example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> bool:
    return bool(example.label == prediction.label)


def program() -> dspy.Predict:
    made = dspy.Predict(Mood)
    made.demos = demos(4)
    return made


def ours(starts: "itertools.count[int]", threads: int, walls: list[float]) -> Callable[[], float]:
    lm, judged = our_lm(), program()

    def run() -> float:
        data = examples(next(starts), EXAMPLES)
        begun, start = time.perf_counter(), time.process_time()
        report = ts.evaluate(judged, data, same_label, lm=lm, slots=threads)
        spent = time.process_time() - start
        walls.append(time.perf_counter() - begun)
        if report.mean != 1.0 or report.n != EXAMPLES or report.errors:
            raise AssertionError(str(report))
        return spent / EXAMPLES

    return run


def theirs(starts: "itertools.count[int]", threads: int, walls: list[float]) -> Callable[[], float]:
    lm, judged = their_lm(), program()

    def run() -> float:
        data = examples(next(starts), EXAMPLES)
        with dspy.context(lm=lm):
            begun, start = time.perf_counter(), time.process_time()
            found = dspy.Evaluate(devset=data, metric=same_label, num_threads=threads, display_progress=False)(judged)
            spent = time.process_time() - start
            walls.append(time.perf_counter() - begun)
        if found.score != 100.0 or len(found.results) != EXAMPLES:
            raise AssertionError(str(found))
        return spent / EXAMPLES

    return run


def one(threads: int) -> Row:
    starts = itertools.count(0, EXAMPLES)
    walls: dict[str, list[float]] = {"dspy": [], "tunesmith": []}
    sides = {
        "dspy": theirs(starts, threads, walls["dspy"]),
        "tunesmith": ours(starts, threads, walls["tunesmith"]),
    }
    for side in sides.values():
        side()
    found = in_turn(sides)
    return Row(
        f"evaluate_{threads}_thread{'s' if threads > 1 else ''}",
        f"examples per CPU second with 4 demos, slots={threads}, tunesmith / dspy",
        ratio(found, "dspy", "tunesmith"),
        LIMITS[threads],
        at_most=False,
        details={
            "cpu_microseconds_per_example": medians(found, 1e6),
            "wall_microseconds_per_example": medians(walls, 1e6 / EXAMPLES),
            "rounds": spread(found, "dspy", "tunesmith"),
        },
    )


def rows() -> list[Row]:
    logging.getLogger("dspy").setLevel(logging.WARNING)
    return [one(threads) for threads in LIMITS]


if __name__ == "__main__":
    main(rows)
