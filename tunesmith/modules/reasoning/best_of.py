"""`BestOf`: run a step several times and return the attempt with the highest reward."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import ParseError
from tunesmith.modules.flow import Call, Steps, unless_cut, until_budget
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.reasoning.reward import Rewarded
from tunesmith.modules.reasoning.rollouts import MOST_ROLLOUTS, Rollouts, keep_trace
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.modules.step import check_step

__all__ = ["BestOf"]


@dataclass(slots=True)
class _Attempt:
    call: Call
    found: Prediction | None = None
    value: float | None = None


@register_module
class BestOf(Rewarded):
    """Run a step up to `samples` times, each as another rollout, and return the attempt with the highest reward.

    Best-of-n sampling (Stiennon et al. 2020, "Learning to summarize from human feedback", section 4). It stops at the
    first attempt with a reward of `threshold` or more. The first of equal rewards wins. An attempt that cannot be
    parsed has no reward. The trace holds only the winner.

    Returns the winner's prediction with `reward`, its reward (`None` if no judgement could be read); `rewards`, one for
    each attempt; and `stopped`: `threshold`, `samples`, or `budget`, which ended before the others.

    Args:
        step: a predictor or any other module.
        reward: a function of (example, prediction) that returns a bool, a number or a `Score`, such as a metric that
            needs no label; the example has the inputs. Or a predictor whose inputs are the step's inputs and outputs,
            and whose last output is a number or a bool. An artifact holds the predictor; a function has to be given
            again, in the program that is passed to `ts.load`.
        samples: most attempts, from 1 to 1000.
        temperature: of every attempt.
        threshold: the reward that ends the search.

    Raises:
        UsageError: `step` is not a module, or the reward cannot be used.
        ParseError: no attempt could be parsed.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> short = lambda example, found: len(found.answer) <= 4
        >>> with dspy.context(lm=ts.ScriptedLM("It is four.", "four", "4")):
        ...     found = ts.BestOf(ts.Predict("question -> answer"), short)(question="2 + 2?")
        >>> found.answer, found.rewards
        ('four', [0.0, 1.0])
    """

    samples: int = Setting(3, choices=(1, 3, 5), low=1, high=MOST_ROLLOUTS, help="most attempts")
    temperature: float = Setting(0.7, low=0.0, high=2.0, help="temperature of every attempt")
    threshold: float = Setting(1.0, help="the reward that ends the search")

    def __init__(
        self, step: Module, reward: Any = None, samples: int = 3, temperature: float = 0.7, threshold: float = 1.0
    ) -> None:
        super().__init__()
        check_step(step, ("reward", "rewards", "stopped"))
        self.step = step
        self._set_reward(reward)
        self.samples, self.temperature, self.threshold = samples, temperature, threshold

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step, **self._reward_spec()}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"step": self.samples, **self._reward_calls(self.samples)}

    def steps(self, **inputs: Any) -> Steps:
        """Make attempts until one is good enough."""
        attempts: list[_Attempt] = []
        read: list[_Attempt] = []
        stopped = yield from until_budget(self._attempts(inputs, attempts, read), read)
        best = max(read, key=lambda one: float("-inf") if one.value is None else one.value)
        keep_trace(best.call, self.step)
        rewards = [one.value for one in attempts]
        assert best.found is not None
        added = {"reward": best.value, "rewards": rewards, "stopped": stopped}
        return Prediction(**{**dict(best.found.items()), **added})

    def _attempts(
        self, inputs: Mapping[str, Any], attempts: list[_Attempt], read: list[_Attempt]
    ) -> Generator[Call, Any, str]:
        """Fill `attempts`, and `read` with those that could be parsed."""
        draws = Rollouts(self.step, inputs, self.temperature)
        for number in range(self.samples):
            attempt = _Attempt(draws.call(number))
            try:
                attempt.found = yield attempt.call
            except ParseError:
                if number == self.samples - 1 and not read:
                    raise
            else:
                read.append(attempt)
            attempts.append(attempt)
            if attempt.found is None:
                continue
            score = yield from self._scored(inputs, attempt.found, attempt.call.options["trace"])
            attempt.value = None if score is None else score.value
            if attempt.value is not None and attempt.value >= self.threshold:
                return "threshold"
        return unless_cut("samples", (one.found for one in attempts))
