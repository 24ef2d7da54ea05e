"""`CAPO`: instructions and demos evolve together, and a race drops what others beat."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tunesmith.compilers._demos import carried, draw
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._finals import score_finalists, spare_room
from tunesmith.compilers._options import option
from tunesmith.compilers._outcome import Outcome
from tunesmith.compilers._wording import pair_texts
from tunesmith.compilers.compiler import Compiler
from tunesmith.compilers.few_shot import few_shot_candidate
from tunesmith.errors import DataError
from tunesmith.modules import Candidate, Module, Predict
from tunesmith.signatures import Demo, Example, InputField, OutputField, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["CAPO"]

_PAIRS = 4  # of inputs and outputs that the first instructions are written from
_LEAST = 8  # examples that a new candidate should see; with less budget there are fewer iterations


class Begin(Signature):
    """Write one instruction that makes a model solve the task. Be short. Give no answer and no example."""

    task: str = InputField(desc="what goes in and what comes out")
    pairs: list[str] = InputField(desc="inputs and right outputs")
    instruction: str = OutputField()


class Merge(Signature):
    """Merge the two instructions for the task into one that keeps the best of both."""

    task: str = InputField(desc="what goes in and what comes out")
    first: str = InputField()
    second: str = InputField()
    merged: str = OutputField()


class Rewrite(Signature):
    """Write the instruction for the task in other and better words."""

    task: str = InputField(desc="what goes in and what comes out")
    instruction: str = InputField()
    rewritten: str = OutputField()


@dataclass(frozen=True)
class CAPO(Compiler):
    """Evolve instructions and demos, racing with a length penalty (CAPO; Zehle et al. 2025, arXiv 2504.16005).

    In each iteration the prompt model merges the instructions of two parents and rewrites the result; demos are a
    sample of both parents' demos, to which one may be added or from which one may be dropped. Population and children
    race: in blocks, whoever at least `population` others beat by a paired t-test is dropped.

    Differences from the released code (finitearth/promptolution 2.3): the prompt model writes the first instructions,
    if there are no others than the program's; demos come from the training examples, races are on validation; a program
    of several predictors changes one in each child and takes the others from either parent; lengths are in characters;
    the best scored on every example is returned. Races keep their scores by candidate, where the released code mixes
    up candidates and blocks, and children leave their parents' demos as they are.

    It takes `population - 1` calls of the prompt model, `2 * children` in each iteration, a run for each new demo of a
    predictor that labels do not serve, and at most `(population + children) * max_blocks * block` evaluations in an
    iteration, of which those of older candidates are paid for.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.CAPO(metric=ts.metrics.exact_match("label"), iterations=3)
        >>> compiler.plan(train=100, val=50)["proposals"]
        29
    """

    iterations: int = option(8, "How often children are made.", low=1)
    population: int = option(6, "Candidates that survive an iteration.", low=2)
    children: int = option(4, "New candidates in each iteration.", low=1)
    max_demos: int = option(8, "The most demos of a predictor.", low=0)
    length_penalty: float = option(
        0.05, "What a race takes from the scores of a candidate as long as the longest of the first ones.", low=0
    )
    alpha: float = option(0.2, "Level of the tests of a race.", low=0, high=1)
    block: int | None = option(None, "Examples of a block; default a tenth of validation, 30 at most.", low=1)
    max_blocks: int = option(10, "Blocks of a race, at most.", low=1)
    finalists: int = option(3, "Candidates that are scored on every validation example in the end.", low=1)

    @classmethod
    def published(cls, **options: Any) -> Self:
        """Return the compiler with the settings of the released code; `options` go first."""
        return cls(**{"population": 10, "max_demos": 5, "block": 30, "finalists": 1, **options})

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the races as one of all candidates, the proposals, and the runs that demos without labels take."""
        first, later = self.population - 1, self.iterations * self.children
        most = first * self.max_demos + later + train  # the last for the examples that instructions are written from
        return Effort(
            candidates=first + later,
            race="block-race",
            finalists=self.finalists,
            options=self._race_options,
            proposals=first + 2 * later,
            runs=first * self.max_demos // 2 + later // 3 if calls > 1 else 0,
            most_runs=most,
            start=(0, 1),
        )

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate:
        """Return the program with as many labelled demos as a candidate may have."""
        return few_shot_candidate(program, examples, self.max_demos, self.seed)

    def search(self, search: "Search") -> None:
        """Let a population evolve, and score its best on every validation example."""
        family = _Family(self, search)
        population = family.begin()
        longest = max(map(_length, population)) or 1
        for number in range(self.iterations):
            new = sum(not search.seen(candidate) for candidate in population) + self.children
            evaluations = self._share(search, self.iterations - number, new)
            if evaluations < new:
                search.note(f"The evolution ended after {number} of {self.iterations} iterations.")
                break
            raced = [*population, *family.children(population, f"iteration {number + 1}")]
            ranked = search.race(
                raced,
                "block-race",
                finalists=0,
                evaluations=evaluations,
                origins=[family.origins[candidate] for candidate in raced],
                penalties=[self.length_penalty * _length(candidate) / longest for candidate in raced],
                **self._race_options,
            )
            population = ranked[: self.population] or population
        score_finalists(search, population, self.finalists, family.origins)

    @property
    def _race_options(self) -> dict[str, Any]:
        return {"alpha": self.alpha, "block": self.block, "max_blocks": self.max_blocks, "keep": self.population}

    def _share(self, search: "Search", iterations: int, new: int) -> int:
        """Return the evaluations of the next of `iterations` races, which has `new` candidates."""
        spare = spare_room(search, self.finalists)
        if spare is None:
            return (self.population + self.children) * search.size
        left = max(1, min(iterations, spare // (self.children * (2 + _LEAST))))
        return (spare - 2 * left * self.children) * new // (new + (left - 1) * self.children)


class _Family:
    """Makes the first candidates and their children.

    Attributes:
        origins: where each candidate comes from; no candidate is made twice.
    """

    def __init__(self, compiler: CAPO, search: "Search") -> None:
        self._compiler, self._search, self._rng = compiler, search, search.rng("capo")
        self.origins: dict[Candidate, str] = {search.base: ""}
        self._places = [path for path in search.base.parts if path in {*search.paths, *search.demo_paths}]
        self._turn = 0
        self._formats: dict[str, str | None] = {}
        self._pools: dict[str, list[Demo]] = {}  # labelled demos
        for path in search.demo_paths:
            pool, given = search.labelled(path), search.base.parts[path].format
            self._formats[path], self._pools[path], note = carried(search.job.program, path, given, pool.demos)
            search.note(*(text for text in (note, pool.note(path)) if text and pool.demos and compiler.max_demos))

    def begin(self) -> list[Candidate]:
        """Return the program as given, and variants with other instructions and some demos."""
        search, compiler, rng = self._search, self._compiler, self._rng
        spare = spare_room(search, compiler.finalists)
        count = compiler.population - 1
        count = count if spare is None else max(1, min(count, spare // _LEAST))
        most = compiler.max_demos
        if spare is not None and not all(self._pools.values()):
            most = min(most, max(0, spare) // (2 * count))  # each of these takes a run
        texts = {
            path: self._first(path, len(range(k, count, len(search.paths)))) for k, path in enumerate(search.paths)
        }
        for number in range(count):
            member = search.base
            path = search.paths[number % len(search.paths)] if search.paths else ""
            if texts.get(path):
                member = member.with_part(path, instruction=texts[path].pop(0))
            wanted = rng.randint(0, most)
            examples = rng.sample(search.train, min(wanted, len(search.train)))
            found = {path: self._new_demos(member, path, examples, ()) for path in search.demo_paths}
            for path, demos in found.items():
                member = self._with_demos(member, path, demos)
            self.origins.setdefault(member, f"start {number + 1}")
        return list(self.origins)

    def children(self, population: Sequence[Candidate], origin: str) -> list[Candidate]:
        """Return new children of the population."""
        found = []
        for _ in range(self._compiler.children if self._places else 0):
            child = self._child(*self._rng.sample(population, 2) if len(population) > 1 else [*population] * 2)
            if child not in self.origins:
                self.origins[child] = origin
                found.append(child)
        return found

    def _child(self, mother: Candidate, father: Candidate) -> Candidate:
        path, child = self._places[self._turn % len(self._places)], mother
        self._turn += 1
        for other, part in father.parts.items():
            if other != path and self._rng.random() < 0.5:
                child = child.with_demos(other, part.demos, father.nearest(other))
                child = child.with_part(other, instruction=part.instruction, format=part.format)
        if path in self._search.paths:
            child = child.with_part(path, instruction=self._merged(path, mother, father))
        if path in self._pools:
            child = self._with_demos(child, path, self._mixed(child, path, mother, father))
        return child

    def _first(self, path: str, count: int) -> list[str]:
        if not count:
            return []
        pairs = pair_texts(self._search.examples(path, _PAIRS))
        return self._search.propose(path, _step(Begin), count, task=self._search.task(path), pairs=pairs)

    def _merged(self, path: str, mother: Candidate, father: Candidate) -> str:
        """Return the instruction of a child: what cannot be used is left out, down to the mother's own."""
        task, first, second = self._search.task(path), mother.parts[path].instruction, father.parts[path].instruction
        merged = self._search.propose(path, _step(Merge), 1, task=task, first=first, second=second) or [first]
        return (self._search.propose(path, _step(Rewrite), 1, task=task, instruction=merged[0]) or merged)[0]

    def _mixed(self, child: Candidate, path: str, mother: Candidate, father: Candidate) -> list[Demo]:
        """Return half of both parents' demos, of which one is dropped or to which one is added, or neither."""
        rng, both = self._rng, [*mother.parts[path].demos, *father.parts[path].demos]
        known = list({demo.key: demo for demo in both}.values())
        demos = rng.sample(known, min(len(both) // 2, len(known), self._compiler.max_demos))
        dice = rng.random()
        if dice < 1 / 3:
            more = len(demos) < self._compiler.max_demos and bool(self._search.train)
            demos += self._new_demos(child, path, rng.sample(self._search.train, int(more)), demos)
        elif dice < 2 / 3 and demos:
            demos.pop(rng.randrange(len(demos)))
        rng.shuffle(demos)
        return demos

    def _new_demos(
        self, candidate: Candidate, path: str, examples: Sequence[Example], besides: Sequence[Demo]
    ) -> list[Demo]:
        """Return as many new demos: labelled ones; if labels do not serve the predictor, what it made of `examples`."""
        search, signature, pool = self._search, self._search.signature(path), self._pools[path]
        if pool:
            return list(draw(signature, [demo for demo in pool if demo not in besides], len(examples), self._rng))
        made = [_shot(signature, path, outcome) for outcome in search.outcomes(candidate, examples)] if examples else []
        given, program = search.base.parts[path].format, search.job.program
        return [
            demo
            for demo in made
            if demo is not None and demo not in besides and carried(program, path, given, [demo])[:2] == (given, [demo])
        ]

    def _with_demos(self, candidate: Candidate, path: str, demos: Sequence[Demo]) -> Candidate:
        given = self._search.base.parts[path].format
        return candidate.with_demos(path, demos).with_part(path, format=self._formats[path] if demos else given)


def _shot(signature: type[Signature], path: str, outcome: Outcome) -> Demo | None:
    """Return what the predictor made of an example that the program got right, else the labels alone."""
    values = dict(outcome.example.items())
    if outcome.score:
        steps = [step for step in outcome.steps if step.predictor == path]
        if not steps:
            return None
        values = {**steps[-1].inputs, **steps[-1].outputs}
    elif not all(name in values for name in signature.input_fields):
        return None
    known = {name: values[name] for name in signature.fields if name in values}
    try:
        return Demo.of(signature, {**known, "augmented": True} if outcome.score else known)
    except DataError:  # a value without a form as a demo, or no label of this predictor
        return None


def _step(signature: type[Signature]) -> Predict:
    return Predict(signature, temperature=1.0, max_tokens=300)


def _length(candidate: Candidate) -> int:
    """Return the characters of all instructions and demos."""
    return sum(
        len(part.instruction)
        + sum(len(str(value)) for demo in part.demos for side in (demo.inputs, demo.outputs) for value in side.values())
        for part in candidate.parts.values()
    )
