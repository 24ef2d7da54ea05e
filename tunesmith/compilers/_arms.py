"""The arms of a portfolio: each makes children of candidates that did well, without evaluating them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tunesmith.compilers._demos import draw
from tunesmith.compilers._pareto import front, merged
from tunesmith.compilers._space import Pools, Space
from tunesmith.compilers._study import Trial
from tunesmith.compilers._surrogate import Surrogate
from tunesmith.compilers._wording import outcome_texts, pair_texts, role_in_words
from tunesmith.compilers.ape import Forward
from tunesmith.compilers.knn_few_shot import knn_candidates
from tunesmith.compilers.opro import WriteInstruction
from tunesmith.evaluation import Report
from tunesmith.formats import carries
from tunesmith.modules import Candidate, Predict, choices_of
from tunesmith.signatures import InputField, OutputField, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["ARMS", "Arm", "Pool"]

_TRIES = 8  # draws for one child that is new
_LONGEST = 120  # tokens of a proposal
_MISTAKES = 4  # training examples that a critique runs


class Criticise(Signature):  # type: ignore[metaclass]  # DSPy's metaclass, seen without py.typed
    """The instruction led to these mistakes. Say in one or two sentences what is wrong with the instruction."""

    task: str = InputField()
    instruction: str = InputField()
    mistakes: list[str] = InputField()
    reason: str = OutputField()


class Edit(Signature):  # type: ignore[metaclass]  # DSPy's metaclass, seen without py.typed
    """Write a better instruction for the task, without the fault. Give no answer and no example."""

    task: str = InputField()
    mistakes: list[str] = InputField()
    instruction: str = InputField()
    fault: str = InputField()
    better: str = OutputField()


class Pool:
    """Candidates of one search, with what is known of them.

    Args:
        search: the compile.
        space: of formats, demos, settings and given instructions.
        pools: of demos.
    """

    def __init__(self, search: "Search", space: Space, pools: Pools) -> None:
        self.search, self.space, self.pools = search, space, pools
        self.rng = search.rng("portfolio")
        self.members = {search.base: "program as given"}  # by candidate the arm it comes from
        self.leaders = [search.base]
        self.sources: dict[str, str] = {}  # by instruction the arm that wrote it
        self._draws = 0

    def report(self, candidate: Candidate) -> Report:
        """Return the report on what the candidate was seen on; it costs nothing."""
        return self.search.score(candidate, self.search.seen(candidate))

    def scores(self) -> dict[Candidate, list[float | None]]:
        """Return the scores of every member that was compared, by example."""
        return {one: self.report(one).values() for one in self.members if self.search.seen(one)}

    def rank(self, surrogate: Surrogate) -> None:
        """Order the members by what is expected of them."""
        seen = [one for one in self.members if self.search.seen(one)]
        self.leaders = [
            one for _, one in sorted(zip(surrogate.means(seen), seen, strict=True), key=lambda pair: -pair[0])
        ]

    def parent(self) -> Candidate:
        """Return a leader, or, as often, one that is best on some examples: the more of them, the likelier."""
        if self.rng.random() < 0.5:
            return self.leaders[0]
        best = self.leaders[: max(2, len(self.leaders) // 2)]
        weights = front([self.report(candidate).values() for candidate in best])
        return self.rng.choices(best, weights)[0] if any(weights) else self.leaders[0]

    def drawn(self) -> Candidate:
        """Return a point of the space at random."""
        self._draws += 1
        return self.space.candidate(Trial(self._draws, {n: self.rng.randrange(k) for n, k in self.space.sizes.items()}))

    def path(self, paths: Iterable[str]) -> str | None:
        """Return one of these predictors at random, `None` if there is none."""
        known = list(paths)
        return self.rng.choice(known) if known else None


@dataclass(frozen=True)
class Arm:
    """One way to make children.

    Attributes:
        name: of the arm.
        children: makes candidates of a pool, new ones if there are any.
        asks: the most proposals of one child.
        runs: the most runs of a program on training examples for one child.
    """

    name: str
    children: Callable[[Pool], Iterator[Candidate]]
    asks: int = 0
    runs: int = 0


ARMS: dict[str, Arm] = {}
"""Every arm by name, in the order in which a new pool tries them."""


def _arm(asks: int = 0, runs: int = 0) -> Callable[[Callable[[Pool], Iterator[Candidate]]], None]:
    def register(function: Callable[[Pool], Iterator[Candidate]]) -> None:
        name = function.__name__.replace("_", "-")
        ARMS[name] = Arm(name, function, asks, runs)

    return register


@_arm()
def draws(pool: Pool) -> Iterator[Candidate]:
    """Points of the space at random: formats, demo sets, settings, given instructions."""
    for _ in range(_TRIES):
        yield pool.drawn()


@_arm()
def nearest(pool: Pool) -> Iterator[Candidate]:
    """Demos chosen for each call."""
    pools = {path: pool.pools.demos(path) for path in pool.search.demo_paths}
    if any(pools.values()):
        parent, k = pool.parent(), pool.rng.choice((2, 4, 4, 8))
        order = pool.rng.choice(("nearest-last", "nearest-last", "nearest-first"))
        yield from knn_candidates(pool.search, (k,), orders=(order,), pools=pools, base=parent)


@_arm()
def demos(pool: Pool) -> Iterator[Candidate]:
    """Other demos for one predictor of a parent."""
    parent, path = pool.parent(), pool.path(pool.search.demo_paths)
    if path is None:
        return
    for _ in range(_TRIES):
        source, count = pool.rng.choice(pool.pools.counts(path))
        known = pool.pools.carried(path, source, parent.parts[path].format)
        yield parent.with_demos(path, draw(pool.search.signature(path), known, count, pool.rng) if count else ())


@_arm()
def formats(pool: Pool) -> Iterator[Candidate]:
    """Another format for one predictor of a parent."""
    parent, path = pool.parent(), pool.path(pool.search.format_paths)
    if path is not None:
        part, signature = parent.parts[path], pool.search.signature(path)
        names = pool.space.formats(path)
        pool.rng.shuffle(names)
        for name in names:
            if name is None or carries(name, signature, part.demos):
                yield parent.with_part(path, format=name)


@_arm()
def settings(pool: Pool) -> Iterator[Candidate]:
    """Another value of a setting of a parent."""
    parent = pool.parent()
    known = [(place, value) for place, values in choices_of(pool.search.job.program).items() for value in values]
    pool.rng.shuffle(known)
    for (path, name), value in known:
        if (path, name) not in pool.search.job.kept.settings:
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
    """An instruction from pairs of inputs and outputs alone, so that a bad one given misleads nobody (APE)."""
    yield from _written(pool, Forward, lambda path, parent, draw: {"pairs": _pairs(pool, path, draw)})


@_arm(asks=2, runs=_MISTAKES)
def critique(pool: Pool) -> Iterator[Candidate]:
    """An instruction edited by what is wrong with it (ProTeGi)."""
    search, parent, path = pool.search, pool.parent(), pool.path(pool.search.paths)
    if path is None:
        return
    draw = pool.rng.randrange(2**31)
    mistakes = outcome_texts(search.failures(parent, _MISTAKES, draw=draw), path)
    if not mistakes:
        return
    about: dict[str, Any] = {
        "task": _role(pool, path),
        "instruction": parent.parts[path].instruction,
        "mistakes": mistakes,
    }
    for found in search.ask(Predict(Criticise, max_tokens=_LONGEST), 1, **about):
        for text in search.propose(path, Predict(Edit, max_tokens=_LONGEST), 1, **about, fault=found.reason):
            yield parent.with_part(path, instruction=text)


@_arm(asks=1)
def history(pool: Pool) -> Iterator[Candidate]:
    """An instruction that should beat the scored ones (OPRO)."""

    def scored(path: str, parent: Candidate, draw: int) -> dict[str, Any]:
        best: dict[str, float] = {}
        for candidate in pool.leaders:
            best.setdefault(candidate.parts[path].instruction, pool.search.mean(candidate) or 0.0)
        lines = [f"{text} | score {100 * mean:.0f}" for text, mean in sorted(best.items(), key=lambda item: item[1])]
        return {"scored": lines[-8:], "examples": _pairs(pool, path, draw)}

    yield from _written(pool, WriteInstruction, scored)


def _written(
    pool: Pool, step: type[Signature], inputs: Callable[[str, Candidate, int], dict[str, Any]]
) -> Iterator[Candidate]:
    parent, path = pool.parent(), pool.path(pool.search.paths)
    if path is None:
        return
    given = inputs(path, parent, pool.rng.randrange(2**31))
    for text in pool.search.propose(path, Predict(step, max_tokens=_LONGEST), 1, task=_role(pool, path), **given):
        yield parent.with_part(path, instruction=text)


def _pairs(pool: Pool, path: str, draw: int) -> list[str]:
    return pair_texts(pool.search.examples(path, 4, draw=draw))


def _role(pool: Pool, path: str) -> str:
    return role_in_words(path, {one: pool.search.signature(one) for one in pool.search.base.parts})
