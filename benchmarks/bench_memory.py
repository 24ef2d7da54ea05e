"""Memory over 20,000 cached predictions, each reply read from the disk: how much a fresh process grows.

Through `ts.evaluate` it is counted from the first prediction on, over 20 runs of 1,000 examples; through a program of
`ts.load` between prediction 10,000 and 20,000, when DSPy's own histories and trace are full. The engine of the measured
process refuses to answer, so every reply is a cached one. Beside it stands one `evaluate` of all 20,000 examples, whose
report of 20,000 rows is kept: that may grow with the rows.
"""

import gc
import tempfile
from pathlib import Path

import dspy
import psutil
from measure import Row, child, main
from noop import Mood, demos, examples, label_of, our_lm, save_untested, text_of

import tunesmith as ts
from tunesmith.lm import ReplyCache

PREDICTIONS, EXAMPLES = 20_000, 1_000
LIMIT = 10.0  # MB
MB = 2**20


def resident() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / MB


def same_label(example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> bool:
    return bool(example.label == prediction.label)


def program() -> ts.Predict:
    made = ts.Predict(Mood)
    made.demos = demos(4)
    return made


def fill(folder: str) -> int:
    """Answer every request once, and save the program; gives the number of engine calls."""
    lm, given = our_lm(cache=ReplyCache(Path(folder) / "cache")), program()
    ts.evaluate(given, examples(0, PREDICTIONS), same_label, lm=lm)
    candidate = ts.Candidate.of(given)
    save_untested(Path(folder) / "artifact", given, candidate, lm)
    return int(lm._stack.engine.calls)  # type: ignore[attr-defined]


def loads_all(report: ts.Report) -> None:
    """Read an interval, which imports numpy: 12 MB that do not grow."""
    assert report.mean == 1.0
    assert report.interval is not None


def through_evaluate(folder: str) -> dict[str, float]:
    lm, given = our_lm(cache=ReplyCache(Path(folder) / "cache"), refuse=True), program()
    loads_all(ts.evaluate(given, examples(0, 1), same_label, lm=lm))
    first = middle = resident()
    for start in range(0, PREDICTIONS, EXAMPLES):
        report = ts.evaluate(given, examples(start, EXAMPLES), same_label, lm=lm)
        if report.mean != 1.0 or report.n != EXAMPLES or report.paid.calls != 0:
            raise AssertionError(str(report))
        if start == PREDICTIONS // 2:
            middle = resident()
    del report
    return {"first": first, "middle": middle, "last": resident()}


def one_report(folder: str) -> dict[str, float]:
    lm, given = our_lm(cache=ReplyCache(Path(folder) / "cache"), refuse=True), program()
    data = examples(0, PREDICTIONS)
    loads_all(ts.evaluate(given, data[:1], same_label, lm=lm))
    first = resident()
    report = ts.evaluate(given, data, same_label, lm=lm)
    if report.mean != 1.0 or report.n != PREDICTIONS or report.paid.calls != 0:
        raise AssertionError(str(report))
    return {"first": first, "last": resident()}


def through_load(folder: str) -> dict[str, float]:
    lm = our_lm(cache=ReplyCache(Path(folder) / "cache"), refuse=True)
    loaded = ts.load(Path(folder) / "artifact", lm=lm)
    found = {"start": resident()}
    for number in range(PREDICTIONS):
        if loaded(text=text_of(number)).label != label_of(number):
            raise AssertionError(f"a wrong answer to text {number}")
        if number + 1 in (1, PREDICTIONS // 2):
            found["first" if number == 0 else "middle"] = resident()
    return {**found, "last": resident()}


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        calls = child(__file__, "fill", folder)
        if calls != PREDICTIONS:
            raise AssertionError(f"{calls} engine calls for {PREDICTIONS} predictions")
        runs = {name: child(__file__, name, folder) for name in ("through_evaluate", "one_report", "through_load")}
    rss = {name: {when: round(size, 2) for when, size in run.items()} for name, run in runs.items()}
    evaluated, loaded = runs["through_evaluate"], runs["through_load"]
    whole = runs["one_report"]["last"] - runs["one_report"]["first"]
    return [
        Row(
            "memory_evaluate",
            f"MB that resident memory grows over {PREDICTIONS:,} cached predictions through `evaluate`",
            evaluated["last"] - evaluated["first"],
            LIMIT,
            required=True,
            details={"resident_mb": rss["through_evaluate"], "one_report_of_all_grows_mb": round(whole, 2)},
        ),
        Row(
            "memory_load",
            "MB that resident memory grows through `ts.load` between predictions 10,000 and 20,000",
            loaded["last"] - loaded["middle"],
            LIMIT,
            required=True,
            details={"resident_mb": rss["through_load"]},
        ),
    ]


if __name__ == "__main__":
    main(rows, fill=fill, through_evaluate=through_evaluate, one_report=one_report, through_load=through_load)
