"""`Search`: what a compiler works with. It scores, races, bootstraps, asks and guards, within the budget."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tunesmith.compilers._bootstrap import Bootstrapped, bootstrap, passed
from tunesmith.compilers._credit import Credit
from tunesmith.compilers._demos import COST_OF_CHOICE, Count, Pool, labelled_pool
from tunesmith.compilers._effort import Bounds, demos_of, prompt_start, shares
from tunesmith.compilers._fitting import Fitting
from tunesmith.compilers._guard import Guard
from tunesmith.compilers._job import Job
from tunesmith.compilers._mirror import Mirror
from tunesmith.compilers._outcome import Outcome, outcome_of
from tunesmith.compilers._plan import Reserve
from tunesmith.compilers._proposals import Asking, Step
from tunesmith.compilers._report import CompileReport, TrialRecord, untried
from tunesmith.compilers._standing import Standing, Watch
from tunesmith.compilers._study import front_in_words
from tunesmith.compilers._wording import role_in_words
from tunesmith.compilers._work import Progress, Work, rolled
from tunesmith.data import Dataset, example_key, fields_of
from tunesmith.errors import UsageError, shown
from tunesmith.evaluation import RACES, Ledger, Report, Row, Runner, gain, paired_scores
from tunesmith.formats import gives_label_logprobs
from tunesmith.lm import Meter
from tunesmith.modules import Candidate, Likelihood, Prediction
from tunesmith.signatures import Demo, Example, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._study import FrozenTrial

__all__ = ["cost_per_example", "Search"]

_PROBE = 4  # examples that show what a candidate costs
_GIVEN = "program as given"


class Search(Work):
    """One compile in progress. A pair of candidate and example is evaluated once.

    Everything is a function of the seed and of the replies, so that a resumed compile decides as the first one did.

    Attributes:
        job: the compile.
        base: the program as given, as a candidate. Make others of it with `base.with_part(path, instruction=...)`.
        paths: of its predictors, except those whose instruction is frozen: there may be none.
        demo_paths, format_paths: of its predictors, except those whose demos or format are frozen.
        train, val: examples that demos come from, and examples that select, in the common order of all candidates.

    Args: as `Work`, and
        mirror: is told of every candidate that is compared.
        begun: is told of each candidate before its first evaluation.
        watch: is told how candidates stand.
    """

    def __init__(
        self,
        job: Job,
        *,
        meter: Meter | None = None,
        progress: Progress | None = None,
        ledger: Ledger | None = None,
        rescore: bool = False,
        mirror: Mirror | None = None,
        begun: Callable[[Candidate], None] | None = None,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(job, meter=meter, progress=progress, ledger=ledger, rescore=rescore)
        self.base, self.seed = Candidate.of(job.program), job.compiler.seed
        self._signatures: dict[str, type[Signature]] = {p: x.signature for p, x in job.program.named_predictors()}
        self.paths, self.demo_paths = job.kept.free("instruction"), job.kept.free("demos")
        self.format_paths, self.train = job.kept.free("format"), list(job.train)
        order = list(range(len(job.val)))
        random.Random(self.seed).shuffle(order)
        # One shuffled order for all candidates: prefixes of it are comparable.
        self.val = job.val.ordered(order)
        groups = job.val.groups if isinstance(job.val, Dataset) else None
        self._groups = None if groups is None else tuple(groups[index] for index in order)
        self._mirror, self._begun, self._watch = mirror, begun, watch
        self._numbers = {self.base: 0}  # of candidates in the order of their first evaluation
        self._origins: dict[Candidate, str] = {}  # every candidate that was proposed, in order
        self._restored: dict[Candidate, Candidate] = {}  # with what is frozen as it was
        self._mirrored: set[Candidate] = set()
        self._proposed = {path: {part.instruction} for path, part in self.base.parts.items()}
        self._rows: dict[Candidate, list[Row]] = {}
        self._runners: dict[Candidate, Runner] = {}
        self._trained_rows: dict[tuple[Candidate, int], dict[str, Row]] = {}  # by rollout, and the example's key
        self._likely: dict[Candidate, list[float | None]] = {}
        self._labelled: dict[str, Pool] = {}
        self._traced: dict[int, Bootstrapped] = {}  # by how many examples were wanted
        self._report_notes: tuple[str, ...] = ()  # of every report
        self._worst = 0.0  # what a failure counts as: a metric may go below zero
        self._reserve: Reserve | None = None
        self._asking, self._judging = Asking(self), Asking(self, judging=True)
        about = (self, self.base, self._signatures)
        self._credit = Credit(*about, rows_of=self.rows_of, room=self.room, ask=self._asking.ask)
        self._fitting = Fitting(job, self.base, self.val)
        self._guard = Guard(self._signatures, self.base, self.val, self.train, job.kept.protect)

    # What a compiler asks of it --------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many validation examples there are."""
        return len(self.val)

    def signature(self, path: str) -> type[Signature]:
        """Return the signature of the predictor at `path`, its instruction as given.

        Raises:
            UsageError: there is no such path.
        """
        self.base.with_part(path)  # knows its paths
        return self._signatures[path]

    def task(self, path: str) -> str:
        """Return in words what the predictor at `path` gets and gives, and what the others do."""
        return role_in_words(path, self._signatures)

    def rng(self, name: str) -> random.Random:
        """Return a generator of random numbers for one purpose; the same seed and name give the same numbers."""
        return random.Random(f"{self.seed}:{name}")

    def room(self) -> int | None:
        """Return how many more evaluations of one example the budget has room for; `None` without a limit.

        Judged by what the evaluations of the most expensive candidate so far cost.
        """
        left = self.meter.room()
        seen = [rows for rows in self._rows.values() if rows]
        kinds = (
            (left.calls, max((sum(row.calls for row in rows) / len(rows) for rows in seen), default=0)),
            (left.tokens, max((sum(row.tokens for row in rows) / len(rows) for rows in seen), default=0)),
            (left.seconds, max((sum(row.seconds for row in rows) / len(rows) for rows in seen), default=0)),
        )
        rooms = [int(limit / cost) for limit, cost in kinds if limit is not None and cost > 0]
        return min(rooms) if rooms else None

    def score(self, candidate: Candidate, n: int | None = None, *, origin: str = "") -> Report:
        """Return the candidate's report on the first `n` validation examples of the common order, default all.

        Args:
            candidate: what is scored.
            n: examples.
            origin: where the candidate comes from, for the report.

        Raises:
            BudgetExceeded: the budget ended; what was paid for is kept.
        """
        candidate = self._kept(candidate)
        origin = self._propose(candidate, origin)
        report = self._report(candidate, n, origin)
        if report.n >= self.size:
            self._tell_mirror(candidate)
        return report

    def race(
        self,
        candidates: Sequence[Candidate],
        rule: str = "paired-halving",
        *,
        finalists: int = 2,
        evaluations: int | None = None,
        bounds: Bounds = None,
        origins: Sequence[str] = (),
        penalties: Sequence[float] = (),
        judged: Callable[[Candidate], Candidate] | None = None,
        told: "Callable[[int], FrozenTrial] | None" = None,
        **options: Any,
    ) -> list[Candidate]:
        """Compare candidates on validation within the budget, and score the leaders on every example.

        Only what is scored on every example can be returned by the compile.

        Args:
            candidates: what is compared; what is over a limit of the compile on its first examples is left out.
            rule: a name of `RACES`.
            finalists: leaders that are scored on every example; 0 in a round that another one follows.
            evaluations: the most evaluations of an example before the leaders are scored whole; those that were made
                before do not count.
            bounds: lowest and highest score of the metric, if it has such.
            origins: where each candidate comes from, for the report.
            penalties: what is taken from each score of a candidate, in this race alone.
            judged: returns what a candidate is judged by once it was scored, such as the same with offsets for its
                labels; scored on the same examples.
            told: is called with the number of each candidate after the race; what it returns goes to the mirror.
            options: of the rule, such as `survivors=4` of `paired-halving`.

        Returns:
            The candidates that were seen, best first; empty if the budget had no room.

        Raises:
            UsageError: an unknown rule.
            BudgetExceeded: the budget ended; what was paid for is kept.
        """
        if rule not in RACES:
            raise UsageError(f"There is no race {shown(rule)}. Use one of: {', '.join(RACES)}.")
        candidates = [self._kept(candidate) for candidate in candidates]
        names = [*origins, *[""] * (len(candidates) - len(origins))]
        taken = dict(zip(candidates, penalties, strict=bool(penalties)))
        for candidate, origin in zip(candidates, names, strict=True):
            self._propose(candidate, origin)
        try:
            within = self._within_limits(list(dict.fromkeys(candidates)))
            return (
                self._raced(
                    sorted(within, key=prompt_start), rule, finalists, evaluations, bounds, taken, judged, options
                )
                if within
                else []
            )
        finally:  # also if the budget ends on the way: what was scored whole counts
            for number, candidate in enumerate(candidates):
                found = None if told is None else told(number)
                if self.seen(candidate):
                    self._tell_mirror(candidate, found)
                self._runners.pop(candidate, None)

    def bootstrap(
        self, wanted: int, *, rounds: int = 1, threshold: float | None = None, labelled: Count = 0
    ) -> Bootstrapped:
        """Run the teacher on training examples, in order, until `wanted` of them passed the metric; see `bootstrap`."""
        found = bootstrap(
            self, self.train, wanted=wanted, rounds=rounds, threshold=threshold, labelled=labelled, seed=self.seed
        )
        self.note(found.note())
        return found

    def minibatch(
        self, candidate: Candidate, n: int, *, draw: int = 0, start: int = 0, rollout: int = 0
    ) -> list[Outcome]:
        """Run `candidate` on `n` training examples and return what it made of each, with trace and feedback.

        Validation examples are for scores alone: what a proposal has seen cannot select it. A candidate that cannot
        fit the context has no outcomes.

        Args:
            candidate: what is run.
            n: how many training examples, from an order that `draw` and the seed give: the same for all candidates.
            draw: another number gives other examples.
            start: from which place of the order, which goes on without end: epoch after epoch, each shuffled.
            rollout: another number than 0 draws other replies, at temperature 1.

        Raises:
            BudgetExceeded: the budget ended; what was paid for is kept.
        """
        return [self._outcome(example, row) for example, row in self._minibatch(candidate, n, draw, start, rollout)]

    def failures(self, candidate: Candidate, n: int, *, threshold: float | None = None, draw: int = 0) -> list[Outcome]:
        """Return those of a `minibatch` that `candidate` fails on.

        Args:
            candidate: what is run.
            n: how many training examples.
            draw: as `minibatch`.
            threshold: what the metric must reach; without one any value but zero passes.
        """
        pairs = self._minibatch(candidate, n, draw)
        return [self._outcome(example, row) for example, row in pairs if not passed(row, threshold)]

    def outcomes(self, candidate: Candidate, examples: Sequence[Example], *, rollout: int = 0) -> list[Outcome]:
        """Run `candidate` on these training examples, as `minibatch` does, which draws them."""
        return [self._outcome(example, row) for example, row in self._trained(candidate, examples, rollout)]

    def credit(
        self,
        candidate: Candidate,
        outcomes: Sequence[Outcome],
        *,
        by: Sequence[str] = ("replay", "variability"),
        threshold: float | None = None,
    ) -> dict[str, list[Outcome]]:
        """Return for each predictor whose instruction may change the failures that it is to blame for.

        A predictor that did not run is never to blame. The methods are tried in order until one blames a single
        predictor; what none decides goes to all predictors that ran. The report says how often each was blamed. A
        metric that takes `pred_name` and `pred_trace` is asked about each predictor: its words are the feedback there.

        - `replay`: let a predictor give the output of a run that passed, or what the example labels, and run only the
          rest: the first predictor with the largest gain is to blame, and the last one if no other has a gain. At most
          a run of each other predictor's followers for each failure, and nothing if that is more than a fourth of what
          the budget has room for. A teacher, if there is one, is run on the example first.
        - `variability`: the first predictor that gave something else than in a run on the same example that passed.
        - `lm`: the prompt model names it, one call for each failure, and its fix joins the feedback.

        Args:
            candidate: whose outcomes they are.
            outcomes: failures, as `failures` returns them.
            by: `replay`, `variability`, `lm`; none of them for the trace alone.
            threshold: what the metric must reach; without one any value but zero passes.

        Raises:
            UsageError: there is no such method.
            BudgetExceeded: the budget ended; what was paid for is kept.
        """
        found: dict[str, list[Outcome]] = {path: [] for path in self.paths}
        for blamed, outcome in self._credit.blamed(self._kept(candidate), outcomes, by, threshold):
            for path in blamed:
                if path in found:
                    told = self._credit.told(path, outcome)
                    found[path].append(told if told is outcome else self._remarked(told))
        return found

    def rows_of(self, example: Example) -> list[Row]:
        """Return what all candidates so far made of a training example, in order."""
        key = example_key(example)
        return [rows[key] for rows in self._trained_rows.values() if key in rows]

    def labelled(self, path: str) -> Pool:
        """Return the training examples that label every field of one predictor, as demos, and why others do not."""
        if path not in self._labelled:
            self._labelled[path] = labelled_pool(self.signature(path), self.train)
        return self._labelled[path]

    def examples(self, path: str, n: int, *, draw: int = 0) -> list[Demo]:
        """Return up to `n` pairs of inputs and outputs of one predictor: labelled ones, else those of a teacher's runs.

        Args:
            path: of the predictor.
            n: how many.
            draw: another number gives other pairs.
        """
        pool = self.labelled(path).demos
        if not pool:
            if n not in self._traced:
                self._traced[n] = self.bootstrap(n)
            pool = self._traced[n].pools[path]
        return self.rng(f"examples {path} {draw}").sample(pool, min(n, len(pool)))

    def likelihoods(self, candidate: Candidate, n: int) -> list[float | None]:
        """Return the mean log-probability of the labelled outputs on the first `n` validation examples of the order.

        One call for each, of an engine that can be held to a given reply, for a program that is one predictor.

        Args:
            candidate: whose prompts are used.
            n: examples.

        Raises:
            BudgetExceeded: the budget ended; what was paid for is kept.
        """
        found = self._likely.setdefault(candidate, [])
        if len(found) < n:
            ((_, predictor),) = self._kept(candidate).apply(self.job.program).named_predictors()
            program = Likelihood(predictor)
            rest = [Example(**fields_of(example)) for example in self.val[len(found) : n]]
            examples = [example.with_inputs(*example.keys()) for example in rest]
            runner = self.runner(Candidate.of(program), program=program, metric=_likelihood, mode="likelihood")
            found += [row.score for row in runner.run(examples, slots=self.job.compiler.slots).rows]
        return found[:n]

    def ask(self, step: Step, n: int = 1, /, **inputs: Any) -> list[Prediction]:
        """Return up to `n` proposals of a step by the prompt model: typed predictions, without those it cannot read.

        Each is one call or more of the role `prompt`: metered, cached, in the ledger, and given back on resume. The
        same question asked again gives other proposals. Lists among the inputs lose texts from their ends until the
        question is within the compile's limit of tokens, if it has one, and within the model's context.

        Args:
            step: a signature, or a program.
            n: proposals.
            inputs: of the step.

        Raises:
            UsageError: the inputs are not the step's.
            BudgetExceeded: the budget ended; what was paid for is kept.
        """
        return self._asking.ask(step, n, inputs)

    def judge(self, step: Step, n: int = 1, /, **inputs: Any) -> list[Prediction]:
        """Return up to `n` judgements of a step by the judge's model, in the role `judge`: as `ask` in all else."""
        return self._judging.ask(step, n, inputs)

    def propose(self, path: str, step: Step, n: int = 1, /, *, most: int = 2000, **inputs: Any) -> list[str]:
        """Return up to `n` new instructions of the predictor at `path`: asked for, cleaned, guarded, each once.

        The last output of the step is the instruction, or a list of them. What is left out is counted by its reason in
        the report: a small model writes much that is of no use.

        Args:
            path: of the predictor.
            step: as `ask`.
            n: proposals; a step that gives lists gives more instructions.
            most: as `guard`.
            inputs: of the step. `Search.task`, `fields_in_words`, `pair_texts` and `outcome_texts` of
                `tunesmith.compilers` make some.

        Raises: as `ask`.
        """
        found = []
        for text in self._asking.texts(step, n, inputs):
            why = self.guard(path, text, most=most)
            if why is None and text in self._proposed[path]:
                why = "it was proposed before"
            self._asking.judge(step, why)
            if why is None:
                self._proposed[path].add(text)
                found.append(text)
        return found

    def guard(self, path: str, text: object, *, most: int = 2000) -> str | None:
        """Return why `text` may not be the instruction of a predictor, `None` if it may: before anything is paid.

        It may not be empty or longer than `most` characters (or twice the program's own), drop what the program's own
        instruction leans on (fields, placeholders, numbers), forge a field in a prompt, be in another script, repeat an
        example or give an answer away; `docs/compilers.md` has the rules.
        """
        self.signature(path)
        if path not in self.paths:
            return f"the instruction is frozen: of `{path}`"
        return self._guard.why_not(path, text, most)

    # What was found --------------------------------------------------------------------------------------------

    def better(self, best: Candidate, ranked: Sequence[Candidate]) -> Candidate:
        """Return the first of `ranked`, as a race ranks, if it did better than `best` on the examples it has seen.

        What `best` was not scored on is evaluated.
        """
        if not ranked:
            return best
        n = self.seen(ranked[0])
        won = paired_scores(self.score(best, n), self.score(ranked[0], n)).mean
        return ranked[0] if won is not None and won > 0 else best

    def seen(self, candidate: Candidate) -> int:
        """Return on how many validation examples the candidate was scored."""
        return len(self._rows_of(candidate))

    def mean(self, candidate: Candidate) -> float | None:
        """Return its mean score on those."""
        return Report(tuple(self._rows_of(candidate)), self._worst).mean

    def values(self, candidate: Candidate) -> tuple[float, ...] | None:
        """Return how the candidate did in each objective, on the examples it was seen on; `None` without a score."""
        rows, mean = self._rows_of(candidate), self.mean(candidate)
        if mean is None:
            return None
        return tuple(mean if name == "score" else cost_per_example(rows, name) for name in self.job.objectives)

    def excess(self, candidate: Candidate) -> dict[str, float]:
        """Return by how much the candidate is over each limit; zero or less is within."""
        rows = self._rows_of(candidate)
        return {name: cost_per_example(rows, name) - limit for name, limit in self.job.limits.items()} if rows else {}

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """Every candidate that was compared, in the order in which they were proposed."""
        tried = [(candidate, origin) for candidate, origin in self._origins.items() if self.seen(candidate)]
        return tuple(
            TrialRecord(number, candidate, origin, self.mean(candidate), self.seen(candidate))
            for number, (candidate, origin) in enumerate(tried)
        )

    def best(self) -> tuple[Candidate, Report, Report]:
        """Return the best fully scored candidate, its report and that of the program as given.

        The program as given wins ties: a candidate must have a paired gain above zero, and be within the limits.
        """
        base = self._report(self.base, None, _GIVEN)
        chosen, chosen_report, lead = self.base, base, 0.0
        for candidate in self._origins:
            if candidate == self.base or self.seen(candidate) < self.size or self._is_over(candidate):
                continue
            report = self._report(candidate, None, "")
            found = paired_scores(base, report).mean
            if found is not None and found > lead:
                chosen, chosen_report, lead = candidate, report, found
        return chosen, chosen_report, base

    def finish(self) -> CompileReport:
        """Return what was found."""
        chosen, report, base = self.best()
        self.note(
            *self._asking.notes(),
            *self._judging.notes(),
            *self._credit.notes(),
            *self._notes_of_costs(),
            *self._notes_of_choice(chosen),
        )
        for candidate in self._origins:
            if self.seen(candidate):
                self._tell_mirror(candidate)
        if self._mirror is not None:
            self._mirror.note("chosen", chosen.key)
        return CompileReport(
            compiler=self.job.compiler.name,
            baseline=base,
            compiled=report,
            candidate=chosen,
            baseline_candidate=self.base,
            gain=gain(base, report),
            trials=tuple(sorted(self.trials, key=lambda t: (-t.n, -(t.mean or 0.0), t.number))),
            notes=tuple(self.notes),
            charged=self.meter.charged,
            paid=self.meter.paid,
            seed=self.seed,
        )

    # What the compile sets -------------------------------------------------------------------------------------

    def keep_for_test(self, examples: int) -> None:
        """Leave as much of the budget as testing two programs on `examples` examples takes; of calls see `_plan`."""
        found = Reserve(examples, self.meter, self.job.slots)
        self._reserve = found if found.active else None

    @property
    def keeps(self) -> bool:
        """Whether a part of the budget is kept for the test by what the rows so far cost."""
        return self._reserve is not None

    # Inside ----------------------------------------------------------------------------------------------------

    def _minibatch(
        self, candidate: Candidate, n: int, draw: int, start: int = 0, rollout: int = 0
    ) -> list[tuple[Example, Row]]:
        return self._trained(candidate, self.job.train.ordered(self._drawn(n, draw, start)), rollout)

    def _trained(
        self, candidate: Candidate, examples: Sequence[Example], rollout: int = 0
    ) -> list[tuple[Example, Row]]:
        """Return what `candidate` made of training examples; each is run once in a rollout."""
        candidate = self._kept(candidate)
        if not self._fits(candidate):
            return []
        rows = self._trained_rows.setdefault((candidate, rollout), {})
        keyed = {key: example for example in examples if (key := example_key(example)) not in rows}
        program, lm = rolled(self.job.program, rollout), self.job.lm.rolled(rollout) if rollout else self.job.lm
        found = self.runner(candidate, program=program, lm=lm, steps=True).run(
            list(keyed.values()),
            slots=self.job.compiler.slots,
            progress=self._teller("training examples", 0, len(keyed)),
            failed=Report(tuple(rows.values())).metric_errors,
            total=len(self.train),
        )
        rows.update(zip(keyed, found.rows, strict=True))
        return [(example, rows[example_key(example)]) for example in examples]

    def _outcome(self, example: Example, row: Row) -> Outcome:
        return self._remarked(outcome_of(example, row))

    def _remarked(self, outcome: Outcome) -> Outcome:
        """Return the outcome of a bad case with what was said of it."""
        bad = self.job.bad_cases
        said = "" if bad is None else bad.said.get(example_key(outcome.example), "")
        return replace(outcome, feedback=f"{outcome.feedback} {said}".strip()) if said else outcome

    def _bad_first(self, order: list[int]) -> list[int]:
        """Return the numbers of training examples with a bad case at every other place, from the first on."""
        bad = self.job.bad_cases
        first = len(self.train) - (0 if bad is None else len(bad.examples))
        cases, others = [n for n in order if n >= first], [n for n in order if n < first]
        both = min(len(cases), len(others))
        pairs = [number for pair in zip(cases, others, strict=False) for number in pair]
        return [*pairs, *cases[both:], *others[both:]]

    def _drawn(self, n: int, draw: int, start: int) -> list[int]:
        """Return the numbers of `n` training examples, each once, from place `start` of the order of `draw`."""
        found: dict[int, None] = {}
        size, orders = len(self.train), dict[int, list[int]]()
        while len(found) < min(n, size):
            epoch, place = divmod(start, size)
            if epoch not in orders:
                order = list(range(size))
                self.rng(f"failures {draw}{f' {epoch}' if epoch else ''}").shuffle(order)
                orders[epoch] = self._bad_first(order)
            found[orders[epoch][place]] = None
            start += 1
        return list(found)

    def _kept(self, candidate: Candidate) -> Candidate:
        """Return the candidate with frozen parts and protected texts as they were: compilers need not know of them."""
        found = self._restored.get(candidate)
        if found is None:
            found = self._restored[candidate] = self.job.kept.restored(candidate)
        if found != candidate:
            self.note(
                "A candidate changed what `freeze` or `protect` keeps; that was put back before it was evaluated."
            )
        return found

    def _fits(self, candidate: Candidate) -> bool:
        """Return whether its prompts fit the context: a candidate that cannot be right is not paid for."""
        return self._fitting.why_not(candidate, self._rows.get(self.base, [])) is None

    def _rows_of(self, candidate: Candidate) -> list[Row]:
        return self._rows.get(self._kept(candidate), [])

    def _propose(self, candidate: Candidate, origin: str) -> str:
        default = _GIVEN if candidate == self.base else f"candidate {len(self._origins)}"
        return self._origins.setdefault(candidate, origin or default)

    def _tell_mirror(self, candidate: Candidate, told: "FrozenTrial | None" = None) -> None:
        if self._mirror is None or candidate in self._mirrored:
            return
        self._mirrored.add(candidate)
        rows = self._rows.get(candidate, [])
        seen = 0 if len(rows) >= self.size else len(rows)
        report = Report(tuple(rows), self._worst)
        self._mirror.add(candidate, self._origins[candidate], report, self.values(candidate), seen=seen, told=told)

    def _report(self, candidate: Candidate, n: int | None, label: str) -> Report:
        wanted = self.size if n is None else min(n, self.size)
        wanted = wanted if self._fits(candidate) else 0
        if wanted and candidate not in self._rows:
            self._numbers.setdefault(candidate, len(self._numbers))
            if self._begun is not None:
                self._begun(candidate)
        rows = self._rows.setdefault(candidate, [])
        first = len(rows)
        if first < wanted:
            self._stand(candidate, rows)
        for stop in self._stops(first, wanted):
            start = len(rows)
            found = self._runner(candidate).run(
                self.val[start:stop],
                slots=self.job.compiler.slots,
                progress=self._teller(label, start - first, wanted - first),
                failed=Report(tuple(rows)).metric_errors,
                total=self.size,
            )
            rows.extend(found.rows)
            self._stand(candidate, rows)
            self._report_notes = tuple(dict.fromkeys((*self._report_notes, *found.notes)))
            self.notes += [note for note in found.notes if note not in self.notes]
            base = self._rows.get(self.base, [])
            if self._reserve is not None and len(base) >= self.size:
                self._reserve.keep(base, self._rows.values())
        self._worst = min(self._worst, Report(tuple(rows)).worst)
        groups = None if self._groups is None else self._groups[:wanted]
        spent = self.meter.charged, self.meter.paid
        return Report(tuple(rows[:wanted]), self._worst, *spent, self._report_notes, groups)

    def _called(self, candidate: Candidate) -> str:
        number = self._numbers.get(candidate, len(self._numbers))  # it gets one if it is evaluated
        return f"candidate {number}" if number else _GIVEN

    def _stand(self, candidate: Candidate, rows: Sequence[Row]) -> None:
        """Tell who watches how a candidate stands."""
        if self._watch is not None:
            groups = None if self._groups is None else self._groups[: len(rows)]
            report = Report(tuple(rows), self._worst, groups=groups)
            origin = self._origins.get(candidate, "")
            self._watch(Standing(self._numbers[candidate], candidate, origin, report, self.size))

    def _teller(self, label: str, before: int, total: int) -> Callable[[int, int], None] | None:
        """Return what hears of each row of a part of `total` rows, after `before` others; `None` if nothing listens."""
        return None if self._progress is None else lambda done, _: self.say(label, before + done, total)

    def _stops(self, seen: int, wanted: int) -> list[int]:
        """Return up to which row each part goes that is evaluated; a few first ones show what a candidate costs."""
        first = [_PROBE] if self._reserve is not None and seen < _PROBE < wanted else []
        return [*first, wanted] if seen < wanted else []

    def _runner(self, candidate: Candidate) -> Runner:
        if candidate not in self._runners:
            # Calibration reads the log-probabilities of labels from the steps.
            scored = any(gives_label_logprobs(part.format) for part in candidate.parts.values())
            self._runners[candidate] = self.runner(candidate, steps=scored)
        return self._runners[candidate]

    def _is_over(self, candidate: Candidate) -> bool:
        return any(excess > 0 for excess in self.excess(candidate).values())

    def _within_limits(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        candidates = [candidate for candidate in candidates if self._fits(candidate)]
        if not self.job.limits:
            return candidates
        for candidate in candidates:
            self._report(candidate, min(_PROBE, self.size), "what a candidate costs")
        return [candidate for candidate in candidates if not self._is_over(candidate)]

    def _raced(
        self,
        tried: list[Candidate],
        rule: str,
        finalists: int,
        evaluations: int | None,
        bounds: Bounds,
        taken: Mapping[Candidate, float],
        judged: Callable[[Candidate], Candidate] | None,
        options: Mapping[str, Any],
    ) -> list[Candidate]:
        total, count, budget = self.size, len(tried), self.meter.budget
        if budget.tokens is not None or budget.seconds is not None:
            # Demos make calls more expensive than the student's: the longest candidate shows how much room there is.
            self._report(max(tried, key=demos_of), min(_PROBE, total), "longest candidate")
        room = self.room()
        share, leaders = shares(rule, count, total, room, finalists, evaluations)
        if room is not None and finalists and not leaders:
            self._note_no_room(room, tried)
            return []
        last: list[int] = []  # the candidate shown last

        def extend(index: int, n: int) -> list[float | None]:
            last[:] = [index]
            report = self._report(tried[index], n, f"{self._called(tried[index])} on {n} examples")
            values = (report if judged is None else self.score(judged(tried[index]), n)).values()
            less = taken.get(tried[index], 0.0)
            return [None if value is None else value - less for value in values] if less else values

        known = [self.seen(candidate) for candidate in tried]
        found = RACES[rule](count, extend, total, share, bounds=bounds, seed=self.seed, known=known, **options)
        ranking = [standing.candidate for standing in found if standing.n]
        if not ranking and leaders:
            ranking = [0]  # no room for a race, but for one candidate
        for leader in sorted(ranking[:leaders], key=lambda index: index not in last):
            self._report(tried[leader], None, "leader on all examples")
        whole = sorted(ranking[:leaders], key=lambda index: -(self.mean(tried[index]) or 0.0))
        return [tried[index] for index in (*whole, *ranking[leaders:])]

    def _note_no_room(self, room: int, tried: Sequence[Candidate]) -> None:
        """Note that no further candidate is tried, because the budget has room for `room` evaluations alone."""
        spent, more = self.meter.charged.calls, ""
        before = [trial for trial in self.trials if trial.candidate not in tried]
        if getattr(self.job.compiler, "max_bootstrapped_demos", 0):
            more = ", or set max_bootstrapped_demos = 0 if bootstrapping took the calls"
        text = (
            f"{'No' if len(before) <= 1 else 'No further'} candidate was tried: after {spent} calls the budget of "
            f"the search has room for {room} evaluations of an example, and comparing one takes {self.size}. Raise the "
            f"budget, pass fewer validation examples{more}."
        )
        if not any("candidate was tried: after" in note for note in self.notes):
            self.notes.append(text)

    def _notes_of_choice(self, chosen: Candidate) -> list[str]:
        """Say for which predictors no demos helped, and what demos cost that are chosen for each call."""
        trials = self.trials
        tried = {path for trial in trials for path, part in trial.candidate.parts.items() if part.demos}
        bare = [path for path, part in chosen.parts.items() if not part.demos and path in tried]
        if chosen == self.base:
            why = untried(trials, chosen, self.size)
            if why:
                return [f"{why.capitalize()}, so the program as given is returned."]
            return ["No candidate was better than the program as given on validation, so that is returned."]
        notes = [COST_OF_CHOICE] if any(map(chosen.nearest, chosen.parts)) else []
        if bare:
            names = ", ".join(f"`{path}`" for path in bare)
            notes.append(f"The best candidate has no demos for {names}; those with demos did no better on validation.")
        return notes

    def _notes_of_costs(self) -> list[str]:
        notes = []
        if self._fitting.count():
            notes.append(
                f"{self._fitting.count()} candidates were not evaluated, because they cannot fit: "
                f"{self._fitting.first()}. Raise `num_ctx`, or give fewer or shorter demos."
            )
        if self._is_over(self.base):
            notes.append("The program as given is over a limit itself; it is returned if nothing within is better.")
        if len(self.job.objectives) > 1:
            whole = [(t.origin, self.values(t.candidate)) for t in self.trials if t.n >= self.size]
            tried = [(origin, values) for origin, values in whole if values is not None]
            notes.append(front_in_words(tried, self.job.objectives))
        return notes


def _likelihood(example: Example, prediction: Any, trace: Any = None) -> float:
    return float(prediction.likelihood)


def cost_per_example(rows: Sequence[Row], name: str) -> float:
    """Return the mean of what one example is charged: `tokens`, `calls`, or `latency` in seconds."""
    return sum(getattr(row, "seconds" if name == "latency" else name) for row in rows) / max(1, len(rows))
