"""`ollama-create`: the body of a request to `/api/create`, which carries every text."""

import json
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith.artifacts.export._ollama import OllamaExport
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Exported, register_export
from tunesmith.errors import UsageError, shown
from tunesmith.options import option

__all__ = ["OllamaCreate"]

_NAME = re.compile(r"[A-Za-z0-9][\w./:-]*")


@register_export
@dataclass(frozen=True)
class OllamaCreate(OllamaExport):
    """The JSON for Ollama's `/api/create`, which makes a model of a program with one predictor."""

    name: ClassVar[str] = "ollama-create"
    model_name: str | None = option(None, "What the model is called. Default: as the artifact's run or folder.")

    def files(self, source: Source) -> Exported:
        """Return `create.json`."""
        model = self.model(source)
        if model.base.endswith(".gguf") or model.base.startswith((".", "/", "~")):
            raise UsageError(
                f"`/api/create` takes no file as a base. Given: {shown(model.base)}. Use the target 'modelfile', or "
                "make a model of the file first."
            )
        body: dict[str, Any] = {"model": self._name(source), "from": model.base, "stream": False}
        if model.system is not None:
            body["system"] = model.system
        if model.turns:
            body["messages"] = [{"role": role, "content": text} for role, text in model.turns]
        body["parameters"] = dict(model.parameters)
        notes = (
            "Send it with `curl http://localhost:11434/api/create -d @create.json`.",
            f"Ask the model with one message of this form: {json.dumps(model.question, ensure_ascii=False)}.",
            *model.notes,
        )
        return Exported({"create.json": json.dumps(body, indent=2, ensure_ascii=False) + "\n"}, notes)

    def _name(self, source: Source) -> str:
        name = re.sub(r"[^\w.-]+|^[^A-Za-z0-9]+", "-", source.title.lower(), flags=re.ASCII).strip("-_.") or "program"
        given = name if self.model_name is None else self.model_name
        if _NAME.fullmatch(given) is None:
            raise UsageError(f"`model_name` must be a name such as `sorter` or `team/sorter:1`. Given: {shown(given)}.")
        return given
