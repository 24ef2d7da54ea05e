"""`Portfolio`: many ways to propose, each used as often as it has earned; the default compiler."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tunesmith.compilers._arms import ARMS, Arm, Pool
from tunesmith.compilers._bootstrap import expected_attempts
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers._space import Pools, Space, SpaceCompiler, note_of_space
from tunesmith.errors import UsageError
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["Portfolio"]

import os

_E = lambda n, d: float(os.environ.get(n, d))
_PER_FINALIST = _E("PF", 3)
_LEAST_OF_ROUND = _E("LR", 6)
_FINALISTS = 3  # leaders that are scored on every example
_LEAST = _E("LE", 4)  # examples that a candidate of the first race sees on average
_OF_FIRST = _E("OF", 0.5)  # of what is left beside the finalists
_CHANCE = {"draws": (1.0, 1.0), "merges": (1.5, 1.0), "formats": (1.0, 2.0), "settings": (1.0, 2.0)}
_USUAL = (1.0, 1.5)  # gains and failures that an arm starts with
_UNLIMITED = 0.6  # of the evaluations that all candidates would take, without a limit of calls


class _Shares(NamedTuple):
    """How the evaluations of an example are shared out: candidates and evaluations of the first race and of a round."""

    first: int
    first_evaluations: int
    rounds: int
    evaluations: int


@dataclass(frozen=True)
class Portfolio(SpaceCompiler):
    """Race candidates of all kinds, then make children of the leaders by what has gained most; the default compiler.

    A first race compares formats, demo sets, demos chosen for each call, settings and a few written instructions. In
    each later round, every child comes from an arm that Thompson sampling chooses by how often its children were
    better than all before: other demos, formats or settings for a leader, merges of two leaders, and instructions
    written from scratch (APE), from mistakes (ProTeGi) and from a scored history (OPRO). Parents are leaders, or are
    drawn from the Pareto front over examples (GEPA). Gains are shrunk by how few examples show them. The leaders are
    scored on every example.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.Portfolio(metric=ts.metrics.exact_match("label"), proposals=0)
        >>> compiler.plan(train=100, val=50)["proposals"]
        0
    """

    num_candidates: int = option(16, "Candidates of the first race; fewer if the budget is small.", low=1)
    rounds: int = option(6, "Rounds after the first race; fewer if the budget is small.", low=0)
    children: int = option(4, "Candidates of a round.", low=1)
    proposals: int = option(16, "The most calls of the prompt model; 0 for none.", low=0)
    arms: tuple[str, ...] = option((), "Arms that are used, by name; default all.")

    def __post_init__(self) -> None:
        """Check the names of arms."""
        super().__post_init__()
        unknown = [name for name in self.arms if name not in ARMS]
        if unknown:
            raise UsageError(f"There is no arm {unknown[0]!r}. Use some of: {', '.join(ARMS)}.")

    def search(self, search: "Search") -> None:
        """Race, then go on from the leaders."""
        pools = Pools(self, search)
        pool = Pool(search, Space(self, search, sets=self.num_candidates, pools=pools), pools)
        shares = self._shares(search)
        if not shares.first:
            search.race([pool.drawn()])  # says that there is no room
            return
        course = _Course(self, pool)
        course.race(course.first(shares.first), shares.first_evaluations)
        for _ in range(shares.rounds):
            course.race(course.next(self.children), shares.evaluations)
        course.finish()

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return all candidates as one race, the proposals, bootstrapping and the runs that show mistakes."""
        wanted, rounds = 3 * self.max_bootstrapped_demos, self.max_rounds
        runs = self.proposals // 4 * 8
        return Effort(
            candidates=self.num_candidates + self.rounds * self.children,
            race="paired-halving" if len(self.objectives) == 1 else None,
            finalists=_FINALISTS,
            bounds=self.bounds,
            proposals=self.proposals,
            runs=expected_attempts(wanted, train=train, rounds=rounds) if calls > 1 else 0,
            most_runs=runs + (train * rounds if wanted else 0),
        )

    def _shares(self, search: "Search") -> _Shares:
        room, size = search.room(), search.size
        if room is None:
            room = int(_UNLIMITED * size * (self.num_candidates + self.rounds * self.children))
        if room < size:
            return _Shares(0, 0, 0, 0)
        left = max(0, room - size * max(1, min(_FINALISTS, int(room / size / _PER_FINALIST))))
        part = int(_OF_FIRST * left)
        rounds = min(self.rounds, int((left - part) // (self.children * _LEAST_OF_ROUND)))
        first = min(self.num_candidates, max(2, int((part if rounds else left) // _LEAST)))
        return _Shares(first, part if rounds else left, rounds, (left - part) // max(1, rounds))


class _Course:
    """The course of one search: what arms have earned, and how many proposals are left."""

    def __init__(self, compiler: Portfolio, pool: Pool) -> None:
        self._compiler, self._pool, self._search = compiler, pool, pool.search
        self._arms = [ARMS[name] for name in (compiler.arms or ARMS)]
        self._asks = compiler.proposals
        self._won, self._lost = Counter[str](), Counter[str]()

    def first(self, count: int) -> list[Candidate]:
        """Return the candidates of the first race: some of every arm that needs no leader, then draws."""
        found: list[Candidate] = []
        quota = {"scratch": 2 if self._search.job.prompt_lm is not None else 1, "nearest": 2, "formats": 1}
        for name, wanted in quota.items():
            if ARMS.get(name) in self._arms:
                for _ in range(min(wanted, count // 4)):
                    found += self._child(ARMS[name])
        while len(found) < count and (child := self._child(ARMS["draws"])):
            found += child
        return found

    def next(self, count: int) -> list[Candidate]:
        """Return children of the leaders."""
        found: list[Candidate] = []
        for _ in range(4 * count):
            if len(found) == count:
                break
            able = [arm for arm in self._arms if arm.asks <= self._asks]
            arm = max(able, key=lambda arm: self._luck(arm.name))
            child = self._child(arm)
            self._lost[arm.name] += not child
            found += child
        return found

    def race(self, children: list[Candidate], evaluations: int) -> None:
        """Compare children, and note which arms have earned something."""
        if not children:
            self._search.note(note_of_space(len(self._pool.members)))
            return
        several = len(self._search.job.objectives) > 1
        self._search.race(
            children,
            "full" if several else "paired-halving",
            finalists=0,
            evaluations=None if several else evaluations,
            bounds=self._compiler.bounds,
            origins=[self._pool.members[child] for child in children],
        )
        for child in children:
            won = self._pool.gain(child, self._pool.parents[child]) > 0
            (self._won if won else self._lost)[self._pool.members[child]] += 1

    def finish(self) -> None:
        """Score leaders on every example, the most promising first."""
        search, whole = self._search, 0
        while whole < _FINALISTS:
            leaders = [
                one for one in self._pool.leaders() if search.seen(one) < search.size and self._pool.gain(one) > 0
            ]
            room = search.room()
            if not leaders or (room is not None and room < search.size - search.seen(leaders[0])):
                return
            search.race(leaders[:1], "full", finalists=1)
            whole += 1

    def _child(self, arm: Arm) -> list[Candidate]:
        """Return one new candidate of an arm, none if it has none."""
        if arm.asks > self._asks:
            return []
        self._asks -= arm.asks
        self._pool.chosen = self._search.base
        for child in arm.children(self._pool):
            if child not in self._pool.members:
                self._pool.members[child], self._pool.parents[child] = arm.name, self._pool.chosen
                return [child]
        return []

    def _luck(self, name: str) -> float:
        won, lost = _CHANCE.get(name, _USUAL)
        return self._pool.rng.betavariate(won + self._won[name], lost + self._lost[name])
