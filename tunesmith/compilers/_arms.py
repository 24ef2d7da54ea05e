"""The arms of a portfolio: each makes new candidates of those that did well, and evaluates none."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tunesmith.compilers._demos import draw
from tunesmith.compilers._pareto import front, merged
from tunesmith.compilers._space import Pools, Space
from tunesmith.compilers._study import Trial
from tunesmith.compilers._surrogate import Surrogate
from tunesmith.compilers._wording import outcome_texts, pair_texts
from tunesmith.compilers.ape import Forward
from tunesmith.compilers.knn_few_shot import knn_candidates
from tunesmith.compilers.opro import WriteInstruction
from tunesmith.compilers.protegi import Criticise, Edit
from tunesmith.formats import carries
from tunesmith.modules import Candidate, Predict, choices_of
from tunesmith.signatures import Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["ARMS", "Arm", "Pool"]

MISTAKES = 4  # training examples that are run for one critique
_TRIES = 8  # draws for one child that is new
_LONGEST = 120  # tokens of a proposal


class Pool:
    """Candidates of one search, with what is known of them.

    Args:
        search: the compile.
        space: of formats, demos, settings and given instructions.
        demos: of each predictor.

    Attributes:
        members: by candidate, the arm that it comes from.
        leaders: members that were compared, best first.
        versions: by member, the same with offsets for its labels, if it is judged by that.
    """

    def __init__(self, search: "Search", space: Space, demos: Pools) -> None:
        self.search, self.space, self.demos = search, space, demos
        self.rng = search.rng("portfolio")
        self.members = {search.base: "program as given"}
        self.leaders = [search.base]
        self.versions: dict[Candidate, Candidate] = {}
        self.surrogate = Surrogate({})
        self._scores = {search.base: search.score(search.base).values()}  # of members, by example
        self._sources: dict[str, str] = {}  # by instruction, the arm that wrote it
        self._draws = 0

    def add(self, child: Candidate, arm: str, *, asked: bool = False) -> None:
        """Take a candidate in; `asked` says whether the arm wrote its instruction."""
        self.members[child] = arm
        for path, part in child.parts.items():
            if asked and part.instruction != self.search.base.parts[path].instruction:
                self._sources.setdefault(part.instruction, arm)

    def judge(self) -> None:
        """Order the members anew by what is expected of them."""
        search = self.search
        seen = {one: count for one in self.members if (count := search.seen(one))}
        self._scores = scores = {
            one: search.score(self.versions.get(one, one), count).values() for one, count in seen.items()
        }
        self.surrogate = Surrogate(scores, lambda text: self._sources.get(text, ""))
        expected = dict(zip(scores, self.surrogate.means(list(scores)), strict=True))
        self.leaders = sorted(scores, key=lambda one: -expected[one])

    def mean(self, candidate: Candidate) -> float:
        """Return the mean score of a member on what it has seen."""
        return self.search.mean(self.versions.get(candidate, candidate)) or 0.0

    def stand_in(self, arm: str) -> Candidate:
        """Return a candidate that is expected to do what one of the arm with a new instruction would do."""
        text, path = f"\0{arm}", self.search.paths[0]
        self._sources[text] = arm
        return self.parent().with_part(path, instruction=text)

    def parent(self) -> Candidate:
        """Return the leader, or, as often, one that is best on some examples: the more of them, the likelier."""
        if self.rng.random() < 0.5:
            return self.leaders[0]
        best = self.leaders[: max(2, len(self.leaders) // 2)]
        weights = front([self._scores[candidate] for candidate in best])
        return self.rng.choices(best, weights)[0] if any(weights) else self.leaders[0]

    def drawn(self) -> Candidate:
        """Return a point of the space at random."""
        self._draws += 1
        return self.space.candidate(Trial(self._draws, {n: self.rng.randrange(k) for n, k in self.space.sizes.items()}))

    def path(self, paths: Sequence[str]) -> str | None:
        """Return one of these predictors at random, `None` if there is none."""
        return self.rng.choice(paths) if paths else None


@dataclass(frozen=True)
class Arm:
    """One way to make candidates.

    Attributes:
        name: of the arm.
        children: makes candidates of a pool; the first that is new is taken.
        asks: the most proposals of one child.
    """

    name: str
    children: Callable[[Pool], Iterator[Candidate]]
    asks: int = 0


ARMS: dict[str, Arm] = {}
"""Every arm by name."""


def _arm(asks: int = 0) -> Callable[[Callable[[Pool], Iterator[Candidate]]], None]:
    def register(function: Callable[[Pool], Iterator[Candidate]]) -> None:
        ARMS[function.__name__] = Arm(function.__name__, function, asks)

    return register


@_arm()
def draws(pool: Pool) -> Iterator[Candidate]:
    """Points of the space at random: formats, demo sets, settings, given instructions."""
    for _ in range(_TRIES):
        yield pool.drawn()


@_arm()
def nearest(pool: Pool) -> Iterator[Candidate]:
    """Demos chosen for each call."""
    demos = {path: pool.demos.demos(path) for path in pool.search.demo_paths}
    if any(demos.values()):
        order = "nearest-first" if pool.rng.random() < 0.1 else "nearest-last"
        sizes = pool.rng.sample((4, 8, 2), 3) if len(pool.leaders) > 1 else (4, 8, 2)
        yield from knn_candidates(pool.search, sizes, orders=(order,), pools=demos, base=pool.parent())


@_arm()
def demos(pool: Pool) -> Iterator[Candidate]:
    """Other demos for one predictor of a parent."""
    parent, path = pool.parent(), pool.path(pool.search.demo_paths)
    if path is None:
        return
    for _ in range(_TRIES):
        source, count = pool.rng.choice(pool.demos.counts(path))
        known = pool.demos.carried(path, source, parent.parts[path].format)
        yield parent.with_demos(path, draw(pool.search.signature(path), known, count, pool.rng) if count else ())


@_arm()
def formats(pool: Pool) -> Iterator[Candidate]:
    """Another format for one predictor of a parent."""
    parent, path = pool.parent(), pool.path(pool.search.format_paths)
    if path is not None:
        names, signature = pool.space.formats(path), pool.search.signature(path)
        pool.rng.shuffle(names)
        for name in names:
            if name is None or carries(name, signature, parent.parts[path].demos):
                yield parent.with_part(path, format=name)


@_arm()
def settings(pool: Pool) -> Iterator[Candidate]:
    """Another value of a setting of a parent."""
    parent, search = pool.parent(), pool.search
    known = [(place, value) for place, values in choices_of(search.job.program).items() for value in values]
    pool.rng.shuffle(known)
    for (path, name), value in known:
        if (path, name) not in search.job.kept.settings:
            yield parent.with_setting(path, name, value)


@_arm()
def merges(pool: Pool) -> Iterator[Candidate]:
    """What two leaders changed, together."""
    pairs = list(combinations(pool.leaders[:6], 2))
    pool.rng.shuffle(pairs)
    for a, b in pairs:
        found = merged(pool.search.base, a, b)
        if found is not None:
            yield found


@_arm(asks=1)
def scratch(pool: Pool) -> Iterator[Candidate]:
    """An instruction from pairs of inputs and outputs alone, so that a bad one cannot mislead the writer (APE)."""
    yield from _written(pool, Forward, lambda path, draw: {"pairs": _pairs(pool, path, draw)})


@_arm(asks=2)
def critique(pool: Pool) -> Iterator[Candidate]:
    """An instruction edited by what is wrong with it (ProTeGi), at the predictor that most failures are due to."""
    search, parent = pool.search, pool.parent()
    failures = search.failures(parent, MISTAKES, draw=pool.rng.randrange(2**31)) if search.paths else []
    blamed = search.credit(parent, failures, by=("variability",))
    path = max(blamed, key=lambda one: len(blamed[one]), default="")
    if not path or not blamed[path]:
        return
    mistakes = outcome_texts(blamed[path], path)
    about: dict[str, Any] = {"task": pool.search.task(path), "instruction": parent.parts[path].instruction}
    for found in search.ask(Predict(Criticise, max_tokens=_LONGEST), 1, **about, mistakes=mistakes):
        edit = Predict(Edit, max_tokens=_LONGEST)
        for text in search.propose(path, edit, 1, **about, mistakes=mistakes, fault=found.fault):
            yield parent.with_part(path, instruction=text)


@_arm(asks=1)
def history(pool: Pool) -> Iterator[Candidate]:
    """An instruction that should beat the scored ones (OPRO)."""

    def scored(path: str, draw: int) -> dict[str, Any]:
        best: dict[str, float] = {}
        for candidate in pool.leaders:
            best.setdefault(candidate.parts[path].instruction, pool.mean(candidate))
        ascending = sorted(best.items(), key=lambda item: item[1])[-8:]
        lines = [f"{text} | score {100 * mean:.0f}" for text, mean in ascending]
        return {"scored": lines, "examples": _pairs(pool, path, draw)}

    yield from _written(pool, WriteInstruction, scored)


def _written(pool: Pool, step: type[Signature], inputs: Callable[[str, int], dict[str, Any]]) -> Iterator[Candidate]:
    """Yield a parent with the instruction that a step writes for one of its predictors."""
    parent, path = pool.parent(), pool.path(pool.search.paths)
    if path is not None:
        given = inputs(path, pool.rng.randrange(2**31))
        for text in pool.search.propose(
            path, Predict(step, max_tokens=_LONGEST), 1, task=pool.search.task(path), **given
        ):
            yield parent.with_part(path, instruction=text)


def _pairs(pool: Pool, path: str, draw: int) -> list[str]:
    return pair_texts(pool.search.examples(path, 4, draw=draw))
