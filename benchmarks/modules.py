"""What modules do on the embedded model, and at what cost: thoughts, programs, search, calls of functions, trees.

    nice -n 10 python benchmarks/modules.py
    python benchmarks/modules.py --cells 'bfcl simple:*,multiarith:*'
    python benchmarks/modules.py --list                   the cells, and which of them are done

A cell is TASK:ARM. Each one that is done is a line of `runs/modules.jsonl` and is not run again, nor is one that is in
benchmarks/modules.json, so an interrupted run goes on; `--again` runs the chosen cells anew. Writes
benchmarks/modules.json, from which `python benchmarks/tables.py` makes the table of docs/modules.md. The data are those
of ../shared/data. Few rows: it is to be run on a laptop.
"""

import argparse
import csv
import fnmatch
import json
import logging
import platform
import random
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import dspy
import numpy as np
from measure import add_line, finished
from public_tasks import DATA

import tunesmith as ts
from tunesmith.evaluation import Interval, evaluate, mean_interval
from tunesmith.lm import Meter, metered
from tunesmith.metrics import numeric_close
from tunesmith.modules.agents.json_types import arguments_of_schema

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).with_suffix(".json")
ROWS = ROOT / "runs" / "modules.jsonl"
COUNTS = {
    "multiarith": 10,
    "singleeq": 10,
    "bfcl simple": 20,
    "bfcl multiple": 10,
    "bfcl irrelevance": 10,
    "game of 24": 3,
}
"""The first rows of each task with a model; the search has all of its 472 questions."""

QUESTIONS = {"train": 60, "val": 60, "test": 100}
BUDGET = 440
"""Questions and charged calls of the compile of RAG: 200 of the calls are the test of both programs."""

REPLY = 600  # most tokens of a reply
WIDTH = 1024
PASSAGE, FOUND = 200, 5  # tokens of a passage, and how many are found
QUOTED, QUOTE = 80, 240  # tokens of a passage that is answered from, and most characters of an answer


class Problem(ts.Signature):
    """Solve the problem. The answer is a number."""

    question: str = ts.InputField()
    answer: float = ts.OutputField()


def chosen_rows(rows: list[Any], task: str) -> list[Any]:
    return rows[: COUNTS[task]]


def lines(*path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in DATA.joinpath(*path).read_text(encoding="utf-8").splitlines()]


# Sums in words


def solving(task: str, program: Callable[[], Any], lm: ts.LM) -> dict[str, Any]:
    rows = chosen_rows(lines("pal", f"mawps{task}.jsonl"), task)
    examples = [dspy.Example(question=r["input"], answer=float(r["target"])).with_inputs("question") for r in rows]
    report = evaluate(program(), examples, numeric_close("answer"), lm=lm)
    return {"exact": [row.score or 0.0 for row in report.rows]}


def by_program() -> Any:
    return ts.ProgramOfThought(ts.ChainOfThought(Problem))


def by_vote() -> Any:
    return ts.SelfConsistency(ts.ChainOfThought(Problem), vote="answer", samples=5)


# Search


@cache
def documents() -> dict[str, str]:
    folder = DATA / "rag_chunking_eval" / "corpora"
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}


@cache
def corpus(only: str | None, size: int = PASSAGE) -> ts.Corpus:
    return ts.Corpus.of({n: t for n, t in documents().items() if only in (None, n)}, by="sentences", size=size)


def questions(only: str | None) -> list[dict[str, str]]:
    with (DATA / "rag_chunking_eval" / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if only in (None, row["corpus_id"])]


def spans_of(found: ts.Corpus) -> dict[str, tuple[str, int, int]]:
    """Return source, start and end of each passage by its id; passages stand in the order of the document."""
    spans, ends = {}, Counter[str]()
    for text, id_, source in zip(found.texts, found.ids, found.sources, strict=True):
        start = documents()[source].index(text, ends[source])
        ends[source] = start + len(text)
        spans[id_] = (source, start, ends[source])
    return spans


def grams(texts: Iterable[str], known: tuple[str, ...]) -> Any:
    """Return vectors of 1,024 numbers: how often texts have each group of character n-grams, with idf of `known`."""
    rows = np.zeros((len(list(texts)), WIDTH), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        for part in parts_of(text):
            row[part] += 1
    return np.log1p(rows) * idf(known)


@cache
def idf(texts: tuple[str, ...]) -> Any:
    has = np.zeros(WIDTH)
    for text in texts:
        has[list(set(parts_of(text)))] += 1
    return np.log((1 + len(texts)) / (1 + has)).astype(np.float32)


def parts_of(text: str) -> Iterable[int]:
    """Yield the group of each n-gram of 3 to 5 characters."""
    for word in re.findall(r"\w+", text.casefold()):
        for size in (3, 4, 5):
            for start in range(max(1, len(word) + 3 - size)):
                yield zlib.crc32(f" {word} "[start : start + size].encode()) % WIDTH


def searching(make: Callable[[ts.Corpus, ts.LM], Any], only: str | None, lm: ts.LM) -> dict[str, Any]:
    """Return the shares of the marked characters that are found, and of the found ones that are marked."""
    searched = corpus(only)
    retriever, spans = make(searched, lm), spans_of(searched)
    recall, precision = [], []
    for row in questions(only):
        marked = {
            place
            for one in json.loads(row["references"])
            for place in range(int(one["start_index"]), int(one["end_index"]))
        }
        found: set[tuple[str, int]] = set()
        for passage in retriever(row["question"], k=FOUND):
            source, start, end = spans[passage.id]
            found |= {(source, place) for place in range(start, end)}
        right = sum(source == row["corpus_id"] and place in marked for source, place in found)
        recall.append(right / len(marked))
        precision.append(right / max(len(found), 1))
    return {"recall": recall, "precision": precision}


def by_words(searched: ts.Corpus, lm: ts.LM) -> Any:
    return ts.BM25(searched)


def by_grams(searched: ts.Corpus, lm: ts.LM) -> Any:
    return ts.Vectors(searched, embed=lambda texts: grams(texts, searched.texts))


def by_both(searched: ts.Corpus, lm: ts.LM) -> Any:
    return ts.Hybrid(by_words(searched, lm), by_grams(searched, lm))


def by_model(searched: ts.Corpus, lm: ts.LM) -> Any:
    return ts.Vectors(searched, embed=lm)


class Quote(ts.Signature):
    """Answer the question with the words of the passages."""

    question: str = ts.InputField()
    answer: str = ts.OutputField(max_length=QUOTE)


def quoted() -> list[dspy.Example]:
    """Return the questions whose marked text is short enough, with that text as the answer."""
    found = []
    for row in questions(None):
        answer = " ".join(one["content"].strip() for one in json.loads(row["references"]))
        if len(answer) <= QUOTE:
            found.append(dspy.Example(question=row["question"], answer=answer).with_inputs("question"))
    return found


def compiling(lm: ts.LM) -> dict[str, Any]:
    """Compile RAG over all documents under defaults, and return how much of the marked text its answers have (F1).

    No document has 220 questions, so the five are one corpus.
    """
    rows = random.Random(0).sample(quoted(), sum(QUESTIONS.values()))
    end = QUESTIONS["train"] + QUESTIONS["val"]
    result = ts.compile(
        ts.RAG(ts.BM25(corpus(None, QUOTED)), Quote, k=2),
        metric=ts.metrics.token_f1("answer"),
        trainset=rows[: QUESTIONS["train"]],
        valset=rows[QUESTIONS["train"] : end],
        testset=rows[end:],
        lm=lm,
        budget=BUDGET,
        run=ROWS.parent / "modules-rag",
    )
    return {"as given": result.baseline.interval, "compiled": result.compiled.interval, "gain": result.gain}


# Calls of functions

TYPES = {"dict": "object", "float": "number", "tuple": "array"}


def json_schema(given: Any) -> Any:
    """Return a schema of the data set as JSON Schema."""
    if isinstance(given, list):
        return [json_schema(one) for one in given]
    if not isinstance(given, dict):
        return given
    found = {key: json_schema(value) for key, value in given.items()}
    kind = found.get("type")
    if kind == "any":
        del found["type"]
    elif isinstance(kind, str):
        found["type"] = TYPES.get(kind, kind)
    return found


def fits(given: Mapping[str, Any], truth: Mapping[str, Any]) -> bool:
    """Return whether the arguments are among those that the data set allows."""
    for name, allowed in truth.items():
        if name not in given:
            if "" in allowed:
                continue
            return False
        if not any(_same(given[name], one) for one in allowed):
            return False
    return not set(given) - set(truth)


def _same(given: Any, wanted: Any) -> bool:
    if isinstance(given, str) and isinstance(wanted, str):
        return given.casefold().strip() == wanted.casefold().strip()
    return bool(given == wanted)


def calling(task: str, agent: Callable[[dict[str, Any], ts.LM], Any], lm: ts.LM) -> dict[str, Any]:
    """Return which first calls are valid: of a function that there is with arguments of its types; and which are right.

    To answer at once is valid, and right if no function helps. The functions do nothing.
    """
    name = task.removeprefix("bfcl ")
    file = f"BFCL_v4_{'simple_python' if name == 'simple' else name}.json"
    rows = chosen_rows(lines("bfcl", file), task)
    none = name == "irrelevance"
    truths = {} if none else {r["id"]: r["ground_truth"][0] for r in lines("bfcl", "possible_answer", file)}
    valid, exact = [], []
    for row in rows:
        tool, given = agent(row, lm)
        valid.append(float(tool is not None))
        wanted = {} if none else truths[row["id"]]
        exact.append(float(tool == "finish" if none else tool in wanted and fits(given, wanted[tool])))
    return {"valid": valid, "exact": exact}


def our_agent(row: dict[str, Any], lm: ts.LM) -> tuple[str | None, Mapping[str, Any]]:
    called: list[Any] = []
    tools = []
    for one in row["function"]:
        arguments = arguments_of_schema(json_schema(one["parameters"]))
        function = _recorder(called, one["name"])
        tools.append(ts.Tool(function, one["name"], one["description"], arguments))
    program = ts.ReAct("request -> answer", tools=tools, max_steps=1, answer_at_limit=False)
    with dspy.context(lm=lm):
        (step,) = program(request=row["question"][0][0]["content"]).steps
    if called:
        return called[0]
    answers = step.tool == "finish" and isinstance(step.arguments.get("answer"), str)
    return ("finish" if answers else None), step.arguments


def their_agent(row: dict[str, Any], lm: ts.LM) -> tuple[str | None, Mapping[str, Any]]:
    called: list[Any] = []
    tools = []
    for one in row["function"]:
        schema = json_schema(one["parameters"])["properties"]
        tools.append(dspy.Tool(_recorder(called, one["name"]), one["name"], one["description"], schema))
    program = dspy.ReAct("request -> answer", tools=tools, max_iters=1)
    program.extract = lambda **_: dspy.Prediction(answer="")  # the answer is not judged
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        try:
            path = program(request=row["question"][0][0]["content"]).trajectory
        except Exception:  # noqa: BLE001 - what DSPy raises is a result
            return None, {}
    if called:
        return called[0]
    return ("finish" if path.get("tool_name_0") == "finish" else None), {}


def _recorder(called: list[Any], name: str) -> Callable[..., str]:
    def function(**arguments: Any) -> str:
        called.append((name, arguments))
        return "done"

    return function


# The Game of 24

STEP = re.compile(r"(\S+) ([-+*/]) (\S+) = (\S+)")


class Game(ts.Signature):
    """Reach 24: in each thought, combine two of the numbers that are left with + - * or /, such as "4 + 8 = 12"."""

    numbers: str = ts.InputField()
    expression: str = ts.OutputField()


def left_after(numbers: str, thoughts: Iterable[str]) -> list[Fraction] | None:
    """Return the numbers that are left, `None` if a thought is no step of the game."""
    left = [Fraction(one) for one in numbers.split()]
    for thought in thoughts:
        found = STEP.search(thought)
        try:
            a, b, said = (Fraction(found[place]) for place in (1, 3, 4)) if found else (None,) * 3
            if found is None or a is None or b is None:
                return None
            left.remove(a)
            left.remove(b)
            made = _computed(a, found[2], b)
        except (ValueError, ZeroDivisionError):
            return None
        if made != said:
            return None
        left.append(made)
    return left


def _computed(a: Fraction, sign: str, b: Fraction) -> Fraction:
    return {"+": a + b, "-": a - b, "*": a * b}[sign] if sign != "/" else a / b


def can_reach(left: list[Fraction]) -> bool:
    if len(left) == 1:
        return left[0] == 24
    for first, second in combinations(range(len(left)), 2):
        rest = [one for place, one in enumerate(left) if place not in (first, second)]
        for a, b in ((left[first], left[second]), (left[second], left[first])):
            made = [a + b, a - b, a * b, *([a / b] if b else [])]
            if any(can_reach([*rest, one]) for one in made):
                return True
    return False


def playing(search: str, lm: ts.LM) -> dict[str, Any]:
    """Return the games that were won, of the hundred that the paper takes. A function judges; the model proposes."""

    def value(example: Any, state: Any) -> float:
        left = left_after(example.numbers, state.thoughts)
        return 0.0 if left is None else 20.0 if can_reach(left) else 0.001

    def goal(example: Any, state: Any) -> bool:
        return left_after(example.numbers, state.thoughts) == [24]

    with (DATA / "tree_of_thoughts" / "24.csv").open(encoding="utf-8", newline="") as file:
        games = [row["Puzzles"] for row in csv.DictReader(file)][900:1000]
    program = ts.TreeOfThoughts(
        Game, evaluate=value, goal=goal, search=search, depth=3, generated=5, beam=2, max_nodes=40
    )

    def won(example: Any, prediction: Any, trace: object = None) -> float:
        return float(prediction.stopped == "goal")

    examples = [dspy.Example(numbers=one).with_inputs("numbers") for one in chosen_rows(games, "game of 24")]
    report = evaluate(program, examples, won, lm=lm)
    return {"exact": [row.score or 0.0 for row in report.rows]}


Cell = tuple[str, str]
SEARCH, ONE = "search (all questions)", "search (state_of_the_union)"
CELLS: dict[Cell, Callable[[ts.LM], dict[str, Any]]] = {
    ("bfcl simple", "ReAct"): lambda lm: calling("bfcl simple", our_agent, lm),
    (SEARCH, "BM25"): lambda lm: searching(by_words, None, lm),
    (SEARCH, "Vectors of character n-grams"): lambda lm: searching(by_grams, None, lm),
    (SEARCH, "Hybrid of both"): lambda lm: searching(by_both, None, lm),
    ("bfcl simple", "dspy ReAct"): lambda lm: calling("bfcl simple", their_agent, lm),
    ("multiarith", "ChainOfThought"): lambda lm: solving("multiarith", lambda: ts.ChainOfThought(Problem), lm),
    ("multiarith", "ProgramOfThought"): lambda lm: solving("multiarith", by_program, lm),
    ("singleeq", "ChainOfThought"): lambda lm: solving("singleeq", lambda: ts.ChainOfThought(Problem), lm),
    ("singleeq", "ProgramOfThought"): lambda lm: solving("singleeq", by_program, lm),
    ("multiarith", "SelfConsistency, 5 chains"): lambda lm: solving("multiarith", by_vote, lm),
    ("bfcl multiple", "ReAct"): lambda lm: calling("bfcl multiple", our_agent, lm),
    ("bfcl irrelevance", "ReAct"): lambda lm: calling("bfcl irrelevance", our_agent, lm),
    ("singleeq", "SelfConsistency, 5 chains"): lambda lm: solving("singleeq", by_vote, lm),
    (ONE, "BM25"): lambda lm: searching(by_words, "state_of_the_union", lm),
    (ONE, "Vectors of the embedded model"): lambda lm: searching(by_model, "state_of_the_union", lm),
    ("game of 24", "TreeOfThoughts, bfs"): lambda lm: playing("bfs", lm),
    ("answers from all documents (F1)", "RAG"): compiling,
}


def run(cell: Cell, lm: ts.LM) -> dict[str, Any]:
    """Return the line of one cell."""
    meter, started = Meter(), time.process_time()
    with metered(meter):
        values = CELLS[cell](lm)
    scores = {name: one if isinstance(one, Interval) else mean_interval(one) for name, one in values.items()}
    return {
        "cell": cell,
        "n": next(iter(scores.values())).n,
        "scores": {name: one.to_json() for name, one in scores.items()},
        "calls": meter.charged.calls,
        "tokens": meter.charged.tokens,
        "cpu": round(time.process_time() - started, 1),
    }


def write(rows: Mapping[Cell, dict[str, Any]], lm: ts.LM) -> None:
    """Write the results of all cells that are done."""
    found = {
        "model": lm.identity.to_json(),
        "python": platform.python_version(),
        "platform": sys.platform,
        "cells": len(CELLS),
        "rows": [rows[cell] for cell in CELLS if cell in rows],
    }
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run the cells, or some of them, and write what is there after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="*", help="patterns of TASK:ARM with commas between; default all")
    parser.add_argument("--again", action="store_true", help="run the chosen cells anew")
    parser.add_argument("--list", action="store_true", help="print the chosen cells, run nothing")
    args = parser.parse_args()
    wanted = [c for c in CELLS if any(fnmatch.fnmatch(":".join(c), one) for one in args.cells.split(","))]
    rows = finished(OUT, ROWS)
    if args.list:
        print("\n".join(f"{':'.join(cell)}{'  done' if cell in rows else ''}" for cell in wanted))
        return
    logging.getLogger("dspy").setLevel(logging.CRITICAL)
    lm = ts.lm("embedded", max_tokens=REPLY)
    for cell in wanted:
        if cell in rows and not args.again:
            continue
        rows[cell] = run(cell, lm)
        add_line(ROWS, rows[cell])
        write(rows, lm)
        means = {name: round(score["mean"], 3) for name, score in rows[cell]["scores"].items()}
        print(":".join(cell), means, rows[cell]["calls"], "calls", rows[cell]["cpu"], "s of CPU", flush=True)


if __name__ == "__main__":
    main()
