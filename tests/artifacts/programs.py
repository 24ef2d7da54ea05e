"""Programs, candidates and saved artifacts that the tests of this package share."""

import json
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import dspy
from pydantic import BaseModel

from tunesmith.artifacts import Artifact, save
from tunesmith.artifacts.manifest import render, seal
from tunesmith.lm import Identity
from tunesmith.modules import Candidate, ChainOfThought, Module
from tunesmith.signatures import Demo

IDENTITY = Identity(backend="scripted", model="scripted", digest="ab" * 32).to_json()


class Grade(Enum):
    GOOD = "good"
    BAD = "bad"


class Place(BaseModel):
    city: str
    founded: date


class Locate(dspy.Signature):
    """Find the place."""

    text: str = dspy.InputField(desc="a sentence")
    since: date = dspy.InputField()
    place: Place = dspy.OutputField()
    grade: Grade = dspy.OutputField()


class TwoSteps(dspy.Module):
    """A program of its own class, over types of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.locate = dspy.Predict(Locate)
        self.answer = dspy.ChainOfThought("text, place -> answer: Literal['yes', 'no']")

    def forward(self, text: str) -> Any:
        place = self.locate(text=text, since=date(2000, 1, 1)).place
        return self.answer(text=text, place=str(place))


class NeedsArgument(dspy.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.step = dspy.Predict("question -> answer")


class NoProgram:
    """Importable, and no program."""


def one_step() -> Module:
    return ChainOfThought("question: str, kind: Literal['a', 'b c'] -> answer: str")


def improved(program: Module, *demos: dict[str, Any], path: str = "predict") -> Candidate:
    """Return the program's candidate with another instruction and `demos` at `path`."""
    signature = dict(program.named_predictors())[path].signature
    return Candidate.of(program).with_part(
        path,
        instruction="Answer in one word.",
        demos=tuple(Demo.of(signature, dspy.Example(**demo)) for demo in demos),
    )


DEMO = {"question": "Capital of Peru?", "kind": "a", "reasoning": "I know it.", "answer": "Lima"}
PLACE_DEMO = {
    "text": "Lima is old.",
    "since": date(1999, 12, 31),
    "place": Place(city="Lima", founded=date(1535, 1, 18)),
    "grade": Grade.GOOD,
}


def saved(folder: Path, program: Module | None = None, candidate: Candidate | None = None, **changes: Any) -> Artifact:
    """Save `candidate` of `program`, by default one step with one demo."""
    program = one_step() if program is None else program
    candidate = improved(program, DEMO) if candidate is None else candidate
    arguments: dict[str, Any] = {
        "candidate": candidate,
        "baseline": Candidate.of(program),
        "lm_identity": IDENTITY,
        "metric": "tests:exact",
        "datasets": {"train": "0" * 64},
        "scores": {"baseline": 0.25, "compiled": 0.5},
        "verdict": "ship",
        "charged": {"calls": 12},
        "paid": {"calls": 7, "test_opened": 1},
        "created": "2026-01-02T03:04:05Z",
        "seed": 0,
        **changes,
    }
    return save(folder, candidate.apply(program), **arguments)


def forge(folder: Path, change: Any) -> None:
    """Let `change` edit the manifest of an artifact, and seal it again with hashes that fit."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    content = {n: v for n, v in manifest.items() if n not in ("sha256", "unhashed", "unhashed_sha256")}
    file.write_bytes(render(seal(content, manifest["unhashed"])))
