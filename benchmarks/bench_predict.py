"""CPU of a whole `predict` call against `dspy.Predict` under its `ChatAdapter`, history and trace on."""

import itertools
import time
from collections.abc import Callable

import dspy
from measure import Row, in_turn, main, medians, ratio, spread
from noop import Mood, demos, label_of, our_lm, text_of, their_lm

import tunesmith as ts

CALLS = 400
LIMITS = {0: 0.30, 4: 0.13, 16: 0.07}


def timed(program: dspy.Module, lm: dspy.LM, numbers: "itertools.count[int]", calls: int) -> Callable[[], float]:
    """Return a function that gives the CPU seconds of one call, over `calls` calls on new inputs."""

    def run() -> float:
        texts = [(text_of(number), label_of(number)) for number in itertools.islice(numbers, calls)]
        trace: list[object] = []
        with dspy.context(lm=lm, trace=trace):
            start = time.process_time()
            for text, label in texts:
                if program(text=text).label != label:
                    raise AssertionError(f"a wrong answer to {text!r}")
            spent = time.process_time() - start
        if len(trace) != calls or not lm.history or not program.history:
            raise AssertionError("trace or history is off")
        return spent / calls

    return run


def one(count: int) -> Row:
    numbers = itertools.count()
    theirs, ours = dspy.Predict(Mood), ts.Predict(Mood)
    theirs.demos, ours.demos = demos(count), demos(count)
    sides = {"dspy": timed(theirs, their_lm(), numbers, CALLS), "tunesmith": timed(ours, our_lm(), numbers, CALLS)}
    for side in sides.values():
        side()  # imports, plans and first-time work
    found = in_turn(sides)
    return Row(
        f"predict_{count}_demos",
        f"CPU of a `predict` call with {count} demos, tunesmith / dspy",
        ratio(found, "tunesmith", "dspy"),
        LIMITS[count],
        details={"microseconds": medians(found, 1e6), "rounds": spread(found, "tunesmith", "dspy")},
    )


def rows() -> list[Row]:
    return [one(count) for count in LIMITS]


if __name__ == "__main__":
    main(rows)
