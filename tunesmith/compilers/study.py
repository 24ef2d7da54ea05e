"""The door to Optuna: ask for a point of a space of choices, tell how it did."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import optuna

from tunesmith.errors import UsageError, shown

__all__ = ["SAMPLERS", "Study", "Trial"]

SAMPLERS = ("random", "tpe")


@dataclass(frozen=True, slots=True)
class Trial:
    """One asked point: its number, and for each name the index of the choice."""

    number: int
    choices: Mapping[str, int]


class Study:
    """A search over named lists of choices. In memory, seeded: equal seeds and equal tells give equal asks.

    Args:
        space: how many choices each name has, at least 1.
        sampler: `random`, or `tpe` (Bergstra et al. 2011; multivariate, as Optuna implements it).
        seed: of the sampler.

    Raises:
        UsageError: an unknown sampler, or a name without choices.
    """

    def __init__(self, space: Mapping[str, int], *, sampler: str = "random", seed: int = 0) -> None:
        if sampler not in SAMPLERS:
            raise UsageError(f"There is no sampler {shown(sampler)}. Use one of: {', '.join(SAMPLERS)}.")
        empty = [name for name, count in space.items() if count < 1]
        if empty:
            raise UsageError(f"Nothing can be chosen for {', '.join(empty)}. Give at least one choice.")
        self._space = dict(space)
        self._open: dict[int, optuna.Trial] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            chosen: optuna.samplers.BaseSampler = (
                optuna.samplers.RandomSampler(seed=seed)
                if sampler == "random"
                else optuna.samplers.TPESampler(seed=seed, multivariate=True)
            )
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # create_study announces itself on stderr
        try:
            self._study = optuna.create_study(direction="maximize", sampler=chosen)
        finally:
            optuna.logging.set_verbosity(level)

    @property
    def size(self) -> int:
        """How many different points the space has."""
        product = 1
        for count in self._space.values():
            product *= count
        return product

    def ask(self) -> Trial:
        """Return the next point to try."""
        trial = self._study.ask()
        choices = {name: trial.suggest_categorical(name, list(range(count))) for name, count in self._space.items()}
        self._open[trial.number] = trial
        return Trial(trial.number, choices)

    def tell(self, trial: Trial, value: float | None, *, seen: int = 0) -> None:
        """Report the score of an asked point.

        Args:
            trial: what `ask` returned.
            value: its full score; `None` where it has none.
            seen: on how many examples a dropped one was seen; only full scores may be compared, so a dropped
                trial counts as pruned.
        """
        asked = self._open.pop(trial.number)
        if value is None:
            self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
            return
        if seen:
            asked.report(value, step=seen)
            self._study.tell(asked, state=optuna.trial.TrialState.PRUNED)
            return
        self._study.tell(asked, value)
