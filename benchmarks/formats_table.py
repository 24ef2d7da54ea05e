"""Every prompt format on three public tasks and on twelve kinds of output, on the embedded model.

    python benchmarks/formats_table.py           measure, write formats.json and the tables in docs/formats.md
    python benchmarks/formats_table.py --quick   a few items of everything; prints, and writes where --out says
    python benchmarks/formats_table.py --render  write the tables in docs/formats.md from formats.json
    python benchmarks/formats_table.py --check   exit 1 where docs/formats.md says something else

Reads ../shared/data. What is there is written after every cell. Replies come from the cache where they are there, so a
script that was stopped goes on where it was.
"""

import argparse
import datetime
import json
import logging
import platform
import random
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import dspy
from public_tasks import DATA, banking77, sentiment
from pydantic import BaseModel, Field

import tunesmith as ts
from tunesmith.compilers import few_shot_candidate
from tunesmith.errors import ParseError
from tunesmith.evaluation import evaluate
from tunesmith.formats import carries, format_names
from tunesmith.metrics import exact_match
from tunesmith.modules import Candidate, bind

HERE = Path(__file__).parent
OUT = HERE / "formats.json"
DOCS = HERE.parent / "docs" / "formats.md"
DRAWS = 3
MOST_ERRORS = 0.02  # of the replies on the twelve kinds; a format above is unfit for the model
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


# Tasks --------------------------------------------------------------------------------------------------------


class Animals(dspy.Signature):
    """List the animals among the words."""

    words: str = dspy.InputField()
    animals: list[str] = dspy.OutputField()


@dataclass(frozen=True)
class Task:
    """One task; `max_tokens` leaves room for the longest format."""

    name: str
    signature: type[dspy.Signature]
    metric: Callable[..., Any]
    demos: int
    max_tokens: int
    train: list[dspy.Example]
    test: list[dspy.Example]


def animals(items: int) -> Task:
    """Return `taxonomy_animal`: 60 examples of `induce`, and those of `execute`."""

    def read(side: str) -> list[dspy.Example]:
        path = DATA / "instruction_induction" / side / "taxonomy_animal.json"
        rows = json.loads(path.read_text(encoding="utf-8"))["examples"].values()
        return [dspy.Example(words=r["input"], animals=r["category_items"]).with_inputs("words") for r in rows]

    test = read("execute")
    known = {example.words for example in test}
    pool = [example for example in read("induce") if example.words not in known]
    train = random.Random(0).sample(pool, 60)
    return Task("taxonomy_animal", Animals, same_items, 4, 128, train, test[:items])


def same_items(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> float:
    """Return the F1 of the listed items as sets, in lower case: 1 is the same set."""
    wanted = {item.strip().casefold() for item in example.animals}
    found = {item.strip().casefold() for item in prediction.animals}
    return 2 * len(wanted & found) / max(1, len(wanted) + len(found))


def tasks(items: int) -> Iterator[Task]:
    """Yield the three tasks with at most so many test items each, labels balanced."""
    for found in (sentiment(0), banking77(0)):
        few = sorted({example[found.label] for example in found.train})
        test = [e for label in few for e in [t for t in found.test if t[found.label] == label][: -(-items // len(few))]]
        yield Task(found.name, found.signature, exact_match(found.label), len(few), 64, found.train, test)
    yield animals(items)


def cell(task: Task, name: str, draw: int | None) -> dict[str, Any]:
    """Return the row of one format on one task, under one draw of demos or none."""
    program = dspy.Predict(task.signature)
    plain = Candidate.of(program)
    chosen = plain if draw is None else few_shot_candidate(program, task.train, task.demos, draw)
    report = evaluate(
        chosen.with_part("self", format=name).apply(program),
        task.test,
        task.metric,
        lm=ts.lm("embedded", max_tokens=task.max_tokens),
    )
    spent = report.charged
    return {
        "task": task.name,
        "format": name,
        "demos": 0 if draw is None else task.demos,
        "draw": draw,
        **{key: getattr(report, key) for key in ("mean", "low", "high", "n", "errors")},
        "exact": sum(row.score == 1.0 for row in report.rows) / len(report.rows),
        "calls": spent.calls,
        "tokens_in": spent.input_tokens,
        "tokens_out": spent.output_tokens,
    }


# Twelve kinds of output ---------------------------------------------------------------------------------------

# A small model likes to go on for ever, so every text says how long it may be.
Short = Annotated[str, Field(max_length=40)]


class Place(BaseModel):
    """Where somebody lives."""

    street: Short
    city: Short


class Person(BaseModel):
    """Somebody who is named."""

    name: Short
    age: int
    home: Place


class Mood(dspy.Signature):
    """Judge the mood."""

    text: str = dspy.InputField()
    mood: Literal["positive", "negative", "mixed feelings"] = dspy.OutputField()


class Rating(dspy.Signature):
    """Rate from 1 to 5."""

    text: str = dspy.InputField()
    stars: int = dspy.OutputField(ge=1, le=5)


class Price(dspy.Signature):
    """Find the price."""

    text: str = dspy.InputField()
    price: float = dspy.OutputField(desc="in euros")


class Spam(dspy.Signature):
    """Is it spam?"""

    text: str = dspy.InputField()
    is_spam: bool = dspy.OutputField()


class Due(dspy.Signature):
    """When is it due?"""

    text: str = dspy.InputField()
    due: datetime.date = dspy.OutputField()


class Tags(dspy.Signature):
    """Tag the text with three words."""

    text: str = dspy.InputField()
    tags: list[Short] = dspy.OutputField(max_length=3)


class Who(dspy.Signature):
    """Who is it?"""

    text: str = dspy.InputField()
    person: Person = dspy.OutputField()


class Nickname(dspy.Signature):
    """Give the nickname, if there is one."""

    text: str = dspy.InputField()
    nickname: Short | None = dspy.OutputField()


class Two(dspy.Signature):
    """Sum up the text in a sentence, and say whether it is friendly."""

    text: str = dspy.InputField()
    summary: str = dspy.OutputField(max_length=200)
    friendly: bool = dspy.OutputField()


class Poem(dspy.Signature):
    """Write a poem of two lines about the text."""

    text: str = dspy.InputField()
    poem: str = dspy.OutputField(max_length=300)


class Essay(dspy.Signature):
    """Tell the story behind the text at length."""

    text: str = dspy.InputField()
    essay: str = dspy.OutputField(max_length=1500)


class Foreign(dspy.Signature):
    """Wie groß ist es? Choisissez."""

    text: str = dspy.InputField()
    größe: Literal["größer", "日本語", "été", "naïve (à part)", "🙂"] = dspy.OutputField()


KINDS = (Mood, Rating, Price, Spam, Due, Tags, Who, Nickname, Two, Poem, Essay, Foreign)
TEXTS = (
    "I loved the garden and the breakfast, but the room was small and cost 84.50 euros.",
    "Ann Miller, 34, of 5 High Street, Leeds, known as Annie, pays by 3 May 2024.",
    "WIN a free phone now! Only 9.99, offer ends 2025-12-31, ask for Bob (52), 1 Main Road, Dallas.",
    "The train to Łódź was late again.\nNobody said why, and my uncle Pete (61) missed the show.",
    "Dear Mr. O'Neill, your invoice of 120 euros is due on 15 January 2024. Kind regards, Zoë",
    'She said "never again" & left; 2 < 3, he thought. # no comment',
    "Große Freude in der Schillerstraße 7, München: Jürgen wird 40 und zahlt 12 Euro.",
    "ok",
    "Please cancel my order of 17 March 2023; I was charged 3.20 twice. Sam, 19, Elm Way 2, Cork",
    "Best pizza in town. The waiter, everybody calls him Gus, even sang for us.",
)
KIND_TOKENS = 1600  # of the 1,500 characters of an essay each can be a token
SHORT_KIND_TOKENS = 640


def kind_row(name: str, texts: int) -> dict[str, Any]:
    """Return how many replies on the twelve kinds of output could not be read in a format."""
    calls, errors = 0, dict[str, int]()
    for signature in KINDS:
        if not carries(name, signature):
            continue
        predict = dspy.Predict(signature)
        bind(predict, name)
        lm = ts.lm("embedded", max_tokens=KIND_TOKENS if signature is Essay else SHORT_KIND_TOKENS)
        for text in TEXTS[:texts]:
            calls += 1
            try:
                with dspy.context(lm=lm):
                    predict(text=text)
            except ParseError as error:
                what = f"{signature.__name__}: {error.reason}"
                errors[what] = errors.get(what, 0) + 1
    total = sum(errors.values())
    found = {"format": name, "calls": calls, "errors": total, "rate": total / calls, "where": errors}
    return found | {"fit": total <= MOST_ERRORS * calls}


# Tables -------------------------------------------------------------------------------------------------------


def tasks_table(found: dict[str, Any]) -> str:
    """Return one line per task, number of demos and format: the mean over draws, and what it costs."""
    lines = [
        "| task | demos | format | score: mean over draws (lowest to highest) | mean 95 % interval | n | draws "
        "| calls | tokens in per call | tokens out per call | unreadable |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in found["cells"]:
        groups.setdefault((row["task"], row["demos"], row["format"]), []).append(row)
    for (task, demos, name), rows in groups.items():
        means = [row["mean"] for row in rows]
        calls = sum(row["calls"] for row in rows)
        low, high = (sum(row[end] for row in rows) / len(rows) for end in ("low", "high"))
        spread = f"{sum(means) / len(means):.3f} ({min(means):.3f} to {max(means):.3f})"
        cost = [sum(row[part] for row in rows) / max(calls, 1) for part in ("tokens_in", "tokens_out")]
        errors = sum(row["errors"] for row in rows) / sum(row["n"] for row in rows)
        lines.append(
            f"| {task} | {demos} | `{name}` | {spread} | [{low:.3f}, {high:.3f}] | {rows[0]['n']} | {len(rows)} "
            f"| {calls} | {cost[0]:.0f} | {cost[1]:.1f} | {errors:.1%} |"
        )
    return "\n".join(lines)


def kinds_table(found: dict[str, Any]) -> str:
    """Return one line per format: what could not be read of the replies on the twelve kinds of output."""
    lines = ["| format | replies | unreadable | where | fit for the embedded model |", "|---|---|---|---|---|"]
    for row in found["kinds"]:
        where = ", ".join(f"{what} ({count})" for what, count in row["where"].items()) or "none"
        fit = "yes" if row["fit"] else "**unfit**"
        lines.append(f"| `{row['format']}` | {row['calls']} | {row['errors']} ({row['rate']:.1%}) | {where} | {fit} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {"tasks": tasks_table, "kinds": kinds_table}


def rendered(text: str) -> str:
    """Return a page with every table made anew from the committed results; without results it stays."""
    if not OUT.exists():
        return text
    found = json.loads(OUT.read_text(encoding="utf-8"))

    def block(match: re.Match[str]) -> str:
        table = TABLES.get(match.group(2))  # others have scripts of their own
        return match.group(0) if table is None else f"{match.group(1)}{table(found)}\n{match.group(3)}"

    return _BLOCK.sub(block, text)


def measure(items: int, draws: int, texts: int, out: Path | None) -> None:
    """Measure every cell, and write and print what there is after each."""
    found: dict[str, Any] = {
        "model": ts.lm("embedded").identity.to_json(),
        "python": platform.python_version(),
        "platform": sys.platform,
        "kinds": [],
        "cells": [],
    }

    def add(part: str, row: dict[str, Any]) -> None:
        found[part].append(row)
        print(json.dumps(row, ensure_ascii=False), flush=True)
        if out is not None:
            out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    names = [name for name in format_names() if any(carries(name, kind) for kind in KINDS)]
    for name in names:
        add("kinds", kind_row(name, texts))
    for task in tasks(items):
        for draw in (None, *range(draws)):
            for name in names:
                add("cells", cell(task, name, draw))


def main() -> None:
    """Measure, or render what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="6 items, 1 draw, 1 text")
    parser.add_argument("--items", type=int, help="test items per cell; default 120")
    parser.add_argument("--draws", type=int, help=f"draws of demos; default {DRAWS}")
    parser.add_argument("--texts", type=int, help=f"texts per kind of output; default {len(TEXTS)}")
    parser.add_argument("--out", type=Path, help=f"default {OUT.name}; with --quick nowhere")
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if not (args.render or args.check):
        logging.getLogger("dspy").setLevel(logging.CRITICAL)
        defaults = (6, 1, 1) if args.quick else (120, DRAWS, len(TEXTS))
        given = (args.items, args.draws, args.texts)
        counts = [default if one is None else one for one, default in zip(given, defaults, strict=True)]
        measure(*counts, args.out if args.quick or args.out else OUT)
        if args.quick or args.out:
            return
    text = DOCS.read_text(encoding="utf-8")
    wanted = rendered(text)
    if args.check:
        sys.exit(0 if wanted == text else "docs/formats.md does not say what formats.json says: run with --render.")
    DOCS.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
