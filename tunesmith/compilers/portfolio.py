"""`Portfolio`: many ways to propose, each used as often as it has earned; the default compiler."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.compilers._arms import ARMS, Arm, Pool
from tunesmith.compilers._bootstrap import expected_attempts
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers._space import Pools, Space, SpaceCompiler, note_of_space
from tunesmith.compilers._surrogate import Surrogate
from tunesmith.errors import UsageError
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["Portfolio"]


def _E(n, d):
    return float(os.environ.get(n, d))


_FINALISTS = int(_E("FI", 3))  # leaders that are scored on every example
_PER_FINALIST = _E("PF", 2)  # times as many evaluations as examples for each of them
_BLOCK = int(_E("BL", 4))  # examples that a candidate is shown at a time
_AT_ONCE = int(_E("AO", 2))  # candidates that are shown examples before anything is judged anew
_FRESH = int(_E("FR", 4))  # new candidates of each arm among which the next are chosen
_TIMID = _E("TI", 0.3)
_EACH = _E("EA", 6.5)
_ROUNDS = int(_E("RO", 4))
_OF_ROUND = _E("OR", 100)
_FIRST = {"nearest": 2, "scratch": int(_E("SC", 1)), "formats": 1}
_UNLIMITED = 0.6  # of the evaluations that all candidates would take, without a limit of calls


@dataclass(frozen=True)
class Portfolio(SpaceCompiler):
    """Doc.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.
    """

    num_candidates: int = option(32, "The most candidates that are compared.", low=1)
    proposals: int = option(int(_E("PR", 24)), "The most calls of the prompt model; 0 for none.", low=0)
    arms: tuple[str, ...] = option(
        tuple(x for x in os.environ.get("ARMS", "").split(",") if x), "Arms that are used, by name; default all."
    )

    def __post_init__(self) -> None:
        """Check the names of arms."""
        super().__post_init__()
        unknown = [name for name in self.arms if name not in ARMS]
        if unknown:
            raise UsageError(f"There is no arm {unknown[0]!r}. Use some of: {', '.join(ARMS)}.")

    def search(self, search: "Search") -> None:
        """Show examples to the most promising candidates, then score the leaders on every one."""
        pools = Pools(self, search)
        pool = Pool(search, Space(self, search, sets=self.num_candidates, pools=pools), pools)
        room, size = search.room(), search.size
        if room is None:
            room = int(_UNLIMITED * size * self.num_candidates)
        if room < size:
            search.race([pool.drawn()])  # says that there is no room
            return
        kept = size * max(1, min(_FINALISTS, int(room / size / _PER_FINALIST)))
        course, left = _Course(self, pool), room - kept
        rounds = max(1, min(_ROUNDS, int(left / _OF_ROUND)))
        for number in range(rounds):
            share = left // (rounds - number)
            left -= share
            course.round(share, max(2, min(self.num_candidates, int(share / _EACH))), kept)
        course.finish()

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return all candidates as one race, the proposals, bootstrapping and the runs that show mistakes."""
        wanted, rounds = 3 * self.max_bootstrapped_demos, self.max_rounds
        return Effort(
            candidates=self.num_candidates,
            race="paired-halving" if len(self.objectives) == 1 else None,
            finalists=_FINALISTS,
            bounds=self.bounds,
            proposals=self.proposals,
            runs=expected_attempts(wanted, train=train, rounds=rounds) if calls > 1 else 0,
            most_runs=self.proposals * 2 + (train * rounds if wanted else 0),
        )


class _Course:
    """The course of one search."""

    def __init__(self, compiler: Portfolio, pool: Pool) -> None:
        self._compiler, self._pool, self._search = compiler, pool, pool.search
        arms = [ARMS[name] for name in (compiler.arms or ARMS)]
        self._free = [arm for arm in arms if not arm.asks]
        self._asking = [arm for arm in arms if arm.asks]
        self._asks = compiler.proposals

    def round(self, evaluations: int, count: int, kept: int) -> None:
        """Compare new candidates.

        Args:
            evaluations: how many, together.
            count: of candidates.
            kept: as many evaluations are left in the budget.
        """
        pool, search = self._pool, self._search
        children = self._first(count) if len(pool.members) == 1 else self._next(count)
        several = len(search.job.objectives) > 1
        room = search.room()
        search.race(
            children,
            "full" if several else "paired-halving",
            finalists=0,
            evaluations=None if several else evaluations if room is None else max(0, min(evaluations, room - kept)),
            bounds=self._compiler.bounds,
            origins=[pool.members[child] for child in children],
        )
        for child in children:
            if not search.seen(child):
                pool.members.pop(child)
        if not children:
            search.note(note_of_space(len(pool.members)))

    def finish(self) -> None:
        """Score leaders on every example, the most promising first."""
        search = self._search
        for _ in range(_FINALISTS):
            self._surrogate()
            left = [one for one in self._pool.leaders if search.seen(one) < search.size]
            room = search.room()
            if not left or (room is not None and room < search.size - search.seen(left[0])):
                return
            search.score(left[0])

    def _surrogate(self) -> Surrogate:
        found = Surrogate(self._pool.scores(), lambda text: self._pool.sources.get(text, ""))
        self._pool.rank(found)
        return found

    def _first(self, count: int) -> list[Candidate]:
        """Return the first candidates: some of arms that need no leader, then draws."""
        pool, found = self._pool, list[Candidate]()
        for name, wanted in _FIRST.items():
            arm = ARMS[name]
            if arm in (*self._free, *self._asking):
                for _ in range(min(wanted, count // 4)):
                    found += self._made(arm)
        while len(found) < count and (made := self._made(ARMS["draws"])):
            found += made
        return found

    def _next(self, count: int) -> list[Candidate]:
        """Return the best of many new candidates, in a draw of what all may be worth (Thompson sampling)."""
        pool, found = self._pool, list[Candidate]()
        surrogate = self._surrogate()
        fresh: dict[Candidate, str] = {}
        for arm in self._free:
            for _ in range(_FRESH):
                child = next((one for one in arm.children(pool) if one not in pool.members and one not in fresh), None)
                if child is not None:
                    fresh[child] = arm.name
        while len(found) < count:
            able = [arm for arm in self._asking if arm.asks <= self._asks]
            options = [*fresh, *(self._stand_in(arm) for arm in able)]
            if not options:
                break
            drawn = surrogate.drawn(options, pool.rng)
            best = max(range(len(options)), key=lambda n: drawn[n])
            if best < len(fresh):
                child = options[best]
                pool.members[child] = fresh.pop(child)
                found.append(child)
            else:
                found += self._made(able[best - len(fresh)])
        return found

    def _made(self, arm: Arm) -> list[Candidate]:
        """Return a new candidate of an arm, none if it has none."""
        if arm.asks > self._asks:
            return []
        self._asks -= arm.asks
        for child in arm.children(self._pool):
            if child not in self._pool.members:
                self._pool.members[child] = arm.name
                if arm.asks:
                    for path, part in child.parts.items():
                        if part.instruction != self._search.base.parts[path].instruction:
                            self._pool.sources.setdefault(part.instruction, arm.name)
                return [child]
        return []

    def _stand_in(self, arm: Arm) -> Candidate:
        text, path = f"\0{arm.name}", self._search.paths[0]
        self._pool.sources[text] = arm.name
        return self._pool.parent().with_part(path, instruction=text)
