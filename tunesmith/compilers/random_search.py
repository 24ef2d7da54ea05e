"""`RandomSearch`: instructions given, demo sets, demo counts and formats, drawn by an Optuna sampler and raced."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.compilers._bootstrap import expected_attempts
from tunesmith.compilers._demos import most
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers._space import Space, SpaceCompiler, note_of_space
from tunesmith.compilers._study import SAMPLERS, Study, Trial, check_objectives, check_sampler
from tunesmith.errors import UsageError
from tunesmith.evaluation import RACES
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["RandomSearch"]

_ASKS_PER_CANDIDATE = 5
_FINALISTS = 2  # a race's leaders that are scored on every example
_AT_ONCE = ("random", "grid")  # samplers that learn nothing from what they are told
_MOST_PER_GENERATION = 20


@dataclass(frozen=True)
class RandomSearch(SpaceCompiler):
    """Draw candidates, race them on validation, keep the best if it beats the program as given.

    DSPy's BootstrapFewShotWithRandomSearch draws demo sets and scores each on the whole validation set. This draws
    demo counts, formats, given instructions and the settings of modules as well, and by default races the candidates
    by paired halving.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.RandomSearch(metric=ts.metrics.exact_match("label"), num_candidates=8, formats=["bare"])
        >>> compiler.plan(train=100, val=50)["candidates"]
        9
    """

    num_candidates: int = option(16, "Candidates that are drawn.", low=1)
    sampler: str = option(
        "random",
        "What draws: at random, every point once (`grid`), or learning from full scores and so one at a time (`gp` "
        "needs torch and scipy).",
        choices=SAMPLERS,
    )
    race: str | None = option(
        None,
        "How candidates are compared; default `paired-halving`, with several objectives `full`, because a race drops "
        "what scores less but costs less.",
        choices=RACES,
    )

    def __post_init__(self) -> None:
        """Check what the fields cannot say, and set the race."""
        if self.race is None:
            self._set(race="paired-halving" if len(check_objectives(self.objectives)) == 1 else "full")
        if self.race == "bound" and self.bounds is None:
            raise UsageError("The race 'bound' stands on the scores' bounds. Give them, such as `bounds=(0, 1)`.")
        super().__post_init__()
        check_sampler(self.sampler)

    def search(self, search: "Search") -> None:
        """Draw candidates and race them."""
        space = Space(self, search, sets=self.num_candidates)
        study = Study(
            space.sizes,
            sampler=self.sampler,
            seed=self.seed,
            objectives=self.objectives,
            population=max(2, min(_MOST_PER_GENERATION, self.num_candidates // 4)),
        )
        left, seen = self.num_candidates, {search.base}
        while left > 0:
            drawn = self._draw(study, space, seen, min(self._at_once, left))
            if not drawn:
                search.notes.append(note_of_space(len(seen)))
                return
            left -= len(drawn)
            self._race(search, study, drawn)

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the race and bootstrapping, which is expected of a program of several steps: data label few of them.

        A sampler that learns gets one candidate at a time, each scored on every example.
        """
        wanted, rounds = 3 * most(self.max_bootstrapped_demos), self.max_rounds
        return Effort(
            candidates=self.num_candidates,
            race=self.race if self._at_once > 1 else None,
            finalists=_FINALISTS,
            bounds=self.bounds,
            runs=expected_attempts(wanted, train=train, rounds=rounds) if calls > 1 else 0,
            most_runs=train * rounds if wanted else 0,
        )

    @property
    def _at_once(self) -> int:
        """How many candidates one race compares."""
        return self.num_candidates if self.sampler in _AT_ONCE else 1

    def _draw(self, study: Study, space: Space, seen: set[Candidate], count: int) -> list[tuple[Trial, Candidate]]:
        drawn: list[tuple[Trial, Candidate]] = []
        for _ in range(study.size if self.sampler == "grid" else count * _ASKS_PER_CANDIDATE):
            if len(drawn) == count or study.exhausted:
                break
            trial = study.ask()
            candidate = space.candidate(trial)
            if candidate in seen:
                study.tell(trial, None)
                continue
            seen.add(candidate)
            drawn.append((trial, candidate))
        return drawn

    def _race(self, search: "Search", study: Study, drawn: list[tuple[Trial, Candidate]]) -> None:
        def told(number: int) -> Any:
            trial, candidate = drawn[number]
            seen = search.seen(candidate)
            partly = 0 if seen >= search.size else seen
            return study.tell(trial, search.values(candidate), seen=partly, over=search.excess(candidate))

        search.race(
            [candidate for _, candidate in drawn],
            self.race or "full",
            finalists=_FINALISTS,
            bounds=self.bounds,
            origins=[f"draw {trial.number}" for trial, _ in drawn],
            told=told,
        )
