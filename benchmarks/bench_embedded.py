"""100 short classifications on the embedded model: tunesmith's default format against DSPy's default adapter.

Both runs are `ts.evaluate` of the same program on the same LM object, its cache off; only the adapter differs. They
take turns in blocks of ten texts, each text once per side, and calls are counted where they reach the engine.

Replies end after 32 tokens, which is in favour of DSPy's side: under its markers the model talks on until it is
stopped, else after 512 tokens, and then DSPy's adapter calls once more. On a slow machine the blocks end early, and
those that both sides did are compared.
"""

import json
import logging
import time
from pathlib import Path
from typing import Any, Literal

import dspy
from measure import Row, main

import tunesmith as ts
from tunesmith.lm import Request, Response

TEXTS, BLOCK = 100, 10
MAX_TOKENS = 32
PATIENCE = 180.0  # seconds for both sides together
LIMIT = 0.5
DATA = Path(__file__).parents[2] / "shared" / "data" / "instruction_induction" / "execute" / "sentiment.json"


class Sentiment(ts.Signature):
    """Say whether the sentence about a film is positive or negative."""

    text: str = ts.InputField()
    label: Literal["positive", "negative"] = ts.OutputField()


class Counting:
    """Stands before an engine and counts what reaches it."""

    def __init__(self, engine: Any) -> None:
        self._engine, self.calls = engine, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def complete(self, request: Request) -> Response:
        """Answer through the engine."""
        self.calls += 1
        return self._engine.complete(request)


def examples() -> tuple[str, list[dspy.Example]]:
    """Return where the texts are from, and 100 of them with labels."""
    if DATA.exists():
        found = json.loads(DATA.read_text(encoding="utf-8"))["examples"].values()
        pairs = [(item["input"], item["output"]) for item in found][:TEXTS]
        return "instruction induction, `sentiment`, the items of `execute`", _examples(pairs)
    things = ["plot", "cast", "music", "pace", "script", "ending", "humour", "camera", "dialogue", "direction"]
    words = {
        "positive": ["A delight", "Wonderful", "Warm and clever", "A triumph", "Moving"],
        "negative": ["A bore", "Dreadful", "Flat and clumsy", "A mess", "Tiring"],
    }
    pairs = [(f"{word}: the {thing}.", label) for label in words for word in words[label] for thing in things]
    return "made in this script", _examples(pairs[::2] + pairs[1::2])


def _examples(pairs: list[tuple[str, str]]) -> list[dspy.Example]:
    return [dspy.Example(text=text, label=label).with_inputs("text") for text, label in pairs]


def rows() -> list[Row]:
    logging.getLogger("dspy").setLevel(logging.ERROR)  # it warns of every reply that was cut
    source, data = examples()
    lm = ts.lm("embedded", cache=False, max_tokens=MAX_TOKENS)
    counting = lm._stack.engine = Counting(lm._stack.engine)
    program, metric = dspy.Predict(Sentiment), ts.metrics.exact_match("label")
    sides: dict[str, dict[str, Any]] = {
        name: {"seconds": 0.0, "calls": 0, "errors": 0, "right": 0.0, "tokens": 0} for name in ("dspy", "tunesmith")
    }

    def block(name: str, part: list[dspy.Example]) -> None:
        adapter = dspy.ChatAdapter() if name == "dspy" else None
        before, start = counting.calls, time.perf_counter()
        with dspy.context(adapter=adapter):
            report = ts.evaluate(program, part, metric, lm=lm)
        side = sides[name]
        side["seconds"] += time.perf_counter() - start
        side["calls"] += counting.calls - before
        side["errors"] += report.errors
        side["right"] += (report.mean or 0.0) * report.n
        side["tokens"] += sum(row.tokens for row in report.rows)

    for name in sides:  # loads the model and reads the side's prefix
        block(name, _examples([("Fine.", "positive")]))
        sides[name].update(seconds=0.0, calls=0, errors=0, right=0.0, tokens=0)
    begun, both = time.perf_counter(), 0
    for first in range(0, len(data), BLOCK):
        part = data[first : first + BLOCK]
        if time.perf_counter() - begun > PATIENCE:
            break
        for name in sides if first // BLOCK % 2 == 0 else reversed(sides):
            block(name, part)
        both += len(part)
    ours_only = dict(sides["tunesmith"])
    for first in range(both, len(data), BLOCK):
        block("tunesmith", data[first : first + BLOCK])
    details = {
        "texts": source,
        "compared": both,
        "max_tokens": MAX_TOKENS,
        "milliseconds_per_text": {
            "dspy": round(sides["dspy"]["seconds"] / both * 1e3, 1),
            "tunesmith": round(ours_only["seconds"] / both * 1e3, 1),
        },
        "dspy": {name: round(value, 2) for name, value in sides["dspy"].items()},
        "tunesmith": {name: round(value, 2) for name, value in sides["tunesmith"].items()},
    }
    return [
        Row(
            "embedded_wall",
            "wall time of short classifications on the embedded model, tunesmith / dspy's default adapter",
            ours_only["seconds"] / sides["dspy"]["seconds"],
            LIMIT,
            details=details,
        ),
        Row(
            "calls_per_prediction",
            f"engine calls of {len(data)} predictions on the embedded model, per prediction",
            sides["tunesmith"]["calls"] / len(data),
            1.0,
            required=True,
            details={"calls": sides["tunesmith"]["calls"], "predictions": len(data)},
        ),
    ]


if __name__ == "__main__":
    main(rows)
