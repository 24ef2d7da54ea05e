"""`SelfConsistency`: run a step several times and return the most frequent answer."""

from collections.abc import Generator, Mapping
from typing import Any, ClassVar

from tunesmith.errors import ParseError, UsageError, shown
from tunesmith.modules.flow import Call, Steps, unless_cut, until_budget
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.reasoning.reward import Rewarded
from tunesmith.modules.reasoning.rollouts import MOST_ROLLOUTS, Rollouts, keep_trace
from tunesmith.modules.reasoning.votes import Votes
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.modules.step import check_step, outputs_of

__all__ = ["SelfConsistency"]


@register_module
class SelfConsistency(Rewarded):
    """Run a step `samples` times, each as another rollout, and return the most frequent answer.

    Wang et al. 2022, "Self-Consistency Improves Chain of Thought Reasoning in Language Models", section 2. Differences:
    answers are normalised before they are compared, a chain with a reply that cannot be parsed has no vote but counts
    in the confidence, and the earliest answer wins a tie.

    Returns the prediction of the first chain with the winning answer. It has three more fields: `confidence`, the
    winner's share of the votes of all chains that ran, from 0 to 1; `chains`, the outputs of each chain, in order; and
    `stopped`: `samples`, `exact`, `probable`, or `budget`, which ended before the others. The trace holds only the
    chosen chain, so that an outvoted chain never becomes a demo.

    Args:
        step: a predictor or any other module, such as `ts.ChainOfThought("question -> answer")`.
        vote: name of the output to vote on; `None`: all outputs together, except `reasoning`.
        samples: number of chains, from 1 to 1000.
        temperature: of every chain.
        weight: of a chain's vote, from 0 to 1: a function of (example, prediction), or a predictor, as the `reward` of
            `ts.BestOf`; `None`: every vote counts 1.
        early_stop: `exact` ends when no further chain can change the answer, `probable` when the winner is more
            frequent than the second with a probability of `certainty` (Aggarwal et al. 2023, "Let's Sample Step by
            Step", section 3, the Beta criterion).
        certainty: that ends the chains if `early_stop` is `probable`.

    Raises:
        UsageError: `step` is not a module, `vote` is not one of its outputs, or a weight is not from 0 to 1.
        ParseError: no chain could be parsed.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> program = ts.SelfConsistency(ts.Predict("question -> answer"), samples=3)
        >>> with dspy.context(lm=ts.ScriptedLM("four", "5", "Four.")):
        ...     found = program(question="2 + 2?")
        >>> found.answer, round(found.confidence, 2)
        ('four', 0.67)
    """

    reward_name: ClassVar[str] = "weight"
    samples: int = Setting(5, choices=(3, 5, 9), low=1, high=MOST_ROLLOUTS, help="number of chains")
    temperature: float = Setting(0.7, low=0.0, high=2.0, help="temperature of every chain")
    early_stop: str = Setting("none", only=("none", "exact", "probable"), help="whether fewer chains may do")
    certainty: float = Setting(0.95, low=0.5, high=1.0, help="probability that ends the chains early")

    def __init__(
        self,
        step: Module,
        vote: str | None = None,
        samples: int = 5,
        temperature: float = 0.7,
        *,
        weight: Any = None,
        early_stop: str = "none",
        certainty: float = 0.95,
    ) -> None:
        super().__init__()
        check_step(step, ("confidence", "chains", "stopped"))
        self.outputs = outputs_of(step)
        if vote is not None and vote not in self.outputs:
            raise UsageError(f"`vote` must be an output of the step: {', '.join(self.outputs)}. Given: {shown(vote)}.")
        self.step = step
        self.vote = vote
        self._set_reward(weight)
        self.samples, self.temperature = samples, temperature
        self.early_stop, self.certainty = early_stop, certainty

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step, "vote": self.vote, **self._reward_spec()}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module, at most if it may stop early."""
        return {"step": self.samples, **self._reward_calls(self.samples)}

    def steps(self, **inputs: Any) -> Steps:
        """Run the chains one after the other."""
        chains: list[tuple[Call, Prediction | None]] = []
        votes = Votes(self.vote, self.outputs)
        stopped = yield from until_budget(self._chains(inputs, chains, votes), votes)
        call, found = chains[votes.winner]
        keep_trace(call, self.step)
        assert found is not None  # a chain without a prediction has no vote
        given = [None if one is None else dict(one.items()) for _, one in chains]
        added = {"confidence": votes.share, "chains": given, "stopped": stopped}
        return Prediction(**{**dict(found.items()), **added})

    def _chains(
        self, inputs: Mapping[str, Any], chains: list[tuple[Call, Prediction | None]], votes: Votes
    ) -> Generator[Call, Any, str]:
        """Fill `chains` and `votes`, and return why they end."""
        draws = Rollouts(self.step, inputs, self.temperature)
        for number in range(self.samples):
            call = draws.call(number)
            try:
                found = yield call
                weight = yield from self._weight(inputs, found, call.options["trace"])
            except ParseError:
                if number == self.samples - 1 and not votes:
                    raise
                found, weight = None, 1.0
            chains.append((call, found))
            votes.add(found, weight)
            if self.early_stop == "exact" and votes.decided(self.samples - number - 1):
                return "exact" if number < self.samples - 1 else "samples"
            if self.early_stop == "probable" and votes.certainty() >= self.certainty:
                return "probable" if number < self.samples - 1 else "samples"
        return unless_cut("samples", (one for _, one in chains))

    def _weight(
        self, inputs: Mapping[str, Any], found: Prediction, trace: list[Any] | None
    ) -> Generator[Call, Any, float]:
        """Return the weight of a chain; 0 if a predictor's reply cannot be read."""
        if self._reward() is None:
            return 1.0
        score = yield from self._scored(inputs, found, trace)
        if score is None:
            return 0.0
        if not 0 <= score.value <= 1:
            raise UsageError(f"A weight must be from 0 to 1. `weight` gave {score.value}.")
        return float(score.value)
