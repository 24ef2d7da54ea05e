"""Runs that tests of fine-tuning data read: small compiles, with everything that was sent and answered."""

import json
from pathlib import Path
from typing import Any, Literal

import dspy

import tunesmith as ts
from tests.evaluation.replies import number, written
from tunesmith.lm import FunctionLM, Seen

COLOURS = ("red", "green", "blue")
Sent = set[tuple[tuple[tuple[str, str], ...], str]]


class Colour(dspy.Signature):
    """Say which colour the thing has."""

    thing: str = dspy.InputField()
    colour: Literal["red", "green", "blue"] = dspy.OutputField()


def colour_of(thing: int) -> str:
    return COLOURS[thing % 3]


def things(*numbers: int) -> list[dspy.Example]:
    return [dspy.Example(thing=f"thing {n}", colour=colour_of(n)).with_inputs("thing") for n in numbers]


TRAIN, VAL, TEST = things(*range(12)), things(*range(100, 112)), things(*range(200, 206))


def compiled(folder: Path, *, sent: Sent | None = None, program: Any = None, **options: Any) -> Path:
    """Compile in `folder` with a model that knows every colour of a demo and red, and return the run's folder.

    Args:
        folder: of the run.
        sent: gets the messages and the reply of every call.
        program: default a `Predict`.
        **options: of `ts.compile`.
    """

    def reply(seen: Seen) -> str:
        known = {number(text) % 3 for role, text in seen.messages[:-1] if role == "user"} | {0}
        thing = number(seen.messages[-1][1])
        text = written(seen, colour=colour_of(thing) if thing % 3 in known else "red")
        if sent is not None:
            sent.add(((("system", seen.system), *seen.messages), text))
        return text

    given = {"trainset": TRAIN, "valset": VAL, "testset": TEST, "budget": 250, **options}
    compiler = given.pop("compiler", ts.RandomSearch(num_candidates=4, max_labeled_demos=4, seed=1))
    ts.compile(
        ts.Predict(Colour) if program is None else program,
        metric=ts.metrics.exact_match("colour"),
        compiler=compiler,
        lm=FunctionLM(reply),
        run=folder,
        **given,
    )
    return folder


def files(run: Path, to: str, **options: Any) -> dict[str, Any]:
    """Return the files of an export: rows, the entries and the lines of the config."""
    found = ts.export(run, to=to, **options).files
    return {name.partition(".")[0]: _read(name, text) for name, text in found.items()}


def rows(run: Path, to: str, **options: Any) -> list[dict[str, Any]]:
    """Return the rows of both sides."""
    found = files(run, to, **options)
    return [*found["train"], *found.get("eval", ())]


def _read(name: str, text: str) -> Any:
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines()]
    return json.loads(text) if name.endswith(".json") else text.splitlines()
