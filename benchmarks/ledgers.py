"""Looking at large runs: `runs show`, `report` and `compare` as processes of their own, at several sizes of the ledger.

    python benchmarks/ledgers.py            measure, write benchmarks/ledgers.json
    python benchmarks/ledgers.py --quick    the smaller half of the sizes, nothing written

A run is compiled with a double in place of a model; then its candidates are multiplied: each copy has an instruction of
its own and the rows of the one it was copied from, written by the ledger itself. So the folder is as a compile of that
size leaves it. Wall time, CPU time and peak memory are those of the process, start included; each figure is the median
of `ROUNDS`, sizes in turn. A process that only prints the version tells what of it is the start.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from measure import facts

import tunesmith as ts
from tunesmith.data import content_key
from tunesmith.evaluation import Entry, Ledger, RunInfo, read_entries

OUT = Path(__file__).with_suffix(".json")
SIZES = (12_500, 25_000, 50_000, 100_000)
EXAMPLES = 200  # of validation, and of test
RUNS, COMPARED = 20, 1_000  # runs that are compared, and test examples of each
ROUNDS = 3
MB = 2**20
LIMITS = {"show": {"wall": 1.0}, "report": {"wall": 10.0, "memory": 300.0}, "compare": {"wall": 3.0}}
LABELS = ("room", "food", "staff", "location", "price")
SIGNATURE = ts.Signature(f"comment -> topic: Literal{list(LABELS)}")


def examples(count: int, first: int) -> ts.Dataset:
    rows = [{"comment": _comment(number), "topic": LABELS[number % 5]} for number in range(first, first + count)]
    return ts.Dataset.load(rows, signature=SIGNATURE)


def _comment(number: int) -> str:
    topic = LABELS[number % 5]
    return f"[{number}] What I remember of that stay is the {topic}, which was not as the page had promised at all."


def answer(seed: int) -> Any:
    """Return a double that is right on more examples the more demos it is shown; 1 reply in 50 cannot be read."""

    def reply(seen: Any) -> str:
        number = int(seen.text.rsplit("[", 1)[-1].split("]")[0])
        if number % 50 == 7:
            return "I cannot say."
        right = (number * 7 + seed * 13) % 100 < 30 + 2 * min(len(seen.messages), 20) + seed
        return LABELS[number % 5] if right else LABELS[(number + 1) % 5]

    return reply


def compiled(folder: Path, *, candidates: int, val: int, test: int, seed: int = 0) -> None:
    """Make the run `folder` by a compile."""
    ts.compile(
        ts.Predict(SIGNATURE),
        metric=ts.metrics.exact_match("topic"),
        trainset=examples(60, 10_000),
        valset=examples(val, 20_000),
        testset=examples(test, 30_000),
        compiler=ts.RandomSearch(num_candidates=candidates, race="full", formats=["bare"]),
        lm=ts.FunctionLM(answer(seed)),
        run=folder,
        mirror=False,
        seed=seed,
    )


def multiplied(folder: Path, size: int) -> int:
    """Add copies of the run's candidates until its ledger has `size` evaluations, and return how many it has."""
    info = RunInfo.of(folder)
    trials, notes = info.trials, info.notes
    mine: dict[str, list[Entry]] = {}
    entries = read_entries(folder / "run.db")
    for entry in entries:
        mine.setdefault(entry.key.candidate, []).append(entry)
    validation = set(notes["splits"]["validation"])
    originals = list(trials["trials"])
    count, copies = len(entries), list[Entry]()
    while count + len(copies) < size:
        trial = originals[len(trials["trials"]) % len(originals)]
        number = len(trials["trials"])
        content = json.loads(json.dumps(trial["candidate"]))
        part = content["parts"]["self"]
        part["instruction"] += f" This is version {number} of it."
        key = content_key(content)
        differs = f"instruction {number}, {trial['differs'] or 'bare'}"
        trials["trials"].append({**trial, "key": key, "number": number, "candidate": content, "differs": differs})
        notes["candidates"][key] = {"number": number, "differs": differs}
        rows = [entry for entry in mine[trial["key"]] if entry.row.key in validation]
        copies += [replace(entry, key=replace(entry.key, candidate=key)) for entry in rows]
    with Ledger(folder / "run.db") as ledger:
        count += ledger.copy_entries(copies)
    for name, value in (("trials", trials), ("candidates", notes)):
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2), encoding="utf-8")
    return count


_WATCH = """
import os, sys, time
started = time.perf_counter()
child = os.fork()
if child == 0:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(sys.executable, [sys.executable, "-m", "tunesmith", *sys.argv[1:]])
_, status, usage = os.wait4(child, 0)
print(status, time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def measured(folder: Path, *arguments: str) -> dict[str, float]:
    """Run the command line in a process of its own; give its seconds, its CPU seconds and its peak memory in MB.

    Its parent is a small process: what a process has in memory when it becomes another program counts as its peak.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(Path(ts.__file__).parents[1])
    watch = [sys.executable, "-S", "-c", _WATCH, *arguments]
    done = subprocess.run(watch, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    status, wall, cpu, peak = done.stdout.split()
    if status != "0":
        raise AssertionError(f"tunesmith {' '.join(arguments)} ended with {status}: {done.stderr}")
    scale = 1 if sys.platform == "darwin" else 1024
    return {"wall": float(wall), "cpu": float(cpu), "memory": float(peak) * scale / MB}


def commands(sizes: Sequence[int]) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield the name of each measurement, its size, and what is run."""
    yield "start", 0, ("--version",)
    for size in sizes:
        yield "show", size, ("runs", "show", f"of-{size}", "--json")
        yield "report", size, ("report", f"of-{size}")
    yield "compare", RUNS * COMPARED, ("compare", *(f"compared-{number}" for number in range(RUNS)))


def main() -> None:
    """Make the runs, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    sizes = SIZES[: len(SIZES) // 2] if quick else SIZES
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        counts = {}
        for size in sizes:
            compiled(runs / f"of-{size}", candidates=16, val=EXAMPLES, test=EXAMPLES)
            counts[size] = multiplied(runs / f"of-{size}", size)
        for number in range(RUNS):
            compiled(runs / f"compared-{number}", candidates=2, val=60, test=COMPARED, seed=number)
        print("made", counts, flush=True)
        for _ in range(ROUNDS):
            for name, size, arguments in commands(sizes):
                found.setdefault((name, size), []).append(measured(Path(folder), *arguments))
        pages = {size: (runs / f"of-{size}" / "report.html").stat().st_size for size in sizes}
    rows = []
    for (name, size), rounds in found.items():
        middle = {unit: round(statistics.median(one[unit] for one in rounds), 3) for unit in ("wall", "cpu", "memory")}
        count = counts.get(size, size)
        page = {"page_kb": round(pages[size] / 1000)} if name == "report" else {}
        rows.append({"what": name, "evaluations": count, **middle, **page})
        print(name, count, middle, page, flush=True)
    if not quick:
        about = {**facts(), "python": platform.python_version(), "platform": sys.platform, "cpus": os.cpu_count()}
        OUT.write_text(json.dumps({**about, "limits": LIMITS, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
