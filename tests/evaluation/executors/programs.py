"""Programs and metrics that a worker process can import, and one that kills its process."""

import os
import signal
import time
from pathlib import Path
from typing import Any, Literal

import dspy

import tunesmith as ts


class Colour(ts.Signature):
    """Say the colour of the thing."""

    thing: str = ts.InputField()
    colour: Literal["red", "green"] = ts.OutputField()


class TwoSteps(dspy.Module):
    """Two predictors and code around them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ts.Predict(Colour)
        self.second = ts.Predict("thing, colour -> reason")

    def forward(self, thing: str) -> dspy.Prediction:
        colour = self.first(thing=thing).colour
        return dspy.Prediction(colour=colour, reason=self.second(thing=thing, colour=colour).reason)


class Fails(dspy.Module):
    """Fails on some things, prints, and asks its model for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.step = ts.Predict(Colour)

    def forward(self, thing: str) -> Any:
        print("a program may print", thing)  # noqa: T201 - what it prints must not stand between the messages
        if thing.endswith("3"):
            raise ValueError(f"no {thing}, please")
        return self.step(thing=thing)


class Dies(dspy.Module):
    """Kills its process after its call, the first time only: the file in `TUNESMITH_TEST_DEATH` says that it did."""

    def __init__(self) -> None:
        super().__init__()
        self.step = ts.Predict(Colour)

    def forward(self, thing: str) -> Any:
        found = self.step(thing=thing)
        place = Path(os.environ["TUNESMITH_TEST_DEATH"])
        if thing.endswith("2") and not place.exists():
            place.touch()
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        return found


class AlwaysDies(Dies):
    """Kills its process at every try."""

    def forward(self, thing: str) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def right(example: dspy.Example, prediction: Any, trace: object = None) -> bool:
    return bool(prediction.colour == example.colour)


def broken(example: dspy.Example, prediction: Any, trace: object = None) -> bool:
    raise KeyError("a metric that fails")


named = ts.Predict("thing -> colour: Literal['red', 'green']")


def examples(count: int, start: int = 0) -> list[dspy.Example]:
    """Return labelled things; the models of the tests say `red` to all of them."""
    return [
        dspy.Example(thing=f"thing {n}", colour="red" if n % 3 else "green").with_inputs("thing")
        for n in range(start, start + count)
    ]
