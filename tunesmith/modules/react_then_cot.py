"""`ReActThenCoT`: act with tools, and think without them if that gives no answer."""

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.modules.flow import Call, Flow, Steps
from tunesmith.modules.module import Module, Prediction, copy_program
from tunesmith.modules.react import FINISH, ReAct
from tunesmith.modules.registry import register_module

__all__ = ["ReActThenCoT", "check_pair"]


@register_module
class ReActThenCoT(Flow):
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
        super().__init__()  # type: ignore[no-untyped-call]
        check_pair(react, cot)
        copied: Any = copy_program(react)
        copied.answer_at_limit = False
        self.react, self.cot = copied, cot
        self.signature = react.signature

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments."""
        return {"react": self.react, "cot": self.cot}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"react": 1, "cot": 1}

    def steps(self, **inputs: Any) -> Steps:
        """Run the first, and the second if the first did not finish."""
        acted = yield Call(self.react, inputs)
        found = dict(acted.items())
        if acted.stopped == FINISH:
            return Prediction(**found, source="react")
        thought = yield Call(self.cot, inputs)
        return Prediction(**{**found, **dict(thought.items()), "source": "cot"})


def check_pair(react: Any, cot: Any) -> None:
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
