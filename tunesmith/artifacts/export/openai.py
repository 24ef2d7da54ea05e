"""`openai`: JSON lines for the fine-tuning of chat models, with calls of tools."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.artifacts.export._fine_tuning import Sample, Supervised
from tunesmith.artifacts.export._replies import ASSISTANT, CALL, OBSERVATION, USER, Reply
from tunesmith.artifacts.export._target import register_export
from tunesmith.options import option

__all__ = ["OpenAI"]

_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}


@register_export
@dataclass(frozen=True)
class OpenAI(Supervised):
    """Good replies of a run as messages in OpenAI's form, a row per line.

    A run of a `ts.ReAct` is one conversation with `tool_calls`, and has its `tools`. LLaMA-Factory loses these, so
    there is no entry for it then.

    Example:
        >>> from tunesmith.artifacts.export.openai import OpenAI
        >>> from tunesmith.artifacts.export._replies import Prompt, Reply
        >>> OpenAI().row(Reply("key", 0, Prompt("", (("user", "2 + 2"),)), "4", 1.0))
        {'messages': [{'role': 'user', 'content': '2 + 2'}, {'role': 'assistant', 'content': '4'}]}
    """

    name: ClassVar[str] = "openai"
    one_per_line: ClassVar[bool] = True

    tool_calls: bool = option(
        True,  # noqa: FBT003 - the default of an option
        "Whether a run of a `ts.ReAct` is one conversation with calls of tools, and not its steps as they were sent.",
    )

    def row(self, reply: Reply) -> dict[str, Any]:
        """Return the row of a reply."""
        system = [{"role": "system", "content": reply.prompt.system}] if reply.prompt.system else []
        turns, last = _turns(reply.prompt.turns), {"role": "assistant", "content": reply.text}
        found: dict[str, Any] = {"messages": [*system, *turns, last]}
        if reply.tools:
            found["tools"] = [{"type": "function", "function": tool} for tool in json.loads(reply.tools)]
        return found

    def entry(self, samples: Sequence[Sample]) -> dict[str, Any] | None:
        """Return the entry; every tag is named, because naming some takes away the defaults of the others."""
        if any("tools" in sample.values for sample in samples):
            return None
        # Not LLaMA-Factory's own format `openai`, which writes "detailed thinking off" into every system text.
        return {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": _TAGS}


def _turns(turns: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    calls = 0
    for role, text in turns:
        if role == CALL:
            calls += 1
            call = json.loads(text)
            function = {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)}
            made = {"id": f"call_{calls}", "type": "function", "function": function}
            found.append({"role": "assistant", "content": None, "tool_calls": [made]})
        elif role == OBSERVATION:
            found.append({"role": "tool", "tool_call_id": f"call_{calls}", "content": text})
        else:
            found.append({"role": {USER: "user", ASSISTANT: "assistant"}[role], "content": text})
    return found
