"""Measure speed, memory and growth, and write the figures down.

    python benchmarks/run.py             what takes minutes: `make bench`
    python benchmarks/run.py --full      everything below, up to an hour: `make bench-full`
    python benchmarks/run.py NAME ...    these, whether they are done or not

Benchmarks run one after another, the short ones first. Each is a process of its own. A `bench_NAME.py` has a home and
caches of its own and gives rows of benchmarks/results.json; any other NAME.py writes benchmarks/NAME.json itself. What
was measured on this commit is not measured again, so an interrupted run goes on. What lacks something, such as the data
in ../shared/data, says so and keeps its old figures.

Both sides of a ratio take turns, and only ratios are held against the limits: times differ from machine to machine.
At the end come the goals of `goals.toml` that these scripts measure. Exit code 1 if a required row does not hold, or a
benchmark fails.

Some rows are against an earlier commit. `--full` takes its tree from git; else TUNESMITH_BASE is the folder of one
(`git worktree add FOLDER 5741c49`), and without it these rows keep their old figures.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goals import goals
from goals import printed as printed_goals
from measure import ENVIRONMENT, facts, git, printed
from public_tasks import DATA

from tunesmith.lm import models_dir

HERE = Path(__file__).resolve().parent
OUT = HERE / "results.json"
BASE = "5741c49"
SHORT = (
    "predict",
    "demo_cost",
    "growth",
    "evaluate",
    "compile",
    "cache",
    "start",
    "ollama",
    "prefix",
    "root_values",
    "memory",
    "slots",
    "embedded",
)
LONG = ("cache_processes", "demo")
NAMES = (*SHORT, *LONG)
SHORT_SCRIPTS = ("react", "pal")
LONG_SCRIPTS = ("serving", "retrieval", "ledgers", "modules", "scaling")
WITH_DATA = ("modules",)  # it asks for its own cells that are not done
ALL = (*SHORT, *SHORT_SCRIPTS, *LONG, *LONG_SCRIPTS)
TIMEOUT = 3600


def measured(name: str) -> list[dict[str, Any]]:
    """Run one benchmark with a home of its own, where only the weights are those of the machine."""
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as folder:
        home = Path(folder) / "tunesmith"
        home.mkdir()
        (home / "models").symlink_to(models_dir())
        own = {
            "TUNESMITH_HOME": str(home),
            "DSPY_CACHEDIR": str(Path(folder) / "dspy"),
            "LITELLM_LOCAL_MODEL_COST_MAP": "true",
        }
        done = subprocess.run(
            [sys.executable, str(HERE / f"bench_{name}.py")],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=TIMEOUT,
            env={**ENVIRONMENT, **own},
        )
    return list(json.loads(done.stdout.splitlines()[-1]))


class Results:
    """The rows of `results.json`, which is written after each benchmark."""

    def __init__(self) -> None:
        self.about = facts()
        kept = json.loads(OUT.read_text(encoding="utf-8"))["rows"] if OUT.exists() else []
        self.rows: dict[str, dict[str, Any]] = {row["name"]: row for row in kept}

    def add(self, name: str, found: list[dict[str, Any]], load: float) -> None:
        """Put the rows of a benchmark in the place of those of the same name."""
        for row in found:
            more = {"benchmark": name, "commit": self.about["commit"], "load_before": load}
            self.rows[row["name"]] = {**row, **more}
        rows = sorted(self.rows.values(), key=lambda row: NAMES.index(row["benchmark"]))  # as they came within one
        OUT.write_text(json.dumps({**self.about, "rows": rows}, indent=1) + "\n", encoding="utf-8")

    def are_of_now(self, name: str) -> bool:
        """Return whether the figures of a benchmark were measured on this commit."""
        if self.about["changed_since"] or self.about["commit"] is None:
            return False
        if name in NAMES:
            commits = {row["commit"] for row in self.rows.values() if row["benchmark"] == name}
        else:
            file = HERE / f"{name}.json"
            commits = {json.loads(file.read_text(encoding="utf-8")).get("commit")} if file.exists() else set()
        return self.about["commit"] in commits


def left_out(name: str, results: Results, *, again: bool) -> str | None:
    """Return why a benchmark is not run, `None` if it is."""
    if name in WITH_DATA and not DATA.exists():
        return f"the data are missing: {DATA}"
    if not again and results.are_of_now(name):
        return "it was measured on this commit; name it to measure again"
    return None


def run(name: str, results: Results) -> int:
    """Run one benchmark and return 1 if it fails, or a required row does not hold."""
    load = round(os.getloadavg()[0], 1)
    try:
        if name not in NAMES:
            subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=True, timeout=TIMEOUT, env=ENVIRONMENT)
            return 0
        found = measured(name)
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return 1
    for row in found:
        print(printed(row), flush=True)
    results.add(name, found, load)
    return int(any(row["required"] and not row["holds"] for row in found))


def add_base(folder: Path) -> None:
    """Put the tree of the earlier commit into `folder`, and set TUNESMITH_BASE, unless it is set."""
    if "TUNESMITH_BASE" in ENVIRONMENT:
        return
    if git("cat-file", "-e", f"{BASE}^{{commit}}") is None:
        print(f"The history has no commit {BASE}: nothing is compared with it.", flush=True)
        return
    packed = subprocess.run(["git", "-C", str(HERE.parent), "archive", BASE], stdout=subprocess.PIPE, check=True)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    ENVIRONMENT["TUNESMITH_BASE"] = str(folder)


def asked() -> tuple[Sequence[str], argparse.Namespace]:
    """Return the benchmarks that are asked for, and what was given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}")
    parser.add_argument("--full", action="store_true", help="the long ones too")
    given = parser.parse_args()
    if strange := [name for name in given.names if name not in ALL]:
        parser.error(f"there is no benchmark {strange[0]!r}; there is {', '.join(ALL)}")
    return given.names or (ALL if given.full else (*SHORT, *SHORT_SCRIPTS)), given


def main() -> int:
    """Run what was asked for, and print the goals of it."""
    names, given = asked()
    results, status = Results(), 0
    with tempfile.TemporaryDirectory(prefix="tunesmith-base-") as base:
        if given.full:
            add_base(Path(base))
        for name in names:
            if why := left_out(name, results, again=bool(given.names)):
                print(f"{name}: left out, {why}", flush=True)
            else:
                print(f"{name}:", flush=True)
                status |= run(name, results)
    scripts = {f"bench_{name}" if name in NAMES else name for name in names}
    print(f"\n{printed_goals([goal for goal in goals() if goal.script in scripts])}")
    return status


if __name__ == "__main__":
    sys.exit(main())
