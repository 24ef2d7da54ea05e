"""`messages`: the messages of each predictor as JSON."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.artifacts.export._prompt import Prompt
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Export, Exported, register_export
from tunesmith.options import option

__all__ = ["Messages"]


@register_export
@dataclass(frozen=True)
class Messages(Export):
    """The messages of each predictor as JSON, with placeholders for the inputs."""

    name: ClassVar[str] = "messages"
    indent: int = option(2, "Blanks that each level of the JSON is set in by.", low=0, high=8)

    def files(self, source: Source) -> Exported:
        """Return `messages.json`."""
        prompts = source.prompts
        content = {
            "program": source.title,
            "predictors": {prompt.path: _described(prompt) for prompt in prompts},
        }
        text = json.dumps(content, indent=self.indent or None, ensure_ascii=False) + "\n"
        notes = (*source.notes, *(note for prompt in prompts for note in prompt.notes))
        return Exported({"messages.json": text}, notes)


def _described(prompt: Prompt) -> dict[str, Any]:
    marks = prompt.placeholders("{{{{{name}}}}}")
    messages = [
        {"role": message.role, "content": message.text(lambda blank: blank.inline + marks[blank.name])}
        for message in prompt.messages
    ]
    inputs = {field["name"]: field for field in prompt.fields("input")}
    for blank in prompt.blanks:
        inputs[blank.name] |= {"placeholder": marks[blank.name], "as": "text" if blank.is_text else "JSON"}
        if blank.is_moved:
            # What a reader needs to write several lines as the format does.
            inputs[blank.name]["several_lines"] = {
                "replace": blank.inline + marks[blank.name],
                "by": blank.lead + marks[blank.name],
                "line_break": blank.joint,
            }
    return {
        "format": prompt.format,
        "messages": messages,
        "inputs": list(inputs.values()),
        "outputs": prompt.fields("output"),
        "schema": prompt.schema,
        "options": dict(prompt.options),
    }
