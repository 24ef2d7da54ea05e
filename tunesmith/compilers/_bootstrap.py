"""Demos from a teacher's own successful runs (bootstrapping; Khattab et al. 2023, "DSPy", section 4)."""

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.compilers._demos import Count, carried, count_of, draw, labelled_pools, most
from tunesmith.compilers._work import Work, rolled
from tunesmith.data import content_key
from tunesmith.errors import DataError, brief
from tunesmith.evaluation import Row
from tunesmith.lm import role
from tunesmith.modules import Candidate, Module, demo_content
from tunesmith.signatures import Demo, Example, Signature

__all__ = ["Bootstrapped", "bootstrap", "expected_attempts", "passed"]


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
    work: Work,
    examples: Sequence[Example],
    *,
    wanted: int,
    rounds: int = 1,
    threshold: float | None = None,
    labelled: Count = 0,
    seed: int = 0,
) -> Bootstrapped:
    """Run the teacher on `examples` in order until `wanted` of them passed the metric.

    A first round uses the LM as it is, later ones a fresh rollout. Of several predictions of one predictor in one run,
    the last is taken with probability one half, else one of the others, as in DSPy. An example is never shown to the
    teacher as its own demo. DSPy goes one by one; here as many examples as are still wanted are run together, as many
    at once as there are slots. Each of them would have been run one by one as well, so demos, attempts and charges do
    not depend on `slots`, also if the budget ends on the way (see `Turns`).

    Args:
        work: gives teacher, metric, model and meter.
        examples: training examples.
        wanted: successful examples.
        rounds: attempts per example.
        threshold: what the metric must reach.
        labelled: labelled demos that the teacher is given, unless it is compiled already.
        seed: of the draws.

    Raises:
        BudgetExceeded: the budget ended.
    """
    teacher = work.job.program if work.job.teacher is None else work.job.teacher
    candidate = Candidate.of(teacher)
    if most(labelled) and not getattr(teacher, "_compiled", False):
        candidate = _with_labels(candidate, teacher, examples, labelled, seed)
        if work.job.teacher is None:
            candidate = work.job.kept.restored(candidate)
    signatures = {path: p.signature for path, p in work.job.program.named_predictors()}
    pools: dict[str, list[Demo]] = {path: [] for path in signatures}
    used: list[int] = []
    attempts = 0
    start = 0
    while start < len(examples) and len(used) < wanted:
        indices = range(start, min(start + wanted - len(used), len(examples)))
        start = indices.stop
        attempt = _Attempts(work, teacher, candidate, rounds, threshold, len(used), wanted)
        tries = work.together(attempt.one, [examples[index] for index in indices], runs=rounds)
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
    candidate: Candidate, teacher: Module, examples: Sequence[Example], count: Count, seed: int
) -> Candidate:
    signatures = {path: p.signature for path, p in teacher.named_predictors()}
    for path, pool in labelled_pools(teacher, examples).items():
        chosen, kept, _ = carried(teacher, path, candidate.parts[path].format, pool.demos)
        demos = draw(signatures[path], kept, count_of(count, path), random.Random(seed))
        candidate = candidate.with_part(path, demos=demos, format=chosen)
    return candidate


class _Attempts:
    """Runs the teacher on examples, several at once, and counts how many of them passed so far."""

    def __init__(
        self,
        work: Work,
        teacher: Module,
        candidate: Candidate,
        rounds: int,
        threshold: float | None,
        passed: int,
        wanted: int,
    ) -> None:
        self._work, self._teacher, self._candidate = work, teacher, candidate
        self._rounds, self._threshold = rounds, threshold
        self._passed, self._wanted = passed, wanted
        self._lock = threading.Lock()

    def one(self, example: Example) -> tuple[Row | None, int]:
        """Return the passing row or `None`, and the number of attempts."""
        row, tried = self._tried(example)
        with self._lock:
            self._passed += row is not None
            passed = self._passed
        self._work.say("bootstrapping demos", passed, self._wanted)
        return row, tried

    def _tried(self, example: Example) -> tuple[Row | None, int]:
        candidate, lm = _without(self._candidate, example), self._work.job.lm
        for number in range(self._rounds):
            runner = self._work.runner(
                candidate,
                program=rolled(self._teacher, number),
                lm=lm if number == 0 else lm.rolled(number),
                mode="teach",
                steps=True,
            )
            with role("teacher"):
                row = runner.one(example)
            if passed(row, self._threshold):
                return row, number + 1
        return None, self._rounds


def passed(row: Row, threshold: float | None) -> bool:
    """Return whether the metric gave at least `threshold`, or without one any value but zero."""
    if row.score is None or (row.failure is not None and row.failure.fault == "metric"):
        return False
    return row.score != 0 if threshold is None else row.score >= threshold


def _without(candidate: Candidate, example: Example) -> Candidate:
    """Return `candidate` without demos that show `example` itself."""
    given = demo_content(dict(example.items())).items()
    for path, part in candidate.parts.items():
        kept = tuple(demo for demo in part.demos if not demo.inputs or not demo_content(demo.inputs).items() <= given)
        if len(kept) < len(part.demos):
            candidate = candidate.with_part(path, demos=kept)
    return candidate


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
