"""Measure speed and memory against DSPy, and write the figures down.

    python benchmarks/run.py [NAME ...]

Writes benchmarks/results.json; a name, such as `predict`, replaces the rows of that benchmark and keeps others. Each
benchmark is a process of its own with a home and caches of its own. Both sides take turns in it, and only ratios are
held against the limits: times differ from machine to machine. Exit code 1 if a required row does not hold.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import ENVIRONMENT

from tunesmith.lm import models_dir

HERE = Path(__file__).resolve().parent
OUT = HERE / "results.json"
NAMES = (
    "predict",
    "demo_cost",
    "start",
    "cache",
    "cache_processes",
    "evaluate",
    "compile",
    "embedded",
    "slots",
    "memory",
    "ollama",
    "prefix",
    "demo",
)
PACKAGES = ("tunesmith", "dspy", "diskcache", "pydantic", "xllamacpp")
TIMEOUT = 1800


def git(*given: str) -> str | None:
    """Return what git says about the project, `None` if there is no git."""
    command = ["git", "--no-optional-locks", "-C", str(HERE.parent), *given]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


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


def facts() -> dict[str, Any]:
    """Return what the figures were measured on."""
    changed = git("status", "--porcelain", "--", "tunesmith")
    return {
        "commit": git("rev-parse", "HEAD"),
        "changed_since": bool(changed),
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
        },
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def line(row: dict[str, Any]) -> str:
    """Return a row of the printed table."""
    sign = "<=" if row["at_most"] else ">="
    held = "holds" if row["holds"] else ("MISSED" if row["required"] else "missed")
    return f"{row['name']:<22}{row['figure']:>9.3f}  {sign} {row['limit']:<6g}{held:<8}{row['what']}"


def kept() -> dict[str, list[dict[str, Any]]]:
    """Return the rows of `results.json` by benchmark."""
    found: dict[str, list[dict[str, Any]]] = {}
    if OUT.exists():
        for row in json.loads(OUT.read_text(encoding="utf-8"))["rows"]:
            found.setdefault(row["benchmark"], []).append(row)
    return found


def main() -> int:
    """Run what was asked for, and write after each benchmark what there is so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all without any")
    names = parser.parse_args().names or list(NAMES)
    if strange := [name for name in names if name not in NAMES]:
        parser.error(f"there is no benchmark {strange[0]!r}; there is {', '.join(NAMES)}")
    about, rows = facts(), kept()
    status = 0
    for name in names:
        load = round(os.getloadavg()[0], 1)
        try:
            found = measured(name)
        except (subprocess.SubprocessError, ValueError, IndexError) as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            status = 1
            continue
        measured_on = {"benchmark": name, "commit": about["commit"], "load_before": load}
        rows[name] = [{**row, **measured_on} for row in found]
        for row in rows[name]:
            print(line(row), flush=True)
            status |= row["required"] and not row["holds"]
        everything = {**about, "rows": [row for one in NAMES for row in rows.get(one, [])]}
        OUT.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
