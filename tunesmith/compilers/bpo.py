"""`BPO`: good and bad answers compared, rules drawn from them, and instructions rewritten by the rules."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunesmith.compilers._effort import Effort
from tunesmith.compilers._lessons import distinct, general
from tunesmith.compilers._options import option
from tunesmith.compilers._outcome import Outcome
from tunesmith.compilers._pairs import Pair, harvest, write_pairs
from tunesmith.compilers._wording import fields_in_words, values_in_words
from tunesmith.compilers.compiler import Compiler
from tunesmith.data import Dataset
from tunesmith.errors import UsageError, shown
from tunesmith.evaluation import RACES
from tunesmith.modules import Candidate, Module, Predict, rewriters_of
from tunesmith.signatures import Demo, InputField, OutputField, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["BPO"]

_FINALISTS = 2  # leaders that are scored on every example
_EXEMPLARS = 4  # rewrites that are shown to a rewriter of inputs


class Contrast(Signature):
    """Compare a good and a bad answer. Say in one sentence what the instruction must say to get good answers.

    The sentence holds for every input: it names nothing of this one.
    """

    instruction: str = InputField()
    given: str = InputField(desc="the input")
    good: str = InputField(desc="a good answer")
    bad: str = InputField(desc="a bad answer")
    lesson: str = OutputField(desc="one general sentence")


class Distil(Signature):
    """Sum up the lessons as a few short rules. Say nothing twice."""

    lessons: list[str] = InputField()
    rules: list[str] = OutputField(desc="short rules for every input")


class Rewrite(Signature):
    """Rewrite the instruction so that it says what the rules say. Keep all that it asks for. Do not answer it."""

    task: str = InputField(desc="what goes in and what comes out")
    instruction: str = InputField()
    rules: list[str] = InputField()
    rewritten: str = OutputField(desc="the instruction alone")


class Prefer(Signature):
    """Say which answer is better: first of all right, then helpful."""

    task: str = InputField(desc="what goes in and what comes out")
    given: str = InputField(desc="the input")
    first: str = InputField(desc="an answer")
    second: str = InputField(desc="another answer")
    better: Literal["first", "second"] = OutputField()


@dataclass(frozen=True)
class BPO(Compiler):
    """Rewrite instructions by rules drawn from good and bad answers, without fine-tuning (BPO; Cheng et al. 2023).

    The paper compares the answers that people preferred and rejected, has a model write a better prompt for each pair
    and fine-tunes a rewriter on these (section 3). Here pairs come from runs of the program on training examples with
    different draws: where two runs of an example score differently, the first step in which they part gives a good and
    a bad answer of one predictor to the same inputs; where no run scores, labels are the good answer. The prompt model
    draws a lesson from each pair, the lessons become a few rules, and each of the predictors with the most pairs gets
    variants of its instruction, which are raced. One variant is the instruction with the rules below it, for a prompt
    model that rewrites badly. `export` writes the pairs for fine-tuning.

    A `ts.Rewriter` in the program is the paper's rewriting of inputs: its instruction is improved in the same way from
    rewrites that helped and that did not, half of its variants are shown up to four rewrites with which the program
    did better than without, and one candidate does not rewrite.

    Cost: `runs * examples` runs of the program, `pairs + predictors * (1 + variants)` proposals, `2 * examples`
    judgements if `judged`, and a race of `predictors * (variants + 1)` candidates.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> ts.BPO(metric=ts.metrics.exact_match("label"), pairs=10, variants=5).plan(train=40, val=50)["proposals"]
        16
    """

    examples: int = option(20, "Training examples that are run.", low=1)
    runs: int = option(4, "Runs of each, the first as always and the others at temperature 1.", low=1)
    gap: float = option(0.5, "The least difference between the scores of a good and a bad run.", low=1e-9)
    judged: bool = option(
        False,  # noqa: FBT003 - the default of an option
        "Whether the judge's model compares two answers that score alike; it must prefer the same one in both orders.",
    )
    pairs: int = option(12, "The most pairs that lessons are drawn from.", low=1)
    bullets: int = option(8, "The most rules.", low=1)
    variants: int = option(6, "Rewritten instructions that are asked for, for each predictor.", low=1)
    predictors: int = option(2, "The most predictors that are improved, those with the most pairs first.", low=1)
    temperature: float = option(0.9, "Of lessons and rewrites.", low=0, high=2)
    race: str = option("paired-halving", "How instructions are compared.", choices=RACES)
    export: str | None = option(
        None, "Folder for the pairs: `dpo.jsonl` (prompt, chosen, rejected) and `rewrites.jsonl` (BPO's rows)."
    )

    def check(self, program: Module, train: Dataset) -> None:
        """Refuse a folder that cannot be written."""
        if self.export is None:
            return
        if not self.export.strip():
            raise UsageError("`export` is empty. Name a folder, or leave it out to export nothing.")
        folder = Path(self.export).absolute()
        there = next(place for place in (folder, *folder.parents) if place.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            what = "may not be written" if there.is_dir() else "is a file"
            raise UsageError(
                f"`export` must be a folder that can be written. Given: {shown(self.export)}, but {shown(str(there))} "
                f"{what}."
            )

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the harvest, the proposals and one race of all variants."""
        predictors, runs = min(self.predictors, max(1, math.ceil(calls))), self.runs * min(self.examples, train)
        return Effort(
            candidates=predictors * (self.variants + 1),
            race=self.race,
            finalists=_FINALISTS,
            proposals=self.pairs + predictors * (1 + self.variants) + (2 * runs // self.runs if self.judged else 0),
            runs=runs,
            most_runs=runs + self.pairs,  # a rewriter's exemplars are run again without it
        )

    def search(self, search: "Search") -> None:
        """Harvest pairs, and improve the predictors that have most of them."""
        if not search.paths:
            return  # every instruction is frozen
        prefer = partial(_prefer, search) if self.judged else None
        found = harvest(search, search.base, examples=self.examples, runs=self.runs, gap=self.gap, prefer=prefer)
        search.note(_note_of(found))
        try:
            paths = sorted(found, key=lambda path: -len(found[path]))[: self.predictors]
            best = search.base
            for path in paths:
                best = self._improved(search, best, path, found[path][: max(1, self.pairs // len(paths))])
        finally:  # also if the budget ends on the way
            if self.export is not None:
                pairs = [pair for several in found.values() for pair in several]
                write_pairs(Path(self.export), search, pairs, search.best()[0])

    def _improved(self, search: "Search", best: Candidate, path: str, pairs: Sequence[Pair]) -> Candidate:
        instruction = best.parts[path].instruction
        rules = self._rules(search, instruction, pairs)
        if not rules:
            search.note(f"No general lesson was drawn from the pairs of `{path}`: its instruction stays.")
            return best
        off = self._unrewritten(search, best, path)
        task = search.task(path)
        step, wanted = Predict(Rewrite, temperature=self.temperature), self.variants - len(off)
        texts = search.propose(path, step, wanted, task=task, instruction=instruction, rules=rules) if wanted else []
        listed = "\n".join([instruction, *(f"- {rule}" for rule in rules)])
        if search.guard(path, listed) is None:
            texts.append(listed)
        tried = [best.with_part(path, instruction=text) for text in dict.fromkeys(texts)]
        if off:
            demos = _exemplars(search, off[0], pairs)
            tried = [one.with_demos(path, demos) if number % 2 == 0 else one for number, one in enumerate(tried)]
        tried += off
        return search.better(best, search.race(tried, self.race, finalists=_FINALISTS) if tried else [])

    def _unrewritten(self, search: "Search", best: Candidate, path: str) -> list[Candidate]:
        """Return the program without its rewriting of inputs, if that is what the predictor at `path` does."""
        place = rewriters_of(search.job.program).get(path)
        return [] if place is None else [best.with_setting(place, "active", value=False)]

    def _rules(self, search: "Search", instruction: str, pairs: Sequence[Pair]) -> list[str]:
        step, cases = Predict(Contrast, temperature=self.temperature), [dict(pair.inputs) for pair in pairs]
        told = []
        for pair in pairs:
            given, good = values_in_words(pair.inputs), values_in_words(pair.good)
            bad = f"no answer ({pair.feedback[:200]})" if pair.bad is None else values_in_words(pair.bad)
            told += search.ask(step, 1, instruction=instruction, given=given, good=good, bad=bad)
        lessons = distinct(general([one.lesson for one in told], cases))
        if not lessons:
            return []
        summed = [rule for one in search.ask(Distil, 1, lessons=lessons) for rule in one.rules]
        return (distinct(general(summed, cases)) or lessons)[: self.bullets]


def _prefer(search: "Search", one: Outcome, other: Outcome) -> bool | None:
    """Return whether the judge prefers `one` in both orders, `None` if it does not prefer the same in both."""
    path = one.steps[-1].predictor if one.steps else search.paths[0]
    task, given = fields_in_words(search.signature(path)), values_in_words(dict(one.example.inputs().items()))
    first, second = (values_in_words(outcome.outputs or {}) for outcome in (one, other))
    as_is = search.judge(Prefer, 1, task=task, given=given, first=first, second=second)
    swapped = search.judge(Prefer, 1, task=task, given=given, first=second, second=first)
    told = tuple(found.better for found in (*as_is, *swapped))
    return {("first", "second"): True, ("second", "first"): False}.get(told)


def _exemplars(search: "Search", off: Candidate, pairs: Sequence[Pair]) -> list[Demo]:
    """Return the rewrites with which the program did better than without any."""
    without = search.outcomes(off, [pair.example for pair in pairs])
    kept = [pair for pair, one in zip(pairs, without, strict=False) if pair.score > (one.score or 0.0)]
    return [Demo(pair.inputs, pair.good) for pair in kept[:_EXEMPLARS]]


def _note_of(found: dict[str, list[Pair]]) -> str:
    if not found:
        return "No two runs of a training example scored differently and no label showed a better answer: no pair."
    counts = ", ".join(f"{len(pairs)} of `{path}`" for path, pairs in found.items())
    return f"Pairs of a good and a bad answer: {counts}."
