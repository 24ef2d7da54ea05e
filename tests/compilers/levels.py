"""A small world in which wording is what matters: instructions have a level, and a proposal's is that of what it sees."""

import json
import re
from collections.abc import Callable
from typing import Any

import dspy

from tests.compilers.worlds import COLOURS, Colour, asked, asks_for_steps, chance, colour_of, right, things
from tests.evaluation.replies import number, object_names, proposed, written
from tunesmith.compilers import Compiler, CompileReport, Search, job_of
from tunesmith.lm import FunctionLM, Seen

TRAIN, VAL = things(*range(400)), things(*range(1000, 1100))
_KINDS = {
    "Find the first step": "blame",
    "Say what is wrong": "critique",
    "without the fault": "edit",
    "in other words": "paraphrase",
    "example by example": "inspect",
    "by the findings": "rewrite",
    "Say in one sentence": "sum up",
    "Write the instruction that makes": "guess",
}


class Levels:
    """A model whose instructions have a level; a proposal's is that of the texts it sees, and `step` more.

    Attributes:
        steps: what kind each proposal is, in order, and what it was shown.
        runs: level and number of each example, in order.
    """

    def __init__(
        self, step: Callable[[float], int] = lambda draw: 1, able: Callable[[int], float] = lambda level: 0.02 * level
    ) -> None:
        self.step, self.able, self.steps, self.runs = step, able, list[tuple[str, str]](), list[tuple[int, int]]()

    def reply(self, seen: Seen) -> str:
        text = f"{seen.system}\n{seen.text}"
        if asked(seen):
            return self.proposal(seen, next(kind for words, kind in _KINDS.items() if words in text), text)
        thing = number(seen.text)
        if asks_for_steps(seen):
            return proposed(seen, f"thing {thing}")
        self.runs.append((level(seen.system), thing))
        return self.answer(seen)

    def proposal(self, seen: Seen, kind: str, text: str) -> str:
        if kind == "blame":
            return json.dumps(dict.fromkeys(object_names(seen) or [], "weigh"))
        self.steps.append((kind, text))
        draw = chance(seen.request.config.seed, text)
        texts = [f"Level {max(0, level(text) + self.step(draw))} {draw + n:.9f}." for n in range(2)]
        return _listed(seen, texts) if "2 different ones" in text else proposed(seen, texts[0])

    def answer(self, seen: Seen) -> str:
        thing = number(seen.text)
        truth = colour_of(thing)
        good = chance("difficulty", thing) < self.able(level(seen.system))
        return written(seen, colour=truth if good else COLOURS[(COLOURS.index(truth) + 1) % 3])


def level(text: str) -> int:
    return max((int(found) for found in re.findall(r"Level (\d+)", text)), default=0)


def _listed(seen: Seen, texts: list[str]) -> str:
    names = object_names(seen)
    return json.dumps(texts if names is None else {names[0]: texts})


class Grades(Levels):
    """One whose answer is the level, so that a child always beats its parents: every program of a beam is new."""

    def answer(self, seen: Seen) -> str:
        return proposed(seen, str(level(seen.system)))


def grade(example: Any, prediction: Any, trace: Any = None) -> float:
    return int(prediction.grade) / 100


def compiled(model: Levels, compiler: Compiler, program: Any = None, val: Any = VAL) -> CompileReport:
    with dspy.context(lm=FunctionLM(model.reply)):
        student = dspy.Predict(Colour) if program is None else program
        report: CompileReport = compiler.compile(student, trainset=TRAIN, valset=val).compile_report
        return report


def search_of(model: Levels, compiler: Compiler, program: Any = None) -> Search:
    student = dspy.Predict(Colour) if program is None else program
    return Search(job_of(student, compiler, trainset=TRAIN, valset=VAL, lm=FunctionLM(model.reply)))


def gains_where_wording_matters(kind: type[Compiler], seeds: int) -> list[float]:
    """Return what a compiler gains in 600 calls if half of the proposals make it worse, and demos do nothing."""
    found = []
    for seed in range(seeds):
        model = Levels(step=lambda draw: 1 if draw < 0.5 else -1, able=lambda level: 0.4 + 0.1 * level)
        report = compiled(model, kind(metric=right, budget=600, seed=seed))
        assert report.charged.calls <= 600
        found.append(report.gain.mean or 0.0)
    return found
