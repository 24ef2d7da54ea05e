"""Ways of holding the replies of `bare`, on an Ollama server and on the embedded engine: the same weights, four tasks.

    python benchmarks/holding.py           measure, write holding.json and its table in docs/formats.md
    python benchmarks/holding.py --quick   a few items of everything; prints only
    python benchmarks/holding.py --render  write the table in docs/formats.md from holding.json
    python benchmarks/holding.py --check   exit 1 if docs/formats.md says something else

The server is the protocol server of the tests, version 0.32.15, with the embedded model behind it: it renders prompts,
applies schemas and ends replies as a recorded Ollama server does. Reads ../shared/data. What is there is written after
every cell. Replies come from the cache if they are there, so a script that was stopped goes on where it was.
"""

import argparse
import json
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from formats_table import Task, tasks

import tunesmith as ts
from tests.protocol import FakeModel, ProtocolServer
from tests.protocol.embedded import embedded_backend
from tunesmith.compilers import few_shot_candidate
from tunesmith.evaluation import evaluate
from tunesmith.experiments.demo import GuestComment, demo_splits
from tunesmith.metrics import exact_match
from tunesmith.modules import Candidate

HERE = Path(__file__).parent
OUT = HERE / "holding.json"
DOCS = HERE.parent / "docs" / "formats.md"
FORMATS = ("bare", "bare-schema", "bare-free", "bare-likeliest", "bare-nearest")
DRAWS = 2
TARGET = 0.03  # the default on the server may be so much below the embedded engine
_BLOCK = re.compile(r"(<!-- table: holding -->\n).*?(<!-- end -->)", re.DOTALL)


def every_task(items: int) -> Iterator[Task]:
    """Yield the three tasks of the formats' table and the demo's comments, with at most so many test items each."""
    yield from tasks(items)
    found = demo_splits(0)
    yield Task("comments", GuestComment, exact_match("topic"), 5, 64, list(found.train), list(found.test)[:items])


def cell(task: Task, engine: str, lm: ts.LM, name: str, draw: int | None) -> dict[str, Any]:
    """Return the row of one way of holding on one engine and task, under one draw of demos or none."""
    program = ts.Predict(task.signature)
    chosen = Candidate.of(program) if draw is None else few_shot_candidate(program, task.train, task.demos, draw)
    report = evaluate(chosen.with_part("self", format=name).apply(program), task.test, task.metric, lm=lm)
    return {
        "task": task.name,
        "engine": engine,
        "format": name,
        "demos": 0 if draw is None else task.demos,
        "draw": draw,
        **{key: getattr(report, key) for key in ("mean", "low", "high", "n", "errors")},
        "calls": report.charged.calls,
        "tokens_out": report.charged.output_tokens,
    }


def table(found: dict[str, Any]) -> str:
    """Return one line per task, number of demos, engine and way of holding: means over draws."""
    lines = [
        "| task | demos | engine | format | score | mean 95 % interval | n | draws | unreadable | tokens out |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, int, str, str], list[dict[str, Any]]] = {}
    for row in found["cells"]:
        groups.setdefault((row["task"], row["demos"], row["engine"], row["format"]), []).append(row)
    for (task, demos, engine, name), rows in groups.items():
        mean, low, high = (sum(row[part] for row in rows) / len(rows) for part in ("mean", "low", "high"))
        errors = sum(row["errors"] for row in rows) / sum(row["n"] for row in rows)
        tokens = sum(row["tokens_out"] for row in rows) / max(1, sum(row["calls"] for row in rows))
        lines.append(
            f"| {task} | {demos} | {engine} | `{name}` | {mean:.3f} | [{low:.3f}, {high:.3f}] | {rows[0]['n']} "
            f"| {len(rows)} | {errors:.1%} | {tokens:.1f} |"
        )
    return "\n".join(lines)


def rendered(text: str) -> str:
    """Return the page with the table made anew from the committed results."""
    found = json.loads(OUT.read_text(encoding="utf-8"))
    return _BLOCK.sub(lambda m: f"{m.group(1)}{table(found)}\n{m.group(2)}", text)


def measure(items: int, draws: int, out: Path | None) -> None:
    """Measure every cell, and write and print what there is after each."""
    embedded = ts.lm("embedded")
    weights = embedded.identity.digest or ""
    model = FakeModel("smollm2", reply=embedded_backend(), weights=weights)
    found: dict[str, Any] = {
        "model": embedded.identity.to_json(),
        "python": platform.python_version(),
        "platform": sys.platform,
        "cells": [],
    }
    with ProtocolServer([model], version="0.32.15", port=11999) as server:
        for task in every_task(items):
            engines = {
                "embedded": ts.lm("embedded", max_tokens=task.max_tokens),
                "ollama": ts.lm("ollama/smollm2", host=server.url, max_tokens=task.max_tokens),
            }
            for draw in (None, *range(draws)):
                for engine, lm in engines.items():
                    for name in FORMATS if engine == "ollama" else FORMATS[:1]:
                        row = cell(task, engine, lm, name, draw)
                        found["cells"].append(row)
                        print(json.dumps(row), flush=True)
                        if out is not None:
                            out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, or render what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="6 items, 1 draw")
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if not (args.render or args.check):
        measure(6 if args.quick else 120, 1 if args.quick else DRAWS, None if args.quick else OUT)
        if args.quick:
            return
    text = DOCS.read_text(encoding="utf-8")
    wanted = rendered(text)
    if args.check:
        sys.exit(0 if wanted == text else "docs/formats.md does not say what holding.json says: run with --render.")
    DOCS.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
