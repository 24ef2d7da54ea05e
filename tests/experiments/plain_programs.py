"""Three programs as a DSPy user writes them: nothing here knows of tunesmith, not even the imports."""

from typing import Literal

import dspy


class Colour(dspy.Signature):
    """Say which colour the thing has."""

    thing: str = dspy.InputField()
    colour: Literal["red", "green", "blue"] = dspy.OutputField()


class Decide(dspy.Signature):
    """Decide on a colour."""

    thing: str = dspy.InputField()
    guess: str = dspy.InputField()
    colour: Literal["red", "green", "blue"] = dspy.OutputField()


class Listed(dspy.Module):
    """A predictor in a list, with code around it."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = [dspy.Predict(Colour)]

    def forward(self, thing: str) -> dspy.Prediction:
        found = None
        for step in self.steps:
            found = step(thing=" ".join(thing.split()))
        return dspy.Prediction(colour=found.colour, checked=True)


class Guesser(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.guess = dspy.ChainOfThought("thing -> guess")

    def forward(self, thing: str) -> str:
        return str(self.guess(thing=thing).guess)


class Pipeline(dspy.Module):
    """Two steps of thought, the first inside a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Guesser()
        self.decide = dspy.ChainOfThought(Decide)

    def forward(self, thing: str) -> dspy.Prediction:
        return self.decide(thing=thing, guess=self.inner(thing=thing))


def look_up(thing: str) -> str:
    """Look the thing up in a catalogue."""
    return f"{thing} is in the catalogue"


def agent() -> dspy.Module:
    """Return an agent with one tool."""
    return dspy.ReAct("thing -> colour: Literal['red', 'green', 'blue']", tools=[look_up], max_iters=3)


PROGRAMS = {"listed": Listed, "pipeline": Pipeline, "agent": agent}
ANSWERS = {
    "listed": [{"colour": "red"}],
    "pipeline": [{"reasoning": "hm", "guess": "red"}, {"reasoning": "hm", "colour": "red"}],
    "agent": [
        {"next_thought": "hm", "next_tool_name": "look_up", "next_tool_args": '{"thing": "thing 500"}'},
        {"next_thought": "hm", "next_tool_name": "finish", "next_tool_args": "{}"},
        {"reasoning": "hm", "colour": "red"},
    ],
}
