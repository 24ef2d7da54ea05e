"""`modelfile`: a Modelfile, for `ollama create NAME -f Modelfile`.

Texts stand raw between three quotes, as `ollama create` takes no escapes. It ends a text at the first line that ends in
three quotes, and drops characters that Go does not call printable without a word: such texts are refused here, and the
target `ollama-create` carries them.
"""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.artifacts.export._ollama import OllamaExport, OllamaModel
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Exported, register_export
from tunesmith.errors import UsageError

__all__ = ["Modelfile"]

_QUOTES = '"""'
_JSON = "Use the target 'ollama-create', which carries it."


@register_export
@dataclass(frozen=True)
class Modelfile(OllamaExport):
    """A Modelfile: `ollama create` makes a model of a program with one predictor."""

    name: ClassVar[str] = "modelfile"

    def files(self, source: Source) -> Exported:
        """Return `Modelfile`."""
        model = self.model(source)
        return Exported({"Modelfile": "\n".join(_lines(model)) + "\n"}, model.notes)


def _lines(model: OllamaModel) -> Iterator[str]:
    yield "# Ask with one message of this form:"
    yield from (f"#   {line}" for line in model.question.splitlines())
    yield f"FROM {model.base}"
    for name, value in model.parameters.items():
        for one in value if isinstance(value, list) else [value]:
            yield f"PARAMETER {name} {_parameter(one)}"
    if model.system is not None:
        yield f"SYSTEM {_quoted(model.system)}"
    for role, text in model.turns:
        yield f"MESSAGE {role} {_quoted(text)}"


def _parameter(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    *lines, _ = text.replace("\r", "\n").split("\n")
    if any(line.rstrip().endswith(_QUOTES) for line in lines):
        raise UsageError(
            f"A Modelfile cannot carry a text with a line that ends in {_QUOTES}: the text would end there. {_JSON}"
        )
    dropped = next((char for char in text if not _is_kept(char)), None)
    if dropped is not None:
        name = unicodedata.name(dropped, "a control character or the like")
        raise UsageError(
            f"A Modelfile cannot carry the character U+{ord(dropped):04X} ({name}), which stands in "
            f"a text of the program: `ollama create` drops it without a word. {_JSON}"
        )
    return f"{_QUOTES}{text}{_QUOTES}"


def _is_kept(char: str) -> bool:
    """Return whether `ollama create` keeps a character: those that Go calls printable, and white space of ASCII.

    Python's table of characters is no newer than that of a server of today, so an unknown one is refused.
    """
    return char in " \t\r\n" or unicodedata.category(char)[0] in "LMNPS"
