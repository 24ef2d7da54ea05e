"""Rewards: what tells a module which of several attempts is the best."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tunesmith.data import Score
from tunesmith.errors import ParseError, UsageError, shown
from tunesmith.modules.flow import Call, Flow, Steps
from tunesmith.modules.module import DspyChainOfThought, DspyPredict, Module, Prediction
from tunesmith.modules.step import outputs_of
from tunesmith.signatures import Example

__all__ = ["FUNCTION", "Hidden", "Rewarded", "missing_function"]

FUNCTION = "function"
"""What an artifact has in place of a function."""


class Hidden:
    """A user's function, out of sight of searches for predictors; copies share it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> "Hidden":
        return self


def missing_function(name: str) -> UsageError:
    """Return the error of a program that was loaded without its function."""
    return UsageError(
        f"This program has no `{name}`: an artifact does not hold a function. Give it to the constructor, and load "
        "with `ts.load(folder, program=...)`."
    )


class Rewarded(Flow):
    """Base of modules that compare attempts by a reward: a predictor, or a function or metric.

    Attributes:
        reward_name: name of the argument, and of the attribute that holds a predictor.
    """

    reward_name: ClassVar[str] = "reward"

    def _set_reward(self, reward: Any) -> None:
        if reward is not None and reward != FUNCTION and not callable(reward):
            raise UsageError(
                f"`{self.reward_name}` must be a function of (example, prediction), a metric, or a predictor whose "
                f"last output is a number or a bool. Given: {shown(reward)}."
            )
        is_step = isinstance(reward, DspyPredict | DspyChainOfThought)
        setattr(self, self.reward_name, reward if is_step else None)
        self._function = Hidden(None if is_step else reward)
        self._reward_field = outputs_of(reward)[-1] if is_step else ""

    @property
    def missing(self) -> list[str]:
        """Names of arguments that are functions, which a loaded program has not."""
        return [self.reward_name] if isinstance(self._function.value, str) else []

    def _reward(self) -> Any:
        """Return the predictor, the function, `FUNCTION` in place of a function that is not here, or `None`."""
        judge = getattr(self, self.reward_name)
        return self._function.value if judge is None else judge

    def _reward_spec(self) -> dict[str, Any]:
        """Return what an artifact holds of the reward."""
        reward = self._reward()
        return {self.reward_name: reward if reward is None or isinstance(reward, Module) else FUNCTION}

    def _reward_calls(self, times: int) -> dict[str, int]:
        return {self.reward_name: times} if isinstance(self._reward(), Module) else {}

    def _scored(self, inputs: Mapping[str, Any], found: Prediction, trace: list[Any] | None = None) -> Steps:
        """Return the score of an attempt, `None` if the reply of a predictor cannot be read."""
        reward = self._reward()
        if isinstance(reward, Module):
            try:
                judged = yield Call(reward, {**inputs, **dict(found.items())}, {"trace": trace})
            except ParseError:
                return None
            return Score.of(judged[self._reward_field])
        if not callable(reward):
            raise missing_function(self.reward_name)
        return Score.of(reward(Example(**inputs).with_inputs(*inputs), found))
