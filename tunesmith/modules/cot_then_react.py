"""`CoTThenReAct`: think without tools, and act with them if the chains of thought do not agree."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import ParseError, UsageError, shown
from tunesmith.modules.flow import Call, Flow, Steps
from tunesmith.modules.module import Prediction
from tunesmith.modules.react import ReAct
from tunesmith.modules.react_then_cot import check_pair
from tunesmith.modules.registry import register_module
from tunesmith.modules.self_consistency import SelfConsistency
from tunesmith.modules.setting import Setting

__all__ = ["CoTThenReAct"]


@register_module
class CoTThenReAct(Flow):
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
        super().__init__()  # type: ignore[no-untyped-call]
        if not isinstance(cot, SelfConsistency):
            raise UsageError(f"`cot` must be a `ts.SelfConsistency(...)`. Given: {shown(cot)}.")
        check_pair(react, cot)
        self.cot, self.react, self.threshold = cot, react, threshold
        self.signature = react.signature

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings."""
        return {"cot": self.cot, "react": self.react}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"cot": 1, "react": 1}

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
        acted = yield Call(self.react, inputs)
        return Prediction(**{**found, **dict(acted.items()), "confidence": confidence, "source": "react"})
