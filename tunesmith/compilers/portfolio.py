"""`Portfolio`: many ways to make candidates, each used for what it is expected to gain."""

from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.compilers._arms import ARMS, MISTAKES, Arm, Pool
from tunesmith.compilers._bootstrap import expected_attempts
from tunesmith.compilers._demos import most
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers._space import Pools, Space, SpaceCompiler, note_of_space
from tunesmith.compilers.calibrate import calibrated, scored
from tunesmith.errors import UsageError
from tunesmith.modules import Candidate

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["Portfolio"]

_FINALISTS = 3  # leaders that are scored on every example
_PER_FINALIST = 2  # as many times the examples are in the budget for each of them
_ROUNDS = 4  # races
_OF_ROUND = 55  # evaluations of a race, at least
_EACH = 6.5  # evaluations of a candidate in a race, on average
_DOUBTED = 0.3  # of the evaluations, for candidates that may be better than a race showed
_BLOCK = 6  # examples that a candidate is shown at a time, at least
_FRESH = 4  # candidates of each arm among which those of a race are chosen
_FIRST = {"nearest": 2, "scratch": 2, "formats": 1}  # of the first race; the others are drawn
_PER_PROPOSAL = 50  # evaluations in the budget for each: on a small machine a proposal takes as long as some 30
_UNLIMITED = 0.6  # of the evaluations that all candidates would take, if there is no limit


@dataclass(frozen=True)
class Portfolio(SpaceCompiler):
    """Race candidates of all kinds, learn what their parts add, and make further ones.

    The first race compares formats, demo sets, demos chosen for each call, settings and two instructions written from
    examples. In each later one, arms make many candidates of the leaders: other demos, formats and settings, merges
    of two leaders (GEPA), and instructions written from examples alone (APE), from mistakes (ProTeGi) and from a
    scored history (OPRO). A Gaussian process over the parts of candidates draws what each may be worth (Thompson
    sampling), also what an arm may be worth that would have to ask for an instruction; the best are raced. If the
    labels of an output are a closed set and the model reports log-probabilities, each candidate is tried with offsets
    for the labels as well (`Calibrate`), which takes no call. The leaders are scored on every example.

    How many races and candidates there are depends on the budget. It takes at most as many evaluations as
    `num_candidates` on every validation example, however large the budget is. Without one it takes about
    `0.6 * num_candidates` times the validation examples. The prompt model is called once for 50 evaluations at most,
    and `proposals` times.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.Portfolio(metric=ts.metrics.exact_match("label"), proposals=0)
        >>> compiler.plan(train=100, val=50)["proposals"]
        0
    """

    num_candidates: int = option(16, "The most candidates of one race, and in all without a budget.", low=1)
    proposals: int = option(24, "The most calls of the prompt model; 0 for none.", low=0)
    arms: tuple[str, ...] = option((), "The arms that are used, by name; default all.")

    def __post_init__(self) -> None:
        """Check the names of arms."""
        super().__post_init__()
        unknown = [name for name in self.arms if name not in ARMS]
        if unknown:
            raise UsageError(f"There is no arm {unknown[0]!r}. Use some of: {', '.join(ARMS)}.")

    def search(self, search: "Search") -> None:
        """Race, then score the leaders on every example."""
        demos = Pools(self, search)
        pool = Pool(search, Space(self, search, sets=self.num_candidates, pools=demos), demos)
        room, size = search.room(), search.size
        unlimited = int(_UNLIMITED * size * self.num_candidates)
        if room is None or search.meter.room().calls is None:  # a plan of calls holds under other limits too
            room = unlimited if room is None else min(room, unlimited)
        room = min(room, size * self.num_candidates)  # more finds what fits these few examples alone
        if room < size:
            search.race([pool.drawn()])  # notes that there is no room
            return
        kept = size * max(1, min(_FINALISTS, room // (size * _PER_FINALIST)))
        left, races = room - kept, _Races(self, pool, kept, min(self.proposals, room // _PER_PROPOSAL))
        rounds = max(1, min(_ROUNDS, left // _OF_ROUND))
        for number in range(rounds, 0, -1):
            share = left // number
            races.race(int(share * (1 - _DOUBTED)))
            races.look_again(int(share * _DOUBTED))
            left -= share
        races.finish()

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return all candidates as one race, the proposals, bootstrapping and the runs that show mistakes."""
        wanted, rounds = 3 * most(self.max_bootstrapped_demos), self.max_rounds
        proposals, tried = self.proposals, _ROUNDS * self.num_candidates
        if self.limit.calls is not None:
            runs = int(self.limit.calls / calls)
            proposals, tried = min(proposals, runs // _PER_PROPOSAL), min(tried, 2 * _ROUNDS + int(runs / _EACH))
        return Effort(
            candidates=self.num_candidates,
            most=tried,
            race="paired-halving" if len(self.objectives) == 1 else None,
            finalists=_FINALISTS,
            bounds=self.bounds,
            proposals=proposals,
            runs=expected_attempts(wanted, train=train, rounds=rounds) if calls > 1 else 0,
            most_runs=proposals * MISTAKES // 2 + (train * rounds if wanted else 0),
        )


class _Races:
    """The races of one search."""

    def __init__(self, compiler: Portfolio, pool: Pool, kept: int, asks: int) -> None:
        self._compiler, self._pool, self._search = compiler, pool, pool.search
        known = {name: ARMS[name] for name in (compiler.arms or ARMS)}
        self._arms = {name: arm for name, arm in known.items() if not arm.asks or pool.search.paths}
        self._free = [arm for arm in self._arms.values() if not arm.asks]
        self._asking = [arm for arm in self._arms.values() if arm.asks]
        self._asks, self._kept = asks, kept
        self._calibrates = pool.search.job.lm.capabilities.logprobs > 1

    def race(self, evaluations: int) -> None:
        """Compare new candidates in so many evaluations."""
        pool, search = self._pool, self._search
        count = max(2, min(self._compiler.num_candidates, int(evaluations / _EACH)))
        children = self._first(count) if len(pool.members) == 1 else self._next(count)
        if not children:
            search.note(note_of_space(len(pool.members)))
            return
        several = len(search.job.objectives) > 1
        room = search.room()
        most = evaluations if room is None else max(0, min(evaluations, room - self._kept))
        least: dict[str, Any] = {} if several else {"least": _BLOCK}
        search.race(
            children,
            "full" if several else "paired-halving",
            finalists=0,
            evaluations=None if several else most,
            bounds=self._compiler.bounds,
            **least,
            origins=[pool.members[child] for child in children],
            judged=self._judged,
        )
        for child in children:
            if not search.seen(child):
                pool.members.pop(child)  # there was no room for it, or it does not fit the context
        pool.judge()

    def look_again(self, evaluations: int) -> None:
        """Show further examples to candidates that may be better than they looked on the first."""
        pool, search, spent = self._pool, self._search, 0
        while spent < evaluations:
            known = [one for one in pool.leaders if search.seen(one) < search.size]
            room = search.room()
            if not known or (room is not None and room < self._kept + _BLOCK):
                return
            drawn = pool.surrogate.drawn(known, pool.rng)
            chosen = max(zip(drawn, known, strict=True), key=lambda pair: pair[0])[1]
            search.score(chosen, search.seen(chosen) + _BLOCK)
            spent += _BLOCK
            self._judged(chosen)
            pool.judge()

    def finish(self) -> None:
        """Score leaders on every example, the most promising first."""
        pool, search = self._pool, self._search
        for _ in range(_FINALISTS):
            left = [one for one in pool.leaders if search.seen(one) < search.size]
            room = search.room()
            if not left or (room is not None and room < search.size - search.seen(left[0])):
                return
            search.score(left[0])
            self._judged(left[0])
            pool.judge()

    def _first(self, count: int) -> list[Candidate]:
        """Return candidates of some arms that need no leader, then draws."""
        found = list[Candidate]()
        for name, wanted in _FIRST.items():
            for _ in range(min(wanted, count // 4) if name in self._arms else 0):
                found += self._made(self._arms[name])
        while len(found) < count and (made := self._made(ARMS["draws"])):
            found += made
        return found

    def _next(self, count: int) -> list[Candidate]:
        """Return the best of many new candidates, in a draw of what all may be worth."""
        pool, found = self._pool, list[Candidate]()
        fresh: dict[Candidate, str] = {}
        for arm in self._free * _FRESH:
            child = self._new(arm, fresh)
            if child is not None:
                fresh[child] = arm.name
        while len(found) < count:
            able = [arm for arm in self._asking if arm.asks <= self._asks]
            options = [*fresh, *(pool.stand_in(arm.name) for arm in able)]
            if not options:
                break
            drawn = pool.surrogate.drawn(options, pool.rng)
            best = max(range(len(options)), key=lambda number: drawn[number])
            if best < len(fresh):
                pool.add(options[best], fresh.pop(options[best]))
                found.append(options[best])
            else:
                found += self._made(able[best - len(fresh)])
        return found

    def _made(self, arm: Arm) -> list[Candidate]:
        """Return a new candidate of an arm, none if it has none."""
        if arm.asks > self._asks:
            return []
        self._asks -= arm.asks
        child = self._new(arm)
        if child is None:
            return []
        self._pool.add(child, arm.name, asked=arm.asks > 0)
        return [child]

    def _new(self, arm: Arm, known: Container[Candidate] = ()) -> Candidate | None:
        """Return the first new candidate of an arm, with labels scored if they are a closed set."""
        for child in arm.children(self._pool):
            found = self._pool.space.plain(self._scored(child))
            if found not in self._pool.members and found not in known:
                return found
        return None

    def _scored(self, child: Candidate) -> Candidate:
        """Return a candidate in the format that scores labels instead of in `bare`: the prompt is the same."""
        return scored(self._search, child, only="bare") if self._calibrates else child

    def _judged(self, candidate: Candidate) -> Candidate:
        """Return the candidate with offsets for its labels if it does better so on the examples that it has seen.

        Offsets that need no labels are learned from a few examples; the scores of others would flatter there.
        """
        search, seen, known = self._search, self._search.seen(candidate), self._pool.versions
        known.pop(candidate, None)
        if not self._calibrates or not seen:
            return candidate
        better = calibrated(search, candidate, method="auto" if seen >= search.size else "batch")
        if better is not None:
            search.score(better, seen, origin=f"{self._pool.members.get(candidate, '')}, calibrated")
            if (search.mean(better) or 0.0) > (search.mean(candidate) or 0.0):
                known[candidate] = better
        return known.get(candidate, candidate)
