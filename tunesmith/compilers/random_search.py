"""`RandomSearch`: instructions given, demo sets, demo counts and formats, drawn by an Optuna sampler and raced."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.compilers._bootstrap import expected_attempts
from tunesmith.compilers._demos import closed_labels, draw, labelled_pool
from tunesmith.compilers._effort import Effort
from tunesmith.compilers._options import option
from tunesmith.compilers._study import SAMPLERS, Study, Trial, check_limits, check_objectives, check_sampler
from tunesmith.compilers.compiler import Compiler
from tunesmith.compilers.few_shot import few_shot_candidate
from tunesmith.errors import UsageError, shown
from tunesmith.evaluation import RACES
from tunesmith.formats import carries, get_format
from tunesmith.modules import Candidate, Module, choices_of
from tunesmith.signatures import Demo, Example, Signature

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["RandomSearch"]

_COUNTS = (0, 4, 8, 16, 32)
_ASKS_PER_CANDIDATE = 5
_FINALISTS = 2  # a race's leaders that are scored on every example
_AT_ONCE = ("random", "grid")  # samplers that learn nothing from what they are told
_MOST_PER_GENERATION = 20


@dataclass(frozen=True)
class RandomSearch(Compiler):
    """Draw candidates, race them on validation, keep the best if it beats the program as given.

    DSPy's BootstrapFewShotWithRandomSearch draws demo sets and scores each on the whole validation set. This draws
    demo counts, formats, given instructions and the settings of modules as well, and by default races the candidates
    by paired halving.

    Args: its options are in `docs/compilers.md`; the others as `Compiler`.

    Example:
        >>> import tunesmith as ts
        >>> compiler = ts.RandomSearch(metric=ts.metrics.exact_match("label"), num_candidates=8, formats=["bare"])
        >>> compiler.plan(train=100, val=50)["candidates"]
        9
    """

    tries_settings = True

    instructions: tuple[str, ...] | Mapping[str, tuple[str, ...]] = option(
        (), "Further instructions to try: for every predictor, or by predictor path."
    )
    formats: tuple[str, ...] | None = option(
        None, "Prompt formats to try; default `bare` and `json` if they can carry the signature."
    )
    num_candidates: int = option(16, "Candidates that are drawn.", low=1)
    max_labeled_demos: int = option(16, "The most labelled demos of a predictor.", low=0)
    max_bootstrapped_demos: int = option(
        4,
        "The most bootstrapped demos of a predictor. Bootstrapping is used if the training set does not label every "
        "output of a predictor.",
        low=0,
    )
    metric_threshold: float | None = option(
        None, "What the metric must reach in a teacher's run; without one any value but zero passes."
    )
    max_rounds: int = option(1, "Attempts for each example; later ones draw afresh at temperature 1.", low=1)
    sampler: str = option(
        "random",
        "What draws: at random, every point once (`grid`), or learning from full scores and so one at a time (`gp` "
        "needs torch and scipy).",
        choices=SAMPLERS,
    )
    race: str | None = option(
        None,
        "How candidates are compared; default `paired-halving`, with several objectives `full`, because a race drops "
        "what scores less but costs less.",
        choices=RACES,
    )
    bounds: tuple[float, float] | None = option(
        None,
        "Lowest and highest score of the metric, failures included: races then stop a candidate that cannot catch up. "
        "`bound` needs them.",
    )
    objectives: tuple[str, ...] = option(
        ("score",),
        "What the sampler looks for: `score`, and of what one example is charged `tokens`, `latency` or `calls`. The "
        "best score is returned; the notes name the others on the front.",
    )
    limits: Mapping[str, float] = option(
        {}, "The most that one example may be charged on average, as in `{tokens = 300}`; what is over is not returned."
    )

    def __post_init__(self) -> None:
        """Check what the fields cannot say, and set the race."""
        _check_formats(self.formats)
        given = self.instructions
        for path, texts in (given if isinstance(given, Mapping) else {"": given}).items():
            _check_instructions(texts, f"instructions[{path!r}]" if path else "instructions")
        self._set(objectives=check_objectives(self.objectives), limits=check_limits(self.limits))
        if self.race is None:
            self._set(race="paired-halving" if len(self.objectives) == 1 else "full")
        if self.race == "bound" and self.bounds is None:
            raise UsageError("The race 'bound' stands on the scores' bounds. Give them, such as `bounds=(0, 1)`.")
        super().__post_init__()
        if self.bounds is not None and not -math.inf < self.bounds[0] < self.bounds[1] < math.inf:
            raise UsageError(
                f"`bounds` must be the lowest and the highest score, both finite. Given: {shown(self.bounds)}. Leave "
                "it out if the metric has none."
            )
        check_sampler(self.sampler)

    def search(self, search: "Search") -> None:
        """Draw candidates and race them."""
        space = _Space(self, search)
        study = Study(
            space.sizes,
            sampler=self.sampler,
            seed=self.seed,
            objectives=self.objectives,
            population=max(2, min(_MOST_PER_GENERATION, self.num_candidates // 4)),
        )
        left, seen = self.num_candidates, {search.base}
        while left > 0:
            drawn = self._draw(study, space, seen, min(self._at_once, left))
            if not drawn:
                search.notes.append(_note_of_space(len(seen)))
                return
            left -= len(drawn)
            self._race(search, study, drawn)

    def effort(self, *, train: int, calls: float) -> Effort:
        """Return the race and bootstrapping, which is expected of a program of several steps: data label few of them.

        A sampler that learns gets one candidate at a time, each scored on every example.
        """
        wanted, rounds = 3 * self.max_bootstrapped_demos, self.max_rounds
        return Effort(
            candidates=self.num_candidates,
            race=self.race if self._at_once > 1 else None,
            finalists=_FINALISTS,
            bounds=self.bounds,
            runs=expected_attempts(wanted, train=train, rounds=rounds) if calls > 1 else 0,
            most_runs=train * rounds if wanted else 0,
        )

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate:
        """Return the program with as many labelled demos as a candidate may have."""
        return few_shot_candidate(program, examples, self.max_labeled_demos, self.seed)

    @property
    def _at_once(self) -> int:
        """How many candidates one race compares."""
        return self.num_candidates if self.sampler in _AT_ONCE else 1

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

    def _race(self, search: "Search", study: Study, drawn: list[tuple[Trial, Candidate]]) -> None:
        def told(number: int) -> Any:
            trial, candidate = drawn[number]
            seen = search.seen(candidate)
            partly = 0 if seen >= search.size else seen
            return study.tell(trial, search.values(candidate), seen=partly, over=search.excess(candidate))

        search.race(
            [candidate for _, candidate in drawn],
            self.race or "full",
            finalists=_FINALISTS,
            bounds=self.bounds,
            origins=[f"draw {trial.number}" for trial, _ in drawn],
            told=told,
        )


def _note_of_space(count: int) -> str:
    """Return what to tell the user if there is nothing more to draw; `count` has the program as given in it."""
    if count > 1:
        return f"The space has no more than {count} different candidates; all were tried."
    return (
        "Only the program as given can be tried: one format, one instruction, no demos. Give `formats` or "
        "`instructions` to try, or training examples that hold the outputs."
    )


def _check_instructions(texts: Sequence[str], name: str) -> None:
    if not isinstance(texts, (list, tuple)):
        raise UsageError(f'`{name}` is a list of texts, such as ["Answer in one word."]. Given: {shown(texts)}.')
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            # DSPy puts a sentence of its own in the place of an empty instruction.
            raise UsageError(
                f"`{name}` holds what is not an instruction: {shown(text)}. Write a text, or leave it out: the "
                "program's own instruction is tried anyway."
            )


def _check_formats(formats: Any) -> None:
    if formats is None:
        return
    if not isinstance(formats, (list, tuple)):
        # A text would be taken letter by letter, and a set has another order in every process.
        raise UsageError(f'`formats` is a list of names, such as ["bare", "json"]. Given: {shown(formats)}.')
    if not formats:
        raise UsageError("`formats` is empty, so no format can be tried. Name at least one, or leave it out.")
    for name in formats:
        get_format(name)


class _Space:
    """The choices of one compile, and the candidate that a point stands for."""

    def __init__(self, compiler: RandomSearch, search: "Search") -> None:
        self._base, self._seed, self._search = search.base, compiler.seed, search
        self._signatures = {path: search.signature(path) for path in search.base.parts}
        pools = {path: labelled_pool(search.signature(path), search.train) for path in search.demo_paths}
        self._labelled = {path: pool.demos for path, pool in pools.items()}
        if compiler.max_labeled_demos:
            search.note(*(note for path, pool in pools.items() if (note := pool.note(path))))
        self._bootstrapped = self._bootstrap(compiler, search)
        self._carried: dict[tuple[str, str, str | None], list[Demo]] = {}
        self._choices: dict[str, list[Any]] = {}
        for path, signature in self._signatures.items():
            self._choices[f"{path}:instruction"] = self._instructions(compiler, path)
            self._choices[f"{path}:format"] = self._formats(compiler, path, signature)
            self._choices[f"{path}:demos"] = self._counts(compiler, path, signature)
            has_demos = any(count for _, count in self._choices[f"{path}:demos"])
            self._choices[f"{path}:set"] = list(range(compiler.num_candidates if has_demos else 1))
        frozen = search.job.kept.settings
        self._settings = {
            place: values for place, values in choices_of(search.job.program).items() if place not in frozen
        }
        for (path, name), values in self._settings.items():
            self._choices[f"{path}.{name}"] = list(dict.fromkeys([self._base.settings[path][name], *values]))
        self.sizes = {name: len(values) for name, values in self._choices.items()}

    def candidate(self, trial: Trial) -> Candidate:
        chosen = {name: self._choices[name][index] for name, index in trial.choices.items()}
        candidate = self._base
        for path in self._signatures:
            name = chosen[f"{path}:format"]
            candidate = candidate.with_part(path, instruction=chosen[f"{path}:instruction"], format=name)
            if path in self._labelled:
                candidate = candidate.with_part(path, demos=self._demos(path, chosen, name))
        for path, name in self._settings:
            candidate = candidate.with_setting(path, name, chosen[f"{path}.{name}"])
        return candidate

    def _demos(self, path: str, chosen: Mapping[str, Any], name: str | None) -> Sequence[Demo]:
        source, count = chosen[f"{path}:demos"]
        pool = self._pool(path, source, name)
        rng = random.Random(f"{self._seed}:{path}:{chosen[f'{path}:set']}")
        return draw(self._signatures[path], pool, count, rng) if count else ()

    def _pool(self, path: str, source: str, name: str | None) -> list[Demo]:
        """Return the demos that the format carries."""
        found = self._carried.get((path, source, name))
        if found is None:
            pool = self._bootstrapped[path] if source == "bootstrapped" else self._labelled[path]
            found = [demo for demo in pool if name is None or carries(name, self._signatures[path], (demo,))]
            if len(found) < len(pool):
                self._search.note(
                    f"Demos of `{path}`: {len(pool) - len(found)} of {len(pool)} are left out of candidates in the "
                    f"format `{name}`, which cannot carry a value of theirs, such as an empty text."
                )
            self._carried[path, source, name] = found
        return found

    def _bootstrap(self, compiler: RandomSearch, search: "Search") -> dict[str, list[Demo]]:
        if not compiler.max_bootstrapped_demos or all(self._labelled.values()):
            return {path: [] for path in search.demo_paths}
        return search.bootstrap(
            3 * compiler.max_bootstrapped_demos,
            rounds=compiler.max_rounds,
            threshold=compiler.metric_threshold,
            labelled=compiler.max_labeled_demos,
        ).pools

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
        own = self._base.parts[path].instruction
        return list(dict.fromkeys([own, *given])) if path in self._search.paths else [own]

    def _formats(self, compiler: RandomSearch, path: str, signature: type[Signature]) -> list[str | None]:
        now = self._base.parts[path].format
        if path not in self._search.format_paths:
            return [now]
        demos = () if path in self._labelled else self._base.parts[path].demos
        if compiler.formats is None:
            names = [name for name in ("bare", "json") if carries(name, signature, demos)]
            return list(dict.fromkeys([now, *names]))
        names = [name for name in compiler.formats if carries(name, signature, demos)]
        if not names:
            raise UsageError(
                f"None of the formats {', '.join(compiler.formats)} can carry the predictor {path!r}. "
                "Add `json` or `chat`."
            )
        return list(names)

    def _counts(self, compiler: RandomSearch, path: str, signature: type[Signature]) -> list[tuple[str, int]]:
        """Return (source, number of demos); with a closed set of labels every number serves all labels alike."""
        if path not in self._labelled:
            return [("labelled", 0)]
        closed = closed_labels(signature)
        step = 1 if closed is None else len(closed[1])
        limit = min(compiler.max_labeled_demos, len(self._labelled[path]))
        labelled = {min(-(-count // step) * step, limit) for count in (*_COUNTS, limit) if count <= limit}
        if closed is not None and limit >= step:
            labelled = {count - count % step for count in labelled}
        boot = min(compiler.max_bootstrapped_demos, len(self._bootstrapped[path]))
        found = [("labelled", count) for count in sorted(labelled | {0})]
        return found + [("bootstrapped", count) for count in range(1, boot + 1)]
