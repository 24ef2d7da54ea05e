"""`Refine`: improve an attempt by feedback until its reward is high enough."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.data import Score
from tunesmith.errors import ParseError
from tunesmith.modules.flow import Call, Steps, until_budget
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.predict import Predict
from tunesmith.modules.reasoning.reward import Rewarded
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.modules.step import as_text, check_step, step_signature, with_inputs
from tunesmith.signatures import InputField, OutputField, Signature

__all__ = ["Refine"]


class Advice(Signature):
    """The attempt at the task is not good enough. Say in a sentence or two what to change."""

    task: str = InputField()
    attempt: str = InputField()
    feedback: str = OutputField()


@dataclass(slots=True)
class _Attempt:
    found: Prediction
    score: Score | None = None

    @property
    def value(self) -> float | None:
        return None if self.score is None else self.score.value


@register_module
class Refine(Rewarded):
    """Run a step, and improve its outputs by feedback until the reward is high enough.

    Self-Refine (Madaan et al. 2023, arXiv 2303.17651, algorithm 1). Difference: a reward says when to stop, and the
    best attempt is returned, not the last. The feedback is that of the reward (`Score(value, feedback)`) or else a call
    of the predictor `advise`; the predictor `improve` has the inputs of the step, and all attempts with their feedback.

    Returns the best attempt's prediction with `reward`, `rewards` and `stopped`, as `BestOf` does: `threshold`,
    `rounds`, `unreadable` (an improvement cannot be parsed), or `budget`.

    Args:
        step: a predictor, or a module around one.
        reward: as of `BestOf`.
        rounds: most improvements; 0 for none.
        threshold: the reward that ends the search.

    Raises:
        UsageError: the step or the reward cannot be used.
        ParseError: the step's reply cannot be parsed.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> short = lambda example, found: len(found.answer) <= 4
        >>> with dspy.context(lm=ts.ScriptedLM("It is four.", "Give the number alone.", "4")):
        ...     ts.Refine(ts.Predict("question -> answer"), short)(question="2 + 2?").answer
        '4'
    """

    rounds: int = Setting(2, choices=(0, 1, 2), low=0, help="most improvements")
    threshold: float = Setting(1.0, help="the reward that ends the search")

    def __init__(self, step: Module, reward: Any = None, rounds: int = 2, threshold: float = 1.0) -> None:
        super().__init__()
        check_step(step, ("reward", "rewards", "stopped"))
        signature = step_signature(step)
        self.step = step
        self._set_reward(reward)
        self.advise = Predict(Advice)
        words = f"{signature.instructions}\nImprove the last attempt as its feedback says."
        self.improve = Predict(with_inputs(signature, words, attempts="attempts so far, and what to change"))
        self.rounds, self.threshold = rounds, threshold

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step, **self._reward_spec()}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"step": 1, "advise": self.rounds, "improve": self.rounds, **self._reward_calls(1 + self.rounds)}

    def steps(self, **inputs: Any) -> Steps:
        """Improve the best attempt until it is good enough."""
        best: list[_Attempt] = []
        rewards: list[float | None] = []
        stopped = yield from until_budget(self._rounds(inputs, best, rewards), best)
        added = {"reward": best[-1].value, "rewards": rewards, "stopped": stopped}
        return Prediction(**{**dict(best[-1].found.items()), **added})

    def _rounds(
        self, inputs: Mapping[str, Any], best: list[_Attempt], rewards: list[float | None]
    ) -> Generator[Call, Any, str]:
        """Put each attempt that is better than those before into `best`, and the reward of every one in `rewards`."""
        attempt = _Attempt((yield Call(self.step, inputs)))
        best.append(attempt)
        history: list[str] = []
        while True:
            attempt.score = yield from self._scored(inputs, attempt.found)
            rewards.append(attempt.value)
            if attempt.value is not None:
                if attempt is not best[-1] and (best[-1].value is None or attempt.value > best[-1].value):
                    best.append(attempt)
                if attempt.value >= self.threshold:
                    return "threshold"
            if len(rewards) > self.rounds:
                return "rounds"
            try:
                attempt = _Attempt((yield from self._improved(inputs, attempt, history)))
            except ParseError:
                rewards.append(None)
                return "unreadable"  # the same request would get the same reply

    def _improved(self, inputs: Mapping[str, Any], attempt: _Attempt, history: list[str]) -> Steps:
        """Return another attempt, by the feedback of the reward or of `advise`; add the last one to `history`."""
        text = as_text(attempt.found)
        feedback = None if attempt.score is None else attempt.score.feedback
        if feedback is None:
            said = yield Call(self.advise, {"task": as_text(inputs), "attempt": text})
            feedback = said.feedback
        history.append(f"Attempt {len(history) + 1}:\n{text}\nFeedback: {feedback}")
        return (yield Call(self.improve, {**inputs, "attempts": "\n\n".join(history)}))
