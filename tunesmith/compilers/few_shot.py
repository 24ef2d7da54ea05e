"""`LabeledFewShot` and `BootstrapFewShot`: one set of demos, no search."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.compilers._bootstrap import expected_attempts
from tunesmith.compilers._demos import (
    CHOICES,
    Count,
    carried,
    check_count,
    count_of,
    draw,
    labelled_pools,
    most,
)
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers.compiler import Compiler
from tunesmith.data import Dataset
from tunesmith.errors import DataError
from tunesmith.modules import Candidate, Module
from tunesmith.signatures import Demo, Example

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["BootstrapFewShot", "LabeledFewShot", "few_shot_candidate"]


@dataclass(frozen=True)
class LabeledFewShot(Compiler):
    """Give every predictor `k` training examples as demos, drawn at random or far apart.

    As DSPy's optimizer of this name, with two differences: the draw is seeded, and if an output has a closed set of
    labels it takes the labels in turn. Without a metric the demos are applied unseen; with one they are kept only if
    they help on validation. Examples that are not demos are counted in a note (`compile_notes`, the report, the log);
    if none is left because of values that do not fit, that is an error.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> train = [{"text": f"{word} {n}", "label": word} for n in range(9) for word in ("good", "bad")]
        >>> data = ts.Dataset.load(train, signature=ts.Signature("text -> label"))
        >>> program = ts.LabeledFewShot(4).compile(ts.Predict("text -> label"), trainset=data)
        >>> len(program.demos)
        4
    """

    k: int | Mapping[str, int] = option(16, "Demos of each predictor, or by predictor path.", low=0, kw_only=False)
    choice: str = option(
        "random", "How they are drawn: `diverse` takes demos whose inputs share few words.", choices=CHOICES, newer=True
    )

    def search(self, search: "Search") -> None:
        """Score the one candidate."""
        candidate, notes = self._with_demos(search.job.program, search.train)
        search.note(*notes)
        search.score(candidate, origin=f"{most(self.k)} labelled demos")

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the one candidate; without demos it is the program as given."""
        return Effort(candidates=1 if most(self.k) else 0)

    def check(self, program: Module, train: Dataset) -> None:
        """Refuse examples of which none is a demo."""
        self._with_demos(program, train)

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate:
        """Return the candidate that is tried."""
        return self._with_demos(program, examples)[0]

    def unjudged(self, program: Module, train: Dataset) -> tuple[Candidate, tuple[str, ...]]:
        """Return the candidate that is tried."""
        return self._with_demos(program, list(train))

    def _with_demos(self, program: Module, examples: Sequence[Example]) -> tuple[Candidate, tuple[str, ...]]:
        check_count("k", self.k, [path for path, _ in program.named_predictors()])
        return _with_labelled_demos(program, examples, self.k, self.seed, self.choice)


@dataclass(frozen=True)
class BootstrapFewShot(Compiler):
    """Demos from the teacher's successful runs, filled up with labelled ones (Khattab et al. 2023, section 4).

    As DSPy's optimizer of this name; it runs `slots` examples at once, never changes the teacher, and keeps the demos
    only if they help on validation.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.BootstrapFewShot(metric=ts.metrics.exact_match("label"), max_bootstrapped_demos=2)
        >>> compiler.plan(train=10, val=20)["calls"]
        {'expected': 44, 'worst': 50}
    """

    metric_threshold: float | None = option(
        None, "What the metric must reach in a teacher's run; without one any value but zero passes."
    )
    max_bootstrapped_demos: int | Mapping[str, int] = option(
        4, "The most successful runs that are taken, or by predictor path.", low=0
    )
    max_labeled_demos: int | Mapping[str, int] = option(
        16, "Demos of each predictor in all, or by predictor path.", low=0
    )
    max_rounds: int = option(1, "Attempts for each example; later ones draw afresh at temperature 1.", low=1)

    def search(self, search: "Search") -> None:
        """Bootstrap, then score the one candidate."""
        found = search.bootstrap(
            most(self.max_bootstrapped_demos),
            rounds=self.max_rounds,
            threshold=self.metric_threshold,
            labelled=self.max_labeled_demos,
        )
        program, candidate = search.job.program, search.base
        rest = [example for number, example in enumerate(search.train) if number not in set(found.used)]
        whole = labelled_pools(program, search.train)
        for path, pool in labelled_pools(program, rest).items():
            demos: list[Demo] = found.pools[path][: count_of(self.max_bootstrapped_demos, path)]
            in_all = count_of(self.max_labeled_demos, path)
            labelled = pool.demos if in_all else []
            chosen, kept, changed = carried(program, path, candidate.parts[path].format, [*demos, *labelled])
            demos, labelled = ([demo for demo in part if demo in kept] for part in (demos, labelled))
            space = max(0, in_all - len(demos))
            random.Random(self.seed).shuffle(labelled)
            candidate = candidate.with_part(path, demos=(*demos, *labelled[:space]), format=chosen)
            search.note(*(note for note in (changed, whole[path].note(path) if space else None) if note))
        search.score(candidate, origin="bootstrapped demos")

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the one candidate, and a teacher that succeeds on every other example."""
        wanted, rounds = most(self.max_bootstrapped_demos), self.max_rounds
        runs = expected_attempts(wanted, train=train, rounds=rounds)
        return Effort(candidates=1, runs=runs, most_runs=train * rounds if wanted else 0)

    def check(self, program: Module, train: Dataset) -> None:
        """Refuse counts of predictors that are not there."""
        for name in ("max_bootstrapped_demos", "max_labeled_demos"):
            check_count(name, getattr(self, name), [path for path, _ in program.named_predictors()])

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate:
        """Return the program with as many labelled demos; bootstrapped ones are about as long."""
        return few_shot_candidate(program, examples, self.max_labeled_demos, self.seed)


def few_shot_candidate(program: Module, examples: Sequence[Example], k: Count, seed: int) -> Candidate:
    """Return the program as given with `k` labelled demos for each predictor that labels can serve, or by its path.

    Raises:
        DataError: demos are wanted and no example is one, because of values that do not fit.
    """
    return _with_labelled_demos(program, examples, k, seed)[0]


def _with_labelled_demos(
    program: Module, examples: Sequence[Example], k: Count, seed: int, choice: str = "random"
) -> tuple[Candidate, tuple[str, ...]]:
    """Return what `few_shot_candidate` does, and notes on the examples that are no demos."""
    candidate = Candidate.of(program)
    signatures = {path: p.signature for path, p in program.named_predictors()}
    notes: list[str] = []
    pools = labelled_pools(program, examples) if most(k) else {}
    pools = {path: pool for path, pool in pools.items() if count_of(k, path)}
    for path, pool in pools.items():
        if pool.demos:
            chosen, kept, note = carried(program, path, candidate.parts[path].format, pool.demos)
            demos = draw(signatures[path], kept, count_of(k, path), random.Random(seed), choice)
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
