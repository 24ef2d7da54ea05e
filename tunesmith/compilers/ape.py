"""`APE`: instructions guessed from pairs of inputs and outputs, filtered in stages, varied, filtered again."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from tunesmith.compilers._bootstrap import expected_attempts
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers._wording import pair_texts
from tunesmith.compilers.compiler import Compiler
from tunesmith.data import Dataset
from tunesmith.errors import UsageError, shown
from tunesmith.evaluation import RACES
from tunesmith.lm import LM, as_lm
from tunesmith.modules import Candidate, DspyPredict, Module, Predict
from tunesmith.signatures import InputField, OutputField, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["APE"]

_FINALISTS = 2  # leaders that are scored on every example
_CODE = {"solved": False, "pairs": 5, "form": "forward", "temperature": 0.9, "top_p": 0.9, "max_tokens": 50}

# Of the released code by name: two configurations, `simple_ape`, and the instruction induction tasks.
_PUBLISHED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "default": {**_CODE, "questions": 5, "per_question": 50, "race": "bf", "samples": 50},
        "bandits": {**_CODE, "questions": 5, "per_question": 50, "race": "ucb", "samples": 50}
        | {"prompts": 50, "rounds": 5},
        "simple": {**_CODE, "questions": 5, "per_question": 10, "race": "ucb", "samples": 5}
        | {"prompts": 16, "rounds": 20},
        "induction": {**_CODE, "questions": 3, "per_question": 30, "race": "bf", "samples": 20},
    }
)


class Forward(Signature):
    """A friend followed one instruction. Guess it from what the friend wrote. Write the instruction alone."""

    task: str = InputField(desc="what goes in and what comes out")
    pairs: list[str] = InputField(desc="inputs -> what the friend wrote")
    instruction: str = OutputField(desc="one instruction, without answers or examples")


class Insert(Signature):
    """Write the instruction that belongs in the gap of the text. Write the instruction alone."""

    task: str = InputField(desc="what goes in and what comes out")
    text: str = InputField(desc="with a gap: [GAP]")
    instruction: str = OutputField(desc="one instruction, without answers or examples")


class Vary(Signature):
    """Write the instruction in other words. Keep its meaning."""

    instruction: str = InputField()
    variation: str = OutputField(desc="one instruction, without answers or examples")


@dataclass(frozen=True)
class APE(Compiler):
    """Guess instructions from examples and filter them in stages (APE; Zhou et al. 2022, section 3, algorithm 1).

    Each question shows some pairs and asks what instruction led to them, forward (the instruction comes last) or with
    a gap in the text (`insert`). The multi-stage filter is the paper's; the released code has none and compares by
    `bf` or `ucb`. `iterations` is the paper's iterative Monte Carlo search: the best are varied and filtered again.
    `published` gives the settings of the released code.

    Differences: pairs of a predictor without labels are a teacher's successful runs. With several predictors the
    questions are spread over them, and one after the other is improved with the others as they are by then. All
    candidates meet the same examples (the released code draws other ones for each), and two leaders are scored on
    every example, because only such a candidate can be returned. `scoring` is by the metric (execution accuracy) unless
    it says `likelihood`, the default of the released code; the two leaders are always scored by the metric.

    Cost: `questions * per_question + iterations * variations` proposals. Evaluations are, of `K` candidates, `K *
    samples` with `bf`, `rounds * prompts * samples` with `ucb`, and the sum of `K * share ** stage * samples` with
    `multistage`; then what the leaders lack.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.APE(metric=ts.metrics.exact_match("label"), questions=4, per_question=5)
        >>> compiler.plan(train=40, val=60)["proposals"]
        20
    """

    questions: int = option(6, "Questions, each with pairs of its own, spread over the predictors.", low=1)
    per_question: int = option(5, "Instructions that each question is asked for.", low=1)
    pairs: int = option(5, "Pairs of inputs and outputs in a question.", low=1)
    form: str = option("both", "How a question asks; `both` in turn.", choices=("forward", "insert", "both"))
    temperature: float = option(0.9, "Of proposals.", low=0, high=2)
    top_p: float = option(0.9, "Of proposals.", low=0, high=1)
    max_tokens: int = option(100, "The longest proposal, in tokens; the released code cuts at 50.", low=1)
    scoring: str = option(
        "execution",
        "What instructions are compared by: the metric, or the mean log-probability of the labels' tokens, which needs "
        "a model in this process (llama.cpp) and a program that is one predictor.",
        choices=("execution", "likelihood"),
    )
    race: str = option("multistage", "How instructions are compared.", choices=RACES)
    samples: int = option(8, "Examples of a stage (`multistage`), of a round (`ucb`), of all (`bf`).", low=1)
    share: float = option(0.5, "`multistage`: of the instructions that go on to the next stage.", low=0, high=1)
    few: int = option(3, "`multistage`: how many see every example. They are also those that are varied.", low=1)
    prompts: int = option(8, "`ucb`: instructions in a round.", low=1)
    rounds: int = option(8, "`ucb`: rounds.", low=1)
    solved: bool = option(
        True,  # noqa: FBT003 - the default of an option
        "Whether questions show solved ones of other tasks: so a small model sees what an instruction is.",
    )
    iterations: int = option(0, "How often the best are varied and filtered again.", low=0)
    variations: int = option(6, "Variations in each of these, spread over the predictors.", low=1)

    def check(self, program: Module, train: Dataset) -> None:
        """Refuse a program whose labels have no likelihood under one prompt."""
        if self.scoring == "likelihood" and not isinstance(program, DspyPredict):
            raise UsageError(
                "`scoring='likelihood'` scores the labels after one prompt, so it needs a program that is a predictor. "
                f"Given: {type(program).__name__}. Use `scoring='execution'`."
            )

    def check_model(self, program: Module, lm: LM) -> None:
        """Refuse an engine that cannot score a given reply."""
        own = next((as_lm(one.lm) for _, one in program.named_predictors() if one.lm is not None), lm)
        if self.scoring == "likelihood" and not own.capabilities.forced:
            raise UsageError(
                f"`scoring='likelihood'` needs an engine that gives the log-probability of a given reply, and that of "
                f"{own.model} does not. Models in this process do, such as `ts.lm('embedded')`; or use "
                "`scoring='execution'`."
            )

    @classmethod
    def published(cls, name: str = "default", **options: Any) -> Self:
        """Return the compiler with settings of the released code (keirp/automatic_prompt_engineer).

        Args:
            name: `default` (250 prompts on 50 examples each), `bandits` (the same by UCB), `simple` (`simple_ape`, 50
                prompts) or `induction` (90 prompts on 20 examples each).
            options: others, or further ones.

        Raises:
            UsageError: no such settings.

        Example:
            >>> APE.published("simple").rounds
            20
        """
        if name not in _PUBLISHED:
            raise UsageError(f"There are no settings {shown(name)}. Use one of: {', '.join(_PUBLISHED)}.")
        return cls(**{**_PUBLISHED[name], **options})

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return one race of all instructions, and a teacher's runs if a program of several steps needs them."""
        asked = self.questions * self.per_question
        more, wanted = self.iterations * self.variations, 2 * self.pairs
        twice = _FINALISTS if self.scoring == "likelihood" else 0  # the best are scored by the metric too
        return Effort(
            candidates=asked + more + twice,
            race=self.race,
            finalists=_FINALISTS,
            evaluations=self._evaluations(asked + more),
            options=self._race_options,
            proposals=asked + more,
            runs=expected_attempts(wanted, train=train, rounds=1) if calls > 1 else 0,
            most_runs=train,
        )

    def search(self, search: "Search") -> None:
        """Improve one predictor after the other."""
        best, count = search.base, len(search.paths)
        for number, path in enumerate(search.paths):
            found = self._generated(search, best, path, range(number, self.questions, count))
            more = len(range(number, self.variations, count))
            for _ in range(self.iterations if more else 0):
                found = self._race(search, found, finalists=0)[: self.few]
                found += self._varied(search, found, path, more)
            best = search.better(best, self._race(search, found, finalists=_FINALISTS))

    def _generated(self, search: "Search", best: Candidate, path: str, questions: range) -> list[Candidate]:
        found: list[str] = []
        for number in questions:
            # Of twice as many pairs, so that questions differ also if a teacher's runs give no more than these.
            pairs = pair_texts(search.examples(path, 2 * self.pairs, draw=number)[: self.pairs])
            if self.form == "insert" or (self.form == "both" and number % 2):
                given: dict[str, Any] = {"text": _with_gap(pairs)}
                step = self._step(Insert)
            else:
                given, step = {"pairs": pairs}, self._step(Forward)
            found += search.propose(path, step, self.per_question, task=search.task(path), **given)
        return [best.with_part(path, instruction=text) for text in found]

    def _varied(self, search: "Search", found: list[Candidate], path: str, count: int) -> list[Candidate]:
        texts: list[tuple[Candidate, str]] = []
        for place, candidate in enumerate(found):
            wanted = len(range(place, count, len(found)))
            given = candidate.parts[path].instruction
            if wanted:
                new = search.propose(path, self._step(Vary), wanted, instruction=given)
                texts += [(candidate, text) for text in new]
        return [candidate.with_part(path, instruction=text) for candidate, text in texts]

    def _step(self, signature: type[Signature]) -> Predict:
        step = Predict(signature, temperature=self.temperature, top_p=self.top_p, max_tokens=self.max_tokens)
        step.demos = [dict(demo) for demo in _SOLVED.get(signature, ())] if self.solved else []
        return step

    def _race(self, search: "Search", candidates: list[Candidate], *, finalists: int) -> list[Candidate]:
        if not candidates:
            return []
        if self.scoring == "likelihood":
            ranked = self._by_likelihood(search, candidates)
            return search.race(ranked[:finalists], "full", finalists=finalists) if finalists else ranked
        return search.race(
            candidates,
            self.race,
            finalists=finalists,
            evaluations=self._evaluations(len(candidates)),
            **self._race_options,
        )

    def _by_likelihood(self, search: "Search", candidates: list[Candidate]) -> list[Candidate]:
        total, room, wanted = len(candidates) * search.size, search.room(), self._evaluations(len(candidates))
        budget = min(total if limit is None else limit for limit in (total, room, wanted))
        extend = partial(_extend, search, candidates)
        found = RACES[self.race](len(candidates), extend, search.size, budget, seed=self.seed, **self._race_options)
        search.note(f"{len(candidates)} instructions were compared by the likelihood of the labels.")
        return [candidates[one.candidate] for one in found]

    def _evaluations(self, candidates: int) -> int | None:
        known = {
            "bf": candidates * self.samples,
            "ucb": self.rounds * self.prompts * self.samples,
            "multistage": sys.maxsize,  # its stages limit it
        }
        return known.get(self.race)

    @property
    def _race_options(self) -> dict[str, Any]:
        known: dict[str, dict[str, Any]] = {
            "bf": {"samples": self.samples},
            "ucb": {"samples": self.samples, "prompts": self.prompts},
            "multistage": {"block": self.samples, "share": self.share, "few": self.few},
        }
        return known.get(self.race, {})


def _extend(search: "Search", candidates: Sequence[Candidate], index: int, n: int) -> list[float | None]:
    return search.likelihoods(candidates[index], n)


def _with_gap(pairs: list[str]) -> str:
    return "\n".join(["I gave a friend this instruction: [GAP]", "The friend read the inputs and wrote:", *pairs])


_TASKS = (
    (
        "word -> plural",
        ["word: cat -> plural: cats", "word: child -> plural: children"],
        "Write the plural of the word.",
    ),
    (
        "question -> kind (one of: person, place)",
        ["question: Who wrote Hamlet? -> kind: person", "question: Where is Oslo? -> kind: place"],
        "Read the question and decide whether it asks for a person or for a place.",
    ),
)
_SOLVED: Mapping[type[Signature], list[dict[str, Any]]] = {
    Forward: [{"task": task, "pairs": pairs, "instruction": text} for task, pairs, text in _TASKS],
    Insert: [{"task": task, "text": _with_gap(pairs), "instruction": text} for task, pairs, text in _TASKS],
    Vary: [{"instruction": _TASKS[0][2], "variation": "Give the form of the word that stands for several."}],
}
