"""What is shared by the targets that run `tunesmith serve`."""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.artifacts.artifact import Artifact
from tunesmith.artifacts.export._target import Export
from tunesmith.options import option

__all__ = ["ServiceExport", "is_embedded", "version"]


@dataclass(frozen=True)
class ServiceExport(Export):
    """The shared options of what runs a service."""

    port: int = option(8000, "The port that it listens at.", low=1, high=65535)
    lm: str | None = option(None, "The model, as for `--lm`. Default: the artifact's.")

    def command(self, artifact: str, host: str, token_file: str | None, allow: Sequence[str]) -> Sequence[str]:
        """Return the arguments of `tunesmith`; `allow` names the classes that the artifact may import."""
        return [
            "serve",
            artifact,
            *("--host", host),
            *("--port", str(self.port)),
            *(() if token_file is None else ("--token-file", token_file)),
            *(() if self.lm is None else ("--lm", self.lm)),
            *(part for name in allow for part in ("--allow", name)),
        ]


def is_embedded(artifact: Artifact, lm: str | None) -> bool:
    """Return whether the model is the embedded one."""
    return (artifact.lm.get("model") if lm is None else lm) == "embedded"


def version() -> str | None:
    """Return the version of tunesmith, `None` if it runs from a source tree."""
    try:
        return importlib.metadata.version("tunesmith")
    except importlib.metadata.PackageNotFoundError:
        return None
