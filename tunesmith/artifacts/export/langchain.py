"""`langchain`: the messages as the JSON of a `ChatPromptTemplate`, which `langchain_core.load.loads` reads.

Demos are messages of the template. The few-shot templates of langchain-core are not used: what `dumps` writes of them,
`loads` refuses, and the one for texts formats a demo twice, so that its braces get lost.
"""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.artifacts.export._prompt import Message, Prompt
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Export, Exported, register_export
from tunesmith.errors import UsageError

__all__ = ["LangChain"]

_KINDS = {"system": ("SystemMessage", "system"), "user": ("HumanMessage", "human"), "assistant": ("AIMessage", "ai")}


@register_export
@dataclass(frozen=True)
class LangChain(Export):
    """The messages of each predictor as a chat prompt template of LangChain (langchain-core 1.x)."""

    name: ClassVar[str] = "langchain"

    def files(self, source: Source) -> Exported:
        """Return `prompt.json`, or a file per predictor."""
        prompts = source.prompts
        alone = len(prompts) == 1
        files = {
            "prompt.json" if alone else f"{prompt.path}.json": json.dumps(_template(prompt), indent=2) + "\n"
            for prompt in prompts
        }
        notes = [*source.notes, *(note for prompt in prompts for note in prompt.notes)]
        for prompt in prompts:
            moved = ", ".join(blank.name for blank in prompt.blanks if blank.is_moved)
            if moved:
                notes.append(
                    f"Of `{prompt.path}`: LangChain cannot set in a text of several lines, as the format "
                    f"`{prompt.format}` does. For {moved} the messages are exact if the text is one line."
                )
        return Exported(files, tuple(notes))


def _template(prompt: Prompt) -> dict[str, Any]:
    names = [blank.name for blank in prompt.blanks]
    return _made("prompts", "chat", "ChatPromptTemplate") | {
        "kwargs": {"input_variables": names, "messages": [_message(one, prompt) for one in prompt.messages]}
    }


def _message(message: Message, prompt: Prompt) -> dict[str, Any]:
    if message.role not in _KINDS:
        raise UsageError(
            f"A message of `{prompt.path}` has the role {message.role!r}. This target has only {', '.join(_KINDS)}. "
            "Use the target 'messages'."
        )
    kind, short = _KINDS[message.role]
    if message.is_fixed:  # a message that is no template: it is not formatted, so braces stay
        return _made("schema", "messages", kind) | {"kwargs": {"content": message.text(_none), "type": short}}
    template = message.text(
        lambda blank: f"{blank.inline}{{{blank.name}}}", lambda text: text.replace("{", "{{").replace("}", "}}")
    )
    inner = _made("prompts", "prompt", "PromptTemplate") | {
        "kwargs": {
            "input_variables": [blank.name for blank in prompt.blanks],
            "template": template,
            "template_format": "f-string",
        }
    }
    return _made("prompts", "chat", f"{kind}PromptTemplate") | {"kwargs": {"prompt": inner}}


def _made(*path: str) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", *path]}


def _none(_: object) -> str:
    return ""
