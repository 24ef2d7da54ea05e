"""`sharegpt`: conversations, with calls of tools."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.artifacts.export._fine_tuning import Sample, Supervised
from tunesmith.artifacts.export._replies import ASSISTANT, CALL, OBSERVATION, USER, Prompt, Reply
from tunesmith.artifacts.export._target import register_export
from tunesmith.options import option

__all__ = ["ShareGPT", "conversation", "turn"]

_FROM = {USER: "human", ASSISTANT: "gpt", CALL: "function_call", OBSERVATION: "observation"}


@register_export
@dataclass(frozen=True)
class ShareGPT(Supervised):
    """Good replies of a run as ShareGPT conversations, with an entry and a config for LLaMA-Factory.

    A run of a `ts.ReAct` is one conversation with `function_call` and `observation`, and the tools as a JSON text.

    Example:
        >>> from tunesmith.artifacts.export.sharegpt import ShareGPT
        >>> from tunesmith.artifacts.export._replies import Prompt, Reply
        >>> row = ShareGPT().row(Reply("key", 0, Prompt("Add.", (("user", "2 + 2"),)), "4", 1.0))
        >>> row["conversations"]
        [{'from': 'human', 'value': '2 + 2'}, {'from': 'gpt', 'value': '4'}]
    """

    name: ClassVar[str] = "sharegpt"

    tool_calls: bool = option(
        True,  # noqa: FBT003 - the default of an option
        "Whether a run of a `ts.ReAct` is one conversation with calls of tools, and not its steps as they were sent.",
    )

    def row(self, reply: Reply) -> dict[str, Any]:
        """Return the row of a reply."""
        found = {
            "conversations": [*conversation(reply.prompt), turn(ASSISTANT, reply.text)],
            "system": reply.prompt.system,
        }
        return {**found, "tools": reply.tools} if reply.tools else found

    def entry(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return the entry."""
        columns = {"messages": "conversations", "system": "system"}
        if any("tools" in sample.values for sample in samples):
            columns["tools"] = "tools"
        return {"formatting": "sharegpt", "columns": columns}


def conversation(prompt: Prompt) -> list[dict[str, str]]:
    """Return the turns of a prompt."""
    return [turn(role, text) for role, text in prompt.turns]


def turn(role: str, text: str) -> dict[str, str]:
    """Return one turn."""
    return {"from": _FROM[role], "value": text}
