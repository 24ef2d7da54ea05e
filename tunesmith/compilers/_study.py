"""The door to Optuna: ask for a point of a space of choices, tell how it did; and a study that a dashboard opens."""

import importlib.util
import logging
import math
import random
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.errors import UsageError, shown
from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, TrialState
else:
    optuna = lazy_module("optuna")

__all__ = [
    "check_limits",
    "check_objectives",
    "check_sampler",
    "Database",
    "front_in_words",
    "importances",
    "FrozenTrial",
    "OBJECTIVES",
    "pareto_front",
    "SAMPLERS",
    "StoredStudy",
    "Study",
    "Trial",
]

SAMPLERS = ("random", "tpe", "gp", "nsga-ii", "grid")
"""Optuna's `random`, `tpe` (Bergstra et al. 2011; multivariate, Falkner et al. 2018), `gp` (Gaussian processes;
expected improvement, of the hypervolume with several objectives) and `nsga-ii` (Deb et al. 2002), and `grid`: every
point once, in random order."""

_POPULATION = 20
_STARTUP = 10  # as Optuna's
_IMPORTANT = 4  # points at least, to say what matters
_NEEDED = ("torch", "scipy")  # by Optuna's GPSampler, which imports them at its first fit
_METRIC_NAMES = "study:metric_names"  # `set_metric_names` warns that it is experimental, and filters are every thread's


@dataclass(frozen=True, slots=True)
class Trial:
    """One asked point: its number, and for each name the index of the choice."""

    number: int
    choices: Mapping[str, int]


def check_sampler(sampler: str) -> str:
    """Return the name of a sampler that can be used here.

    Raises:
        UsageError: there is none of this name, or what it needs is not installed.
    """
    if sampler not in SAMPLERS:
        raise UsageError(f"There is no sampler {shown(sampler)}. Use one of: {', '.join(SAMPLERS)}.")
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None] if sampler == "gp" else []
    if missing:
        raise UsageError(
            f"The sampler 'gp' needs {' and '.join(missing)}, which tunesmith does not install. Run "
            "`pip install 'torch>=2' scipy` (torch for the CPU is enough), or use 'tpe'."
        )
    return sampler


class Study:
    """A search over named lists of choices. In memory, seeded: equal seeds and equal tells give equal asks.

    It is rebuilt by asking and telling the same again, never loaded: a TPE that Optuna loads from storage goes on
    otherwise than the one that was interrupted.

    Args:
        space: how many choices each name has, at least 1.
        sampler: a name of `SAMPLERS`.
        seed: of the sampler.
        objectives: names of `OBJECTIVES`, in the order in which `tell` is given their values.
        population: individuals of a generation of `nsga-ii`.
        startup: points that `tpe` draws at random before it learns.

    Raises:
        UsageError: an unknown sampler or objective, a sampler whose packages are not installed, or a name without
            choices.
    """

    def __init__(
        self,
        space: Mapping[str, int],
        *,
        sampler: str = "random",
        seed: int = 0,
        objectives: Sequence[str] = ("score",),
        population: int = _POPULATION,
        startup: int = _STARTUP,
    ) -> None:
        check_sampler(sampler)
        empty = [name for name, count in space.items() if count < 1]
        if empty:
            raise UsageError(f"Nothing can be chosen for {', '.join(empty)}. Give at least one choice.")
        self._space, self.objectives = dict(space), check_objectives(objectives)
        self._open: dict[int, optuna.Trial] = {}
        self._grid = _grid_points(self._space, seed) if sampler == "grid" else None
        self._asked = 0
        with _quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study = optuna.create_study(
                directions=[OBJECTIVES[name] for name in self.objectives],
                sampler=_sampler(sampler, seed, population, startup),
            )

    @property
    def size(self) -> int:
        """How many different points the space has."""
        return math.prod(self._space.values())

    @property
    def exhausted(self) -> bool:
        """Whether a grid has no point left to ask for."""
        return self._grid is not None and self._asked == self.size

    def ask(self, at: Mapping[str, int] | None = None) -> Trial:
        """Return the next point to try, or the point `at`, whatever the sampler would draw.

        Raises:
            UsageError: the grid has no point left.
        """
        if at is not None:
            self._study.enqueue_trial(dict(at))
        elif self._grid is not None:
            point = next(self._grid, None)
            if point is None:
                raise UsageError(f"All {self.size} points of the grid were asked for. Look at `exhausted` first.")
            self._study.enqueue_trial(point)
        trial = self._study.ask()
        choices = {name: trial.suggest_categorical(name, list(range(count))) for name, count in self._space.items()}
        self._open[trial.number] = trial
        self._asked += 1
        return Trial(trial.number, choices)

    def tell(
        self,
        trial: Trial,
        value: float | Sequence[float] | None,
        *,
        seen: int = 0,
        over: Mapping[str, float] | None = None,
    ) -> "FrozenTrial":
        """Report how an asked point did. Only what was scored in full competes.

        Args:
            trial: what `ask` returned.
            value: its full score, or with several objectives the value of each; `None` if it has none.
            seen: on how many examples a dropped one was seen. Its value does not compete with full scores: with one
                objective the trial counts as pruned after so many steps, with several, which Optuna cannot prune, as
                failed.
            over: for each constraint by how much it is exceeded; zero or less is within. Samplers prefer points within,
                whatever the others' value.

        Returns:
            The finished trial, for `StoredStudy.add`.

        Raises:
            UsageError: the point was not asked for or is told already, or a value is not finite.
        """
        values = self._values(value)
        asked = self._open.pop(trial.number, None)
        if asked is None:
            raise UsageError(f"Trial {trial.number} is not open: it was never asked for, or is told already.")
        for name, excess in (over or {}).items():
            asked.set_constraint(name, excess)
        state = _state(values, seen)
        if values is not None and state is optuna.trial.TrialState.PRUNED:
            asked.report(values[0], step=seen)
        return self._study.tell(asked, values if state is optuna.trial.TrialState.COMPLETE else None, state=state)

    def _values(self, value: float | Sequence[float] | None) -> list[float] | None:
        if value is None:
            return None
        values = [float(v) for v in value] if isinstance(value, Sequence) else [float(value)]
        if len(values) != len(self.objectives) or not all(math.isfinite(v) for v in values):
            raise UsageError(
                f"A trial is told a finite value for each of {', '.join(self.objectives)}, or `None`. "
                f"Given: {shown(value)}."
            )
        return values


class Database:
    """A database of studies.

    Args:
        url: Optuna's URL of a relational database.
        options: further arguments of SQLAlchemy's `create_engine`.

    Raises:
        Exception: whatever Optuna, SQLAlchemy or the driver raise, here and in every method.
    """

    def __init__(self, url: str, *, options: Mapping[str, Any] | None = None) -> None:
        self._storage = optuna.storages.RDBStorage(url, engine_kwargs=dict(options or {}))

    def close(self) -> None:
        """Close the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()


class StoredStudy(Database):
    """A study in a database that is only ever written to: what `optuna-dashboard` opens.

    Args:
        url: Optuna's URL of a relational database.
        name: of the study; one that is there is deleted, with its trials.
        objectives: names of `OBJECTIVES`.
        alone: whether the database holds nothing but this study's former versions, which are deleted whatever their
            name.
        options: further arguments of SQLAlchemy's `create_engine`.

    Raises:
        Exception: whatever Optuna, SQLAlchemy or the driver raise, here and in every method.
    """

    def __init__(
        self,
        url: str,
        name: str,
        objectives: Sequence[str],
        *,
        alone: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(url, options=options)
        known = optuna.get_all_study_names(self._storage)
        for old in known if alone else [name] if name in known else []:
            optuna.delete_study(study_name=old, storage=self._storage)
        with _quiet():
            self._study = optuna.create_study(
                storage=self._storage, study_name=name, directions=[OBJECTIVES[name] for name in objectives]
            )
        self._storage.set_study_system_attr(self._study._study_id, _METRIC_NAMES, list(objectives))

    def add(
        self,
        values: Sequence[float] | None,
        attributes: Mapping[str, Any],
        *,
        seen: int = 0,
        told: "FrozenTrial | None" = None,
    ) -> None:
        """Add a finished trial.

        Args:
            values: as in `Study.tell`.
            attributes: JSON values to show beside it.
            seen: as in `Study.tell`.
            told: what `Study.tell` returned; `None` for a trial that no study asked for.
        """
        given = None if values is None else list(values)
        state = _state(given, seen) if told is None else told.state
        pruned = state is optuna.trial.TrialState.PRUNED and given is not None
        trial = optuna.trial.create_trial(
            state=state,
            values=given if state is optuna.trial.TrialState.COMPLETE or pruned else None,
            params={} if told is None else told.params,
            distributions={} if told is None else told.distributions,
            user_attrs=dict(attributes),
            intermediate_values={seen: given[0]} if pruned and given is not None else {},
            constraints=None if told is None else dict(told.constraints),
        )
        if told is not None:
            trial.datetime_start, trial.datetime_complete = told.datetime_start, told.datetime_complete
        self._study.add_trial(trial)

    def note(self, name: str, value: Any) -> None:
        """Set an attribute of the study to a JSON value."""
        self._study.set_user_attr(name, value)


def _state(values: Sequence[float] | None, seen: int) -> "TrialState":
    if values is None or (seen and len(values) > 1):
        return optuna.trial.TrialState.FAIL
    return optuna.trial.TrialState.PRUNED if seen else optuna.trial.TrialState.COMPLETE


def _sampler(name: str, seed: int, population: int, startup: int) -> "optuna.samplers.BaseSampler":
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=startup)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    if name == "nsga-ii":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=population)
    return optuna.samplers.RandomSampler(seed=seed)  # a grid's points are given to it one by one


def _grid_points(space: Mapping[str, int], seed: int) -> Iterator[dict[str, int]]:
    """Yield each point of `space` once.

    A Fisher-Yates shuffle of the points' numbers that keeps only what it has moved: Optuna's `GridSampler` lists the
    whole grid first, which a space of some predictors with demo sets does not allow.
    """
    rng, size = random.Random(seed), math.prod(space.values())
    moved: dict[int, int] = {}
    for place in range(size):
        other = rng.randrange(place, size)
        number = moved.get(other, other)
        moved[other] = moved.get(place, place)
        moved.pop(place, None)
        yield _point(space, number)


def _point(space: Mapping[str, int], number: int) -> dict[str, int]:
    point = {}
    for name, count in space.items():
        number, point[name] = divmod(number, count)
    return point


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing a new study on stderr; what it logs for others goes on."""
    _creating.here = True
    try:
        yield
    finally:
        _creating.here = False


def _is_wanted(record: logging.LogRecord) -> bool:
    return not getattr(_creating, "here", False)


_creating = threading.local()
for _name in ("optuna.storages._in_memory", "optuna.storages._rdb.storage"):
    logging.getLogger(_name).addFilter(_is_wanted)


OBJECTIVES: Mapping[str, Literal["maximize", "minimize"]] = {
    "score": "maximize",
    "tokens": "minimize",
    "latency": "minimize",
    "calls": "minimize",
}
"""What may be an objective, and whether more or less of it is better.

`score` is the mean of the metric. The others are charged, per example: `tokens` in and out, `latency` in seconds of the
engine, LM `calls`. A charged value is the same whether a reply comes from the cache or not, so that a replay decides
alike.
"""


def check_objectives(given: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the objectives.

    Raises:
        UsageError: they are no list of names, one is unknown or named twice, or the score is missing.
    """
    if not isinstance(given, Sequence):
        raise UsageError(f"Objectives are a list of names, as in ('score', 'tokens'). Given: {shown(given)}.")
    names = (given,) if isinstance(given, str) else tuple(given)
    unknown = [name for name in names if name not in [*OBJECTIVES]]
    if unknown:
        raise UsageError(f"There is no objective {shown(unknown[0])}. Use some of: {', '.join(OBJECTIVES)}.")
    if len(set(names)) < len(names) or "score" not in names:
        raise UsageError(f"Objectives are `score` and others, each once, as in ('score', 'tokens'). Given: {names}.")
    return names


def check_limits(given: Mapping[str, float]) -> dict[str, float]:
    """Return the limits of what a candidate may cost.

    Raises:
        UsageError: they are no limits by name, a limit is on nothing that costs, or is not a positive number.
    """
    if not isinstance(given, Mapping):
        raise UsageError(f"Limits go by name, as in {{'tokens': 800}}. Given: {shown(given)}.")
    costs = [name for name in OBJECTIVES if name != "score"]
    for name, limit in given.items():
        if name not in costs:
            raise UsageError(f"There is no limit on {shown(name)}. A limit is on one of: {', '.join(costs)}.")
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit < float("inf"):
            raise UsageError(f"The limit on {name} must be a positive number. Given: {shown(limit)}.")
    return {name: float(limit) for name, limit in given.items()}


def importances(choices: Sequence[Mapping[str, str]], scores: Sequence[float]) -> dict[str, float]:
    """Return how much of the differences in score each name explains, the largest first; they add up to 1.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023) over what was tried, as Optuna has it. What has one value everywhere
    explains nothing and is left out. Empty if fewer than four points were tried or all scored alike.

    Args:
        choices: of each point what it chose, by name.
        scores: of each point.
    """
    names = choices[0] if choices else ()
    values = {name: list(dict.fromkeys(one.get(name, "") for one in choices)) for name in names}
    varied = {name: found for name, found in values.items() if len(found) > 1}
    if len(choices) < _IMPORTANT or len(set(scores)) < 2 or not varied:
        return {}
    kinds: dict[str, Any] = {
        name: optuna.distributions.CategoricalDistribution(tuple(found)) for name, found in varied.items()
    }
    with _quiet():
        study = optuna.create_study(direction="maximize")
        for one, score in zip(choices, scores, strict=True):
            params = {name: one.get(name, "") for name in varied}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=score))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: share for name, share in found.items() if math.isfinite(share)}


def pareto_front(points: Sequence[Mapping[str, float]], objectives: Sequence[str]) -> list[int]:
    """Return the indices of the points that no other one beats: at least as good in all, better in one."""
    signs = [1 if OBJECTIVES[name] == "maximize" else -1 for name in objectives]
    values = [[sign * point[name] for sign, name in zip(signs, objectives, strict=True)] for point in points]
    return [index for index, mine in enumerate(values) if not any(_beats(other, mine) for other in values)]


def front_in_words(tried: Sequence[tuple[str, Sequence[float]]], objectives: Sequence[str]) -> str:
    """Return the front of what was tried, given as (where it came from, its values)."""
    points = [dict(zip(objectives, values, strict=True)) for _, values in tried]
    found = []
    for index in pareto_front(points, objectives):
        values = ", ".join(f"{name} {value:.4g}" for name, value in points[index].items())
        found.append(f"{tried[index][0]} ({values})")
    return f"Nothing that was tried beats these in {' and '.join(objectives)}: {'; '.join(found)}."


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
