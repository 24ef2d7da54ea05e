"""`JointSearch`: a sampler that learns chooses instructions, demos, formats and settings of all predictors together."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tunesmith.compilers._bootstrap import expected_attempts
from tunesmith.compilers._demos import most
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._grounded import Grounded, grounded_calls
from tunesmith.compilers._options import option
from tunesmith.compilers._space import Pools, Space, SpaceCompiler, note_of_space
from tunesmith.compilers._study import Study, Trial
from tunesmith.errors import UsageError, shown
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["JointSearch"]

_AUTO = {"light": 6, "medium": 12, "heavy": 18}
_ASKS = 4  # of the sampler for a point that is new, then as many times ten at random
_KEPT = 0.4  # of the room in the budget is for the leaders
_LEAST = 4  # examples that a trial is seen on
_FINALISTS = 2
_SHARE = 30  # of the room in the budget: a trial is seen on one share of it


@dataclass(frozen=True)
class JointSearch(SpaceCompiler):
    """MIPROv2's search (Opsahl-Ong et al. 2024, section 4) over everything that a candidate has.

    Instructions are written from what is known of the task, then a TPE sampler chooses instructions, demos, their
    number, formats and settings of all predictors together. Unlike MIPROv2 it tells its study only values of the same
    examples, tries new points alone, learns after a quarter of them, writes every other instruction without sight of
    the present one, asks again from the best so far, and promotes the leaders by halves.

    It costs `trials * minibatch * calls` of the program, the promotion of the leaders, and `proposals * rounds` calls
    for each predictor, with one for the data.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.JointSearch(metric=ts.metrics.exact_match("label"), num_trials=12, proposals=3)
        >>> compiler.plan(train=100, val=50)["proposals"]
        7
    """

    num_candidates: int = option(12, "Draws of demos for each predictor.", low=1)
    num_trials: int | None = option(
        None, "Points that are tried; default as MIPROv2, by the number of predictors and of draws.", low=1
    )
    proposals: int = option(3, "Instructions that are asked for, for each predictor, in each round.", low=0)
    rounds: int = option(2, "How often instructions are asked for; later ones are to better the best so far.", low=1)
    minibatch: int | None = option(
        None, "Validation examples that a trial is seen on; default what the budget has room for.", low=1
    )
    full_every: int = option(
        0,
        "After so many trials the best of them is scored on every example; 0 halves the better half at the end.",
        low=0,
    )
    views: int = option(1, "Calls that look at the training data, at ten examples each, before instructions.", low=0)
    describe: bool = option(default=False, help="Describe program and step in two calls before each instruction.")
    temperatures: tuple[float, ...] = option((), "Temperatures to try, beside the one that is set.")

    @classmethod
    def published(cls, auto: str = "light", **options: Any) -> Self:
        """Return MIPROv2 with its published settings: `light`, `medium` or `heavy`.

        Args:
            auto: how much is tried.
            options: such as `metric`; they win over the published ones.

        Raises:
            UsageError: an unknown `auto`.
        """
        if auto not in _AUTO:
            raise UsageError(f"There is no setting {shown(auto)}. Use one of: {', '.join(_AUTO)}.")
        found = {
            "num_candidates": _AUTO[auto],
            "proposals": _AUTO[auto] // 2,
            "rounds": 1,
            "minibatch": 35,
            "full_every": 5,
            "views": 10,
            "describe": True,
            "max_labeled_demos": 4,
            "max_bootstrapped_demos": 4,
        }
        return cls(**{**found, **options})

    def search(self, search: "Search") -> None:
        """Ask for instructions, try points, and go on from the best."""
        _Joint(self, search).run()

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the trials and proposals, and bootstrapping as `RandomSearch`."""
        paths, wanted, rounds = max(1, round(calls)), 3 * most(self.max_bootstrapped_demos), self.max_rounds
        texts = self.proposals * self.rounds * paths
        asked = grounded_calls(train, views=self.views, describe=self.describe, texts=texts) if texts else 0
        return Effort(
            candidates=self.trials(paths),
            race="paired-halving" if len(self.objectives) == 1 else None,
            finalists=_FINALISTS,
            bounds=self.bounds,
            proposals=asked,
            runs=expected_attempts(wanted, train=train, rounds=rounds) if calls > 1 else 0,
            most_runs=train * rounds if wanted else 0,
            fills=self.num_trials is None and not self.full_every,
        )

    def trials(self, paths: int) -> int:
        """Return how many points are tried with this number of predictors, as MIPROv2 computes it."""
        if self.num_trials is not None:
            return self.num_trials
        variables = 2 * paths if most(self.max_labeled_demos) or most(self.max_bootstrapped_demos) else paths
        return int(max(2 * variables * math.log2(self.num_candidates), 1.5 * self.num_candidates, 1))


class _Joint:
    """One run: what was tried, each on the same examples, so that all values compete."""

    def __init__(self, compiler: JointSearch, search: "Search") -> None:
        self._compiler, self._search = compiler, search
        self._pools = Pools(compiler, search)
        self._grounded = Grounded(search, compiler.views, compiler.describe)
        self._texts: dict[str, list[str]] = {path: [] for path in search.paths}
        self._told: list[tuple[Mapping[str, int], tuple[float, ...] | None, Mapping[str, float]]] = []
        self._means: dict[Candidate, float] = {search.base: 0.0}

    def run(self) -> None:
        compiler, rounds = self._compiler, self._compiler.rounds
        self._propose()
        room, tried = self._search.room(), 0
        self._seen_on, self._kept = self._examples_of_a_trial(), int(_KEPT * (room or 0))
        trials = compiler.trials(len(self._search.base.parts))
        if compiler.num_trials is None and room is not None and not compiler.full_every:
            most_trials = (room - self._kept) // self._seen_on
            counted = self._search.meter.room().calls is not None  # under other limits a plan of calls holds too
            trials = max(rounds, most_trials if counted else min(trials, most_trials))
        for number in range(rounds):
            if number:
                self._propose()
            space = self._space()
            study = self._study(space, trials)
            for _ in range(trials * (number + 1) // rounds - tried):
                if not self._has_room() or not self._try(study, space, _startup(trials)):
                    break
                tried += 1
                if compiler.full_every and tried % compiler.full_every == 0:
                    self._score_best()
        if not tried:
            self._search.note(note_of_space(1))
        if not compiler.full_every:
            self._promote(max(_FINALISTS, tried // 2))
        elif tried % compiler.full_every:
            self._score_best()

    # Instructions ----------------------------------------------------------------------------------------------

    def _propose(self) -> None:
        """Ask for instructions: each other one without sight of the present one, which may be a bad start."""
        search, ranked, room = self._search, self._ranked(), self._search.room()
        count = self._compiler.proposals if room is None else min(self._compiler.proposals, room // 12)
        for number, path in itertools.product(range(count), search.paths):
            given = search.base.parts[path].instruction
            best = [one.parts[path].instruction for one in ranked[: max(1, len(ranked) // 4)]]
            if len(ranked) > 1 and all(text == given for text in best):
                continue  # nothing that was written for this predictor is among the leaders
            current = None if number % 2 else best[0]
            self._texts[path] += self._grounded.texts(path, self._pools.demos(path), current)

    # Trials ----------------------------------------------------------------------------------------------------

    def _examples_of_a_trial(self) -> int:
        """Return on how many examples each trial is seen: a share of the room."""
        compiler, size, room = self._compiler, self._search.size, self._search.room()
        if len(compiler.objectives) > 1:
            return size
        if compiler.minibatch is not None:
            return min(compiler.minibatch, size)
        wanted = size // 3 if room is None else room // _SHARE
        return max(min(wanted, size // 2), min(_LEAST, size))

    def _space(self) -> Space:
        compiler = self._compiler
        samplings = [{**self._search.base.sampling, "temperature": value} for value in compiler.temperatures]
        return Space(
            compiler,
            self._search,
            sets=compiler.num_candidates,
            pools=self._pools,
            texts=self._texts,
            samplings=samplings,
        )

    def _study(self, space: Space, trials: int) -> Study:
        """Return a study that knows what was tried before: later instructions come after the earlier ones."""
        study = Study(
            space.sizes,
            sampler="tpe",
            seed=self._compiler.seed,
            objectives=self._compiler.objectives,
            startup=_startup(trials),
        )
        given = Trial(0, dict.fromkeys(space.sizes, 0))
        if not self._told and space.candidate(given) == self._search.base:
            self._told.append((given.choices, self._values(self._search.base), {}))
        for choices, values, over in self._told:
            study.tell(study.ask(choices), values, over=over)
        return study

    def _point(self, space: Space, number: int) -> dict[str, int]:
        """Return a point at random; every other one has the instructions as given, since many others are of no use."""
        tried = len(self._means)
        rng = self._search.rng(f"point {tried} {number}")
        kept = ":instruction" if tried % 2 and number < _ASKS else "\n"
        return {name: 0 if name.endswith(kept) else rng.randrange(count) for name, count in space.sizes.items()}

    def _try(self, study: Study, space: Space, startup: int) -> bool:
        """Try one new point; return whether there was one."""
        for number in range(11 * _ASKS):
            at_random = len(self._means) <= startup or number >= _ASKS
            trial = study.ask(self._point(space, number) if at_random else None)
            candidate = space.candidate(trial)
            if candidate not in self._means:
                break
            study.tell(trial, None)
        else:
            return False
        self._means[candidate] = -math.inf  # if the budget ends on the way
        report = self._search.score(candidate, self._seen_on, origin=f"trial {len(self._means) - 1}")
        self._means[candidate] = -math.inf if report.mean is None else report.mean
        values, over = self._values(candidate), self._search.excess(candidate)
        study.tell(trial, values, over=over)
        self._told.append((trial.choices, values, over))
        return True

    def _values(self, candidate: Candidate) -> tuple[float, ...] | None:
        if len(self._compiler.objectives) > 1:
            return self._search.values(candidate)
        mean = self._search.score(candidate, self._seen_on).mean
        return None if mean is None else (mean,)

    # The best of them ------------------------------------------------------------------------------------------

    def _ranked(self) -> list[Candidate]:
        """Return what was tried, best first by the mean on what each was seen on; the program as given if nothing."""
        tried = [candidate for candidate in self._means if candidate != self._search.base]
        found = sorted(tried, key=lambda candidate: -(self._search.mean(candidate) or -math.inf))
        return found or [self._search.base]

    def _score_best(self) -> None:
        """Score the best that was not yet seen on every example."""
        search = self._search
        left = [candidate for candidate in self._ranked() if search.seen(candidate) < search.size]
        if left:
            search.score(left[0])

    def _promote(self, most: int) -> None:
        """See the leaders on more and more examples, half of them at a time dropped, the last on every one."""
        search, seen_on, room = self._search, self._seen_on, self._search.room()
        ranked = self._ranked()[:most]
        alive = next((ranked[:count] for count in range(most, 0, -1) if room is None or self._cost(count) <= room), [])
        while alive and seen_on < search.size:
            seen_on = min(search.size, 2 * seen_on)
            for candidate in alive:
                search.score(candidate, seen_on)
            alive.sort(key=lambda candidate: -(search.mean(candidate) or -math.inf))
            alive = alive[: _kept_of(len(alive))]

    def _cost(self, count: int) -> int:
        """Return how many evaluations it takes to promote `count` leaders."""
        seen_on, size, total = self._seen_on, self._search.size, 0
        while seen_on < size:
            now = min(size, 2 * seen_on)
            total, count, seen_on = total + count * (now - seen_on), _kept_of(count), now
        return total

    def _has_room(self) -> bool:
        """Return whether a trial can be paid for beside what is kept for the leaders, or for a full score."""
        room = self._search.room()
        rest = self._search.size - self._seen_on
        kept = rest if self._compiler.full_every else min(max(self._kept, rest), 4 * rest)
        return room is None or room >= self._seen_on + kept


def _startup(trials: int) -> int:
    """Return how many points are drawn at random before the sampler learns."""
    return min(10, trials // 4)


def _kept_of(count: int) -> int:
    return max(min(_FINALISTS, count), count // 2)
