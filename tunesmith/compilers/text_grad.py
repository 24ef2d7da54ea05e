"""`TextGrad`: remarks on the answers go backward through the predictors, and change instructions and demos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any, Self

from tunesmith.compilers._anew import written_anew
from tunesmith.compilers._demos import carried
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._gates import gains_on_train, scored_whole, total
from tunesmith.compilers._options import option
from tunesmith.compilers._outcome import Outcome
from tunesmith.compilers._study import check_limits
from tunesmith.compilers._turns import next_path
from tunesmith.compilers._wording import values_in_words
from tunesmith.compilers.compiler import Compiler
from tunesmith.data import content_key
from tunesmith.errors import DataError
from tunesmith.evaluation import Step
from tunesmith.modules import Candidate, Predict
from tunesmith.signatures import Demo, InputField, OutputField, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["TextGrad"]

_BEST, _FAILED = 3, 5  # earlier instructions that a proposal is shown
_UNKNOWN, _KNOWN = 0.5, 0.05  # weights of a demo whose example was not run, and of one that was answered right


class Criticise(Signature):
    """Say in one sentence what is wrong with the answer, or that it is right."""

    run: str = InputField(desc="inputs, the answer, and what is right")
    critique: str = OutputField()


class Backward(Signature):
    """Say in one sentence how the output of this step should change, so that what follows gets better."""

    task: str = InputField(desc="what the step gets and gives")
    run: str = InputField(desc="inputs and output of the step")
    remarks: str = InputField(desc="on what followed from the output")
    change: str = OutputField()


class Improve(Signature):
    """Write a better instruction for one step of a program: one change that answers the remarks. Copy no example."""

    task: str = InputField(desc="what the step gets and gives")
    instruction: str = InputField(desc="that is used now")
    remarks: list[str] = InputField(desc="runs of the step, and what was wrong")
    best: list[str] = InputField(desc="earlier instructions, the best last")
    failed: list[str] = InputField(desc="that were no better: write none of these")
    others: list[str] = InputField(desc="instructions of the other steps")
    change: str = OutputField(desc="the change, in one sentence")
    better: str = OutputField(desc="the new instruction")


_CRITICISE, _BACKWARD = Predict(Criticise, max_tokens=150), Predict(Backward, max_tokens=150)
_IMPROVE = Predict(Improve, max_tokens=500)


@dataclass(frozen=True)
class TextGrad(Compiler):
    """Send remarks backward through the predictors of a program and improve instructions and demos by them.

    Yuksekgonul et al. 2024, "TextGrad: Automatic Differentiation via Text", section 3, in the form of LLM-AutoDiff
    (Yin and Wang 2025, arXiv 2501.16673), which knows the predictors of a program, earlier instructions and demos. A
    few training examples are run. What the metric says of a wrong answer is the remark on the predictor that gave it;
    the remark on an earlier one is asked of the prompt model, from the remarks on those that used its output. Then an
    instruction is rewritten, with the best and the failed ones before it in sight.

    `TextGrad.published` is the flow of the package textgrad: the prompt model criticises every answer, all predictors
    are rewritten in each step, and the result is taken as it is or, with `revert`, if it is no worse on validation. By
    default, for budgets of 200 to 400 calls: right answers are passed over, one predictor is changed at a time, and a
    change has to win on the batch and then on validation. With the rewrite a set of demos is tried, and both together;
    a demo is the likelier the more a teacher's score on it is above the student's. Every third step, the first one
    included, writes the instruction from labelled examples alone.

    A published step costs `b` runs, `b` critiques, a remark for each run of a predictor in them, a rewrite for each
    predictor, and validation with `revert`. A step of ours costs `b` runs, a remark for each of up to `errors` failures
    and each predictor before the last, a rewrite, up to `3 b` runs of children, and validation if one of them wins.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> ts.TextGrad.published().steps
        12
    """

    command_name = "textgrad"

    steps: int = option(20, "How often instructions and demos are changed.", low=1)
    minibatch: int = option(3, "Training examples of a step.", low=1)
    most_minibatch: int = option(
        12, "Up to how many training examples a child is compared on while fewer do not tell.", low=1
    )
    errors: int = option(2, "Failures of a minibatch from which remarks go backward.", low=1)
    perfect: float = option(1.0, "The score from which an answer needs no remark.")
    critique: bool = option(
        default=False, help="Whether the prompt model criticises every answer, in place of what the metric says."
    )
    together: bool = option(default=False, help="Whether all predictors are rewritten in a step, not one in turn.")
    accept: str = option(
        "gated",
        "Which change stays: one that wins on the batch and then on validation, one that is no worse on validation "
        "(`revert`), or each (`always`).",
        choices=("gated", "revert", "always"),
    )
    gate: str = option(
        "leaning",
        "When a child is dropped on validation: if it is behind, or only if it cannot catch up any more (`bound`), as "
        "in AdalFlow.",
        choices=("leaning", "bound"),
    )
    parts: int = option(3, "Parts of validation after which that is asked.", low=1)
    max_demos: int = option(4, "Demos of a set that is tried with a rewrite; 0 for none.", low=0)
    anew_every: int = option(
        3, "Every how many steps, from the first on, an instruction is written from scratch; 0 for never.", low=0
    )
    limits: Mapping[str, float] = option(
        {}, "The most that one example, or a proposal's prompt, may be charged, as in `{tokens = 300}`."
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        self._set(limits=check_limits(self.limits))
        super().__post_init__()

    @classmethod
    def published(cls, *, revert: bool = False, **options: Any) -> Self:
        """Return the flow of the package textgrad: batches of 3, 3 epochs of 4 steps, no choice among candidates.

        Args:
            revert: whether a change is taken back that makes validation worse.
            options: others, such as `metric`.
        """
        flow = {"steps": 12, "minibatch": 3, "errors": 3, "critique": True, "together": True, "max_demos": 0}
        accept = "revert" if revert else "always"
        return cls(**{**flow, "accept": accept, "parts": 1, "anew_every": 0, **options})

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the steps; one of four is expected to give a child that is scored on all of validation."""
        batch, nodes, steps = min(self.minibatch, train), ceil(calls), self.steps
        remarks = batch * (nodes + 1) if self.critique else min(self.errors, batch) * (nodes - 1)
        proposals = steps * (remarks + (nodes if self.together else 1) + (self.anew_every > 0))
        if self.accept != "gated":
            whole = steps if self.accept == "revert" else 1
            return Effort(candidates=whole, proposals=proposals, runs=steps * batch, most_runs=steps * batch)
        runs, most = steps * batch * 3, steps * (4 * batch + 2 * min(self.most_minibatch, train))
        return Effort(
            candidates=steps,
            race="paired-halving",
            finalists=max(1, steps // 4),
            proposals=proposals,
            runs=runs,
            most_runs=most + train,  # without labels a teacher runs first
            start=(2 * batch, 2),
        )

    def search(self, search: "Search") -> None:
        """Take the steps."""
        if search.paths or (search.demo_paths and self.max_demos):
            _Descent(self, search).run()


@dataclass
class _Record:
    """What was tried for one predictor: instructions with their scores on validation, and those that failed."""

    best: list[tuple[float, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class _Descent:
    """One run of TextGrad."""

    def __init__(self, how: TextGrad, search: "Search") -> None:
        self._how, self._search = how, search
        self._now, self._value = search.base, total(search.score(search.base).values())
        paths = [path for path in search.base.parts if path in search.paths or path in search.demo_paths]
        self._records = {path: _Record() for path in paths}
        self._turn = 0
        self._scores: dict[str, float] = {}  # of the student, by predictor and inputs
        self._drawn = 0

    def run(self) -> None:
        for number in range(self._how.steps):
            room = self._search.room()
            if room is not None and room < self._search.size:  # no child could be returned
                break
            runs = self._search.minibatch(self._now, self._how.minibatch, start=number * self._how.minibatch)
            self._note_scores(runs)
            if self._how.critique or any(not self._is_right(run) for run in runs):
                self._step(number, runs)
        if self._now != self._search.base:
            self._search.score(self._now)

    # A step ------------------------------------------------------------------------------------------------------

    def _step(self, number: int, runs: Sequence[Outcome]) -> None:
        anew = self._how.anew_every > 0 and number % self._how.anew_every == 0
        remarks: dict[str, list[str]] = {} if anew else self._remarks(runs)
        paths = self._chosen(runs)
        texts = {path: self._text(path, remarks.get(path, []), number, anew=anew) for path in paths}
        children = self._children({path: text for path, text in texts.items() if text is not None}, paths[0])
        origin = f"{'from scratch' if anew else 'step'} {number + 1}"
        if not children:
            return
        if self._how.accept == "gated":
            self._gate(children, number * self._how.minibatch, origin)
        else:
            self._adopt(children[0], origin)

    def _chosen(self, runs: Sequence[Outcome]) -> list[str]:
        """Return the predictors that are changed: all, or one."""
        known = list(self._records)
        if self._how.together:
            return known
        turns = [known[(self._turn + place) % len(known)] for place in range(len(known))]
        path = next_path(self._search, self._now, runs, turns, perfect=self._how.perfect, blame=False)
        self._turn = known.index(path) + 1
        return [path]

    def _text(self, path: str, remarks: Sequence[str], number: int, *, anew: bool) -> str | None:
        search, record = self._search, self._records[path]
        if path not in search.paths:
            return None
        if anew:
            found = written_anew(search, path, draw=number)
            if found is not None:
                return found
        texts = search.propose(
            path,
            _IMPROVE,
            task=search.task(path),
            instruction=self._now.parts[path].instruction,
            remarks=list(remarks),
            best=[text for _, text in record.best],
            failed=record.failed,
            others=[f"{other}: {part.instruction}" for other, part in self._now.parts.items() if other != path],
        )
        return texts[0] if texts else None

    def _children(self, texts: Mapping[str, str], path: str) -> list[Candidate]:
        """Return what is tried: the rewrite with new demos, alone, and the demos alone, as far as there are any."""
        rewritten = self._now
        for changed, text in texts.items():
            rewritten = rewritten.with_part(changed, instruction=text)
        found = [self._with_demos(rewritten, path), rewritten, self._with_demos(self._now, path)]
        return [child for child in dict.fromkeys(found) if child != self._now]

    def _gate(self, children: Sequence[Candidate], start: int, origin: str) -> None:
        """Let the child stay that wins most on the batch, if it wins on more examples and on validation too."""
        how, search = self._how, self._search
        gains = {
            child: sum(gains_on_train(search, self._now, child, start=start, step=how.minibatch, most=how.minibatch))
            for child in children
        }
        child = max(gains, key=lambda one: gains[one])
        most = max(how.minibatch, how.most_minibatch)
        report = None
        if (
            gains[child] >= 0
            and sum(gains_on_train(search, self._now, child, start=start, step=how.minibatch, most=most)) > 0
        ):
            highest = how.perfect if how.gate == "bound" else None
            report = scored_whole(search, self._now, child, parts=how.parts, origin=origin, highest=highest)
        if report is not None and total(report.values()) > self._value:
            self._take(child, total(report.values()))
        for one in children:
            if one != self._now:
                self._fail(one)

    def _adopt(self, child: Candidate, origin: str) -> None:
        """Take the child, with `revert` if it is no worse on validation."""
        if self._how.accept == "always":
            self._now = child
            return
        value = total(self._search.score(child, origin=origin).values())
        if value >= self._value and self._search.seen(child) == self._search.size:
            self._take(child, value)

    def _take(self, child: Candidate, value: float) -> None:
        self._now, self._value = child, value
        for path, record in self._records.items():
            text = child.parts[path].instruction
            known = [pair for pair in record.best if pair[1] != text]
            record.best = sorted([*known, (value, text)])[-_BEST:]

    def _fail(self, child: Candidate) -> None:
        for path, record in self._records.items():
            text = child.parts[path].instruction
            if text != self._now.parts[path].instruction and text not in record.failed:
                record.failed = [*record.failed, text][-_FAILED:]

    # Remarks -----------------------------------------------------------------------------------------------------

    def _is_right(self, run: Outcome) -> bool:
        return (run.score or 0.0) >= self._how.perfect

    def _remarks(self, runs: Sequence[Outcome]) -> dict[str, list[str]]:
        """Return for each predictor its runs with the remarks on them, from the last predictor to the first."""
        found: dict[str, list[str]] = {path: [] for path in self._records}
        chosen = runs if self._how.critique else [run for run in runs if not self._is_right(run)][: self._how.errors]
        for run in chosen:
            said = self._said_of(run)
            for step, remark in zip(run.steps, said, strict=True):
                if remark and step.predictor in found:
                    found[step.predictor].append(f"{_run_in_words(step)} | {remark}")
        return found

    def _said_of(self, run: Outcome) -> list[str]:
        """Return the remark on each step of a run, empty for one that nothing used."""
        loss, said = self._loss(run), [""] * len(run.steps)
        for place in range(len(run.steps) - 1, -1, -1):
            used = _users(run.steps, place)
            later = " ".join(dict.fromkeys(said[other] for other in used if said[other])) or loss
            step = run.steps[place]
            if not used and not self._how.critique:
                said[place] = loss
            elif step.predictor in self._records:
                said[place] = self._asked(step, later)
            else:
                said[place] = later  # nothing of it changes, but what came before it may
        return said

    def _loss(self, run: Outcome) -> str:
        right = values_in_words(dict(run.example.labels()))
        told = " ".join(text for text in (run.feedback, f"Right would be: {right}." if right else "") if text)
        if not self._how.critique:
            return told
        inputs, outputs = values_in_words(dict(run.example.inputs())), values_in_words(run.outputs or {})
        answers = self._search.ask(_CRITICISE, run=f"{inputs} -> {outputs or 'no answer'} | {told}")
        return answers[0].critique if answers else told

    def _asked(self, step: Step, remarks: str) -> str:
        answers = self._search.ask(
            _BACKWARD, task=self._search.task(step.predictor), run=_run_in_words(step), remarks=remarks
        )
        return answers[0].change if answers else remarks

    # Demos -------------------------------------------------------------------------------------------------------

    def _note_scores(self, runs: Sequence[Outcome]) -> None:
        for run in runs:
            for step in run.steps:
                self._scores[_place(step.predictor, step.inputs)] = run.score or 0.0

    def _with_demos(self, candidate: Candidate, path: str) -> Candidate:
        """Return the candidate with a drawn set of demos, the likelier the more a teacher does better on them."""
        how, search = self._how, self._search
        pool = self._pool(path) if how.max_demos and path in search.demo_paths else []
        if not pool:
            return candidate
        rng = search.rng(f"demos {self._drawn}")
        # The largest of u ** (1 / weight) are a weighted draw without repeats (Efraimidis and Spirakis 2006).
        keys = [rng.random() ** (1 / self._weight(path, demo)) for demo in pool]
        first = sorted(range(len(pool)), key=lambda number: -keys[number])[: how.max_demos]
        name, kept, _ = carried(search.job.program, path, candidate.parts[path].format, [pool[n] for n in first])
        return candidate.with_part(path, demos=tuple(kept), format=name)

    def _pool(self, path: str) -> list[Demo]:
        """Return labelled demos, else those of a teacher's successful runs."""
        search = self._search
        return search.labelled(path).demos or search.examples(path, 3 * self._how.max_demos)

    def _weight(self, path: str, demo: Demo) -> float:
        """Return by how much a teacher, who is right on each demo, scores more than the student."""
        score = self._scores.get(_place(path, demo.inputs))
        return _UNKNOWN if score is None else max(_KNOWN, 1.0 - score / (self._how.perfect or 1.0))


def _users(steps: Sequence[Step], place: int) -> list[int]:
    """Return which later steps got an output of the step at `place`, whole or as a part of a text."""
    given = {content for value in steps[place].outputs.values() if (content := _content(value))}
    return [
        later
        for later in range(place + 1, len(steps))
        if any(content in _content(value) for content in given for value in steps[later].inputs.values())
    ]


def _run_in_words(step: Step) -> str:
    return f"{values_in_words(step.inputs)} -> {values_in_words(step.outputs)}"


def _content(value: Any) -> str:
    return value.strip() if isinstance(value, str) else str(value)


def _place(path: str, inputs: Mapping[str, Any]) -> str:
    try:
        return content_key([path, dict(inputs)])
    except DataError:  # an input of any class, such as a retriever
        return f"{path} {inputs!r}"
