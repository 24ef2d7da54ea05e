"""`ToolStep`: one thought, action and observation of an agent, and the text that a model reads of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.modules.agents.tool import result_text
from tunesmith.modules.fence import fenced

__all__ = ["NO_STEPS", "ToolStep", "cut_text", "trajectory_text"]

NO_STEPS = "No steps yet."


@dataclass(frozen=True, slots=True)
class ToolStep:
    """One step of an agent.

    Attributes:
        thought: why it acts.
        tool: name of what it calls, as the model wrote it; empty if its reply could not be read.
        arguments: of the call, as the model wrote them.
        observation: what came of it, as the model reads it.
        failed: whether the observation is an error.
    """

    thought: str
    tool: str
    arguments: Mapping[str, Any]
    observation: str
    failed: bool = False

    def text(self, number: int) -> str:
        """Return the step as lines of a trajectory. Further lines of a value are indented: none forges a step."""
        lines = {
            "Thought": self.thought,
            "Action": f"{self.tool} {result_text(self.arguments)}",
            "Observation": self.observation,
        }
        return "\n".join(f"{name} {number}: {fenced(text)}" for name, text in lines.items())


def trajectory_text(steps: Sequence[ToolStep], first: int = 0) -> str:
    """Return the steps from number `first` (from 0) on, as Yao et al. write them: `Thought 1: ...`."""
    if not steps:
        return NO_STEPS
    parts = [step.text(number) for number, step in enumerate(steps, 1)][first:]
    return "\n".join([f"({first} earlier steps are left out.)", *parts] if first else parts)


def cut_text(text: str, most: int) -> str:
    """Return `text`, or its first `most` characters and how many are left out."""
    left = len(text) - most
    return text if left <= 0 else f"{text[:most]}\n({left} more characters are left out.)"
