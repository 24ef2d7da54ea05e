"""What benchmarks share: a row of the result, sides run in turn, runs in fresh processes, cells that are done."""

import contextlib
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REPEATS = 7
ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tunesmith", "dspy", "diskcache", "pydantic", "xllamacpp")

# An installed package has its byte code written; without it a fresh process would measure the compiler.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure with its limit.

    Attributes:
        name: in `results.json`, unique.
        what: what was measured, in words.
        figure: what came out.
        limit: what it is held against.
        at_most: whether the figure may be at most the limit; else it must be at least that.
        required: whether a miss is a defect; else it is only to be explained.
        details: the medians behind the figure, and whatever else helps to read it.
    """

    name: str
    what: str
    figure: float
    limit: float
    at_most: bool = True
    required: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the figure keeps to the limit."""
        return self.figure <= self.limit if self.at_most else self.figure >= self.limit

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {**asdict(self), "figure": round(self.figure, 4), "holds": self.holds}


def in_turn(sides: Mapping[str, Callable[[], float]], repeats: int = REPEATS) -> dict[str, list[float]]:
    """Run every side `repeats` times, one after the other, and return what each gave.

    Every second round goes backwards, so that no side always comes after the same other one.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repeats):
        for name in list(sides) if number % 2 == 0 else reversed(list(sides)):
            gc.collect()
            found[name].append(sides[name]())
    return found


def medians(found: Mapping[str, list[float]], scale: float = 1.0, digits: int = 1) -> dict[str, float]:
    """Return the median of every side, times `scale`."""
    return {name: round(statistics.median(values) * scale, digits) for name, values in found.items()}


def ratio(found: Mapping[str, list[float]], over: str, under: str) -> float:
    """Return the median of one side over the median of another."""
    return statistics.median(found[over]) / statistics.median(found[under])


def spread(found: Mapping[str, list[float]], over: str, under: str) -> list[float]:
    """Return the smallest and the largest ratio of a single round."""
    rounds = [a / b for a, b in zip(found[over], found[under], strict=True)]
    return [round(min(rounds), 4), round(max(rounds), 4)]


def finished(results: Path, lines: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the cells of a grid that are done: those of the committed `results`, then the whole lines of `lines`."""
    rows = json.loads(results.read_text(encoding="utf-8"))["rows"] if results.exists() else []
    for line in lines.read_text(encoding="utf-8").splitlines() if lines.exists() else []:
        with contextlib.suppress(ValueError):  # the last one, of a run that was killed
            rows.append(json.loads(line))
    return {tuple(row["cell"]): row for row in rows}


def add_line(lines: Path, row: Mapping[str, Any]) -> None:
    """Add a finished cell, after a line that a killed run left torn."""
    lines.parent.mkdir(parents=True, exist_ok=True)
    torn = lines.exists() and not lines.read_bytes().endswith(b"\n")
    with lines.open("a", encoding="utf-8") as file:
        file.write(("\n" if torn else "") + json.dumps(row) + "\n")


def child(script: str, task: str, *given: object, env: Mapping[str, str] | None = None) -> Any:
    """Run `task` of a benchmark in a fresh process and return the JSON it prints last."""
    done = subprocess.run(
        [sys.executable, script, task, *map(str, given)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
        env={**ENVIRONMENT, **(env or {})},
    )
    return json.loads(done.stdout.splitlines()[-1])


def git(*given: str) -> str | None:
    """Return what git says about the project, `None` if there is no git."""
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *given]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def facts() -> dict[str, Any]:
    """Return what figures are measured on. Seeds are constants of each script."""
    import tunesmith as ts

    try:
        model = ts.lm("embedded").identity.to_json()
    except ts.TunesmithError:  # it is not pulled
        model = None
    return {
        "commit": git("rev-parse", "HEAD"),
        "changed_since": bool(git("status", "--porcelain", "--", "tunesmith")),
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
        },
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "model": model,
    }


def printed(row: Mapping[str, Any]) -> str:
    """Return the line of a row."""
    sign = "<=" if row["at_most"] else ">="
    held = "holds" if row["holds"] else ("MISSED" if row["required"] else "missed")
    return f"{row['name']:<22}{row['figure']:>9.3f}  {sign} {row['limit']:<6g}{held:<8}{row['what']}"


def report(rows: Iterable[Row], file: Path) -> int:
    """Print rows, write them to `file` with what they were measured on, and return 1 if one does not hold, else 0."""
    about = {**facts(), "load_before": round(os.getloadavg()[0], 1)}
    done = []
    for row in rows:
        done.append(row.to_json())
        print(printed(done[-1]), row.details or "", flush=True)
        file.write_text(json.dumps({**about, "rows": done}, indent=1) + "\n", encoding="utf-8")
    return 0 if all(row["holds"] for row in done) else 1


def main(rows: Callable[[], list[Row]], **tasks: Callable[..., Any]) -> None:
    """Print the rows as JSON, or what the task named on the command line returns."""
    found = tasks[sys.argv[1]](*sys.argv[2:]) if len(sys.argv) > 1 else [row.to_json() for row in rows()]
    print(json.dumps(found), flush=True)
