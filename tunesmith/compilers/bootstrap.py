"""Demos from a teacher's own successful runs (bootstrapping; Khattab et al. 2023, "DSPy", section 4)."""

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.compilers.demos import carried, draw, labelled_pools
from tunesmith.compilers.session import Session
from tunesmith.data import content_key
from tunesmith.errors import DataError, brief
from tunesmith.evaluation import Line, Row, Runner
from tunesmith.lm import role
from tunesmith.modules import Candidate, Module
from tunesmith.signatures import Demo, Example, Signature

__all__ = ["Bootstrapped", "bootstrap", "expected_attempts"]


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """What bootstrapping found.

    Attributes:
        pools: demos per predictor path, in the order of the training examples.
        used: indices of the training examples that succeeded.
        attempts: runs of the teacher.
    """

    pools: dict[str, list[Demo]]
    used: tuple[int, ...]
    attempts: int

    def note(self) -> str:
        """Return what to note of it."""
        text = f"Bootstrapped {len(self.used)} examples in {self.attempts} runs of the teacher."
        if self.attempts and not self.used:
            return f"{text} No run passed the metric, so there are no bootstrapped demos."
        return text

    def __repr__(self) -> str:
        return brief(self, f"{len(self.used)} examples in {self.attempts} attempts")


def bootstrap(
    session: Session,
    examples: Sequence[Example],
    *,
    wanted: int,
    rounds: int = 1,
    threshold: float | None = None,
    labelled: int = 0,
    seed: int = 0,
) -> Bootstrapped:
    """Run the teacher on `examples` in order until `wanted` of them passed the metric.

    A run passes if the metric gives at least `threshold`, or without one if its value is not zero. A first round
    uses the LM as it is, later ones a fresh rollout. Of several predictions of one predictor in one run, the last is
    taken with probability one half, else one of the others, as in DSPy. An example is never shown to the teacher as
    its own demo. DSPy goes one by one; here as many examples as are still wanted are run together, `session.slots` at
    once. Each of them would have been run one by one as well, so demos, attempts and charges do not depend on `slots`,
    also if the budget ends on the way (see `Turns`).

    Args:
        session: gives teacher, metric, model and meter.
        examples: training examples.
        wanted: successful examples.
        rounds: attempts per example.
        threshold: what the metric must reach.
        labelled: labelled demos that the teacher is given, unless it is compiled already.
        seed: of the draws.

    Raises:
        StopSignal: the budget ended.
    """
    teacher = session.program if session.teacher is None else session.teacher
    candidate = Candidate.of(teacher)
    if labelled and not getattr(teacher, "_compiled", False):
        candidate = _with_labels(candidate, teacher, examples, labelled, seed)
    signatures = {path: p.signature for path, p in session.program.named_predictors()}
    pools: dict[str, list[Demo]] = {path: [] for path in signatures}
    used: list[int] = []
    attempts = 0
    start = 0
    while start < len(examples) and len(used) < wanted:
        indices = range(start, min(start + wanted - len(used), len(examples)))
        start = indices.stop
        work = _Attempts(session, teacher, candidate, rounds, threshold, len(used), wanted)
        tries = work.run([examples[index] for index in indices])
        for index, (row, tried) in zip(indices, tries, strict=True):
            attempts += tried
            if row is None:
                continue
            used.append(index)
            _collect(row, signatures, pools)
    return Bootstrapped(pools, tuple(used), attempts)


def expected_attempts(wanted: int, *, train: int, rounds: int) -> int:
    """Return how many runs of a teacher find `wanted` successes, if it fails on every other of `train` examples.

    On what it fails on, it fails in every round.
    """
    return round(min(train, 2 * wanted) * (1 + rounds) / 2)


def _with_labels(
    candidate: Candidate, teacher: Module, examples: Sequence[Example], count: int, seed: int
) -> Candidate:
    signatures = {path: p.signature for path, p in teacher.named_predictors()}
    for path, pool in labelled_pools(teacher, examples).items():
        chosen, kept, _ = carried(teacher, path, candidate.parts[path].format, pool.demos)
        demos = draw(signatures[path], kept, count, random.Random(seed))
        candidate = candidate.with_part(path, demos=demos, format=chosen)
    return candidate


class _Attempts:
    """Runs the teacher on examples, several at once, and tells how many of them passed so far."""

    def __init__(
        self,
        session: Session,
        teacher: Module,
        candidate: Candidate,
        rounds: int,
        threshold: float | None,
        passed: int,
        wanted: int,
    ) -> None:
        self._session, self._teacher, self._candidate = session, teacher, candidate
        self._rounds, self._threshold = rounds, threshold
        self._passed, self._wanted = passed, wanted
        self._lock = threading.Lock()

    def run(self, examples: Sequence[Example]) -> list[tuple[Row | None, int]]:
        """Return, per example, the passing row or `None`, and the number of attempts."""
        slots = self._session.lm.slots if self._session.slots is None else self._session.slots
        found: dict[int, tuple[Row | None, int]] = {}

        def one(index: int) -> None:
            found[index] = self._one(examples[index])

        line = Line(range(len(examples)), self._session.turns, self._rounds)
        line.run(lambda: line.each(one), slots)
        return [found[index] for index in range(len(examples))]

    def _one(self, example: Example) -> tuple[Row | None, int]:
        row, tried = self._tried(example)
        with self._lock:
            self._passed += row is not None
            passed = self._passed
        self._session.say("bootstrapping demos", passed, self._wanted)
        return row, tried

    def _tried(self, example: Example) -> tuple[Row | None, int]:
        candidate, session = _without(self._candidate, example), self._session
        program = candidate.apply(self._teacher)
        for number in range(self._rounds):
            lm = session.lm if number == 0 else session.lm.rolled(number)
            shelf = session.shelf(candidate, program=self._teacher, lm=lm, mode="teach")
            runner = Runner(
                program,
                session.metric,
                lm=lm,
                steps=True,
                show_trace=True,
                meter=session.meter,
                shelf=shelf,
                turns=session.turns,
                own=True,
            )
            with role("teacher"):
                row = runner.one(example)
            if self._passes(row):
                return row, number + 1
        return None, self._rounds

    def _passes(self, row: Row) -> bool:
        if row.score is None or (row.failure is not None and row.failure.fault == "metric"):
            return False
        return row.score != 0 if self._threshold is None else row.score >= self._threshold


def _without(candidate: Candidate, example: Example) -> Candidate:
    """Return `candidate` without demos that show `example` itself."""
    given = {name: _content(value) for name, value in example.items()}
    for path, part in candidate.parts.items():
        kept = tuple(
            demo
            for demo in part.demos
            if not demo.inputs or any(given.get(n) != _content(v) for n, v in demo.inputs.items())
        )
        if len(kept) < len(part.demos):
            candidate = candidate.with_part(path, demos=kept)
    return candidate


def _content(value: Any) -> str:
    """Return an identity that a typed value shares with the JSON it was read from: demos hold typed ones."""
    try:
        return content_key(value)
    except DataError:  # an input of any class, such as a retriever
        return repr(value)


def _collect(row: Row, signatures: dict[str, type[Signature]], pools: dict[str, list[Demo]]) -> None:
    steps: dict[str, list[Demo]] = {}
    for step in row.steps:
        signature = signatures[step.predictor]
        values = {**step.inputs, **step.outputs}
        try:
            demo = Demo.of(signature, {**{n: values[n] for n in signature.fields if n in values}, "augmented": True})
        except DataError:  # an input that has no form as a demo, such as a retriever
            continue
        steps.setdefault(step.predictor, []).append(demo)
    for path, demos in steps.items():
        chosen = demos[-1]
        if len(demos) > 1:
            rng = random.Random(content_key([demo.key for demo in demos]))
            chosen = rng.choice(demos[:-1]) if rng.random() < 0.5 else demos[-1]
        pools[path].append(chosen)
