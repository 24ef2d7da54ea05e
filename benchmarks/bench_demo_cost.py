"""What demos cost: a `predict` call with 16 against the same call with none."""

import itertools

from bench_predict import timed
from measure import Row, in_turn, main, medians, ratio, spread
from noop import Mood, demos, our_lm

import tunesmith as ts

CALLS = 1500


def rows() -> list[Row]:
    numbers = itertools.count()
    sides = {}
    for count in (0, 16):
        program = ts.Predict(Mood)
        program.demos = demos(count)
        sides[f"{count} demos"] = timed(program, our_lm(), numbers, CALLS)
        sides[f"{count} demos"]()
    found = in_turn(sides)
    return [
        Row(
            "demo_cost",
            "CPU of a `predict` call, 16 demos / 0 demos",
            ratio(found, "16 demos", "0 demos"),
            1.25,
            details={"microseconds": medians(found, 1e6), "rounds": spread(found, "16 demos", "0 demos")},
        )
    ]


if __name__ == "__main__":
    main(rows)
