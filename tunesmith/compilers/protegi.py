"""`ProTeGi`: instructions edited by what a model says is wrong with them, a beam, and a bandit that selects."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self

from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers._outcome import Outcome
from tunesmith.compilers._proposals import Step
from tunesmith.compilers._rounds import KEPT, from_scratch, share_of_round, turns_of
from tunesmith.compilers._wording import outcome_texts
from tunesmith.compilers.ape import Vary
from tunesmith.compilers.compiler import Compiler
from tunesmith.evaluation import RACES
from tunesmith.modules import Candidate, Predict
from tunesmith.signatures import InputField, OutputField, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["ProTeGi"]

_FINALISTS = 2  # of the last beam, scored on every example
_REJECTING = 16  # failures that `reject_on_errors` judges by
_LONGEST = 500  # characters of a reason that an edit is shown: a small model goes on and on


class Criticise(Signature):
    """A model follows the instruction and makes these mistakes. Say what is wrong with the instruction."""

    task: str = InputField()
    mistakes: list[str] = InputField()
    instruction: str = InputField()
    fault: str = OutputField()


class Edit(Signature):
    """Write a better instruction for the task, without the fault. Write the instruction alone, without examples."""

    task: str = InputField()
    mistakes: list[str] = InputField()
    instruction: str = InputField()
    fault: str = InputField()
    new_instruction: str = OutputField()


@dataclass(frozen=True)
class ProTeGi(Compiler):
    """Edit instructions along textual gradients and keep a beam of programs (Pryzant et al. 2023, sections 2.1 to 2.3).

    Each round runs the programs of the beam on one minibatch of training examples. For each program the prompt model
    says `n_gradients` times what is wrong with an instruction, writes a better one for each reason, and paraphrases
    these and the old one. A race on validation selects the next beam; the first one also has instructions that are
    written from examples alone.

    A round asks, for each program of the beam, `g + g * r + (g * r * s + 1) * p` proposals, with `g` gradients,
    `r` reasons of each, `s` edits for each reason (one proposal gives all) and `p` paraphrases. `ProTeGi.published()`
    has the defaults of the released code: 72 proposals for a beam of 4, 378 in all.

    Differences: the beam holds programs, and the critiques of one program go to its predictors by how many failures
    each is to blame for (`credit`); candidates meet the examples in a common order, and no pair of them is evaluated
    twice; they are selected on validation, not on train; a program without failures is paraphrased only; edits that
    the guards refuse are dropped before they cost anything; with a budget, the search ends with the round after which
    no other one fits.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> ts.ProTeGi.published().plan(train=1000, val=1000)["proposals"]
        378
    """

    command_name = "protegi"

    rounds: int = option(3, "Updates of the beam.", low=1)
    beam_size: int = option(3, "Programs that a round keeps.", low=1)
    scratch: int = option(2, "Instructions that are written from examples alone and join the first race.", low=0)
    minibatch: int = option(16, "Training examples of a round; every program of the beam is run on the same.", low=1)
    n_gradients: int = option(4, "Critiques of each program, each of other failures.", low=1)
    errors_per_gradient: int = option(4, "Failures that a critique and an edit are shown.", low=1)
    gradients_per_error: int = option(1, "Reasons that a critique gives.", low=1)
    steps_per_gradient: int = option(1, "Instructions that are written for each reason.", low=1)
    mc_samples_per_step: int = option(2, "Paraphrases of each new instruction and of the old one.", low=0)
    max_expansion_factor: int = option(8, "The most new programs of each program of the beam.", low=1)
    reject_on_errors: bool = option(
        False,  # noqa: FBT003 - a default
        "If there are more: keep those that do best on failures of the minibatch, rather than drawn ones.",
    )
    race: str = option("paired-halving", "How the candidates of a round are compared.", choices=RACES)
    evaluations: int = option(128, "The most evaluations of an example in the race of a round.", low=1)
    metric_threshold: float | None = option(
        None, "What the metric must reach for a run to be no failure; without one any value but zero does."
    )
    credit: tuple[str, ...] = option(
        ("replay", "variability"), "How the predictor is found that a failure is due to, if there are several."
    )
    temperature: float = option(0.7, "Of proposals.", low=0, high=2)
    max_tokens: int = option(300, "The longest proposal, in tokens.", low=1)

    @classmethod
    def published(cls, **options: Any) -> Self:
        """Return the compiler with the defaults of the released code, and with what `options` say."""
        published = {
            "rounds": 6,
            "beam_size": 4,
            "scratch": 0,
            "minibatch": 64,
            "race": "bf",
            "evaluations": 32 * 8 * 8,
        }
        return cls(**{**published, **options})

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the rounds, all but the first with a whole beam."""
        parents = 1 + (self.rounds - 1) * self.beam_size
        runs, replays = self._runs(train), 0
        if calls > 1 and "replay" in self.credit:
            replays = min(self.minibatch, train) * (1 + math.ceil(calls))
        return Effort(
            candidates=self.scratch + parents * min(self._grown, self.max_expansion_factor),
            race=self.race,
            finalists=_FINALISTS,
            evaluations=self.evaluations,
            races=self.rounds,
            proposals=self.scratch + parents * self._asked,
            runs=parents * runs,
            most_runs=parents * (runs + replays) + (train if self.scratch else 0),
            start=(runs, self._asked + self.scratch),
        )

    def search(self, search: "Search") -> None:
        """Expand the beam and race, round by round."""
        expansion, beam = _Expansion(self, search), [search.base]
        first = dict.fromkeys(from_scratch(search, self.scratch) if search.paths else (), "from examples alone")
        for number in range(self.rounds if search.paths else 0):
            tried, room = dict.fromkeys(beam, ""), search.room()
            batch = self.minibatch if room is None else min(self.minibatch, max(1, room // (4 * len(beam))))
            for place, parent in enumerate(beam):
                tried = expansion.children(parent, number, place, batch) | tried
            tried, first = tried | first, {}
            left = self.rounds - number
            another = min(self.beam_size, len(tried)) * (self._runs(len(search.train)) + self._asked)
            share = share_of_round(search, self.evaluations, count=len(tried), another=another) if left > 1 else None
            options: dict[str, Any] = {}
            if self.race in KEPT:
                options[KEPT[self.race]] = _FINALISTS if share is None else self.beam_size
            beam = search.race(
                list(tried),
                self.race,
                finalists=_FINALISTS if share is None else 0,
                evaluations=left * self.evaluations if share is None else share,
                origins=[f"round {number + 1}, {origin}" for origin in tried.values()],
                **options,
            )[: self.beam_size]
            if share is None:
                return

    @property
    def _edits(self) -> int:
        return self.n_gradients * self.gradients_per_error * self.steps_per_gradient

    @property
    def _grown(self) -> int:
        """How many new instructions one program gives at most."""
        return self._edits + (self._edits + 1) * self.mc_samples_per_step

    @property
    def _asked(self) -> int:
        """How many proposals that takes."""
        return self.n_gradients * (1 + self.gradients_per_error) + (self._edits + 1) * self.mc_samples_per_step

    def _runs(self, train: int) -> int:
        """Return how many training examples one program and its children are run on."""
        own, most = min(self.minibatch, train), self.max_expansion_factor
        rejects = self.reject_on_errors and self._grown > most
        return own + (min(_REJECTING, own) * min(self._grown, 2 * most) if rejects else 0)


class _Expansion:
    """What one search grows on the programs of its beam."""

    def __init__(self, compiler: ProTeGi, search: "Search") -> None:
        self._compiler, self._search = compiler, search
        self._criticise = self._step(Criticise, "fault", compiler.gradients_per_error)
        self._edit = self._step(Edit, "new_instruction", compiler.steps_per_gradient)
        self._paraphrase = self._step(Vary, "variation", 1)

    def children(self, parent: Candidate, number: int, place: int, batch: int) -> dict[Candidate, str]:
        """Return the new programs of one program of the beam, with where they come from, at most as many as wanted.

        Args:
            parent: a program of the beam.
            number: of the round, from 0; its programs share the minibatch.
            place: of the program in the beam.
            batch: examples of the minibatch.
        """
        own = self._compiler
        limit = own.metric_threshold
        wrong = self._search.failures(parent, batch, threshold=limit, draw=number)
        blame = self._search.credit(parent, wrong, by=own.credit, threshold=limit)
        rng = self._search.rng(f"protegi {number} {place}")
        turns = turns_of(blame, own.n_gradients, number + place)
        edits = [edit for path in turns for edit in self._edits(parent, path, blame[path], rng)]
        again = []
        for path, text in [*edits, (turns[0], parent.parts[turns[0]].instruction)]:
            if own.mc_samples_per_step:
                again += self._written(path, self._paraphrase, own.mc_samples_per_step, instruction=text)
        found = {parent.with_part(path, instruction=text): "edited" for path, text in edits}
        found |= {parent.with_part(path, instruction=text): "paraphrased" for path, text in again}
        return self._fewer(found, wrong, rng)

    def _edits(
        self, parent: Candidate, path: str, wrong: Sequence[Outcome], rng: random.Random
    ) -> list[tuple[str, str]]:
        """Return what one critique of one predictor leads to."""
        if not wrong:
            return []
        drawn = rng.sample(wrong, min(self._compiler.errors_per_gradient, len(wrong)))
        given = {
            "task": self._search.task(path),
            "instruction": parent.parts[path].instruction,
            "mistakes": outcome_texts(drawn, path),
        }
        found = [one.fault for one in self._search.ask(self._criticise, **given)]
        faults = [fault for one in found for fault in (one if isinstance(one, list) else [one])]
        return [
            edit
            for fault in faults[: self._compiler.gradients_per_error]
            for edit in self._written(path, self._edit, 1, fault=fault[:_LONGEST], **given)
        ]

    def _written(self, path: str, step: Step, n: int, **inputs: Any) -> list[tuple[str, str]]:
        return [(path, text) for text in self._search.propose(path, step, n, **inputs)]

    def _fewer(self, found: dict[Candidate, str], wrong: Sequence[Outcome], rng: random.Random) -> dict[Candidate, str]:
        """Return at most as many as one program may have: drawn, or the best on failures of their parent."""
        most, every = self._compiler.max_expansion_factor, list(found)
        if len(every) <= most:
            return found
        if not self._compiler.reject_on_errors or not wrong:
            return {every[index]: found[every[index]] for index in sorted(rng.sample(range(len(every)), most))}
        drawn = [every[index] for index in sorted(rng.sample(range(len(every)), min(len(every), 2 * most)))]
        examples = [one.example for one in rng.sample(wrong, min(_REJECTING, len(wrong)))]
        means = {one: _mean(self._search.outcomes(one, examples)) for one in drawn}
        return {one: found[one] for one in sorted(drawn, key=means.__getitem__, reverse=True)[:most]}

    def _step(self, step: type[Signature], field: str, count: int) -> Step:
        """Return the step at the temperature of the search, its output a list if `count` texts are wanted."""
        if count > 1:
            desc: Any = f"{count} different ones"  # DSPy declares one argument as a mapping of all
            asked = step.with_updated_fields(field, type_=list[str], desc=desc)
            asked.__name__ = step.__name__
            step = asked
        return Predict(step, temperature=self._compiler.temperature, max_tokens=self._compiler.max_tokens)


def _mean(outcomes: Sequence[Outcome]) -> float:
    """Return the mean score; zero if the candidate was not run because it does not fit the context."""
    return fmean(one.score or 0.0 for one in outcomes) if outcomes else 0.0
