"""Two public tasks, equal calls: tunesmith's random search, DSPy's, labelled demos without search, and no LM at all.

    python benchmarks/public_tasks.py [--seeds 3] [--task sentiment|banking77] [--only first|default|adapter]

Reads ../shared/data and writes benchmarks/public_tasks.json; rows that are not measured again stay. Everything runs on
the embedded model, with replies of at most 32 tokens. Every compile may be charged the stated number of calls; testing
is not counted. Replies come from the cache where they are there. `default` is the default compiler, `adapter` DSPy's
optimizer under DSPy's own adapter, `first` the rest.
"""

import argparse
import csv
import json
import logging
import platform
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dspy
from dspy.teleprompt import BootstrapFewShotWithRandomSearch

import tunesmith as ts
from tunesmith.compilers import few_shot_candidate
from tunesmith.evaluation import evaluate, gain
from tunesmith.experiments import nearest_neighbour_vote
from tunesmith.formats import get_format
from tunesmith.metrics import exact_match

DATA = Path(__file__).parents[2] / "shared" / "data"
MAX_TOKENS = 32
OUT = Path(__file__).parent / "public_tasks.json"
INTENTS = (
    "card_arrival",
    "lost_or_stolen_card",
    "exchange_rate",
    "terminate_account",
    "change_pin",
    "top_up_failed",
)


class Sentiment(dspy.Signature):
    """Classify the sentiment of the text."""

    text: str = dspy.InputField()
    sentiment: Literal["positive", "negative"] = dspy.OutputField()


class Intent(dspy.Signature):
    """Say what the bank's customer wants.

    card_arrival: asks where the new card is.
    lost_or_stolen_card: the card is lost or was stolen.
    exchange_rate: asks about exchange rates.
    terminate_account: wants to close the account.
    change_pin: wants to change the PIN.
    top_up_failed: adding money did not work.
    """

    message: str = dspy.InputField()
    intent: Literal[INTENTS] = dspy.OutputField()


@dataclass(frozen=True)
class Task:
    """One task: its signature, text field, label field, calls per compile, and its splits."""

    name: str
    signature: type[dspy.Signature]
    text: str
    label: str
    calls: int
    train: list[dspy.Example]
    val: list[dspy.Example]
    test: list[dspy.Example]


def sentiment(seed: int) -> Task:
    """Return 60 + 60 examples of `induce`, balanced, and the 100 of `execute`."""

    def read(side: str) -> list[dspy.Example]:
        path = DATA / "instruction_induction" / side / "sentiment.json"
        rows = json.loads(path.read_text(encoding="utf-8"))["examples"]
        return [dspy.Example(text=r["input"], sentiment=_first(r["output"])).with_inputs("text") for r in rows.values()]

    test = read("execute")
    known = {example.text for example in test}
    pool = [example for example in read("induce") if example.text not in known]
    train, val = _balanced(pool, "sentiment", 30, seed)
    return Task("sentiment", Sentiment, "text", "sentiment", 430, train, val, test)


def banking77(seed: int) -> Task:
    """Return 60 + 60 training rows of the six intents, balanced, and all 240 test rows."""

    def read(name: str) -> list[dspy.Example]:
        with (DATA / "banking77" / name).open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["category"] in INTENTS]
        return [dspy.Example(message=r["text"], intent=r["category"]).with_inputs("message") for r in rows]

    test = read("test.csv")
    known = {example.message for example in test}
    pool = [example for example in read("train.csv") if example.message not in known]
    train, val = _balanced(pool, "intent", 10, seed)
    return Task("banking77", Intent, "message", "intent", 400, train, val, test)


def _first(value: Any) -> str:
    return value[0] if isinstance(value, list) else value


def _balanced(
    pool: list[dspy.Example], label: str, each: int, seed: int
) -> tuple[list[dspy.Example], list[dspy.Example]]:
    """Return two disjoint draws with `each` examples of every label."""
    rng = random.Random(seed)
    groups: dict[str, dict[str, dspy.Example]] = {}
    for example in pool:
        groups.setdefault(example[label], {})[repr(example.inputs().toDict())] = example
    parts: tuple[list[dspy.Example], list[dspy.Example]] = ([], [])
    for name in sorted(groups):
        drawn = rng.sample(list(groups[name].values()), 2 * each)
        parts[0].extend(drawn[:each])
        parts[1].extend(drawn[each:])
    for part in parts:
        rng.shuffle(part)
    return parts


def run(task: Task, lm: ts.LM, seed: int) -> list[dict[str, Any]]:
    """Return one row per method."""
    metric = exact_match(task.label)
    program = dspy.Predict(task.signature)
    base = evaluate(program, task.test, metric, lm=lm)
    rows = [_row(task, seed, "as declared (tunesmith's default format)", base, base, 0)]

    few = few_shot_candidate(program, task.train, len({e[task.label] for e in task.train}), seed)
    found = evaluate(few.apply(program), task.test, metric, lm=lm)
    rows.append(_row(task, seed, "LabeledFewShot, one per label, no search", found, base, 0))

    compiler = ts.RandomSearch(metric=metric, num_candidates=24, max_labeled_demos=24, seed=seed, budget=task.calls)
    with dspy.context(lm=lm):
        compiled = compiler.compile(program, trainset=task.train, valset=task.val)
    found = evaluate(compiled, task.test, metric, lm=lm)
    rows.append(_row(task, seed, "tunesmith RandomSearch", found, base, compiled.compile_report.charged.calls))

    calls, found = _theirs(task, program, lm, seed, get_format("bare"))
    rows.append(_row(task, seed, "dspy BootstrapFewShotWithRandomSearch, in the format `bare`", found, base, calls))

    vote = nearest_neighbour_vote(task.train, task.test, field=task.text, label=task.label)
    rows.append(_row(task, seed, "no LM: vote of the 5 nearest (tf-idf)", vote, base, 0))
    return rows


def run_default_compiler(task: Task, lm: ts.LM, seed: int) -> list[dict[str, Any]]:
    """Return the row of what `ts.compile` uses if no compiler is named."""
    program, metric = dspy.Predict(task.signature), exact_match(task.label)
    base = evaluate(program, task.test, metric, lm=lm)
    compiler = ts.Portfolio(metric=metric, seed=seed, budget=task.calls)
    with dspy.context(lm=lm):
        compiled = compiler.compile(program, trainset=task.train, valset=task.val)
    found = evaluate(compiled, task.test, metric, lm=lm)
    return [_row(task, seed, "tunesmith Portfolio", found, base, compiled.compile_report.charged.calls)]


def run_default_adapter(task: Task, lm: ts.LM, seed: int) -> list[dict[str, Any]]:
    """Return the row of DSPy as it comes: unconstrained, so each call takes as long as the reply is."""
    program = dspy.Predict(task.signature)
    base = evaluate(program, task.test, exact_match(task.label), lm=lm)
    calls, found = _theirs(task, program, lm, seed, None)
    return [_row(task, seed, "dspy BootstrapFewShotWithRandomSearch, its default adapter", found, base, calls)]


def _theirs(task: Task, program: dspy.Module, lm: ts.LM, seed: int, adapter: Any) -> tuple[int, ts.Report]:
    """Compile with DSPy's optimizer: as many candidates as fit into the calls, at least its three fixed ones."""
    metric = exact_match(task.label)

    def judged(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
        return metric(example, prediction, trace).value

    meter = ts.Meter()
    shuffled = list(task.train)
    random.Random(seed).shuffle(shuffled)
    optimizer = BootstrapFewShotWithRandomSearch(
        metric=judged,
        max_bootstrapped_demos=4,
        max_labeled_demos=8,
        num_candidate_programs=task.calls // len(task.val) - 3,
        num_threads=1,
        max_errors=10_000,
    )
    chosen = adapter or dspy.ChatAdapter()
    with ts.metered(meter), dspy.context(lm=lm, adapter=chosen):
        best = optimizer.compile(program, trainset=shuffled, valset=task.val)
    with dspy.context(adapter=chosen):
        report = evaluate(best, task.test, metric, lm=lm)
    return meter.charged.calls, report


def _row(task: Task, seed: int, method: str, report: ts.Report, base: ts.Report, calls: int) -> dict[str, Any]:
    found = gain(base, report)
    row = {"task": task.name, "seed": seed, "method": method, "calls": calls, **report.summary()}
    row["gain"] = found.to_json()
    print(f"{task.name} seed {seed}: {method}: {report} ({calls} calls)", flush=True)
    return row


def pooled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one line per task and method: the mean over seeds, the lowest and the highest seed."""
    lines = []
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    pairs = dict.fromkeys((row["task"], row["method"]) for row in rows)
    for task, method in sorted(pairs, key=lambda pair: tasks.index(pair[0])):
        mine = [row for row in rows if (row["task"], row["method"]) == (task, method)]
        means = [row["mean"] for row in mine]
        lines.append(
            {
                "task": task,
                "method": method,
                "mean": sum(means) / len(means),
                "lowest": min(means),
                "highest": max(means),
                "low": sum(row["low"] for row in mine) / len(mine),
                "high": sum(row["high"] for row in mine) / len(mine),
                "calls": max(row["calls"] for row in mine),
                "seeds": len(mine),
                "n": mine[0]["n"],
            }
        )
    return lines


METHODS = {"first": run, "default": run_default_compiler, "adapter": run_default_adapter}


def main() -> None:
    """Run both tasks and write the table after every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--task", choices=("sentiment", "banking77"))
    parser.add_argument("--only", choices=METHODS)
    args = parser.parse_args()
    logging.getLogger("dspy").setLevel(logging.CRITICAL)
    lm = ts.lm("embedded", max_tokens=MAX_TOKENS)
    kept = json.loads(OUT.read_text(encoding="utf-8"))["rows"] if OUT.exists() else []
    rows = {(row["task"], row["seed"], row["method"]): row for row in kept}
    # The slow rows come last: what is there is written after every step.
    steps = [
        (METHODS[name], seed, make)
        for name in METHODS
        for seed in range(args.seeds)
        for make in (sentiment, banking77)
        if args.only in (None, name) and args.task in (None, make.__name__)
    ]
    for method, seed, make in steps:
        rows |= {(row["task"], row["seed"], row["method"]): row for row in method(make(seed), lm, seed)}
        summary = {
            "model": lm.identity.to_json(),
            "python": platform.python_version(),
            "platform": sys.platform,
            "max_tokens": MAX_TOKENS,
            "pooled": pooled(list(rows.values())),
            "rows": list(rows.values()),
        }
        OUT.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
