"""`SelfConsistency`: run a step several times and return the most frequent answer."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tunesmith.data import normalize_text
from tunesmith.errors import ParseError, UsageError, shown
from tunesmith.lm import BaseLM
from tunesmith.modules.module import Module, Prediction, context, copy_with_lms, settings
from tunesmith.modules.registry import register_module
from tunesmith.modules.rollouts import MOST_ROLLOUTS, rolled
from tunesmith.modules.setting import Setting
from tunesmith.signatures import to_json_value

__all__ = ["SelfConsistency"]

_REASONING = "reasoning"
_ADDED = ("confidence", "chains")


@register_module
class SelfConsistency(Module):
    """Run a step `samples` times, each as another rollout, and return the most frequent answer.

    Wang et al. 2022, "Self-Consistency Improves Chain of Thought Reasoning in Language Models", section 2, unweighted
    majority vote. Differences: answers are normalised before they are compared, a chain with a reply that cannot be
    parsed has no vote but counts in the confidence, and the earliest answer wins a tie.

    Returns the prediction of the first chain with the winning answer. It has two more fields: `confidence`, the
    winner's share of all chains, from 0 to 1, and `chains`, the outputs of each chain, in order. The trace holds only
    the chosen chain, so that an outvoted chain never becomes a demo.

    Args:
        step: a predictor or any other module, such as `ts.ChainOfThought("question -> answer")`.
        vote: name of the output to vote on; `None`: all outputs together, except `reasoning`.
        samples: number of chains, from 1 to 1000.
        temperature: of every chain.

    Raises:
        UsageError: `step` is not a module, or `vote` is not one of its outputs.
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

    samples: int = Setting(5, choices=(3, 5, 9), low=1, high=MOST_ROLLOUTS, help="number of chains")
    temperature: float = Setting(0.7, low=0.0, high=2.0, help="temperature of every chain")

    def __init__(self, step: Module, vote: str | None = None, samples: int = 5, temperature: float = 0.7) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if not isinstance(step, Module):
            raise UsageError(f"`step` must be a module, such as `ts.ChainOfThought(...)`. Given: {shown(step)}.")
        outputs = _outputs_of(step)
        if vote is not None and vote not in outputs:
            raise UsageError(f"`vote` must be an output of the step: {', '.join(outputs)}. Given: {shown(vote)}.")
        taken = [name for name in _ADDED if name in outputs]
        if taken:
            raise UsageError(
                f"The step has an output `{taken[0]}`, but SelfConsistency adds that field itself. Rename the output."
            )
        self.step = step
        self.vote = vote
        self.samples = samples
        self.temperature = temperature

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"step": self.step, "vote": self.vote}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module."""
        return {"step": self.samples}

    def forward(self, **inputs: Any) -> Prediction:
        """Run the chains one after the other; called by `__call__`."""
        chains = _Chains(self.vote)
        for number in range(self.samples):
            step, options = self._chain(number)
            with chains.one(step, options["trace"]), context(**options):
                chains.add(step(**inputs))
        return self._chosen(chains)

    async def aforward(self, **inputs: Any) -> Prediction:
        """Run the chains one after the other; called by `acall`."""
        chains = _Chains(self.vote)
        for number in range(self.samples):
            step, options = self._chain(number)
            with chains.one(step, options["trace"]), context(**options):
                chains.add(await step.acall(**inputs))
        return self._chosen(chains)

    def _chain(self, number: int) -> tuple[Module, dict[str, Any]]:
        """Return the step and the DSPy settings of chain `number`. LMs inside the step get its rollout, too."""

        def draw(lm: BaseLM) -> BaseLM:
            return rolled(lm, number, self.temperature)

        own = any(predictor.lm is not None for _, predictor in self.step.named_predictors())
        step = copy_with_lms(self.step, draw) if own else self.step
        return step, {
            "lm": None if settings.lm is None else draw(settings.lm),
            "trace": None if settings.trace is None else [],
        }

    def _chosen(self, chains: "_Chains") -> Prediction:
        """Return the winner's prediction, and put its steps into the caller's trace."""
        winner, votes = chains.winner()
        if settings.trace is not None:
            settings.trace.extend(chains.steps(winner, self.step))
        best = chains.predictions[winner]
        given = [None if one is None else dict(one.items()) for one in chains.predictions]
        assert best is not None  # a chain without a prediction has no vote
        return Prediction(**{**dict(best.items()), "confidence": votes / len(given), "chains": given})


class _Chains:
    """The chains of one run, in order; `None` stands for a reply that could not be parsed."""

    def __init__(self, vote: str | None) -> None:
        self._vote = vote
        self._traces: list[tuple[Module, list[Any]]] = []
        self._error: ParseError | None = None
        self.predictions: list[Prediction | None] = []

    @contextmanager
    def one(self, step: Module, trace: list[Any] | None) -> Iterator[None]:
        """Run one chain in this context. If its reply cannot be parsed, the chain has no vote."""
        self._traces.append((step, [] if trace is None else trace))
        try:
            yield
        except ParseError as error:
            self._error = error
            self.predictions.append(None)

    def add(self, prediction: Prediction) -> None:
        """Add the prediction of the running chain."""
        self.predictions.append(prediction)

    def winner(self) -> tuple[int, int]:
        """Return the number of the first chain with the most frequent answer, and the votes of that answer."""
        answers = [None if one is None else _answer(one, self._vote) for one in self.predictions]
        votes = Counter(answer for answer in answers if answer is not None)
        if not votes:
            assert self._error is not None  # there is at least one chain
            raise self._error
        answer, count = votes.most_common(1)[0]  # the earliest one of a tie
        return answers.index(answer), count

    def steps(self, number: int, step: Module) -> list[Any]:
        """Return the trace of a chain, with the predictors of `step` instead of those of its copy."""
        ran, trace = self._traces[number]
        if ran is step:
            return trace
        paths = {id(predictor): path for path, predictor in ran.named_predictors()}
        originals = dict(step.named_predictors())
        return [(originals[paths[id(predictor)]], *rest) for predictor, *rest in trace]


def _answer(prediction: Prediction, vote: str | None) -> str:
    """Return the answer as a comparable text: texts are normalised, all other values are JSON."""
    values = dict(prediction.items()) if vote is None else {vote: prediction[vote]}
    compared = {name: _normalised(value) for name, value in values.items() if vote is not None or name != _REASONING}
    return json.dumps(compared, sort_keys=True)


def _normalised(value: Any) -> Any:
    # Punctuation alone normalises to an empty text, which would make different answers equal.
    return (normalize_text(value) or value) if isinstance(value, str) else to_json_value(value)


def _outputs_of(step: Module) -> list[str]:
    """Return the outputs of a step's last predictor: the best guess before the step runs."""
    predictors = step.named_predictors()
    return list(predictors[-1][1].signature.output_fields) if predictors else []
