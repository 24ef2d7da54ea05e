"""The demo over ten split seeds: does its verdict hold, or was one split lucky?

    python benchmarks/demo_seeds.py [--seeds 10]

Writes benchmarks/demo_seeds.json. Replies come from the cache where they are there.
"""

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import tunesmith as ts
from tunesmith.experiments.demo import BUDGET, run_demo
from tunesmith.experiments.progress import ProgressLine

OUT = Path(__file__).parent / "demo_seeds.json"


def one(lm: ts.LM, seed: int, folder: Path, line: ProgressLine) -> dict[str, Any]:
    """Run the demo with one seed and return its row."""
    found = run_demo(lm, run=folder / str(seed), seed=seed, progress=line.tell).to_json()
    names = ("baseline", "labeled_few_shot", "no_lm", "compiled", "gain", "verdict", "calls", "tokens", "examples")
    return {"seed": seed, **{name: found[name] for name in names}}


def main() -> None:
    """Run all seeds, one after another, and write what came out so far after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    count = parser.parse_args().seeds
    lm = ts.lm("embedded")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, ProgressLine() as line:
        for seed in range(count):
            rows.append(one(lm, seed, Path(folder), line))
            summary = {
                "model": lm.identity.to_json(),
                "python": platform.python_version(),
                "platform": sys.platform,
                "budget_calls": BUDGET,
                "shipped": sum(row["verdict"] == "ship" for row in rows),
                "not_below_no_lm": sum(row["compiled"]["mean"] >= row["no_lm"]["mean"] for row in rows),
                "rows": rows,
            }
            OUT.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
            row = rows[-1]
            means = {n: round(row[n]["mean"], 3) for n in ("baseline", "labeled_few_shot", "no_lm", "compiled")}
            print(seed, row["verdict"], means, "gain low", round(row["gain"]["low"], 3), flush=True)


if __name__ == "__main__":
    main()
