"""The space of choices of one compile: instructions, demo sets, demo counts, formats, settings, sampling."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tunesmith.compilers._demos import CHOICES, check_count, closed_labels, count_of, draw, most
from tunesmith.compilers._options import option
from tunesmith.compilers._study import Trial, check_limits, check_objectives
from tunesmith.compilers._twins import Twins
from tunesmith.compilers.compiler import Compiler
from tunesmith.compilers.few_shot import few_shot_candidate
from tunesmith.errors import UsageError, shown
from tunesmith.formats import carries, get_format
from tunesmith.modules import Candidate, Module, choices_of
from tunesmith.signatures import Demo, Example

if TYPE_CHECKING:
    from tunesmith.compilers._search import Search

__all__ = ["Pools", "Space", "SpaceCompiler", "note_of_space"]

_COUNTS = (0, 4, 8, 16, 32)
_BOTH = "both"


@dataclass(frozen=True)
class SpaceCompiler(Compiler):
    """A compiler that chooses points of a `Space`: the options that say what is in it."""

    tries_settings = True

    instructions: tuple[str, ...] | Mapping[str, tuple[str, ...]] = option(
        (), "Further instructions to try: for every predictor, or by predictor path."
    )
    formats: tuple[str, ...] | None = option(
        None, "Prompt formats to try; default `bare` and `json` if they can carry the signature."
    )
    max_labeled_demos: int | Mapping[str, int] = option(
        16, "The most labelled demos of each predictor, or by predictor path.", low=0
    )
    max_bootstrapped_demos: int | Mapping[str, int] = option(
        4,
        "The most bootstrapped demos of each predictor, or by predictor path. Bootstrapping is used if the training "
        "set does not label every output of a predictor.",
        low=0,
    )
    choice: str = option(
        "random",
        "How demo sets are drawn: `diverse` takes demos whose inputs share few words, `both` draws half the sets so.",
        choices=(*CHOICES, _BOTH),
        newer=True,
    )
    metric_threshold: float | None = option(
        None, "What the metric must reach in a teacher's run; without one any value but zero passes."
    )
    max_rounds: int = option(1, "Attempts for each example; later ones draw afresh at temperature 1.", low=1)
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
        """Check what the fields cannot say."""
        _check_formats(self.formats)
        given = self.instructions
        for path, texts in (given if isinstance(given, Mapping) else {"": given}).items():
            _check_instructions(texts, f"instructions[{path!r}]" if path else "instructions")
        self._set(objectives=check_objectives(self.objectives), limits=check_limits(self.limits))
        super().__post_init__()
        if self.bounds is not None and not -math.inf < self.bounds[0] < self.bounds[1] < math.inf:
            raise UsageError(
                f"`bounds` must be the lowest and the highest score, both finite. Given: {shown(self.bounds)}. Leave "
                "it out if the metric has none."
            )

    def longest(self, program: Module, examples: Sequence[Example]) -> Candidate:
        """Return the program with as many labelled demos as a candidate may have."""
        return few_shot_candidate(program, examples, self.max_labeled_demos, self.seed)


def note_of_space(count: int) -> str:
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


class Pools:
    """The demos that there are for each predictor: labelled ones, and those of a teacher's runs.

    A teacher is run if the training set does not label every output of a predictor.
    """

    def __init__(self, compiler: SpaceCompiler, search: "Search") -> None:
        self._search = search
        self._limits = compiler.max_labeled_demos, compiler.max_bootstrapped_demos
        for name, count in zip(("max_labeled_demos", "max_bootstrapped_demos"), self._limits, strict=True):
            check_count(name, count, search.base.parts)
        pools = {path: search.labelled(path) for path in search.demo_paths}
        self._labelled = {path: pool.demos for path, pool in pools.items()}
        if most(compiler.max_labeled_demos):
            search.note(*(note for path, pool in pools.items() if (note := pool.note(path))))
        self._bootstrapped = self._bootstrap(compiler)
        self._carried: dict[tuple[str, str, str | None], list[Demo]] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._labelled

    def demos(self, path: str) -> list[Demo]:
        """Return the labelled demos of a predictor, else those of a teacher."""
        return self._labelled.get(path) or self._bootstrapped.get(path, [])

    def carried(self, path: str, source: str, name: str | None) -> list[Demo]:
        """Return the demos that the format of this name carries."""
        found = self._carried.get((path, source, name))
        if found is None:
            signature = self._search.signature(path)
            pool = self._bootstrapped[path] if source == "bootstrapped" else self._labelled[path]
            found = [demo for demo in pool if name is None or carries(name, signature, (demo,))]
            if len(found) < len(pool):
                self._search.note(
                    f"Demos of `{path}`: {len(pool) - len(found)} of {len(pool)} are left out of candidates in the "
                    f"format `{name}`, which cannot carry a value of theirs, such as an empty text."
                )
            self._carried[path, source, name] = found
        return found

    def counts(self, path: str) -> list[tuple[str, int]]:
        """Return (source, number of demos); with a closed set of labels every number serves all labels alike."""
        if path not in self:
            return [("labelled", 0)]
        most_labelled, most_bootstrapped = (count_of(limit, path) for limit in self._limits)
        closed = closed_labels(self._search.signature(path))
        step = 1 if closed is None else len(closed[1])
        limit = min(most_labelled, len(self._labelled[path]))
        labelled = {min(-(-count // step) * step, limit) for count in (*_COUNTS, limit) if count <= limit}
        if closed is not None and limit >= step:
            labelled = {count - count % step for count in labelled}
        boot = min(most_bootstrapped, len(self._bootstrapped[path]))
        found = [("labelled", count) for count in sorted(labelled | {0})]
        return found + [("bootstrapped", count) for count in range(1, boot + 1)]

    def _bootstrap(self, compiler: SpaceCompiler) -> dict[str, list[Demo]]:
        if not most(compiler.max_bootstrapped_demos) or all(self._labelled.values()):
            return {path: [] for path in self._labelled}
        return self._search.bootstrap(
            3 * most(compiler.max_bootstrapped_demos),
            rounds=compiler.max_rounds,
            threshold=compiler.metric_threshold,
            labelled=compiler.max_labeled_demos,
        ).pools


class Space:
    """The choices of one compile, and the candidate that a point stands for.

    Args:
        compiler: says what is in it.
        search: the compile.
        sets: draws of demos for each predictor.
        pools: of demos, if they were made before.
        texts: further instructions by path.
        samplings: request options that all predictors may have, beside their own.

    Attributes:
        sizes: how many choices each name has. The first is that of the program as given, but for its demos.
    """

    def __init__(
        self,
        compiler: SpaceCompiler,
        search: "Search",
        *,
        sets: int,
        pools: Pools | None = None,
        texts: Mapping[str, Sequence[str]] | None = None,
        samplings: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._base, self._search, self._choice = search.base, search, compiler.choice
        self._pools = Pools(compiler, search) if pools is None else pools
        self._choices: dict[str, list[Any]] = {}
        for path in search.base.parts:
            further = () if texts is None else texts.get(path, ())
            self._choices[f"{path}:instruction"] = [*dict.fromkeys([*self._instructions(compiler, path), *further])]
            self._choices[f"{path}:format"] = self._formats(compiler, path)
            self._choices[f"{path}:demos"] = self._pools.counts(path)
            has_demos = any(count for _, count in self._choices[f"{path}:demos"])
            self._choices[f"{path}:set"] = list(range(sets if has_demos else 1))
        frozen = search.job.kept.settings
        self._settings = {
            place: values for place, values in choices_of(search.job.program).items() if place not in frozen
        }
        self._twins = Twins(search.job.program, search.base)
        for (path, name), values in self._settings.items():
            self._choices[f"{path}.{name}"] = list(dict.fromkeys([self._base.settings[path][name], *values]))
        if samplings:
            self._choices["sampling"] = [dict(self._base.sampling), *samplings]
        self.sizes = {name: len(values) for name, values in self._choices.items()}

    def formats(self, path: str) -> list[str | None]:
        """Return the formats of a predictor."""
        return list(self._choices[f"{path}:format"])

    def plain(self, candidate: Candidate) -> Candidate:
        """Return the one of all candidates that send the same requests as this one."""
        return self._twins.one(candidate)

    def candidate(self, trial: Trial) -> Candidate:
        """Return what a point stands for; points that send the same requests are one candidate."""
        chosen = {name: self._choices[name][index] for name, index in trial.choices.items()}
        candidate = self._base
        for path in self._base.parts:
            name = chosen[f"{path}:format"]
            candidate = candidate.with_part(path, instruction=chosen[f"{path}:instruction"], format=name)
            if path in self._pools:
                candidate = candidate.with_part(path, demos=self._demos(path, chosen, name))
        for path, name in self._settings:
            candidate = candidate.with_setting(path, name, chosen[f"{path}.{name}"])
        candidate = replace(candidate, sampling=chosen["sampling"]) if "sampling" in chosen else candidate
        return self.plain(candidate)

    def _demos(self, path: str, chosen: Mapping[str, Any], name: str | None) -> Sequence[Demo]:
        source, count = chosen[f"{path}:demos"]
        pool = self._pools.carried(path, source, name)
        number = chosen[f"{path}:set"]
        rng = random.Random(f"{self._search.seed}:{path}:{number}")
        choice = CHOICES[number % 2] if self._choice == _BOTH else self._choice
        return draw(self._search.signature(path), pool, count, rng, choice) if count else ()

    def _instructions(self, compiler: SpaceCompiler, path: str) -> list[str]:
        given = compiler.instructions
        if isinstance(given, Mapping):
            unknown = sorted(set(given) - set(self._base.parts))
            if unknown:
                raise UsageError(
                    f"`instructions` names {', '.join(unknown)}, which the program has not. Its predictors "
                    f"are: {', '.join(self._base.parts)}."
                )
            given = given.get(path, ())
        own = self._base.parts[path].instruction
        return list(dict.fromkeys([own, *given])) if path in self._search.paths else [own]

    def _formats(self, compiler: SpaceCompiler, path: str) -> list[str | None]:
        now, signature = self._base.parts[path].format, self._search.signature(path)
        if path not in self._search.format_paths:
            return [now]
        demos = () if path in self._pools else self._base.parts[path].demos
        if compiler.formats is None:
            usual: tuple[str, ...] = ("bare", "json")
            if now == "tools" and not self._search.job.lm.capabilities.tools:
                usual = ("bare",)  # without calls of the model's own, `tools` is `json`
            names = [name for name in usual if carries(name, signature, demos)]
            return list(dict.fromkeys([now, *names]))
        names = [name for name in compiler.formats if carries(name, signature, demos)]
        if not names:
            raise UsageError(
                f"None of the formats {', '.join(compiler.formats)} can carry the predictor {path!r}. "
                "Add `json` or `chat`."
            )
        return list(names)
