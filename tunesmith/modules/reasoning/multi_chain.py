"""`MultiChainComparison`: run a step several times, and have the model compare the attempts for its answer."""

from collections.abc import Generator, Mapping
from typing import Any

from tunesmith.errors import ContextOverflow, ParseError
from tunesmith.modules.flow import Call, Flow, Steps, until_budget
from tunesmith.modules.module import Module, Prediction
from tunesmith.modules.predict import Predict
from tunesmith.modules.reasoning.rollouts import MOST_ROLLOUTS, Rollouts, keep_trace
from tunesmith.modules.reasoning.votes import Votes, answer_of
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.modules.step import as_text, check_step, outputs_of, step_signature, with_inputs

__all__ = ["MultiChainComparison"]

_COMPARE = "Others have tried. Compare their attempts, some of which may be wrong, and give the right answer."


@register_module
class MultiChainComparison(Flow):
    """Run a step `samples` times, each as another rollout, then answer with all attempts in view.

    Yoran et al. 2023, "Answering Questions by Meta-Reasoning over Multiple Chains of Thought" (arXiv 2304.13007),
    section 3, without its retrieval. An attempt that cannot be parsed is left out. The predictor `compare` has the
    inputs of the step and `attempts`, whole, and its outputs. If its reply cannot be read, the attempts do not fit the
    context, or the budget ends, the most frequent answer wins.

    Returns the outputs with `chains`, the outputs of each attempt (`None`: it could not be parsed), and `stopped`:
    `compared`, `unreadable` or `budget`. The trace holds `compare`, and of the attempts the first with the same answer.

    Args:
        step: a predictor, such as `ts.ChainOfThought("question -> answer")`, or a module around one.
        samples: number of attempts, from 1 to 1000.
        temperature: of every attempt.

    Raises:
        UsageError: the step cannot be used.
        ParseError: no attempt could be parsed.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> program = ts.MultiChainComparison(ts.Predict("question -> answer"), samples=2)
        >>> with dspy.context(lm=ts.ScriptedLM("4", "5", "4")):
        ...     program(question="2 + 2?").answer
        '4'
    """

    samples: int = Setting(3, choices=(2, 3, 5), low=1, high=MOST_ROLLOUTS, help="number of attempts")
    temperature: float = Setting(0.7, low=0.0, high=2.0, help="temperature of every attempt")

    def __init__(self, step: Module, samples: int = 3, temperature: float = 0.7) -> None:
        super().__init__()
        check_step(step, ("chains", "stopped"))
        signature = step_signature(step)
        self.step, self.outputs = step, outputs_of(step)
        words = f"{signature.instructions}\n{_COMPARE}"
        self.compare = Predict(with_inputs(signature, words, attempts="attempts of others"))
        self.samples, self.temperature = samples, temperature

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"step": self.samples, "compare": 1}

    def steps(self, **inputs: Any) -> Steps:
        """Make the attempts, and compare them."""
        votes = Votes(None, self.outputs)
        chains: list[tuple[Call, Prediction | None]] = []
        compared: list[Prediction] = []
        stopped = yield from until_budget(self._compared(inputs, votes, chains, compared), votes)
        best = compared[0] if stopped == "compared" else chains[votes.winner][1]
        assert best is not None  # a chain without a prediction has no vote
        self._keep(best, chains)
        given = [None if one is None else dict(one.items()) for _, one in chains]
        return Prediction(**{**dict(best.items()), "chains": given, "stopped": stopped})

    def _compared(
        self,
        inputs: Mapping[str, Any],
        votes: Votes,
        chains: list[tuple[Call, Prediction | None]],
        compared: list[Prediction],
    ) -> Generator[Call, Any, str]:
        """Fill the lists, and return how the answer was found."""
        draws = Rollouts(self.step, inputs, self.temperature)
        for number in range(self.samples):
            call = draws.call(number)
            try:
                found = yield call
            except ParseError:
                if number == self.samples - 1 and not votes:
                    raise
                found = None
            chains.append((call, found))
            votes.add(found)
        read = [one for _, one in chains if one is not None]
        attempts = "\n\n".join(f"Attempt {number}:\n{as_text(one)}" for number, one in enumerate(read, 1))
        try:
            compared.append((yield Call(self.compare, {**inputs, "attempts": attempts})))
        except (ParseError, ContextOverflow):
            return "unreadable"
        return "compared"

    def _keep(self, best: Prediction, chains: list[tuple[Call, Prediction | None]]) -> None:
        """Put the first attempt with the answer of `best` into the trace."""
        answer = answer_of(best, None, self.outputs)
        for call, found in chains:
            if found is not None and answer_of(found, None, self.outputs) == answer:
                keep_trace(call, self.step)
                break
