"""`RandomSearch`: instructions given, demo sets, demo counts and formats, drawn by an Optuna sampler and raced."""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tunesmith.compilers.bootstrap import bootstrap, expected_attempts
from tunesmith.compilers.compiler import Compiler
from tunesmith.compilers.demos import closed_labels, draw, labelled_pools
from tunesmith.compilers.few_shot import few_shot_candidate
from tunesmith.compilers.forecast import race_evaluations
from tunesmith.compilers.session import Session
from tunesmith.compilers.study import Study, Trial, check_sampler
from tunesmith.compilers.study_objectives import check_limits, check_objectives
from tunesmith.errors import UsageError, shown
from tunesmith.evaluation import RACES, Metric
from tunesmith.formats import carries, get_format
from tunesmith.lm import Budget
from tunesmith.modules import Candidate, Module, choices_of
from tunesmith.signatures import Demo, Example, Signature

__all__ = ["RandomSearch"]

_COUNTS = (0, 4, 8, 16, 32)
_ASKS_PER_CANDIDATE = 5
_FINALISTS = 2  # a race's leaders that are scored on every example
_AT_ONCE = ("random", "grid")  # samplers that learn nothing from what they are told
_MOST_PER_GENERATION = 20
_WHOLE = ("full", "bound")  # races that get as many evaluations as there are
_PROBE = 4  # examples that a race shows every candidate anyway
_EFFORT = 0.62  # of the evaluations that scoring every candidate on every example would take


class RandomSearch(Compiler):
    """Draw candidates, race them on validation, keep the best if it beats the program as given.

    DSPy's BootstrapFewShotWithRandomSearch draws demo sets and scores each on the whole validation set. This draws
    demo counts, formats, given instructions and the settings of modules as well, and by default races the candidates
    by paired halving.

    Args:
        metric: judges one prediction.
        instructions: further instructions to try: for every predictor, or by predictor path.
        formats: names of the prompt formats to try; default `bare` and `json` where they can carry the signature.
        num_candidates: candidates drawn.
        max_labeled_demos: most labelled demos of a predictor; 0 for none.
        max_bootstrapped_demos: most bootstrapped demos of a predictor; 0 for none. Bootstrapping is used where the
            training set does not label every output of a predictor.
        metric_threshold, max_rounds: of bootstrapping, as `BootstrapFewShot`.
        sampler: a name of `SAMPLERS`: `random`; `grid`, every point once; or `tpe`, `nsga-ii`, and `gp` where torch and
            scipy are installed, which learn from full scores and so evaluate one candidate at a time.
        race: how candidates are compared, a name of `RACES`: `paired-halving`, `block-race`, `full` and others. Default
            `paired-halving`; with several objectives `full`, because a race drops what scores less but costs less.
        objectives: what the sampler looks for, names of `OBJECTIVES`: `score`, and of what one example is charged
            `tokens`, `latency` or `calls`. The best score is returned; the report's notes name the others on the front.
        limits: the most that one example may be charged on average, as in `{"tokens": 300}`. What is over on its first
            examples is dropped, and nothing that is over is returned but the program as given.
        bounds: lowest and highest score the metric can give, failures included, where it has such: races then stop a
            candidate that cannot catch up any more. `bound` needs them.
        budget, slots, seed: as `Compiler`.
    """

    name: ClassVar[str] = "RandomSearch"

    def __init__(
        self,
        *,
        metric: Metric,
        instructions: Sequence[str] | Mapping[str, Sequence[str]] = (),
        formats: Sequence[str] | None = None,
        num_candidates: int = 16,
        max_labeled_demos: int = 16,
        max_bootstrapped_demos: int = 4,
        metric_threshold: float | None = None,
        max_rounds: int = 1,
        sampler: str = "random",
        race: str | None = None,
        bounds: tuple[float, float] | None = None,
        objectives: Sequence[str] = ("score",),
        limits: Mapping[str, float] | None = None,
        budget: Budget | int | None = None,
        slots: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(metric=metric, budget=budget, slots=slots, seed=seed)
        if formats is not None and not isinstance(formats, (list, tuple)):
            # A text would be taken letter by letter, and a set has another order in every process.
            raise UsageError(f'`formats` is a list of names, such as ["bare", "json"]. Given: {shown(formats)}.')
        if formats is not None and not formats:
            raise UsageError("`formats` is empty: there is no format to try. Name at least one, or leave it out.")
        for name in formats or ():
            get_format(name)
        for path, texts in (instructions if isinstance(instructions, Mapping) else {"": instructions}).items():
            _check_instructions(texts, f"instructions[{path!r}]" if path else "instructions")
        self.objectives, self.limits = check_objectives(objectives), check_limits(limits or {})
        if race is None:
            race = "paired-halving" if len(self.objectives) == 1 else "full"
        if race not in RACES:
            raise UsageError(f"There is no race {shown(race)}. Use one of: {', '.join(RACES)}.")
        if race == "bound" and bounds is None:
            raise UsageError("The race 'bound' stands on the scores' bounds. Give them, such as `bounds=(0, 1)`.")
        if bounds is not None and not -math.inf < bounds[0] < bounds[1] < math.inf:
            raise UsageError(
                f"`bounds` must be the lowest and the highest score, both finite. Given: {shown(bounds)}. Leave it out "
                "where the metric has none."
            )
        check_sampler(sampler)
        if num_candidates < 1:
            raise UsageError(f"`num_candidates` must be at least 1. Given: {num_candidates}.")
        self.instructions, self.formats = instructions, formats
        self.num_candidates = num_candidates
        self.max_labeled_demos = max_labeled_demos
        self.max_bootstrapped_demos = max_bootstrapped_demos
        self.metric_threshold, self.max_rounds = metric_threshold, max_rounds
        self.sampler, self.race, self.bounds = sampler, race, bounds

    def options(self) -> dict[str, Any]:
        """Return how the compiler is configured."""
        given = self.instructions
        return {
            **super().options(),
            "instructions": {k: list(v) for k, v in given.items()} if isinstance(given, Mapping) else list(given),
            "formats": None if self.formats is None else list(self.formats),
            "num_candidates": self.num_candidates,
            "max_labeled_demos": self.max_labeled_demos,
            "max_bootstrapped_demos": self.max_bootstrapped_demos,
            "metric_threshold": self.metric_threshold,
            "max_rounds": self.max_rounds,
            "sampler": self.sampler,
            "race": self.race,
            "bounds": None if self.bounds is None else list(self.bounds),
            "objectives": list(self.objectives),
            "limits": dict(self.limits),
        }

    def search(self, session: Session) -> None:
        """Draw candidates and race them."""
        space = _Space(self, session)
        study = Study(
            space.sizes,
            sampler=self.sampler,
            seed=self.seed,
            objectives=self.objectives,
            population=max(2, min(_MOST_PER_GENERATION, self.num_candidates // 4)),
        )
        batch = self.num_candidates if self.sampler in _AT_ONCE else 1
        left = self.num_candidates
        seen = {session.baseline}
        while left > 0:
            drawn = self._draw(study, space, seen, min(batch, left))
            if not drawn:
                session.notes.append(_note_of_space(len(seen)))
                return
            left -= len(drawn)
            self._race(session, study, drawn)

    def _draw(self, study: Study, space: "_Space", seen: set[Candidate], count: int) -> list[tuple[Trial, Candidate]]:
        drawn: list[tuple[Trial, Candidate]] = []
        for _ in range(study.size if self.sampler == "grid" else count * _ASKS_PER_CANDIDATE):
            if len(drawn) == count or study.exhausted:
                break
            trial = study.ask()
            candidate = space.candidate(trial)
            if candidate in seen:
                study.tell(trial, None)
                continue
            seen.add(candidate)
            drawn.append((trial, candidate))
        return drawn

    def _race(self, session: Session, study: Study, drawn: list[tuple[Trial, Candidate]]) -> None:
        try:
            within = self._within_limits(session, [candidate for _, candidate in drawn])
            if within:
                self._compare(session, within)
        finally:  # also where the budget ends on the way: what was scored whole counts
            for trial, candidate in drawn:
                seen, mean = session.seen(candidate)
                partly = 0 if seen >= session.size else seen
                told = study.tell(trial, session.values(candidate), seen=partly, over=session.excess(candidate))
                if seen:
                    session.record(candidate, f"draw {trial.number}", mean, seen, told)
                session.forget(candidate)

    def _within_limits(self, session: Session, candidates: list[Candidate]) -> list[Candidate]:
        if not self.limits:
            return candidates
        for candidate in candidates:
            session.report(candidate, min(_PROBE, session.size), label="what a candidate costs")
        return [candidate for candidate in candidates if not session.is_over(candidate)]

    def _compare(self, session: Session, drawn: list[Candidate]) -> None:
        drawn = sorted(drawn, key=_beginning)
        total, count = session.size, len(drawn)
        if session.meter.budget.tokens is not None or session.meter.budget.seconds is not None:
            # Demos make calls dearer than the student's: the longest candidate shows how much room there is.
            session.report(max(drawn, key=_demos), min(_PROBE, total), label="longest candidate")
        room = session.room()
        budget, finalists = self._shares(count, total, room)
        if room is not None and not finalists:
            session.note_no_room(room)
            return

        last: list[int] = []  # the candidate shown last

        def extend(index: int, n: int) -> list[float | None]:
            last[:] = [index]
            label = f"candidate {index + 1} of {count} on {n} examples"
            return session.report(drawn[index], n, label=label).values()

        standings = RACES[self.race](count, extend, total, budget, bounds=self.bounds, seed=self.seed)
        leaders = [standing.candidate for standing in standings if standing.n][:finalists]
        if not leaders and finalists:
            leaders = [0]  # no room for a race, but for one candidate
        for leader in sorted(leaders, key=lambda index: index not in last):
            session.report(drawn[leader], label="leader on all examples")

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate | None:
        """Return the program with as many labelled demos as a candidate may have."""
        return few_shot_candidate(program, examples, self.max_labeled_demos, self.seed)

    def plan(self, *, train: int, val: int, calls: float = 1.0) -> dict[str, Any]:
        """Return what a compile will need: the program as given, the race, its leaders scored whole, bootstrapping.

        At most `val * (1 + num_candidates) + train * max_rounds` runs of the program. Expected is what the race takes
        on drawn scores, and, where a run makes more than one call, bootstrapping from every other example: data seldom
        labels every step of a program of several.
        """
        rounds, wanted = self.max_rounds, 3 * self.max_bootstrapped_demos
        attempts = train * rounds if wanted else 0
        few = expected_attempts(wanted, train=train, rounds=rounds) if calls > 1 else 0
        limit = self.budget.calls
        room = None if limit is None or calls <= 0 else max(0, int(limit / calls) - val - few)
        race, most = self._expected_race(val, room), self.num_candidates * val
        found = self._planned(self.num_candidates + 1, (val + race + few) * calls, (val + most + attempts) * calls)
        return {**found, "notes": self._notes_of_room(val, calls, few)}

    def _shares(self, count: int, total: int, room: int | None) -> tuple[int, int]:
        """Return how many evaluations the race gets, and how many of its leaders are scored on every example.

        What the leaders need is kept back from `room`, but at most half of it.
        """
        everything = count * total
        budget = everything if self.race in _WHOLE or count == 1 else int(everything * _EFFORT)
        finalists = min(_FINALISTS, count) if self.sampler in _AT_ONCE else 1
        if room is None:
            return budget, finalists
        if room < total:
            return 0, 0  # nobody could be scored on every example, so nobody could be chosen
        finalists = max(1, min(finalists, room // (2 * total)))
        return max(0, min(budget, room - finalists * total)), finalists

    def _expected_race(self, val: int, room: int | None) -> int:
        """Return how many evaluations the race of all candidates takes by `_compare`'s shares, leaders included."""
        count, everything = self.num_candidates, self.num_candidates * val
        if self.sampler not in _AT_ONCE or not val:
            return everything  # one candidate at a time is scored whole
        budget, finalists = self._shares(count, val, room)
        return race_evaluations(
            self.race, count=count, total=val, budget=budget, finalists=finalists, bounds=self.bounds
        )


def _note_of_space(count: int) -> str:
    """Return what to tell the user if there is nothing more to draw; `count` has the program as given in it."""
    if count > 1:
        return f"The space has no more than {count} different candidates; all were tried."
    return (
        "There is no candidate but the program as given: one format, one instruction, no demos. Give `formats` or "
        "`instructions` to try, or training examples that hold the outputs."
    )


def _check_instructions(texts: Sequence[str], name: str) -> None:
    if not isinstance(texts, (list, tuple)):
        raise UsageError(f'`{name}` is a list of texts, such as ["Answer in one word."]. Given: {shown(texts)}.')
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            # DSPy puts a sentence of its own in the place of an empty instruction.
            raise UsageError(
                f"`{name}` holds what is no instruction: {shown(text)}. Write a text, or leave it out: the program's "
                "own instruction is tried anyway."
            )


def _beginning(candidate: Candidate) -> list[tuple[str, str, int]]:
    """Return what a candidate's prompts begin with, to sort by: of a prompt like the last one little is read anew."""
    return [(str(part.format), part.instruction or "", len(part.demos)) for part in candidate.parts.values()]


def _demos(candidate: Candidate) -> int:
    return sum(len(part.demos) for part in candidate.parts.values())


class _Space:
    """The choices of one compile, and the candidate that a point stands for."""

    def __init__(self, compiler: RandomSearch, session: Session) -> None:
        self._base, self._seed = session.baseline, compiler.seed
        self._signatures = {p: x.signature for p, x in session.program.named_predictors()}
        pools = labelled_pools(session.program, session.trainset)
        self._labelled = {path: pool.demos for path, pool in pools.items()}
        if compiler.max_labeled_demos:
            session.note(*(note for path, pool in pools.items() if (note := pool.note(path))))
        self._bootstrapped = self._bootstrap(compiler, session)
        self._carried: dict[tuple[str, str, str | None], list[Demo]] = {}
        self._session = session
        self._choices: dict[str, list[Any]] = {}
        for path, signature in self._signatures.items():
            self._choices[f"{path}:instruction"] = self._instructions(compiler, path)
            self._choices[f"{path}:format"] = self._formats(compiler, path, signature)
            self._choices[f"{path}:demos"] = self._counts(compiler, path, signature)
            has_demos = any(count for _, count in self._choices[f"{path}:demos"])
            self._choices[f"{path}:set"] = list(range(compiler.num_candidates if has_demos else 1))
        self._settings = choices_of(session.program)
        for (path, name), values in self._settings.items():
            self._choices[f"{path}.{name}"] = list(dict.fromkeys([self._base.settings[path][name], *values]))
        self.sizes = {name: len(values) for name, values in self._choices.items()}

    def candidate(self, trial: Trial) -> Candidate:
        chosen = {name: self._choices[name][index] for name, index in trial.choices.items()}
        candidate = self._base
        for path, signature in self._signatures.items():
            source, count = chosen[f"{path}:demos"]
            pool = self._pool(path, source, chosen[f"{path}:format"])
            rng = random.Random(f"{self._seed}:{path}:{chosen[f'{path}:set']}")
            candidate = candidate.with_part(
                path,
                instruction=chosen[f"{path}:instruction"],
                format=chosen[f"{path}:format"],
                demos=draw(signature, pool, count, rng) if count else (),
            )
        for path, name in self._settings:
            candidate = candidate.with_setting(path, name, chosen[f"{path}.{name}"])
        return candidate

    def _pool(self, path: str, source: str, name: str | None) -> list[Demo]:
        """Return the demos that the format carries."""
        found = self._carried.get((path, source, name))
        if found is None:
            pool = self._bootstrapped[path] if source == "bootstrapped" else self._labelled[path]
            found = [demo for demo in pool if name is None or carries(name, self._signatures[path], (demo,))]
            if len(found) < len(pool):
                self._session.note(
                    f"Demos of `{path}`: {len(pool) - len(found)} of {len(pool)} are left out of candidates in the "
                    f"format `{name}`, which cannot carry a value of theirs, such as an empty text."
                )
            self._carried[path, source, name] = found
        return found

    def _bootstrap(self, compiler: RandomSearch, session: Session) -> dict[str, list[Demo]]:
        empty: dict[str, list[Demo]] = {path: [] for path in self._signatures}
        if not compiler.max_bootstrapped_demos or all(self._labelled.values()):
            return empty
        found = bootstrap(
            session,
            session.trainset,
            wanted=3 * compiler.max_bootstrapped_demos,
            rounds=compiler.max_rounds,
            threshold=compiler.metric_threshold,
            labelled=compiler.max_labeled_demos,
            seed=compiler.seed,
        )
        session.note(found.note())
        return found.pools

    def _instructions(self, compiler: RandomSearch, path: str) -> list[str]:
        given = compiler.instructions
        if isinstance(given, Mapping):
            unknown = sorted(set(given) - set(self._signatures))
            if unknown:
                raise UsageError(
                    f"`instructions` names {', '.join(unknown)}, which the program has not. Its predictors "
                    f"are: {', '.join(self._signatures)}."
                )
            given = given.get(path, ())
        return list(dict.fromkeys([self._base.parts[path].instruction, *given]))

    def _formats(self, compiler: RandomSearch, path: str, signature: type[Signature]) -> list[str | None]:
        now = self._base.parts[path].format
        if compiler.formats is None:
            names = [name for name in ("bare", "json") if carries(name, signature)]
            return list(dict.fromkeys([now, *names]))
        names = [name for name in compiler.formats if carries(name, signature)]
        if not names:
            raise UsageError(
                f"None of the formats {', '.join(compiler.formats)} can carry the predictor {path!r}. "
                "Add `json` or `chat`."
            )
        return list(names)

    def _counts(self, compiler: RandomSearch, path: str, signature: type[Signature]) -> list[tuple[str, int]]:
        """Return (source, number of demos); with a closed set of labels every number serves all labels alike."""
        closed = closed_labels(signature)
        step = 1 if closed is None else len(closed[1])
        limit = min(compiler.max_labeled_demos, len(self._labelled[path]))
        labelled = {min(-(-count // step) * step, limit) for count in (*_COUNTS, limit) if count <= limit}
        if closed is not None and limit >= step:
            labelled = {count - count % step for count in labelled}
        boot = min(compiler.max_bootstrapped_demos, len(self._bootstrapped[path]))
        found = [("labelled", count) for count in sorted(labelled | {0})]
        return found + [("bootstrapped", count) for count in range(1, boot + 1)]
