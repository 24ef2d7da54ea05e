"""`LabeledFewShot` and `BootstrapFewShot`: one set of demos, no search."""

import random
from collections.abc import Sequence
from typing import Any, ClassVar

from tunesmith.compilers.bootstrap import bootstrap, expected_attempts
from tunesmith.compilers.compiler import Compiler, Progress, as_dataset, check_program
from tunesmith.compilers.demos import draw, labelled_pools
from tunesmith.compilers.session import Session
from tunesmith.evaluation import Metric
from tunesmith.lm import Budget
from tunesmith.modules import Candidate, Module
from tunesmith.signatures import Demo, Example

__all__ = ["BootstrapFewShot", "LabeledFewShot", "few_shot_candidate"]


class LabeledFewShot(Compiler):
    """Give every predictor `k` training examples as demos, drawn at random.

    As DSPy's optimizer of this name, with two differences: the draw is seeded, and where an output has a closed set of
    labels it takes the labels in turn. Without a metric the demos are applied unseen; with one they are kept only if
    they help on validation.

    Args:
        k: demos per predictor.
        metric, budget, slots, seed: as `Compiler`.
    """

    name: ClassVar[str] = "LabeledFewShot"

    def __init__(
        self,
        k: int = 16,
        *,
        metric: Metric | None = None,
        budget: Budget | int | None = None,
        slots: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(metric=metric, budget=budget, slots=slots, seed=seed)
        self.k = k

    def options(self) -> dict[str, Any]:
        """Return how the compiler is configured."""
        return {**super().options(), "k": self.k}

    def compile(
        self,
        student: Module,
        *,
        trainset: Sequence[Example],
        teacher: Module | None = None,
        valset: Sequence[Example] | None = None,
        run: str | None = None,
        progress: Progress | None = None,
        **kwargs: Any,
    ) -> Module:
        """Return a copy of `student` with demos; see `Compiler.compile`."""
        if self.metric is not None:
            return super().compile(
                student,
                trainset=trainset,
                teacher=teacher,
                valset=valset,
                run=run,
                progress=progress,
                **kwargs,
            )
        self._refuse(kwargs)
        check_program(student)
        examples = list(as_dataset(trainset, "trainset"))
        program = few_shot_candidate(student, examples, self.k, self.seed).apply(student)
        program._compiled = True
        return program

    def search(self, session: Session) -> None:
        """Score the one candidate."""
        candidate = few_shot_candidate(session.program, session.trainset, self.k, self.seed)
        report = session.report(candidate, label="labelled demos")
        session.record(candidate, f"{self.k} labelled demos", report.mean, report.n)

    def plan(self, *, train: int, val: int, calls: float = 1.0) -> dict[str, Any]:
        """Return what a compile with a metric will need: `2 * val`, for the program as given and the demos."""
        tried = 1 if self.k == 0 else 2  # without demos it is the program as given
        found = self._planned(2, tried * val * calls, 2 * val * calls)
        return {**found, "notes": self._notes_of_room(val, calls) if self.k else []}


def few_shot_candidate(program: Module, examples: Sequence[Example], k: int, seed: int) -> Candidate:
    """Return the program as given with `k` labelled demos for each predictor that labels can serve."""
    candidate = Candidate.of(program)
    signatures = {path: p.signature for path, p in program.named_predictors()}
    for path, pool in labelled_pools(program, examples).items():
        if pool:
            demos = draw(signatures[path], pool, k, random.Random(seed))
            candidate = candidate.with_part(path, demos=demos)
    return candidate


class BootstrapFewShot(Compiler):
    """Demos from the teacher's successful runs, filled up with labelled ones (Khattab et al. 2023, section 4).

    As DSPy's optimizer of this name; it runs `slots` examples at once, never changes the teacher, and keeps the demos
    only if they help on validation.

    Args:
        metric: decides which runs pass.
        metric_threshold: what the metric must reach; `None` means any value but zero, 0.0 means 0.0.
        max_bootstrapped_demos: successful runs wanted.
        max_labeled_demos: demos per predictor in all.
        max_rounds: attempts per example; later ones use a fresh rollout at temperature 1.
        budget, slots, seed: as `Compiler`.
    """

    name: ClassVar[str] = "BootstrapFewShot"

    def __init__(
        self,
        *,
        metric: Metric,
        metric_threshold: float | None = None,
        max_bootstrapped_demos: int = 4,
        max_labeled_demos: int = 16,
        max_rounds: int = 1,
        budget: Budget | int | None = None,
        slots: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(metric=metric, budget=budget, slots=slots, seed=seed)
        self.metric_threshold = metric_threshold
        self.max_bootstrapped_demos = max_bootstrapped_demos
        self.max_labeled_demos = max_labeled_demos
        self.max_rounds = max_rounds

    def options(self) -> dict[str, Any]:
        """Return how the compiler is configured."""
        return {
            **super().options(),
            "metric_threshold": self.metric_threshold,
            "max_bootstrapped_demos": self.max_bootstrapped_demos,
            "max_labeled_demos": self.max_labeled_demos,
            "max_rounds": self.max_rounds,
        }

    def search(self, session: Session) -> None:
        """Bootstrap, then score the one candidate."""
        found = bootstrap(
            session,
            session.trainset,
            wanted=self.max_bootstrapped_demos,
            rounds=self.max_rounds,
            threshold=self.metric_threshold,
            labelled=self.max_labeled_demos,
            seed=self.seed,
        )
        session.notes.append(f"Bootstrapped {len(found.used)} examples in {found.attempts} runs of the teacher.")
        rest = [e for i, e in enumerate(session.trainset) if i not in set(found.used)]
        candidate = session.baseline
        for path, labelled in labelled_pools(session.program, rest).items():
            demos: list[Demo] = found.pools[path][: self.max_bootstrapped_demos]
            space = max(0, self.max_labeled_demos - len(demos))
            random.Random(self.seed).shuffle(labelled)
            candidate = candidate.with_part(path, demos=(*demos, *labelled[:space]))
        report = session.report(candidate, label="bootstrapped demos")
        session.record(candidate, "bootstrapped demos", report.mean, report.n)

    def plan(self, *, train: int, val: int, calls: float = 1.0) -> dict[str, Any]:
        """Return what a compile will need: `2 * val`, and `train * max_rounds` of bootstrapping at most.

        Expected is a teacher that succeeds on every other example.
        """
        rounds, wanted = self.max_rounds, self.max_bootstrapped_demos
        most = train * rounds if wanted else 0
        few = expected_attempts(wanted, train=train, rounds=rounds)
        found = self._planned(2, (2 * val + few) * calls, (2 * val + most) * calls)
        return {**found, "notes": self._notes_of_room(val, calls, few)}
