"""Runs that tests of fine-tuning data read: small compiles, with everything that was sent and answered."""

import json
from pathlib import Path
from typing import Any, Literal

import dspy

import tunesmith as ts
from tests.artifacts.export.prompts import NASTY
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

    given = {"trainset": TRAIN, "valset": VAL, "testset": TEST, "budget": 250, "mirror": False, **options}
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


def dates_run(folder: Path) -> Path:
    """Compile a program whose replies are all dates; some of its inputs are more than text to some readers.

    Without demos the model is wrong.
    """
    program = ts.Predict(ts.Signature("text -> day", "Name the day."))
    days = {text: f"2024-05-{number + 1:02}" for number, text in enumerate(NASTY)}
    data = [dspy.Example(text=text, day=day).with_inputs("text") for text, day in days.items()]
    known = {ts.render(program, text=text).messages[-1]["content"]: day for text, day in days.items()}
    ts.compile(
        program,
        metric=ts.metrics.exact_match("day"),
        trainset=data[:6],
        valset=data[6:],
        compiler=ts.RandomSearch(num_candidates=3, max_labeled_demos=3, formats=["bare"], seed=1),
        lm=FunctionLM(lambda seen: known[seen.messages[-1][1]] if len(seen.messages) > 1 else "2020-01-01"),
        run=folder,
        budget=300,
        mirror=False,
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


CAPITALS = {"Norway": "Oslo", "Peru": "Lima", "Kenya": "Nairobi", "Cuba": "Havana"}


def capital(country: str) -> str:
    """Look up a capital."""
    return CAPITALS[country]


def letters(text: str, most: int = 5) -> int:
    """Count letters."""
    return min(len(text), most)


def agent() -> ts.ReAct:
    return ts.ReAct(ts.Signature("country -> city", "Name the capital."), tools=[capital, letters])


def agent_run(folder: Path, program: Any = None) -> Path:
    """Compile an agent that looks a capital up and answers; the first time it asks for Cuba, its call fails."""

    def act(thought: str, tool: str, **arguments: Any) -> str:
        return json.dumps({"thought": thought, "action": {"tool": tool, "arguments": arguments}})

    def reply(seen: Seen) -> str:
        asked = seen.messages[-1][1]
        country = next(name for name in CAPITALS if name in asked)
        if "No steps yet." in asked:
            return act("Look.", "capital", country="Kuba" if country == "Cuba" else country)
        if CAPITALS[country] in asked and "Observation 2" not in asked:
            return act("Count.", "letters", text=CAPITALS[country])
        return act("I know.", "finish", city=CAPITALS[country])

    data = [dspy.Example(country=name, city=city).with_inputs("country") for name, city in CAPITALS.items()]
    ts.compile(
        agent() if program is None else program,
        metric=ts.metrics.exact_match("city"),
        trainset=data[:1],
        valset=data[1:],
        compiler=ts.LabeledFewShot(k=1),
        lm=FunctionLM(reply),
        run=folder,
        budget=100,
        mirror=False,
    )
    return folder
