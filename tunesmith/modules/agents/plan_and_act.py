"""`PlanAndAct`: make a plan, then carry it out with tools; the step of an `Agent`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from tunesmith.errors import ParseError, UsageError
from tunesmith.formats import AdapterParseError
from tunesmith.modules.agents.react import FINISH, ReAct
from tunesmith.modules.agents.tool import result_text
from tunesmith.modules.agents.trajectory import ToolStep, cut_text
from tunesmith.modules.flow import Call, Flow, Steps
from tunesmith.modules.module import Prediction, as_signature
from tunesmith.modules.predict import Predict
from tunesmith.modules.registry import register_module
from tunesmith.modules.setting import Setting
from tunesmith.signatures import InputField, OutputField, Signature, describe, is_generated

__all__ = ["PlanAndAct"]

_ADDED = ("memory", "plan", "did")
_NO_PLAN = "none"
_DONE_CHARACTERS = 200  # of an action that is remembered
_HOW = "Make a plan to answer this with the tools: at most three short steps, in one line each. Do not answer."
_Plan: Any = Annotated[str, Field(max_length=400)]  # a small model goes on until the limit of the reply


@register_module
class PlanAndAct(Flow):
    """Make a plan in one call, then act as `ts.ReAct` with the plan and the memory among its inputs.

    Returns what `ReAct` returns with `plan` (`none` without one) and `did`, what its tools returned, for the memory.
    Arguments: those of `Agent`; the others are those of `ReAct`.
    """

    planned: bool = Setting(default=True, choices=(True, False), help="whether a plan is made first")

    def __init__(self, signature: Any, tools: Sequence[Any], *, planned: bool = True, **limits: Any) -> None:
        super().__init__()
        given: Any = as_signature(signature)
        taken = [name for name in _ADDED if name in given.fields]
        if taken:
            raise UsageError(f"The signature has a field `{taken[0]}`, but `Agent` adds that field itself. Rename it.")
        remembering = given.append("memory", InputField(), str)
        self.act = ReAct(remembering.append("plan", InputField(), str), tools, **limits)
        self.plan = Predict(_planning(remembering, self.act))
        self.signature = remembering.append("did", OutputField(), list[str])
        self.planned = planned

    def spec(self) -> Mapping[str, Any]:
        """Return the constructor's arguments except the settings, as JSON: an artifact does not hold functions."""
        return {"signature": describe(self.signature)["fields"], "tools": self.act.spec()["tools"]}

    def calls(self) -> Mapping[str, int]:
        """Return how often one run runs each inner module at most."""
        return {"plan": int(self.planned), "act": 1}

    def steps(self, **inputs: Any) -> Steps:
        """Plan and act. A plan that cannot be read is none."""
        plan = _NO_PLAN
        if self.planned:
            try:
                plan = (yield Call(self.plan, inputs)).plan
            except (ParseError, AdapterParseError):
                plan = _NO_PLAN
        found = yield Call(self.act, {**inputs, "plan": plan})
        return Prediction(**{**dict(found.items()), "plan": plan, "did": _did(found.steps)})


def _planning(signature: Any, act: ReAct) -> type[Signature]:
    """Return the signature of a plan. Its instruction describes the tools, and a compiler may reword it."""
    listed = "\n".join(f"- {tool.name}: {tool.words}" for tool in act.tools.values())
    made = signature
    for name in signature.output_fields:
        made = made.delete(name)
    task = "" if is_generated(signature, signature.instructions) else f"{signature.instructions}\n\n"
    asked: Any = made.append("plan", OutputField(), _Plan)
    found: type[Signature] = asked.with_instructions(f"{task}{_HOW}\nTools:\n{listed}")
    return found


def _did(steps: Sequence[ToolStep]) -> list[str]:
    """Return what the tools returned, one text for each call that worked."""
    return [
        cut_text(f"{step.tool} {result_text(step.arguments)}: {step.observation}", _DONE_CHARACTERS)
        for step in steps
        if not step.failed and step.tool != FINISH
    ]
