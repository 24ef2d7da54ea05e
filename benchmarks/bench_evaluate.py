"""`ts.evaluate` against `dspy.Evaluate`: the same program with 4 demos on a model that costs nothing."""

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


def ours(program: dspy.Module, lm: ts.LM, starts: "itertools.count[int]", threads: int) -> Callable[[], float]:
    def run() -> float:
        data = examples(next(starts), EXAMPLES)
        start = time.perf_counter()
        report = ts.evaluate(program, data, same_label, lm=lm, slots=threads)
        spent = time.perf_counter() - start
        if report.mean != 1.0 or report.n != EXAMPLES or report.errors:
            raise AssertionError(str(report))
        return EXAMPLES / spent

    return run


def theirs(program: dspy.Module, lm: dspy.LM, starts: "itertools.count[int]", threads: int) -> Callable[[], float]:
    def run() -> float:
        data = examples(next(starts), EXAMPLES)
        with dspy.context(lm=lm):
            start = time.perf_counter()
            found = dspy.Evaluate(devset=data, metric=same_label, num_threads=threads, display_progress=False)(program)
            spent = time.perf_counter() - start
        if found.score != 100.0 or len(found.results) != EXAMPLES:
            raise AssertionError(str(found))
        return EXAMPLES / spent

    return run


def one(threads: int) -> Row:
    program = dspy.Predict(Mood)
    program.demos = demos(4)
    starts = itertools.count(0, EXAMPLES)
    sides = {
        "dspy": theirs(program, their_lm(), starts, threads),
        "tunesmith": ours(program, our_lm(), starts, threads),
    }
    for side in sides.values():
        side()
    found = in_turn(sides)
    return Row(
        f"evaluate_{threads}_threads",
        f"examples per second with 4 demos on {threads} thread{'s' if threads > 1 else ''}, tunesmith / dspy",
        ratio(found, "tunesmith", "dspy"),
        LIMITS[threads],
        at_most=False,
        details={"examples_per_second": medians(found), "rounds": spread(found, "tunesmith", "dspy")},
    )


def rows() -> list[Row]:
    logging.getLogger("dspy").setLevel(logging.WARNING)
    return [one(threads) for threads in LIMITS]


if __name__ == "__main__":
    main(rows)
