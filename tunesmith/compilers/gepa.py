"""`GEPA`: reflective evolution of instructions, with a pool of candidates that are each best on some examples."""

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tunesmith.compilers._anew import written_anew
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._gates import gains_on_train, scored_whole, total
from tunesmith.compilers._options import option
from tunesmith.compilers._outcome import Outcome
from tunesmith.compilers._pareto import ancestors, front, merged
from tunesmith.compilers._study import check_limits
from tunesmith.compilers._turns import next_path
from tunesmith.compilers._wording import outcome_texts
from tunesmith.compilers.compiler import Compiler
from tunesmith.errors import UsageError, shown
from tunesmith.modules import Candidate, Predict
from tunesmith.signatures import InputField, OutputField, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["GEPA"]

_EFFORTS = {"light": 6, "medium": 12, "heavy": 18}  # of `auto` in dspy.GEPA: candidates that its formula counts with
_MINIBATCH, _FULL_EVERY = 35, 5  # of that formula


class Reflect(Signature):
    """Write a better instruction for one step of a program. The runs show what the step answered and what was right.

    Keep what works. Add the rules and facts that the runs teach. Copy no example.
    """

    task: str = InputField(desc="what the step gets and gives")
    instruction: str = InputField(desc="that is used now")
    runs: list[str] = InputField()
    problem: str = OutputField(desc="what goes wrong, in one sentence")
    better: str = OutputField(desc="the new instruction")


_REFLECT = Predict(Reflect, max_tokens=500)


@dataclass(frozen=True)
class GEPA(Compiler):
    """Rewrite instructions from runs and feedback, and go on from whatever is best on some example.

    Agrawal et al. 2025, "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning", section 3 and
    algorithms 1 and 2, as in the package gepa 0.1.4: a parent is drawn from the Pareto front per validation example and
    runs on three training examples, and the prompt model rewrites one of its instructions, each predictor in turn. A
    child that does better on them is scored on validation and joins the pool; two of the pool with a common ancestor
    may be merged. `GEPA.published` is that flow. Its differences from the package: a predictor that did not run is
    passed over, a merge is checked on the first validation examples in place of drawn ones, and no pair of candidate
    and example is paid twice.

    By default, for budgets of 200 to 400 calls and models that write badly: parent and child are compared on up to 12
    examples while three do not tell, a child is dropped when it falls behind its parent on validation, a useless
    proposal is asked for once more, and in every third iteration, the first one included, an instruction of the best
    candidate is written anew from labelled examples, without sight of the one so far: a bad one is a trap.

    An iteration costs `minibatch` runs of the parent, a proposal, as many runs of the child, and validation if the
    child is accepted.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> ts.GEPA.published("light", val=50).evaluations
        580
    """

    iterations: int | None = option(
        40, "The most rewrites and merges that are tried; `null` if only `evaluations` ends it.", low=1
    )
    evaluations: int | None = option(
        None, "Evaluations of an example after which no further iteration begins, training examples included.", low=1
    )
    minibatch: int = option(3, "Training examples that a parent runs on before it is rewritten.", low=1)
    most_minibatch: int = option(
        12, "Up to how many training examples parent and child are compared on while fewer do not tell.", low=1
    )
    blame: bool = option(
        default=True,
        help="Whether the predictor to blame for most failures of the minibatch is rewritten, not the next in turn.",
    )
    perfect: float = option(1.0, "A parent that scores this on its whole minibatch is not rewritten.")
    attempts: int = option(2, "Proposals that are asked for, one by one, until one can be used.", low=1)
    parts: int = option(
        3, "Parts of validation after which a child that is behind its parent is dropped; 1 for none.", low=1
    )
    merges: int = option(5, "The most merges that join the pool.", low=0)
    merge_examples: int = option(5, "Validation examples on which a merge must do as well as both parents.", low=1)
    anew_every: int = option(
        3, "Every how many iterations, from the first on, an instruction is written from scratch; 0 for never.", low=0
    )
    limits: Mapping[str, float] = option(
        {}, "The most that one example, or a proposal's prompt, may be charged, as in `{tokens = 300}`."
    )

    def __post_init__(self) -> None:
        """Check what the fields cannot say."""
        self._set(limits=check_limits(self.limits))
        super().__post_init__()
        if self.iterations is None and self.evaluations is None:
            raise UsageError("Nothing ends the search. Give `iterations` or `evaluations`.")
        if self.most_minibatch < self.minibatch:
            raise UsageError(
                f"`most_minibatch` must be at least `minibatch`, {self.minibatch}. Given: {self.most_minibatch}."
            )

    @classmethod
    def published(cls, auto: str = "light", *, val: int, predictors: int = 1, **options: Any) -> Self:
        """Return the published flow with the budget of `dspy.GEPA(auto=...)`.

        The budget is `V + 5n + 35N + (floor((N + 1) / 5) + 1) V` evaluations, with `n` of 6, 12 or 18 candidates and
        `N = max(4 P log2 n, 1.5 n)` for `P` predictors. Calls of the prompt model come on top.

        Args:
            auto: `light`, `medium` or `heavy`.
            val: validation examples.
            predictors: of the program.
            options: others, such as `metric`.

        Raises:
            UsageError: an unknown `auto`.
        """
        if auto not in _EFFORTS:
            raise UsageError(f"`auto` must be one of {', '.join(_EFFORTS)}. Given: {shown(auto)}.")
        n = _EFFORTS[auto]
        trials = int(max(4 * predictors * math.log2(n), 1.5 * n))
        evaluations = val + 5 * n + _MINIBATCH * trials + ((trials + 1) // _FULL_EVERY + 1) * val
        flow = {"iterations": None, "most_minibatch": 3, "attempts": 1, "parts": 1, "anew_every": 0, "blame": False}
        return cls(**{**flow, "evaluations": evaluations, **options})

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the iterations; one of four is expected to give a child that is scored on all of validation."""
        first, most = (2 * min(n, train) for n in (self.minibatch, self.most_minibatch))
        asked = self.attempts + (self.anew_every > 0)
        replays = self.minibatch * math.ceil(calls - 1) if self.blame else 0  # of each predictor but one, at most
        if self.iterations is None:
            limit = self.evaluations or 0
            proposals = asked * math.ceil(limit / self.minibatch)
            return Effort(candidates=1, proposals=proposals, runs=limit, most_runs=limit * (1 + self.blame) + most)
        count = self.iterations
        return Effort(
            candidates=count,
            race="paired-halving",
            finalists=max(1, count // 4),
            proposals=asked * count,
            runs=first * count,
            most_runs=(most + replays) * count
            + (train if self.anew_every else 0),  # without labels a teacher runs first
            start=(first, 1),
        )

    def search(self, search: "Search") -> None:
        """Evolve the pool until iterations, evaluations or budget end."""
        if search.paths:
            _Evolution(self, search).run()


class _Pool:
    """Candidates that were scored on all of validation, with their parents by number."""

    def __init__(self, base: Candidate, scores: Sequence[float | None]) -> None:
        self.candidates, self.scores = [base], [scores]
        self.parents: list[tuple[int, ...]] = [()]
        self.turns = [0]  # whose turn it is among the predictors: a child goes on where its parent was
        self._joined: set[tuple[int, int, int]] = set()

    def add(self, candidate: Candidate, scores: Sequence[float | None], parents: tuple[int, ...]) -> None:
        self.candidates.append(candidate)
        self.scores.append(scores)
        self.parents.append(parents)
        self.turns.append(max(self.turns[parent] for parent in parents))

    def drawn(self, rng: random.Random) -> int:
        """Return the number of one from the front, the likelier the more examples it is best on."""
        weights = front(self.scores)
        return rng.choices(range(len(weights)), weights)[0] if any(weights) else self.best()

    def best(self) -> int:
        """Return the number of the first with the highest sum."""
        return max(range(len(self.scores)), key=lambda number: total(self.scores[number]))

    def pair(self, rng: random.Random) -> tuple[int, int, Candidate] | None:
        """Return two of the front, the better first, and what they make together; each but once."""
        kept = [number for number, weight in enumerate(front(self.scores)) if weight]
        pairs = list(itertools.combinations(kept, 2))
        rng.shuffle(pairs)
        for one, other in pairs:
            best, second = sorted((one, other), key=lambda number: -total(self.scores[number]))
            for base in self._common(best, second):
                child = merged(self.candidates[base], self.candidates[best], self.candidates[second])
                if (base, best, second) not in self._joined and child is not None and child not in self.candidates:
                    self._joined.add((base, best, second))
                    return best, second, child
        return None

    def _common(self, best: int, second: int) -> list[int]:
        """Return the common ancestors that are no better than `second`, the best first."""
        one, other = (ancestors(self.parents, number) for number in (best, second))
        if best in other or second in one:
            return []
        common = [base for base in one if base in other and total(self.scores[base]) <= total(self.scores[second])]
        return sorted(common, key=lambda base: -total(self.scores[base]))


class _Evolution:
    """One run of GEPA."""

    def __init__(self, how: GEPA, search: "Search") -> None:
        self._how, self._search, self._rng = how, search, search.rng("gepa")
        self._pool = _Pool(search.base, search.score(search.base).values())
        self._evaluated, self._place = search.size, 0  # examples so far; the next one of training
        self._merged, self._grew = 0, False  # merges that joined the pool; whether the last iteration added to it

    def run(self) -> None:
        for number in itertools.count() if self._how.iterations is None else range(self._how.iterations):
            if self._is_over():
                return
            if not self._merge(number):
                self._rewrite(number)

    def _is_over(self) -> bool:
        limit, room = self._how.evaluations, self._search.room()
        # Without room for all of validation no child could be returned.
        return (limit is not None and self._evaluated >= limit) or (room is not None and room < self._search.size)

    def _merge(self, number: int) -> bool:
        """Try to merge two of the pool after it grew; return whether there were two."""
        how, search = self._how, self._search
        found = self._pool.pair(self._rng) if self._grew and self._merged < how.merges else None
        self._grew = False
        if found is None:
            return False
        first, second, child = found
        few, origin = min(how.merge_examples, search.size), f"merge {number + 1}"
        reached = total(search.score(child, few, origin=origin).values())
        self._evaluated += few
        if reached >= max(total(self._pool.scores[parent][:few]) for parent in (first, second)):
            self._merged += self._add(child, (first, second), origin)
        return True

    def _rewrite(self, number: int) -> None:
        """Rewrite an instruction of a candidate of the front, and keep the child if it is better."""
        how, search = self._how, self._search
        anew = how.anew_every > 0 and number % how.anew_every == 0
        parent, start = self._pool.best() if anew else self._pool.drawn(self._rng), self._place
        candidate = self._pool.candidates[parent]
        runs = search.minibatch(candidate, how.minibatch, start=start)
        self._place += how.minibatch
        self._evaluated += how.minibatch  # also if an evaluation gave nothing, so that this ends
        if all((run.score or 0.0) >= how.perfect for run in runs):
            return
        path = self._path(parent, runs)
        text = self._text(path, candidate, runs, number, anew=anew)
        child = None if text is None else candidate.with_part(path, instruction=text)
        if child is None or child in self._pool.candidates:
            return
        gains = gains_on_train(search, candidate, child, start=start, step=how.minibatch, most=how.most_minibatch)
        self._evaluated += 2 * len(gains) - how.minibatch
        if sum(gains) > 0:
            self._add(child, (parent,), f"{'from scratch' if anew else 'rewrite'} {number + 1}")

    def _path(self, parent: int, runs: Sequence[Outcome]) -> str:
        """Return which predictor is rewritten: the next in turn that ran, of those with the most blame."""
        how, search, first = self._how, self._search, self._pool.turns[parent]
        turns = [search.paths[turn % len(search.paths)] for turn in range(first, first + len(search.paths))]
        candidate = self._pool.candidates[parent]
        path = next_path(search, candidate, runs, turns, perfect=how.perfect, blame=how.blame)
        self._pool.turns[parent] = first + turns.index(path) + 1
        return path

    def _text(self, path: str, parent: Candidate, runs: Sequence[Outcome], number: int, *, anew: bool) -> str | None:
        """Return a new instruction, `None` if the prompt model writes nothing of use."""
        search, attempts = self._search, self._how.attempts
        if anew:
            found = written_anew(search, path, draw=number, attempts=attempts)
            if found is not None:
                return found
        task, now = search.task(path), parent.parts[path].instruction
        for _ in range(1 if anew else attempts):
            texts = search.propose(path, _REFLECT, task=task, instruction=now, runs=outcome_texts(runs, path))
            if texts:
                return texts[0]
        return None

    def _add(self, child: Candidate, parents: tuple[int, ...], origin: str) -> bool:
        """Score the child on validation; return whether it joined the pool."""
        best = max(parents, key=lambda parent: total(self._pool.scores[parent]))
        report = scored_whole(self._search, self._pool.candidates[best], child, parts=self._how.parts, origin=origin)
        self._evaluated += self._search.seen(child)
        if report is None:
            return False
        self._pool.add(child, report.values(), parents)
        self._grew = True
        return True
