"""Every compiler in the simulated landscape: the true score of what it returns, at equal charged calls.

    nice -n 10 python benchmarks/landscape.py                  the whole grid
    python benchmarks/landscape.py --compilers random-search --seeds 5 --show   a part of it, printed only
    python benchmarks/landscape.py --table                     write the committed figures into docs/landscape.md

Every registered compiler, under its defaults, x 100, 200 and 400 calls x skills of the writer x kinds of programs x
seeds; what they are is said in `landscape_world.py`. Each compile is a line of `runs/landscape.jsonl`: what is there is
not run again, so an interrupted grid goes on. A line holds for one version of the landscape, the compiler's options and
its file; `--again` runs the chosen compilers anew, which a change of a shared part needs.

Writes benchmarks/landscape.json, and the table and plot of it in docs.
"""

import argparse
import inspect
import itertools
import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import dspy
from landscape_world import KINDS, SKILLS, VERSION, Landscape, right
from svg import plotted
from tables import filled

from tunesmith.compilers import Compiler, compilers
from tunesmith.errors import TunesmithError

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).with_suffix(".json")
ROWS = ROOT / "runs" / "landscape.jsonl"
PAGE, PLOT = ROOT / "docs" / "landscape.md", ROOT / "docs" / "landscape.svg"

BUDGETS, SEEDS = (100, 200, 400), 50
GIVEN = "as given"
_AT_ONCE = 10  # seeds that one process is handed at a time

Cell = tuple[str, str, int, float, int]
"""Compiler, kind of program, budget of calls, skill of the writer, seed."""


def made(name: str, budget: int, seed: int) -> Compiler:
    """Return a compiler under its defaults."""
    return compilers()[name](metric=right, budget=budget, slots=1, seed=seed)


def makeable(names: Iterable[str]) -> list[str]:
    """Return those of `names` that need no further options."""
    found = []
    for name in names:
        try:
            made(name, 100, 0)
        except (TunesmithError, TypeError) as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
        else:
            found.append(name)
    return found


def identity(name: str) -> str:
    """Return what a line holds for: the landscape, the compiler's options, its file."""
    compiler = made(name, 100, 0)
    file = inspect.getsource(inspect.getmodule(type(compiler)) or type(compiler))
    text = json.dumps([VERSION, compiler.options(), file], sort_keys=True)
    return sha256(text.encode()).hexdigest()[:16]


def compiled(cell: Cell) -> dict[str, Any]:
    """Return the line of one compile."""
    name, kind, budget, skill, seed = cell
    world, started = Landscape(kind, seed, skill), time.process_time()
    program, lm, refused = world.program(), world.lm(), ""
    try:
        with dspy.context(lm=lm):
            found = made(name, budget, seed).compile(program, trainset=world.train, valset=world.val)
    except TunesmithError as error:
        found, refused = program, f"{type(error).__name__}: {error}"
    report = getattr(found, "compile_report", None)
    spent, asked = 0 if report is None else report.charged.calls, world.proposals
    return {
        "cell": list(cell),
        "score": round(world.truth(found), 5),
        "calls": spent,
        "proposals": asked,
        "cpu": round(time.process_time() - started, 4),
        "refused": refused,
    }


def _part(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    logging.getLogger("tunesmith").setLevel(logging.ERROR)
    return [compiled(cell) for cell in cells]


def run(names: Sequence[str], seeds: int, rows: dict[tuple[Any, ...], dict[str, Any]], jobs: int, file: Path) -> None:
    """Run what `rows` lack, and add each line to `file` once it is there.

    A compiler that asks for no proposal does the same whatever the skill of the writer is, so that is run once.
    """
    ids = {name: identity(name) for name in names}
    file.parent.mkdir(parents=True, exist_ok=True)
    torn = file.exists() and not file.read_bytes().endswith(b"\n")
    with file.open("a", encoding="utf-8") as lines, ProcessPoolExecutor(jobs) as pool:
        lines.write("\n" if torn else "")  # after a run that was killed
        for skill in SKILLS:
            wanted = []
            for name, kind, budget, seed in itertools.product(names, KINDS, BUDGETS, range(seeds)):
                first = rows.get((ids[name], name, kind, budget, SKILLS[0], seed))
                known = (ids[name], name, kind, budget, skill, seed) in rows
                if not known and skill != SKILLS[0] and first is not None and not first["proposals"]:
                    rows[ids[name], name, kind, budget, skill, seed] = first
                elif not known:
                    wanted.append((name, kind, budget, skill, seed))
            started, done = time.monotonic(), 0
            parts = [wanted[at : at + _AT_ONCE] for at in range(0, len(wanted), _AT_ONCE)]
            for future in as_completed([pool.submit(_part, part) for part in parts]):
                for row in future.result():
                    row["id"] = ids[row["cell"][0]]
                    lines.write(json.dumps(row) + "\n")
                    rows[_key(row)] = row
                    done += 1
                lines.flush()
                if sys.stderr.isatty():
                    print(f"\rskill {skill}: {done} of {len(wanted)}", end="", file=sys.stderr)
            print(f"skill {skill}: {done} compiles in {time.monotonic() - started:.0f} s", file=sys.stderr)


def known(file: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the lines of `file` that were written whole."""
    rows = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:  # the last one, of a run that was killed
            continue
        rows[_key(row)] = row
    return rows


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (row["id"], *row["cell"])


def summary(names: Sequence[str], seeds: int, rows: Mapping[tuple[Any, ...], dict[str, Any]]) -> dict[str, Any]:
    """Return the figures: of each compiler, skill and budget the mean over kinds and seeds, with a 95 % interval."""
    given = {kind: round(Landscape(kind, 0).truth(Landscape(kind, 0).program()), 4) for kind in KINDS}
    found, refused = [], dict[str, str]()
    for skill, budget, name in itertools.product(SKILLS, BUDGETS, names):
        by_kind = {
            kind: [rows[identity(name), name, kind, budget, skill, seed] for seed in range(seeds)] for kind in KINDS
        }
        scores = [fmean(by_kind[kind][seed]["score"] for kind in KINDS) for seed in range(seeds)]
        half = 1.96 * stdev(scores) / seeds**0.5 if seeds > 1 else 0.0
        all_rows = list(itertools.chain(*by_kind.values()))
        why = next((row["refused"] for row in all_rows if row["refused"]), None)
        if why is not None:
            refused[name] = why
        found.append(
            {
                "skill": skill,
                "budget": budget,
                "compiler": name,
                "mean": round(fmean(scores), 4),
                "half": round(half, 4),
                **{kind: round(fmean(row["score"] for row in by_kind[kind]), 4) for kind in KINDS},
                "calls": round(fmean(row["calls"] for row in all_rows), 1),
                "proposals": round(fmean(row["proposals"] for row in all_rows), 1),
                "cpu": round(fmean(row["cpu"] for row in all_rows), 3),
            }
        )
    return {"version": VERSION, "seeds": seeds, "given": given, "rows": found, "refused": refused}


def table(found: Mapping[str, Any]) -> str:
    """Return the figures as Markdown, a table for each skill, best at the largest budget first."""
    given = fmean(found["given"].values())
    lines = [f"{found['seeds']} seeds of each kind of program. The program as given scores {given:.3f}.", ""]
    for skill in SKILLS:
        rows = [row for row in found["rows"] if row["skill"] == skill]
        best = {budget: max(row["mean"] for row in rows if row["budget"] == budget) for budget in BUDGETS}
        lines += [f"**Skill {skill:g}**", ""]
        lines.append("| compiler | " + " | ".join(f"{b} calls" for b in BUDGETS) + " | one, near, three | proposals |")
        lines.append("|---|" + "--:|" * (len(BUDGETS) + 2))
        for name in _ranked(rows):
            mine = {row["budget"]: row for row in rows if row["compiler"] == name}
            cells = [_cell(mine[budget], best[budget]) for budget in BUDGETS]
            last = mine[BUDGETS[-1]]
            kinds = ", ".join(f"{last[kind]:.2f}" for kind in KINDS)
            lines.append(f"| `{name}` | {' | '.join(cells)} | {kinds} | {last['proposals']:g} |")
        lines.append("")
    lines += [f"`{name}` was refused: {why}" for name, why in found["refused"].items()]
    return "\n".join(lines).strip()


def _ranked(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    last = [row for row in rows if row["budget"] == BUDGETS[-1]]
    return [row["compiler"] for row in sorted(last, key=lambda row: (-row["mean"], row["compiler"]))]


def _cell(row: Mapping[str, Any], best: float) -> str:
    text = f"{row['mean']:.3f} ± {row['half']:.3f}"
    return f"**{text}**" if best - row["mean"] <= 0.01 else text


def plot(found: Mapping[str, Any]) -> str:
    """Return the plot of score against calls as SVG."""
    panels = {f"Skill {skill:g}": _lines(found["rows"], skill) for skill in SKILLS}
    names = {name for lines in panels.values() for name in lines}
    coloured = [name for name in ("portfolio", "joint-search", "random-search", "gepa", "ape") if name in names]
    return plotted(panels, BUDGETS, across="calls", up="true score", coloured=coloured)


def _lines(rows: Iterable[Mapping[str, Any]], skill: float) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["skill"] == skill:
            found.setdefault(row["compiler"], []).append(row["mean"])
    return found


def rendered(page: str, found: Mapping[str, Any]) -> str:
    """Return the page with the table of the figures in its place."""
    return filled(page, {"landscape": lambda: table(found)})


def _write_docs(found: Mapping[str, Any]) -> None:
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    PLOT.write_text(plot(found), encoding="utf-8")


def _chosen(text: str | None) -> Iterator[str]:
    known_names = sorted(compilers())
    for name in known_names if text is None else text.split(","):
        if name not in known_names:
            sys.exit(f"There is no compiler {name!r}. There are: {', '.join(known_names)}.")
        yield name


def main() -> None:
    """Run the grid, or a part of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compilers", help="names with commas between; default all")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of each kind of program")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--rows", type=Path, default=ROWS, help="where the lines of finished compiles are kept")
    parser.add_argument("--again", action="store_true", help="run the chosen compilers anew")
    parser.add_argument("--show", action="store_true", help="print the table, write nothing but lines")
    parser.add_argument("--table", action="store_true", help="write the committed figures into docs, run nothing")
    args = parser.parse_args()
    if args.table:
        _write_docs(json.loads(OUT.read_text(encoding="utf-8")))
        return
    names, rows = makeable(_chosen(args.compilers)), known(args.rows)
    if args.again:
        rows = {key: row for key, row in rows.items() if row["cell"][0] not in names}
    run(names, args.seeds, rows, args.jobs, args.rows)
    found = summary(names, args.seeds, rows)
    print(table(found))
    if not args.show:
        OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        _write_docs(found)


if __name__ == "__main__":
    main()
