"""Which of many candidates is best, for few evaluations: what every race stands on.

All candidates meet the same examples in one shuffled order, in blocks, candidate by candidate, so that every
comparison is paired and calls with the same prompt prefix go out together. A race decides which of them see more;
`RaceState` shows the examples, keeps the scores by candidate and holds the budget, so that no race can spend more than
it was given.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.errors import UsageError
from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_module("numpy")

__all__ = ["Extend", "Race", "RaceResult", "RACES", "RaceState", "register_race"]

Extend = Callable[[int, int], Sequence[float | None]]
"""`extend(candidate, n)`: its scores on the first `n` examples; `None` where the metric failed."""


@dataclass(frozen=True, slots=True)
class RaceResult:
    """A candidate after a race.

    Attributes:
        candidate: its number.
        n: on how many examples it was seen.
        mean: its mean score there; `None` where the metric failed on all of them.
    """

    candidate: int
    n: int
    mean: float | None


class RaceState:
    """The candidates of one race, their scores so far, and what may still be spent.

    Args:
        count: candidates; they are numbered from 0.
        extend: gives scores, and pays for those it has not got yet.
        total: examples there are.
        budget: evaluations of one candidate on one example. A race divides these and the known ones: its own `budget`.
        bounds: lowest and highest score there can be, for the arithmetic bound; `None` where it is not known.
        seed: of a race's own draws.
        known: on how many examples each was scored before the race: these scores cost nothing.
    """

    def __init__(
        self,
        count: int,
        extend: Extend,
        total: int,
        budget: int,
        *,
        bounds: tuple[float, float] | None = None,
        seed: int = 0,
        known: Sequence[int] = (),
    ) -> None:
        self._known = known or [0] * count
        self._limit, self.budget = budget, budget + sum(min(n, total) for n in self._known)
        self.count, self.total, self.bounds = count, total, bounds
        self.rng = random.Random(seed)
        self.spent = 0
        self._extend = extend
        self._last: int | None = None  # shown last: a server with one slot still holds what its prompts begin with
        self._scores: list[NDArray[np.float64]] = [np.empty(0) for _ in range(count)]

    @property
    def room(self) -> int:
        """How many evaluations are left."""
        return self._limit - self.spent

    @property
    def spread(self) -> float:
        """The width of the scores: of the bounds, else from the lowest to the highest one seen."""
        if self.bounds is not None:
            return self.bounds[1] - self.bounds[0]
        known = [scores for scores in self._scores if np.isfinite(scores).any()]
        return max(float(np.nanmax(s)) for s in known) - min(float(np.nanmin(s)) for s in known) if known else 0.0

    def seen(self, candidate: int) -> int:
        """Return on how many examples the candidate was seen."""
        return len(self._scores[candidate])

    def reach(self, candidates: Sequence[int], n: int) -> int:
        """Return how many examples, `n` at most, all of `candidates` can be shown with what is left."""
        low, high = 0, min(n, self.total)
        while low < high:
            middle = (low + high + 1) // 2
            cost = sum(self.cost(k, middle) for k in candidates)
            low, high = (middle, high) if cost <= self.room else (low, middle - 1)
        return low

    def show(self, candidates: Sequence[int], n: int) -> int:
        """Bring all of `candidates` to `n` examples, or all to as many as the budget allows, one after the other.

        Returns:
            How many examples all of them have now seen.

        Raises:
            UsageError: a score outside the bounds.
        """
        reached = self.reach(candidates, n)
        for candidate in self._in_turn(candidates):
            if reached > self.seen(candidate):
                self.spent += self.cost(candidate, reached)
                self._last = candidate
                self._take(candidate, self._extend(candidate, reached), reached)
        return reached

    def cost(self, candidate: int, n: int) -> int:
        """Return how many evaluations it takes to bring the candidate to `n` examples."""
        return max(0, n - max(self.seen(candidate), self._known[candidate]))

    def _in_turn(self, candidates: Sequence[int]) -> list[int]:
        """Begin with who was shown last, and end with the best so far, who is likely to begin the next block."""
        best = max(candidates, key=lambda k: (self.mean(k), -k))
        return sorted(candidates, key=lambda k: (k != self._last, k == best and self.seen(k) > 0, k))

    def scores(self, candidates: Sequence[int], n: int) -> "NDArray[np.float64]":
        """Return the first `n` scores of each candidate, a row each; not a number where the metric failed."""
        return np.array([self._scores[k][:n] for k in candidates])

    def mean(self, candidate: int, start: int = 0, stop: int | None = None) -> float:
        """Return the mean score from example `start` up to `stop`; minus infinity without any score."""
        part = self._scores[candidate][start:stop]
        total = float(part.sum())
        if total == total:  # no score is missing
            return total / len(part) if len(part) else -math.inf
        part = part[np.isfinite(part)]
        return float(part.sum()) / len(part) if len(part) else -math.inf

    def ranked(self, candidates: Iterable[int], n: int | None = None) -> list[int]:
        """Return the candidates with the best mean of their first `n` scores first, ties by number."""
        return sorted(candidates, key=lambda k: (-self.mean(k, 0, n), k))

    def by_length(self, candidates: Iterable[int]) -> list[int]:
        """Return the longest seen first, among equals the better, then the earlier."""
        return sorted(candidates, key=lambda k: (-self.seen(k), -self.mean(k), k))

    def catchable(self, candidates: Sequence[int], keep: int = 1) -> list[int]:
        """Leave out who cannot come among the best `keep` on all examples, even if every open score went its way.

        The arithmetic bound; without `bounds` nobody is left out.
        """
        if self.bounds is None or len(candidates) <= keep:
            return list(candidates)
        lows, highs = zip(*(self._limits(k, self.bounds) for k in candidates), strict=True)
        bar = sorted(lows, reverse=True)[keep - 1]
        slack = 1e-12 * max(1.0, abs(bar))  # rounding must never drop an equal
        return [k for k, high in zip(candidates, highs, strict=True) if high >= bar - slack]

    def results(self, order: Iterable[int]) -> list[RaceResult]:
        """Return the results of those in `order` that were seen."""
        means = [(k, self.seen(k), self.mean(k)) for k in order if self.seen(k)]
        return [RaceResult(k, n, mean if math.isfinite(mean) else None) for k, n, mean in means]

    def _limits(self, candidate: int, bounds: tuple[float, float]) -> tuple[float, float]:
        known = self._scores[candidate][np.isfinite(self._scores[candidate])]
        still = self.total - self.seen(candidate)
        if not len(known) + still:
            return -math.inf, -math.inf
        low, high = ((float(known.sum()) + still * bound) / (len(known) + still) for bound in bounds)
        return low, high

    def _take(self, candidate: int, found: Sequence[float | None], n: int) -> None:
        if len(found) != n:
            raise ValueError(f"Candidate {candidate} has {len(found)} scores where {n} were asked for.")
        scores = np.array([math.nan if value is None else float(value) for value in found])
        if self.bounds is not None:
            low, high = self.bounds
            outside = scores[(scores < low) | (scores > high)]
            if len(outside):
                raise UsageError(
                    f"Candidate {candidate} has the score {outside[0]:g}, outside the bounds {low:g} to {high:g}. "
                    "Give bounds that hold every score, failures included, or none."
                )
        self._scores[candidate] = scores


@dataclass(frozen=True, slots=True)
class Race:
    """One way to race, called with what there is to compare.

    Attributes:
        name: what `race=` calls it.
        run: takes the state and the race's own options, and returns the candidates, best first.
    """

    name: str
    run: Callable[..., list[int]]

    def __call__(
        self,
        count: int,
        extend: Extend,
        total: int,
        budget: int,
        *,
        bounds: tuple[float, float] | None = None,
        seed: int = 0,
        known: Sequence[int] = (),
        **options: Any,
    ) -> list[RaceResult]:
        """Race, and never spend more than `budget`.

        Args:
            count: candidates.
            extend: `extend(candidate, n)` gives its scores on the first `n` examples, `None` where the metric failed.
            total: examples there are.
            budget: evaluations of one candidate on one example.
            bounds: lowest and highest score there can be. Where they are known, a candidate that cannot catch up any
                more stops at once, in the races that drop candidates one by one by a test.
            seed: of the race's own draws, where it makes any.
            known: on how many examples each was scored before: these scores cost nothing.
            options: of the race.

        Returns:
            The candidates that were seen, the race's choice first. One candidate alone is shown what the budget
            allows; nobody is seen where the budget has no room for one example each.

        Raises:
            UsageError: bounds in the wrong order, or a score outside them.
        """
        if bounds is not None and not bounds[0] < bounds[1]:
            raise UsageError(f"`bounds` must be the lowest and the highest score. Given: {bounds[0]} and {bounds[1]}.")
        state = RaceState(count, extend, total, budget, bounds=bounds, seed=seed, known=known)
        if count < 1 or total < 1 or not state.reach(range(count), 1):
            return []
        if count == 1:
            state.show([0], total)
            return state.results([0])
        return state.results(self.run(state, **options))


RACES: dict[str, Race] = {}
"""Every race by its name."""


def register_race(run: Callable[..., list[int]]) -> Callable[..., list[int]]:
    """Add a rule to `RACES`: a decorator. Its name is the function's, with hyphens.

    Example:
        >>> @register_race
        ... def first_alone(state):
        ...     state.show([0], state.total)
        ...     return [0]
        >>> RACES.pop("first-alone").name
        'first-alone'
    """
    name = run.__name__.replace("_", "-")
    RACES[name] = Race(name, run)
    return run
