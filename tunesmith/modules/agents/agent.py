"""`Agent`: plan, act with tools, and remember what was said and found."""

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.modules.agents.memory import Memory
from tunesmith.modules.agents.plan_and_act import PlanAndAct
from tunesmith.modules.registry import register_module

__all__ = ["Agent"]


@register_module
class Agent(Memory):
    """Plan, act with tools, and remember: a `ts.Memory` around a plan and a `ts.ReAct`.

    The predictor `step.plan` writes a plan of a few lines (Wang et al. 2023, "Plan-and-Solve Prompting", section 2, as
    a call of its own), `step.act` carries it out (`ReAct`), and the turn is added to `past`: inputs, outputs and what
    the tools returned. The next call reads the last turns and those that matter (`Memory`).

    Returns what `ReAct` returns with `plan`, `did` (what the tools returned) and `past`. One run is one call for the
    plan and those of `ReAct`: at most `max_steps` + 2.

    Args:
        signature: what is asked and answered.
        tools: as those of `ts.ReAct`.
        tokens: most tokens of the last turns that it reads, and of the recalled ones.
        recalled: most earlier turns that it recalls.
        embed: what turns are compared by, as in `ts.Memory`.
        planned: whether a plan is made first; a compiler tries both.
        **limits: options of `ts.ReAct`, such as `max_steps`.

    Raises:
        UsageError: as `ReAct`; or the signature has a field `memory`, `plan`, `did` or `past`.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> def capital(country: str) -> str:
        ...     '''Look up a capital.'''
        ...     return {"Norway": "Oslo"}[country]
        >>> agent = ts.Agent("question -> answer", tools=[capital])
        >>> replies = [
        ...     "Look up the capital.",
        ...     '{"thought": "Look.", "action": {"tool": "capital", "arguments": {"country": "Norway"}}}',
        ...     '{"thought": "I know.", "action": {"tool": "finish", "arguments": {"answer": "Oslo"}}}',
        ... ]
        >>> with dspy.context(lm=ts.ScriptedLM(*replies)):
        ...     found = agent(question="What is the capital of Norway?")
        >>> found.answer, found.past[0]["did"]
        ('Oslo', ['capital {"country": "Norway"}: Oslo'])
    """

    def __init__(
        self,
        signature: Any,
        tools: Sequence[Any],
        tokens: int = 500,
        recalled: int = 3,
        embed: Any = None,
        *,
        planned: bool = True,
        **limits: Any,
    ) -> None:
        super().__init__(PlanAndAct(signature, tools, planned=planned, **limits), tokens, recalled, embed)
        self.signature: Any = self.signature.delete("did")  # for the memory, and no answer

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings, as JSON: an artifact does not hold functions."""
        return {**self.step.spec(), "embed": super().spec()["embed"]}
