"""The fallbacks of the ReAct paper: act and then think, or think and then act."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import BudgetExceeded, ParseError, UsageError, shown
from tunesmith.modules.agents.react import FINISH, ReAct
from tunesmith.modules.flow import BUDGET, Call, Flow, Steps
from tunesmith.modules.module import Module, Prediction, copy_program
from tunesmith.modules.reasoning.self_consistency import SelfConsistency
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting

__all__ = ["CoTThenReAct", "ReActThenCoT"]


class _Pair(Flow):
    """A `ReAct` and a module that thinks without tools, each of which runs once at most."""

    def __init__(self, react: Any, cot: Module) -> None:
        super().__init__()
        self.react, self.cot = react, cot
        self.signature = react.signature

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"react": self.react, "cot": self.cot}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"react": 1, "cot": 1}


@register_module
class ReActThenCoT(_Pair):
    """Run `react`, and `cot` if no step of it gave the answer.

    Yao et al. 2023, "ReAct", section 3.2, "ReAct → CoT-SC": with a self-consistency of 21 chains of thought as `cot`,
    and at most 7 steps for HotpotQA and 5 for FEVER. One run is the calls of `react` without its extraction, and those
    of `cot` if it is needed.

    Returns the outputs with `source`, `react` or `cot`; `steps` and `stopped` of `react`; and what `cot` adds, such as
    its `confidence`.

    Args:
        react: a `ts.ReAct`. It is copied, and the copy gives no answer at a limit.
        cot: any module with the same inputs and outputs, such as `ts.SelfConsistency(ts.ChainOfThought(...))`.

    Raises:
        UsageError: one of them is not such a module.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> def search(query: str) -> str:
        ...     '''Search.'''
        ...     return "nothing found"
        >>> react = ts.ReAct("question -> answer", tools=[search], max_steps=1)
        >>> program = ts.ReActThenCoT(react, ts.Predict("question -> answer"))
        >>> reply = '{"thought": "?", "action": {"tool": "search", "arguments": {"query": "x"}}}'
        >>> with dspy.context(lm=ts.ScriptedLM(reply, "Oslo")):
        ...     found = program(question="What is the capital of Norway?")
        >>> found.answer, found.source
        ('Oslo', 'cot')
    """

    def __init__(self, react: ReAct, cot: Module) -> None:
        _check_pair(react, cot)
        copied: Any = copy_program(react)
        copied.answer_at_limit = False
        super().__init__(copied, cot)

    def steps(self, **inputs: Any) -> Steps:
        """Run the first, and the second if the first did not finish."""
        acted = yield Call(self.react, inputs)
        found = dict(acted.items())
        if acted.stopped == FINISH:
            return Prediction(**found, source="react")
        thought = yield Call(self.cot, inputs)
        return Prediction(**{**found, **dict(thought.items()), "stopped": acted.stopped, "source": "cot"})


@register_module
class CoTThenReAct(_Pair):
    """Run `cot`, and `react` if the winner has less than `threshold` of the votes.

    Yao et al. 2023, "ReAct", section 3.2, "CoT-SC → ReAct": 21 chains, and half of the votes. One run is the samples of
    `cot`, and the calls of `react` if it is needed. If no chain can be read, `react` runs.

    Returns the outputs with `source`, `cot` or `react`, and what that part adds; `confidence` is that of `cot`.

    Args:
        cot: a `ts.SelfConsistency` of a step with the inputs and outputs of `react`.
        react: a `ts.ReAct`.
        threshold: share of the votes, from 0 to 1, below which `react` runs.

    Raises:
        UsageError: one of them is not such a module.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> def search(query: str) -> str:
        ...     '''Search.'''
        ...     return "nothing found"
        >>> cot = ts.SelfConsistency(ts.Predict("question -> answer"), samples=3)
        >>> program = ts.CoTThenReAct(cot, ts.ReAct("question -> answer", tools=[search]))
        >>> with dspy.context(lm=ts.ScriptedLM("Oslo", "Bergen", "Oslo")):
        ...     found = program(question="What is the capital of Norway?")
        >>> found.answer, found.source
        ('Oslo', 'cot')
    """

    threshold: float = Setting(0.5, choices=(0.3, 0.5, 0.7), low=0.0, high=1.0, help="share below which `react` runs")

    def __init__(self, cot: SelfConsistency, react: ReAct, threshold: float = 0.5) -> None:
        if not isinstance(cot, SelfConsistency):
            raise UsageError(f"`cot` must be a `ts.SelfConsistency(...)`. Given: {shown(cot)}.")
        _check_pair(react, cot)
        super().__init__(react, cot)
        self.threshold = threshold

    def steps(self, **inputs: Any) -> Steps:
        """Run the first, and the second if the first does not agree with itself."""
        try:
            thought = yield Call(self.cot, inputs)
        except ParseError:
            found, confidence = {}, 0.0
        else:
            found, confidence = dict(thought.items()), thought.confidence
            if confidence >= self.threshold:
                return Prediction(**found, source="cot")
        try:
            acted = yield Call(self.react, inputs)
        except BudgetExceeded:
            if not found:
                raise
            return Prediction(**{**found, "stopped": BUDGET, "source": "cot"})
        return Prediction(**{**found, **dict(acted.items()), "confidence": confidence, "source": "react"})


def _check_pair(react: Any, cot: Any) -> None:
    """Check the parts of a fallback.

    Raises:
        UsageError: one of them is not such a module, or an output is named `source`.
    """
    if not isinstance(react, ReAct):
        raise UsageError(f"`react` must be a `ts.ReAct(signature, tools=[...])`. Given: {shown(react)}.")
    if not isinstance(cot, Module):
        raise UsageError(f"`cot` must be a module, such as `ts.ChainOfThought(...)`. Given: {shown(cot)}.")
    if "source" in react.signature.output_fields:
        raise UsageError("The signature has an output `source`, which this module adds itself. Rename it.")
