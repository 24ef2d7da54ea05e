"""`alpaca`: rows of instruction, system, history and output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.artifacts.export._fine_tuning import Sample, Supervised
from tunesmith.artifacts.export._replies import Reply
from tunesmith.artifacts.export._target import register_export

__all__ = ["Alpaca"]


@register_export
@dataclass(frozen=True)
class Alpaca(Supervised):
    """Good replies of a run as Alpaca rows, with an entry and a config for LLaMA-Factory.

    The last message of the user is the `instruction`; `input` is empty, because LLaMA-Factory would add it after a line
    break. Demos are the `history`.

    Example:
        >>> from tunesmith.artifacts.export.alpaca import Alpaca
        >>> from tunesmith.artifacts.export._replies import Prompt, Reply
        >>> asked = Prompt("Add.", (("user", "1 + 1"), ("assistant", "2"), ("user", "2 + 2")))
        >>> Alpaca().row(Reply("key", 0, asked, "4", 1.0))
        {'instruction': '2 + 2', 'input': '', 'output': '4', 'system': 'Add.', 'history': [['1 + 1', '2']]}
    """

    name: ClassVar[str] = "alpaca"

    def row(self, reply: Reply) -> dict[str, Any]:
        """Return the row of a reply."""
        *before, (_, last) = reply.prompt.turns
        texts = [text for _, text in before]
        return {
            "instruction": last,
            "input": "",
            "output": reply.text,
            "system": reply.prompt.system,
            "history": [list(pair) for pair in zip(texts[::2], texts[1::2], strict=True)],
        }

    def entry(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Return the entry; every column is named, because naming some takes away the defaults of the others."""
        columns = {"prompt": "instruction", "query": "input", "response": "output"}
        return {"columns": {**columns, "system": "system", "history": "history"}}
