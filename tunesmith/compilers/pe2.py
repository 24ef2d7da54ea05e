"""`PE2`: a prompt is inspected example by example, then rewritten, from any of the nodes so far."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers._outcome import Outcome
from tunesmith.compilers._rounds import KEPT, from_scratch, share_of_round, turns_of
from tunesmith.compilers._wording import fields_in_words, outcome_texts
from tunesmith.compilers.compiler import Compiler
from tunesmith.errors import TunesmithError, UsageError, shown
from tunesmith.evaluation import RACES
from tunesmith.modules import Candidate, Predict, render
from tunesmith.signatures import InputField, OutputField, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["edited_words", "PE2"]

_FINALISTS = 2  # nodes that are scored on every example at the end
_OLD = 2  # as many older nodes as times the beam race again
_PLACE = "[INSTRUCTION]"  # stands in a prompt for the instruction
_COOL, _WARM = 0.5, 0.7  # temperatures of inspections and of all others
_LONG = 300  # tokens of a rewrite
_LONGEST = 2000  # characters of a prompt, and of what a first turn says
_WORD = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|\w+|[^\w\s]")  # some scripts have no spaces

_PUBLISHED: dict[str, dict[str, Any]] = {
    "default": {"rounds": 9, "beam_size": 2, "n_expand": 2, "backtrack": False},
    "script": {"rounds": 3, "beam_size": 4, "n_expand": 4, "backtrack": True},
}
_OF_BOTH = {"scratch": 0, "batch_size": 2, "prompt_max_tokens": 50, "findings_max_tokens": 1500} | {
    "race": "full",
    "runs": None,
}


class Inspect(Signature):
    """Inspect the instruction of a prompt, example by example.

    The prompt shows where the instruction stands. For each example: Is the output right? Did it follow the instruction?
    Does the instruction describe the task well? Is this step the cause? Must the instruction be edited? At the end say
    how to edit it.
    """

    task: str = InputField()
    prompt: str = InputField()
    instruction: str = InputField()
    examples: list[str] = InputField()
    findings: str = OutputField()


class Rewrite(Signature):
    """Write a better instruction by the findings. Keep to the rules. Write the instruction alone, without examples."""

    task: str = InputField()
    prompt: str = InputField()
    examples: list[str] = InputField()
    findings: str = InputField()
    rules: list[str] = InputField()
    instruction: str = InputField()
    new_instruction: str = OutputField()


class RewriteInTurn(Rewrite):
    """Write a better instruction by the findings and by what was learned before. Keep to the rules.

    Write the instruction alone, without examples.
    """

    learned: list[str] = InputField()


class SumUp(Signature):
    """Say in one sentence what the old instruction lacked and what the new one changes."""

    old_instruction: str = InputField()
    findings: str = InputField()
    new_instruction: str = InputField()
    summary: str = OutputField()


@dataclass(frozen=True)
class PE2(Compiler):
    """Inspect a prompt example by example, then rewrite it (PE2; Ye et al. 2023, arXiv 2311.05661, section 3).

    Each round takes the best `beam_size` nodes. A node is a program, and its failures on train are looked up once. For
    each of `n_expand` children the prompt model gets two turns: it inspects the rendered prompt, with the place of the
    instruction marked, and `batch_size` failures; then it sees what it said and writes a new instruction. Further
    parts of the paper are options: `step_size`, `history` (what the lineage learned, and its scores), `backtrack`.

    Cost: `scratch` proposals, and `rounds * beam_size * n_expand * 2` (fewer in the first round if `scratch` and the
    program make fewer nodes than `beam_size`), one more each with `history`, and one more for each rewrite over the
    `step_size`. `PE2.published()` has the defaults of the released code's command line, `PE2.published("script")` those
    of its example script.

    Differences: nodes are programs, and a child's predictor is one that failures are due to (`credit`); nodes race on
    validation by default, not on all of it; the released code stops at a perfect score, this when no node of the beam
    fails; a rewrite over the step size is asked for once more and then dropped, where the code only tells the model.
    Its tutorial text, and `hard_weighted` batches, whose weights are all 1 in the code, are left out.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> ts.PE2.published("script").plan(train=100, val=100)["proposals"]
        72
    """

    rounds: int = option(3, "How often new instructions are written.", low=1)
    beam_size: int = option(2, "Nodes that a round starts from.", low=1)
    n_expand: int = option(3, "New instructions for each of them.", low=1)
    scratch: int = option(2, "Instructions that are written from examples alone before the first round.", low=0)
    batch_size: int = option(3, "Examples that an inspection sees.", low=1)
    batching: str = option("hard", "Which: failures, or any training examples (`random`).", choices=("hard", "random"))
    step_size: int | None = option(
        None, "The most words that may be edited. A rewrite above it is asked for once more, then dropped.", low=1
    )
    prompt_max_tokens: int = option(100, "Words that an instruction may have, as the prompt model is told.", low=1)
    findings_max_tokens: int = option(500, "The longest inspection, in tokens.", low=1)
    history: bool = option(
        False,  # noqa: FBT003 - a default
        "Whether a rewrite sees the earlier instructions of its lineage, their scores, and what they changed.",
    )
    backtrack: bool = option(
        True,  # noqa: FBT003 - a default
        "Whether a round starts from the best of all nodes, not only from those of the round before.",
    )
    runs: int | None = option(32, "Training examples that a node is run on at most; all without a number.", low=1)
    race: str = option("paired-halving", "How nodes are compared; published: all on every example.", choices=RACES)
    evaluations: int = option(128, "The most evaluations of an example in the race of a round; not for `full`.", low=1)
    metric_threshold: float | None = option(
        None, "What the metric must reach for a run to be no failure; without one any value but zero does."
    )
    credit: tuple[str, ...] = option(
        ("replay", "variability"), "How the predictor is found that a failure is due to, if there are several."
    )

    @classmethod
    def published(cls, name: str = "default", **options: Any) -> Self:
        """Return the compiler with settings of the released code (INK-USC/PE2).

        Args:
            name: `default`, of the command line, or `script`, of the example script.
            options: others, or further ones.

        Raises:
            UsageError: no such settings.
        """
        if name not in _PUBLISHED:
            raise UsageError(f"There are no settings {shown(name)}. Use one of: {', '.join(_PUBLISHED)}.")
        return cls(**{**_OF_BOTH, **_PUBLISHED[name], **options})

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the rounds, all but the first with a whole beam."""
        first = min(self.beam_size, 1 + self.scratch)
        parents = first + (self.rounds - 1) * self.beam_size
        runs = self.most_runs(train)
        replays = runs * (1 + math.ceil(calls)) if calls > 1 and "replay" in self.credit else 0
        likely = min(runs, 2 * self.failures)
        races = self.rounds + bool(self.scratch)
        return Effort(
            candidates=self.scratch + parents * self.n_expand,
            race=self.race,
            finalists=_FINALISTS,
            evaluations=None if self.race == "full" else self.evaluations,
            races=races,
            proposals=self.scratch + parents * self.asked,
            runs=parents * likely,
            most_runs=parents * (runs + replays) + (train if self.scratch else 0),
            start=(likely, self.asked + self.scratch),
        )

    def search(self, search: "Search") -> None:
        """Grow nodes from the best ones, and race, round by round."""
        if not search.paths:
            return
        tree = _Tree(self, search)
        try:
            tree.grow()
        finally:  # also if the budget ends
            search.note(*tree.notes())

    @property
    def failures(self) -> int:
        """How many failures of a node are looked for."""
        return self.batch_size * max(self.n_expand, 2) // 2

    @property
    def asked(self) -> int:
        """How many proposals the children of one node take."""
        return self.n_expand * (2 + self.history + (self.step_size is not None))

    def most_runs(self, train: int) -> int:
        """Return on how many of `train` examples a node is run to find its failures, at most."""
        return train if self.runs is None else min(train, self.runs)


@dataclass(frozen=True, slots=True)
class _Node:
    """A program with where it comes from.

    Attributes:
        candidate: the program.
        parent: whose child it is, `None` of the first ones.
        path: of the predictor that was rewritten.
        learned: what the rewrite changed.
    """

    candidate: Candidate
    parent: "_Node | None" = None
    path: str = ""
    learned: str = ""


class _Tree:
    """The nodes of one search."""

    def __init__(self, compiler: PE2, search: "Search") -> None:
        self._own, self._search = compiler, search
        self._nodes: dict[Candidate, _Node] = {search.base: _Node(search.base)}  # the best first
        self._pools: dict[Candidate, dict[str, list[Outcome]]] = {}
        self._copied = 0  # rewrites that hold the mark of a prompt
        self._over = [0, 0]  # rewrites above the step size, of the first and of the second time

    def grow(self) -> None:
        """Write and race, round by round, until no node fails or the budget ends."""
        own, search = self._own, self._search
        beam = self._begun()
        for left in range(own.rounds, 0, -1):
            new = [child for place, node in enumerate(beam) for child in self._children(node, f"{left} {place}")]
            if not new:
                break
            share = self._share(len(new)) if left > 1 else None
            beam = self._raced(new, share, left)
            if share is None:
                return
        for candidate in list(self._nodes)[:_FINALISTS]:
            search.score(candidate)

    def notes(self) -> list[str]:
        """Return what to note of rewrites that were dropped."""
        first, again = self._over
        found = []
        if first:
            text = f"{first} instructions changed more than {self._own.step_size} words and were asked for again"
            found.append(f"{text}; {again} of these changed more again and were dropped.")
        if self._copied:
            found.append(f"{self._copied} instructions held the mark `{_PLACE}` of a prompt and were dropped.")
        return found

    def _begun(self) -> list[_Node]:
        """Return the first nodes: the program as given, and those that are written from examples alone."""
        first = from_scratch(self._search, self._own.scratch)
        new = [_Node(candidate, path=path) for candidate, path in first.items()]
        if not new:
            return list(self._nodes.values())
        share = self._share(len(new))
        beam = self._raced(new, share, 1)
        return [] if share is None else beam

    def _share(self, count: int) -> int | None:
        own, search = self._own, self._search
        wanted = count * search.size if own.race == "full" else own.evaluations
        another = min(own.beam_size, count) * (own.failures + own.asked)
        return share_of_round(search, wanted, count=count, another=another)

    def _raced(self, new: Sequence[_Node], share: int | None, left: int) -> list[_Node]:
        """Return the best nodes, of all or of the new ones, after a race.

        Args:
            new: nodes.
            share: evaluations of the race; `None` if no round follows.
            left: rounds.
        """
        own, search, whole = self._own, self._search, self._own.race == "full"
        old = [*self._nodes.values()][: None if whole else _OLD * own.beam_size] if own.backtrack else []
        self._nodes |= {node.candidate: node for node in new}
        tried = [node.candidate for node in (*new, *old)]
        evaluations = (None if whole else left * own.evaluations) if share is None else share
        options = {KEPT[own.race]: _FINALISTS if share is None else own.beam_size} if own.race in KEPT else {}
        ranked: list[Candidate] = search.race(
            tried, own.race, finalists=0 if share else _FINALISTS, evaluations=evaluations, **dict[str, Any](options)
        )
        self._nodes = {one: self._nodes[one] for one in dict.fromkeys((*ranked, *self._nodes))}
        return [self._nodes[one] for one in ranked[: own.beam_size]]

    def _children(self, node: _Node, name: str) -> list[_Node]:
        """Return the nodes that are written from one."""
        own, search = self._own, self._search
        pool, rng = self._pool(node.candidate), search.rng(f"pe2 {name}")
        found = []
        for path in turns_of(pool, own.n_expand, rng.randrange(len(pool))) if any(pool.values()) else []:
            batch = rng.sample(pool[path], min(own.batch_size, len(pool[path])))
            child = self._child(node, path, batch)
            found += [child] if child is not None else []
        return found

    def _pool(self, candidate: Candidate) -> dict[str, list[Outcome]]:
        """Return for each predictor the outcomes that batches are drawn from; a node's are looked for once."""
        own, search = self._own, self._search
        if candidate in self._pools:
            return self._pools[candidate]
        most, limit, wanted = own.most_runs(len(search.train)), own.metric_threshold, own.failures
        if own.batching == "random":
            ran = search.minibatch(candidate, min(most, wanted))
            by = {path: [one for one in ran if _ran(one, path)] for path in search.paths}
        else:
            wrong: list[Outcome] = []
            for n in range(min(wanted, most), most + wanted, wanted):  # more, until enough of them fail
                wrong = search.failures(candidate, min(n, most), threshold=limit)
                if len(wrong) >= wanted:
                    break
            by = search.credit(candidate, wrong, by=own.credit, threshold=limit)
        return self._pools.setdefault(candidate, by)

    def _child(self, node: _Node, path: str, batch: Sequence[Outcome]) -> _Node | None:
        """Return the node that two turns write: what is wrong, and what is better."""
        own, search, given = self._own, self._search, node.candidate.parts[path].instruction
        shown = {
            "task": search.task(path),
            "prompt": self._prompt(node.candidate, path, batch[0]),
            "instruction": given,
            "examples": outcome_texts(batch, path),
        }
        inspected = search.ask(Predict(Inspect, temperature=_COOL, max_tokens=own.findings_max_tokens), **shown)
        if not inspected:
            return None
        findings = inspected[0].findings[:_LONGEST]
        rules = [f"At most {own.prompt_max_tokens} words."]
        rules += [] if own.step_size is None else [f"Change at most {own.step_size} words."]
        step, more = Rewrite, dict[str, Any]()
        if own.history:
            step, more = RewriteInTurn, {"learned": self._lineage(node, path)}
        text = self._rewritten(path, step, given, findings=findings, rules=rules, **shown, **more)
        if text is None:
            return None
        learned = ""
        if own.history:
            told = {"old_instruction": given, "findings": findings, "new_instruction": text}
            said = search.ask(Predict(SumUp, temperature=_WARM, max_tokens=200), **told)
            learned = said[0].summary[:_LONGEST] if said else ""
        return _Node(node.candidate.with_part(path, instruction=text), node, path, learned)

    def _rewritten(self, path: str, step: type[Signature], given: str, **inputs: Any) -> str | None:
        """Return a new instruction within the step size, which is asked for twice at most."""
        own, search = self._own, self._search
        asked = Predict(step, temperature=_WARM, max_tokens=_LONG)
        for again in (False, True):
            text = next(iter(search.propose(path, asked, **inputs)), None)
            if text is not None and _PLACE in text:  # a small model copies the prompt that it was shown
                self._copied += 1
                return None
            if text is None or own.step_size is None or edited_words(given, text) <= own.step_size:
                return text
            self._over[again] += 1
        return None

    def _lineage(self, node: _Node, path: str) -> list[str]:
        """Return what led to a node: instructions with their scores, and what each changed, the first one first."""
        found: list[str] = []
        here: _Node | None = node
        while here is not None:
            mean = self._search.mean(here.candidate)
            score = "" if mean is None else f"score {mean:.2f}: "
            found.insert(0, f"{score}{here.candidate.parts[path].instruction} {here.learned}".strip())
            here = here.parent
        return found

    def _prompt(self, candidate: Candidate, path: str, outcome: Outcome) -> str:
        """Return the prompt of a predictor as it is sent, with marks for the instruction and for an example's texts."""
        step = next((step for step in outcome.steps if step.predictor == path), None)
        values = dict(outcome.example.inputs() if step is None else step.inputs)
        slots = {name: f"[{name.upper()}]" if isinstance(value, str) else value for name, value in values.items()}
        marked = candidate.with_part(path, instruction=_PLACE, demos=candidate.parts[path].demos[:1])
        predictor = dict(marked.apply(self._search.job.program).named_predictors())[path]
        try:
            return str(render(predictor, lm=self._search.job.lm, **slots))[:_LONGEST]
        except TunesmithError:  # an input of a closed set has no mark
            return f"{_PLACE}\n\n{fields_in_words(self._search.signature(path))}"


def edited_words(old: str, new: str) -> int:
    """Return how many words must be put in, left out or replaced to make `new` of `old`. A sign counts as a word.

    Example:
        >>> edited_words("Say the colour.", "Say the main colour now.")
        2
    """
    before, after = _WORD.findall(old), _WORD.findall(new)
    row = list(range(len(after) + 1))
    for place, word in enumerate(before, 1):
        corner, row[0] = row[0], place
        for at, other in enumerate(after, 1):
            corner, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, corner + (word != other))
    return row[-1]


def _ran(outcome: Outcome, path: str) -> bool:
    return any(step.predictor == path for step in outcome.steps)
