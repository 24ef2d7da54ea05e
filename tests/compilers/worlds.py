"""Small worlds for compilers: a program, examples, and a model whose accuracy depends on the demos it is shown."""

import copy
import hashlib
import re
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, Literal

import dspy

from tests.evaluation.replies import likely, number, proposed, written
from tunesmith.compilers import Compiler
from tunesmith.evaluation import evaluate
from tunesmith.lm import FunctionLM, Response, Seen, current_scope

COLOURS = ("red", "green", "blue")


class Colour(dspy.Signature):
    """Say which colour the thing has."""

    thing: str = dspy.InputField()
    colour: Literal["red", "green", "blue"] = dspy.OutputField()


def chance(*parts: object) -> float:
    """Return a number from 0 to 1 that depends on `parts` alone, in every process."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) / 2**32


def colour_of(thing: int) -> str:
    return COLOURS[int(chance("colour", thing) * 3)]


def things(*numbers: int) -> list[dspy.Example]:
    """Return one labelled example per number."""
    return [dspy.Example(thing=f"thing {n}", colour=colour_of(n)).with_inputs("thing") for n in numbers]


TRAIN, VAL, TEST = things(*range(40)), things(*range(100, 130)), things(*range(200, 240))


def right(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    return bool(example.colour == prediction.colour)


def shown_in(seen: Seen) -> list[int]:
    """Return the numbers of the things in the demos of a request, in order."""
    return [number(text) for role, text in seen.messages[:-1] if role == "user"]


def good(thing: int) -> bool:
    """Return whether a demo of this thing teaches the model something: one of four does."""
    return thing % 4 == 0


def helpful(demos: Sequence[int]) -> float:
    """How able a model is that learns from good demos: 0.4 alone, 0.9 with nothing but good ones."""
    return 0.4 + 0.5 * sum(map(good, demos)) / max(1, len(demos))


def harmful(demos: Sequence[int]) -> float:
    """How able a model is that every demo confuses."""
    return max(0.1, 0.8 - 0.1 * len(demos))


def world(ability: Callable[[Sequence[int]], float] = helpful) -> Callable[[Seen], str | Response]:
    """Return a model's function: it answers right if the thing is easier than `ability` of the demos shown.

    If log-probabilities are wanted, its answer is the likeliest colour.

    Asked for an instruction it writes a wording, with each draw another. Wordings help where demos do.
    """
    teachable = ability([0]) > ability([])

    def answer(seen: Seen) -> str | Response:
        if asked(seen):
            seed = seen.request.config.seed or 0
            return proposed(seen, f"Wording {int(chance(seed, seen.text) * 1000)}.")
        thing = number(seen.text)
        if asks_for_steps(seen):
            return proposed(seen, f"thing {thing}")
        truth = colour_of(thing)
        able = ability(shown_in(seen))
        wording = re.search(r"Wording (\d+)", seen.system)
        if wording is not None:
            able += 0.5 * chance("wording", wording[1]) if teachable else -0.2
        wrong = COLOURS[(COLOURS.index(truth) + 1) % 3]
        said = truth if chance("difficulty", thing) < able else wrong
        if seen.request.config.logprobs is not None:
            return likely(seen, {one: -0.5 if one == said else -1.0 - chance("doubt", thing, one) for one in COLOURS})
        return written(seen, colour=said)

    return answer


def asked(seen: Seen) -> bool:
    """Return whether a request asks for a proposal."""
    return current_scope().role == "prompt"


def asks_for_steps(seen: Seen) -> bool:
    """Return whether a request is of a step of `Steps` before the last."""
    return any(name in f"{seen.system}{seen.text.rpartition(chr(10))[2]}".lower() for name in ("looks", "weighed"))


class Steps(dspy.Module):
    """Three predictors, the first in a loop as in an agent, the second only for some things."""

    def __init__(self) -> None:
        super().__init__()
        self.look = dspy.Predict("thing, turn: int -> looks")
        self.weigh = dspy.Predict("thing -> weighed")
        self.answer = dspy.Predict(Colour)

    def forward(self, thing: str) -> dspy.Prediction:
        for turn in range(1 + number(thing) % 2):
            seen = self.look(thing=thing, turn=turn).looks
        if number(thing) % 3:
            seen = self.weigh(thing=seen).weighed
        return self.answer(thing=seen)


def found_on_unseen(kind: type[Compiler], seeds: int) -> float:
    """Return the mean score, on things that it did not see, of what a compiler finds in 200 calls."""
    found = []
    for seed in range(seeds):
        lm = FunctionLM(world())
        with dspy.context(lm=lm):
            compiler = kind(metric=right, budget=200, seed=seed, slots=1)
            program = compiler.compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL)
        found.append(evaluate(program, things(*range(1000, 1100)), right, lm=lm).mean or 0.0)
    return fmean(found)


def state_of(program: dspy.Module) -> dict[str, Any]:
    """Return everything of a program that a compiler could touch."""
    return {
        path: (type(p), copy.deepcopy(p.demos), p.signature, dict(p.config), p.lm, sorted(vars(p)))
        for path, p in program.named_predictors()
    } | {"": (type(program), sorted(vars(program)))}


class TwoSteps(dspy.Module):
    """A guess, and a colour of the guess."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("thing -> guess")
        self.second = dspy.Predict("guess -> colour")

    def forward(self, thing: str) -> dspy.Prediction:
        return self.second(guess=self.first(thing=thing).guess)
