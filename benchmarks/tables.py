"""The tables of README.md and docs, made from committed results and from what the code declares.

python benchmarks/tables.py          rewrite the tables
python benchmarks/tables.py --check  exit 1 if a page says something else
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goals import cells, counted
from goals import goals as all_goals

from tunesmith.experiments import Leaderboard
from tunesmith.lm import engine_kinds

HERE = Path(__file__).parent
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _read(name: str) -> Any:
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def _score(row: dict[str, Any]) -> str:
    return f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def demo_line() -> str:
    """Return the demo's result in one sentence."""
    row = _read("demo_seeds.json")["rows"][0]
    before, after = row["baseline"]["mean"], row["compiled"]["mean"]
    return (
        f"Accuracy on {row['gain']['n']} test examples: {before:.3f} -> {after:.3f}, paired gain "
        f"{_score(row['gain'])}, verdict `{row['verdict']}`."
    )


def demo() -> str:
    """Return the demo's four rows on the test split of seed 0, and its gain and cost."""
    row = _read("demo_seeds.json")["rows"][0]
    names = {
        "baseline": "program as declared",
        "labeled_few_shot": "one labelled demo per topic, no search",
        "no_lm": "no LM: vote of the 5 nearest training comments (tf-idf)",
        "compiled": "compiled by `ts.compile`",
    }
    lines = ["| | accuracy on test, 95 % interval | n | errors |", "|---|---|---|---|"]
    for key, name in names.items():
        lines.append(f"| {name} | {_score(row[key])} | {row[key]['n']} | {row[key]['errors']} |")
    gain = row["gain"]
    calls, tokens = row["calls"]["charged"], row["tokens"]["charged"]
    lines.append("")
    lines.append(
        f"Paired gain {gain['mean']:.3f} [{gain['low']:.3f}, {gain['high']:.3f}] on {gain['n']} examples, verdict "
        f"`{row['verdict']}`; {calls:,} calls and {tokens:,} tokens charged, testing included."
    )
    return "\n".join(lines)


def demo_seeds() -> str:
    """Return one line per split seed."""
    found = _read("demo_seeds.json")
    lines = ["| split seed | declared | one demo per topic | no LM | compiled | lower end of the gain | verdict |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in found["rows"]:
        means = " | ".join(f"{row[name]['mean']:.3f}" for name in ("baseline", "labeled_few_shot", "no_lm", "compiled"))
        lines.append(f"| {row['seed']} | {means} | {row['gain']['low']:.3f} | {row['verdict']} |")
    lines.append("")
    lines.append(
        f"`ship` in {found['shipped']} of {len(found['rows'])} splits; compiled is not below the vote in "
        f"{found['not_below_no_lm']} of {len(found['rows'])}."
    )
    return "\n".join(lines)


def public_tasks() -> str:
    """Return one line per task and method."""
    lines = [
        "| task | method | accuracy on test: mean over seeds (lowest to highest) | mean 95 % interval | n | calls "
        "| seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['task']} | {row['method']} | {row['mean']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f}) "
        f"| [{row['low']:.3f}, {row['high']:.3f}] | {row['n']} | {row['calls']} | {row['seeds']} |"
        for row in _read("public_tasks.json")["pooled"]
    ]
    return "\n".join(lines)


def compilers() -> str:
    """Return a table for each task: every arm with its mean over seeds, as `tunesmith compare` has it."""
    return Leaderboard.read(HERE / "compilers.json").to_markdown()


def engines() -> str:
    """Return the options of `ts.lm`, engine by engine, as the engines declare them."""
    lines = []
    for kind in engine_kinds():
        specs = ", ".join(f"`{spec.strip()}`" for spec in kind.spec.split(","))
        lines += [f"{specs}: {kind.help}.", "", "| option | | what it is |", "|---|---|---|"]
        for name, declared in kind.options.declared().items():
            lines.append(f"| `{name}` | {declared.is_} | {declared.help} |")
        lines.append("")
    return "\n".join(lines).strip()


def calibration() -> str:
    """Return what each way of calibrating scores on test, as the mean over sets of demos."""
    rows = _read("calibration.json")["cells"]
    ways = ("raw", "contextual", "batch", "likelihood", "fitted", "auto")
    lines = [f"| task | demos | {' | '.join(f'`{way}`' if way != 'raw' else way for way in ways)} | sets | n |"]
    lines.append("|---" * (len(ways) + 4) + "|")
    for name, demos in dict.fromkeys((row["task"], row["demos"]) for row in rows):
        group = [row for row in rows if (row["task"], row["demos"]) == (name, demos)]
        means = " | ".join(f"{sum(row[way] for row in group) / len(group):.3f}" for way in ways)
        lines.append(f"| {name} | {demos} | {means} | {len(group)} | {group[0]['n']} |")
    return "\n".join(lines)


def modules() -> str:
    """Return one line per task and module that was run."""
    found = _read("modules.json")
    lines = ["| task | module | score, 95 % interval | n | calls | tokens |", "|---|---|---|--:|--:|--:|"]
    for row in found["rows"]:
        scores = "; ".join(f"{name} {_score(score)}" for name, score in row["scores"].items())
        lines.append(
            f"| {' | '.join(row['cell'])} | {scores} | {row['n']} | {row['calls'] or '-'} | {row['tokens'] or '-'} |"
        )
    lines += ["", f"{len(found['rows'])} of {found['cells']} cells were run."]
    return "\n".join(lines)


def serving() -> str:
    """Return what the server does over a model that costs nothing."""
    found = _read("serving.json")
    names = {"ours": "`tunesmith serve`", "dspy": "FastAPI with `dspy.asyncify`", "bare": "FastAPI without a program"}
    lines = ["| | requests per CPU second of the server | requests per second, 50 clients |", "|---|---|---|"]
    for key, name in names.items():
        lines.append(f"| {name} | {found['requests_per_cpu_second'][key]:,} | {found['requests_per_second'][key]:,} |")
    offered, words, memory = found["offered_ms"], found["first_word_ms"], found["memory"]
    lines += [
        "",
        f"Per CPU second, {found['to_dspy']} x DSPy's way (promised: 2.5) and {found['to_bare']} x bare FastAPI (0.5).",
        f"At 50 requests/s over 50 open connections: p50 {offered['p50']} ms (3), p99 {offered['p99']} ms (15).",
        f"From the engine's first word to the client, 100 streams: p50 {words['p50']} ms, p99 {words['p99']} ms (5).",
        f"Memory after {memory['requests']:,} requests: {memory['grown_mb']:+} MB.",
    ]
    return "\n".join(lines)


def scaling() -> str:
    """Return what more workers bring and what the driver spends."""
    found = _read("scaling.json")
    lines = ["| Dask workers | model | evaluations per second | of the most that can be | driver, ms of CPU each |"]
    lines.append("|--:|--:|--:|--:|--:|")
    for row in found["workers"]:
        reached = f"{row['per_second']:.1f} | {row['per_second'] / row['best']:.0%}"
        lines.append(f"| {row['workers']} | {row['delay_ms']} ms | {reached} | {row['cpu_ms']:.2f} |")
    return "\n".join(lines)


def scaling_hosts() -> str:
    """Return what the driver of many hosts spends."""
    lines = ["| hosts | evaluations | ledger | driver, ms of CPU each | KB of memory each | KB on disk each |"]
    lines.append("|--:|--:|---|--:|--:|--:|")
    lines += [
        f"| {row['hosts']:,} | {row['evaluations']:,} | {'yes' if row['ledger'] else 'no'} | {row['cpu_ms']:.2f} "
        f"| {row['memory_kb']:.2f} | {row['disk_kb']:.2f} |"
        for row in _read("scaling.json")["hosts"]
    ]
    return "\n".join(lines)


def goals_line() -> str:
    """Return how many goals are met."""
    return counted(all_goals())


def goals() -> str:
    """Return every goal that has a number, area by area."""
    found = all_goals()
    lines = [counted(found)]
    for area in dict.fromkeys(goal.area for goal in found):
        lines += ["", f"**{area.capitalize()}**", "", "| what | goal | measured | | script |", "|---|--:|--:|---|---|"]
        for goal in found:
            if goal.area == area:
                bound, value, said = cells(goal)
                script = f"`{goal.script}.py`" if goal.script else ""
                lines.append(f"| {goal.goal} | {bound} | {value} | {said} | {script} |")
    return "\n".join(lines)


def ledgers() -> str:
    """Return what looking at large runs costs, by the size of the ledger."""
    found = _read("ledgers.json")
    names = {"start": "`--version`", "show": "`runs show`", "report": "`report`", "compare": "`compare` of 20 runs"}
    lines = ["| | evaluations | CPU seconds | microseconds per evaluation | memory, MB | page, kB |"]
    lines.append("|---|--:|--:|--:|--:|--:|")
    start = next(row["cpu"] for row in found["rows"] if row["what"] == "start")
    for row in sorted(found["rows"], key=lambda row: (list(names).index(row["what"]), row["evaluations"])):
        count = row["evaluations"]
        each = f"{(row['cpu'] - start) / count * 1e6:.1f}" if count else ""
        lines.append(
            f"| {names[row['what']]} | {count:,} | {row['cpu']:.2f} | {each} | {row['memory']:.0f} "
            f"| {row.get('page_kb', '')} |"
        )
    show, report = found["limits"]["show"], found["limits"]["report"]
    lines += [
        "",
        f"Aims at 100,000: `runs show` {show['wall']:.0f} s, `report` {report['wall']:.0f} s and "
        f"{report['memory']:.0f} MB; `compare` of 20 runs x 1,000 examples {found['limits']['compare']['wall']:.0f} s.",
    ]
    return "\n".join(lines)


TABLES: dict[Path, dict[str, Callable[[], str]]] = {
    HERE.parent / "README.md": {"demo_line": demo_line, "demo": demo, "goals_line": goals_line},
    HERE.parent / "docs" / "benchmarks.md": {
        "goals": goals,
        "demo_seeds": demo_seeds,
        "public_tasks": public_tasks,
        "compilers": compilers,
        "serving": serving,
        "ledgers": ledgers,
    },
    HERE.parent / "docs" / "compilers.md": {"calibration": calibration},
    HERE.parent / "docs" / "models.md": {"engines": engines},
    HERE.parent / "docs" / "scaling.md": {"scaling": scaling, "scaling_hosts": scaling_hosts},
    HERE.parent / "docs" / "modules.md": {"modules": modules},
}


def filled(text: str, tables: dict[str, Callable[[], str]]) -> str:
    """Return `text` with each of `tables` made anew between its `<!-- table: NAME -->` and `<!-- end -->`.

    Raises:
        ValueError: the text has no place for one of them.
    """
    places = {name for _, name, _ in _BLOCK.findall(text)}
    if not places >= set(tables):
        raise ValueError(f"There is no place for {', '.join(sorted(set(tables) - places))}.")
    return _BLOCK.sub(lambda m: f"{m[1]}{tables[m[2]]()}\n{m[3]}" if m[2] in tables else m[0], text)


def rendered(page: Path) -> str:
    """Return the text of `page` with its tables made anew."""
    return filled(page.read_text(encoding="utf-8"), TABLES[page])


def main() -> None:
    """Rewrite or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    for page in TABLES:
        wanted = rendered(page)
        if not check:
            page.write_text(wanted, encoding="utf-8")
        elif wanted != page.read_text(encoding="utf-8"):
            sys.exit(f"{page.name} does not say what the committed results say: run this script.")


if __name__ == "__main__":
    main()
