"""What racing costs and what it loses: random search with its default race against scoring everything.

    python benchmarks/raced_full.py [--seeds 10] [--task demo|sentiment|banking77]    hours on one core, without a cache
    python benchmarks/raced_full.py --table    write the committed figures into docs/racing.md

Three tasks on the embedded model: the demo's, and the two of public_tasks.py, ten seeds each. Both compiles draw the
same 16 candidates; one races them, the other scores each on every validation example. Both winners meet the same test
examples. The difference is paired by (seed, example) and its interval resamples test examples, which all seeds of a
task may share. Calls are those charged to a compile, without testing. Writes benchmarks/raced_full.json after every
seed, and goes on where it stopped; replies come from the cache where they are there.
"""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dspy
from public_tasks import MAX_TOKENS, banking77, sentiment
from tables import filled

import tunesmith as ts
from tunesmith.evaluation import bootstrap_interval, evaluate
from tunesmith.experiments.demo import GuestComment, demo_splits
from tunesmith.metrics import exact_match

OUT = Path(__file__).with_suffix(".json")
PAGE = Path(__file__).parents[1] / "docs" / "racing.md"
TASKS = ("demo", "sentiment", "banking77")
SEEDS, CANDIDATES = 10, 16
LEAST_GAIN, MOST_CALLS = -0.05, 0.60


def data(name: str, seed: int) -> tuple[type[dspy.Signature], str, Sequence[Any], Sequence[Any], Sequence[Any]]:
    """Return signature, label field, training, validation and test examples."""
    if name == "demo":
        splits = demo_splits(seed)
        assert splits.test is not None
        return GuestComment, "topic", list(splits.train), list(splits.val), list(splits.test)
    task = (sentiment if name == "sentiment" else banking77)(seed)
    return task.signature, task.label, task.train, task.val, task.test


def row_of(name: str, seed: int) -> dict[str, Any]:
    """Compile both ways with one seed."""
    lm = ts.lm("embedded", **({} if name == "demo" else {"max_tokens": MAX_TOKENS}))
    signature, label, train, val, test = data(name, seed)
    metric, program = exact_match(label), dspy.Predict(signature)
    row: dict[str, Any] = {"task": name, "seed": seed}
    for side, race in (("raced", None), ("full", "full")):
        compiler = ts.RandomSearch(metric=metric, num_candidates=CANDIDATES, max_labeled_demos=25, race=race, seed=seed)
        with dspy.context(lm=lm):
            compiled = compiler.compile(program, trainset=train, valset=val)
        report = evaluate(compiled, test, metric, lm=lm)
        row[side] = {
            "calls": compiled.compile_report.charged.calls,
            "tokens": compiled.compile_report.charged.input_tokens,
            "scores": report.values(),
        }
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means, the pooled difference with its interval, and the share of calls, over `rows`."""
    apart, groups = [], []
    for row in rows:
        for place, (raced, full) in enumerate(zip(row["raced"]["scores"], row["full"]["scores"], strict=True)):
            apart.append(raced - full)
            # The demo splits its examples anew with each seed; the public tasks have one test set.
            groups.append((row["task"], row["seed"] if row["task"] == "demo" else 0, place))
    found = bootstrap_interval(apart, groups=groups, method="percentile")
    sums = {side: sum(row[side]["calls"] for row in rows) for side in ("raced", "full")}
    means = {
        side: sum(sum(row[side]["scores"]) for row in rows) / sum(len(row[side]["scores"]) for row in rows)
        for side in ("raced", "full")
    }
    return {
        "seeds": len(rows),
        "raced": round(means["raced"], 4),
        "full": round(means["full"], 4),
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "calls_raced": sums["raced"],
        "calls_full": sums["full"],
        "share_of_calls": round(sums["raced"] / sums["full"], 4),
    }


def broken(pooled: dict[str, Any]) -> list[str]:
    """Return the promises that the figures break."""
    wrong = []
    if pooled["low"] <= LEAST_GAIN:
        wrong.append(f"the difference may be {pooled['low']:.4f}")
    if pooled["share_of_calls"] > MOST_CALLS:
        wrong.append(f"{pooled['share_of_calls']:.4f} of the calls")
    return wrong


def table(found: dict[str, Any]) -> str:
    """Return one line per task and one for all."""
    lines = [
        "| task | compiles | raced, on test | everything scored | difference, 95 % interval | calls raced / full |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {name} | 2 x {row['seeds']} | {row['raced']:.4f} | {row['full']:.4f} "
        f"| {row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}] "
        f"| {row['calls_raced']:,} / {row['calls_full']:,} = {row['share_of_calls']:.2f} |"
        for name, row in [*found["tasks"].items(), ("all", found["pooled"])]
    ]
    return "\n".join(lines)


def rendered(page: str, found: dict[str, Any]) -> str:
    """Return the page with the table of the figures in its place."""
    return filled(page, {"raced_full": lambda: table(found)})


def main() -> None:
    """Run what is missing, one seed of every task after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        page = rendered(PAGE.read_text(encoding="utf-8"), json.loads(OUT.read_text(encoding="utf-8")))
        PAGE.write_text(page, encoding="utf-8")
        return
    kept = json.loads(OUT.read_text(encoding="utf-8"))["rows"] if OUT.exists() else []
    rows = {(row["task"], row["seed"]): row for row in kept}
    for seed in range(given.seeds):
        for name in TASKS if given.task is None else (given.task,):
            if (name, seed) not in rows:
                rows[name, seed] = row_of(name, seed)
                write(list(rows.values()))
                print(name, seed, summary([rows[name, seed]]), flush=True)
    found = write(list(rows.values()))
    print(json.dumps(found, indent=1))
    sys.exit(bool(broken(found)))


def write(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write everything so far and return the summary of all tasks."""
    rows = sorted(rows, key=lambda row: (TASKS.index(row["task"]), row["seed"]))
    pooled = summary(rows)
    found = {
        "python": platform.python_version(),
        "pooled": pooled,
        "tasks": {name: summary(some) for name in TASKS if (some := [row for row in rows if row["task"] == name])},
        "rows": rows,
    }
    OUT.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return pooled


if __name__ == "__main__":
    main()
