"""Rewards: what tells a module which of several attempts is the best."""

from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.data import Score
from tunesmith.errors import ParseError, UsageError, shown
from tunesmith.modules.flow import Call, Flow, Steps
from tunesmith.modules.module import DspyChainOfThought, DspyPredict, Prediction
from tunesmith.signatures import Example

__all__ = ["Rewarded"]


class Hidden:
    """A user's function, out of sight of searches for predictors; copies share it."""

    def __init__(self, function: Callable[..., Any] | None) -> None:
        self.function = function

    def __deepcopy__(self, memo: dict[int, Any]) -> "Hidden":
        return self


class Rewarded(Flow):
    """Base of modules that compare attempts by a reward: a predictor, or a function or metric."""

    reward: Any = None

    def _set_reward(self, reward: Any) -> None:
        if reward is not None and not callable(reward):
            raise UsageError(
                "`reward` must be a function of (example, prediction), a metric, or a predictor that gives a score. "
                f"Given: {shown(reward)}."
            )
        is_step = isinstance(reward, DspyPredict | DspyChainOfThought)
        self.reward = reward if is_step else None
        self._function = Hidden(None if is_step else reward)

    def _scored(self, inputs: Mapping[str, Any], found: Prediction, trace: list[Any] | None = None) -> Steps:
        """Return the score of an attempt, `None` if the reply of a predictor cannot be read."""
        if self.reward is None:
            if self._function.function is None:
                raise UsageError(
                    "This program has no reward: an artifact does not hold a function. Give it to the constructor and "
                    "load with `ts.load(folder, program=...)`."
                )
            example = Example(**inputs).with_inputs(*inputs)
            return Score.of(self._function.function(example, found))
        try:
            judged = yield Call(self.reward, {**inputs, **dict(found.items())}, {"trace": trace})
        except ParseError:
            return None
        output = list(self.reward.named_predictors()[-1][1].signature.output_fields)[-1]
        return Score.of(judged[output])
