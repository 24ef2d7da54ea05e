"""`LabeledFewShot` and `BootstrapFewShot`: one set of demos, no search."""

import random
from collections.abc import Sequence
from typing import Any, ClassVar

from tunesmith.compilers.bootstrap import bootstrap, expected_attempts
from tunesmith.compilers.compiler import Compiler, Progress, check_program, fitted_dataset, tell
from tunesmith.compilers.demos import carried, draw, labelled_pools
from tunesmith.compilers.session import Session
from tunesmith.errors import DataError
from tunesmith.evaluation import Metric, checked_demos
from tunesmith.lm import Budget
from tunesmith.modules import Candidate, Module
from tunesmith.signatures import Demo, Example

__all__ = ["BootstrapFewShot", "LabeledFewShot", "few_shot_candidate"]


class LabeledFewShot(Compiler):
    """Give every predictor `k` training examples as demos, drawn at random.

    As DSPy's optimizer of this name, with two differences: the draw is seeded, and where an output has a closed set of
    labels it takes the labels in turn. Without a metric the demos are applied unseen; with one they are kept only if
    they help on validation. Examples that are no demos are counted in a note (`compile_notes`, the report, the log);
    where none is left because of values that do not fit, that is an error.

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
        examples, notes = fitted_dataset(student, trainset, "trainset")
        candidate, more = _with_labelled_demos(student, list(examples), self.k, self.seed)
        program = candidate.apply(student)
        program._compiled = True
        program.compile_notes = tell((*checked_demos(student), *notes, *more), progress)  # type: ignore[attr-defined]
        return program

    def session(self, student: Module, **given: Any) -> Session:
        """Return what `Compiler.session` does; examples of which none is a demo are refused before the first call."""
        session = super().session(student, **given)
        _with_labelled_demos(session.program, session.trainset, self.k, self.seed)
        return session

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate | None:
        """Return the candidate that is tried."""
        return few_shot_candidate(program, examples, self.k, self.seed)

    def search(self, session: Session) -> None:
        """Score the one candidate."""
        candidate, notes = _with_labelled_demos(session.program, session.trainset, self.k, self.seed)
        session.note(*notes)
        report = session.report(candidate, label="labelled demos")
        session.record(candidate, f"{self.k} labelled demos", report.mean, report.n)

    def plan(self, *, train: int, val: int, calls: float = 1.0) -> dict[str, Any]:
        """Return what a compile with a metric will need: `2 * val`, for the program as given and the demos."""
        tried = 1 if self.k == 0 else 2  # without demos it is the program as given
        found = self._planned(2, tried * val * calls, 2 * val * calls)
        return {**found, "notes": self._notes_of_room(val, calls) if self.k else []}


def few_shot_candidate(program: Module, examples: Sequence[Example], k: int, seed: int) -> Candidate:
    """Return the program as given with `k` labelled demos for each predictor that labels can serve.

    Raises:
        DataError: demos are wanted and no example is one, because of values that do not fit.
    """
    return _with_labelled_demos(program, examples, k, seed)[0]


def _with_labelled_demos(
    program: Module, examples: Sequence[Example], k: int, seed: int
) -> tuple[Candidate, tuple[str, ...]]:
    """Return what `few_shot_candidate` does, and notes on the examples that are no demos."""
    candidate = Candidate.of(program)
    signatures = {path: p.signature for path, p in program.named_predictors()}
    notes: list[str] = []
    pools = labelled_pools(program, examples) if k > 0 else {}
    for path, pool in pools.items():
        if pool.demos:
            chosen, kept, note = carried(program, path, candidate.parts[path].format, pool.demos)
            demos = draw(signatures[path], kept, k, random.Random(seed))
            candidate = candidate.with_part(path, demos=demos, format=chosen)
            notes += [note] if note else []
        notes += [note] if (note := pool.note(path)) else []
    if any(pool.misfits for pool in pools.values()) and not any(pool.demos for pool in pools.values()):
        raise DataError(f"No training example can be a labelled demo. {' '.join(notes)}")
    if any(pool.lacking and not pool.demos for pool in pools.values()):
        notes.append(
            "A teacher's runs give what labels lack, such as `reasoning`: use `BootstrapFewShot`, or `RandomSearch`, "
            "the default of `ts.compile`."
        )
    return candidate, tuple(notes)


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

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate | None:
        """Return the program with as many labelled demos; bootstrapped ones are about as long."""
        return few_shot_candidate(program, examples, self.max_labeled_demos, self.seed)

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
        session.note(found.note())
        rest = [e for i, e in enumerate(session.trainset) if i not in set(found.used)]
        candidate = session.baseline
        whole = labelled_pools(session.program, session.trainset)
        for path, pool in labelled_pools(session.program, rest).items():
            demos: list[Demo] = found.pools[path][: self.max_bootstrapped_demos]
            labelled = pool.demos if self.max_labeled_demos else []
            format_now = candidate.parts[path].format
            chosen, kept, changed = carried(session.program, path, format_now, [*demos, *labelled])
            demos, labelled = ([demo for demo in part if demo in kept] for part in (demos, labelled))
            space = max(0, self.max_labeled_demos - len(demos))
            random.Random(self.seed).shuffle(labelled)
            candidate = candidate.with_part(path, demos=(*demos, *labelled[:space]), format=chosen)
            session.note(*(note for note in (changed, whole[path].note(path) if space else None) if note))
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
