"""How far an LM judge on the embedded model agrees with people: the BPO test pairs, in both orders.

    python benchmarks/judge_agreement.py [--limit N] [--no-compile] [--out FILE]
    python benchmarks/judge_agreement.py --docs

Reads ../shared/data/bpo/bpo_test.json, where `good_res` was preferred to `bad_res`, and writes benchmarks/judge.json
after every row. Replies come from the cache where they are there, so that a run that was stopped goes on where it was.
`--limit` takes the first pairs only. `--docs` writes the table into docs/judge.md.
"""

import argparse
import json
import logging
import platform
import random
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dspy

import tunesmith as ts
from tunesmith.evaluation import Agreement, agreement, wilson
from tunesmith.metrics import Judge, exact_match, judge

DATA = Path(__file__).parents[2] / "shared" / "data" / "bpo" / "bpo_test.json"
OUT = Path(__file__).parent / "judge.json"
DOCS = Path(__file__).parents[1] / "docs" / "judge.md"
CRITERIA = "It does what was asked for, correctly and completely."
SEED = 0
CALLS = 600  # that compiling may be charged
_BLOCK = re.compile(r"(<!-- table: judge -->\n).*?(<!-- end -->)", re.DOTALL)

Pair = dict[str, str]


def read(limit: int | None) -> list[Pair]:
    """Return the pairs."""
    return json.loads(DATA.read_text(encoding="utf-8"))[:limit]


def in_pairs(maker: Judge, pairs: Sequence[Pair]) -> list[dspy.Example]:
    """Return one example per pair; which answer stands first is drawn."""
    rng, found = random.Random(SEED), []
    for pair in pairs:
        example, good = dspy.Example(prompt=pair["prompt"]).with_inputs("prompt"), rng.choice(("first", "second"))
        answers = (pair["good_res"], pair["bad_res"])
        found.append(maker.labelled(example, *(answers if good == "first" else answers[::-1]), verdict=good))
    return found


def one_by_one(maker: Judge, pairs: Sequence[Pair]) -> list[dspy.Example]:
    """Return two examples per pair: the preferred answer is labelled good, the other one bad."""
    found = []
    for pair in pairs:
        example = dspy.Example(prompt=pair["prompt"]).with_inputs("prompt")
        found.append(maker.labelled(example, pair["good_res"], verdict="good"))
        found.append(maker.labelled(example, pair["bad_res"], verdict="bad"))
    return found


def longer(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return the row of no LM at all: the longer answer is the better one, equally long ones are a tie."""
    scores = [
        0.5 if len(a) == len(b) else float(len(a) > len(b)) for a, b in ((p["good_res"], p["bad_res"]) for p in pairs)
    ]
    return {"agreement": wilson(sum(scores), len(scores)).to_json(), "kappa": None, "flips": None, "errors": 0}


def run(pairs: Sequence[Pair], lm: ts.LM, tell: Callable[[str, dict[str, Any], int], None], *, compiling: bool) -> None:
    """Measure every judge and tell of each."""
    paired, single = judge(CRITERIA, pairwise=True), judge(CRITERIA)
    tell("no LM: the longer answer", longer(pairs), 0)
    _tell(tell, "pairwise judge, both orders", paired, in_pairs(paired, pairs), lm)
    _tell(tell, "single judge, `good` or `bad`", single, one_by_one(single, pairs), lm)
    if not compiling:
        return
    # Compiled on two fifths, held against the judge as declared on the rest.
    cut = len(pairs) // 5
    train, val, test = (in_pairs(paired, part) for part in (pairs[:cut], pairs[cut : 2 * cut], pairs[2 * cut :]))
    compiler = ts.RandomSearch(metric=exact_match("verdict"), max_labeled_demos=4, seed=SEED, budget=CALLS)
    with dspy.context(lm=lm):
        compiled = compiler.compile(paired, trainset=train, valset=val)
    _tell(tell, "pairwise judge as declared, held-out pairs", paired, test, lm)
    _tell(tell, "pairwise judge compiled, held-out pairs", compiled, test, lm)


def _tell(
    tell: Callable[[str, dict[str, Any], int], None], name: str, by: Judge, data: Sequence[dspy.Example], lm: ts.LM
) -> None:
    def progress(done: int, total: int) -> None:
        if done % 50 == 0:
            print(f"  {done} of {total}", flush=True)

    meter = ts.Meter()
    found: Agreement = agreement(by, data, lm=lm, meter=meter, progress=progress)
    tell(name, found.to_json(), meter.charged.calls)


def table(found: dict[str, Any]) -> str:
    """Return the table of the docs."""
    lines = ["| judge | agreement, 95 % interval | n | kappa | flips when the order is swapped | errors | calls |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in found["rows"]:
        kappa = "" if row["kappa"] is None else f"{row['kappa']:.2f}"
        errors, calls = row["errors"], row["calls"]
        lines.append(
            f"| {row['judge']} | {_interval(row['agreement'])} | {row['agreement']['n']} | {kappa} "
            f"| {_interval(row['flips'])} | {errors} | {calls:,} |"
        )
    lines.append("")
    lines.append(
        f"{found['pairs']} of the 200 pairs, model `{found['model']['model']}`, criteria “{found['criteria']}”"
    )
    return "\n".join(lines)


def _interval(found: dict[str, Any] | None) -> str:
    if found is None or found["mean"] is None:
        return ""
    return f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def rendered(text: str) -> str:
    """Return a page with the table of the committed results in it."""
    found = json.loads(OUT.read_text(encoding="utf-8"))
    return _BLOCK.sub(lambda block: f"{block.group(1)}{table(found)}\n{block.group(2)}", text)


def main() -> None:
    """Measure, or write the docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--docs", action="store_true")
    args = parser.parse_args()
    if args.docs:
        DOCS.write_text(rendered(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
        return
    logging.getLogger("dspy").setLevel(logging.CRITICAL)
    lm, pairs = ts.lm("embedded"), read(args.limit)
    rows: list[dict[str, Any]] = []

    def tell(name: str, row: dict[str, Any], calls: int) -> None:
        mean = row["agreement"]["mean"]
        print(f"{name}: {'-' if mean is None else f'{mean:.3f}'} ({calls} calls)", flush=True)
        rows.append({"judge": name, "calls": calls, **{k: row[k] for k in ("agreement", "kappa", "flips", "errors")}})
        rows[-1]["steady"] = row.get("steady")
        found = {
            "model": lm.identity.to_json(),
            "python": platform.python_version(),
            "platform": sys.platform,
            "criteria": CRITERIA,
            "pairs": len(pairs),
            "rows": rows,
        }
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

    run(pairs, lm, tell, compiling=not args.no_compile)


if __name__ == "__main__":
    main()
