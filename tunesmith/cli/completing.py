"""What the shell completes: runs and artifacts of the project, without importing anything that takes time."""

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

__all__ = ["ArtifactPath", "ExperimentName", "RunName"]

_PROJECT_FILE = "tunesmith.toml"


class RunName(click.ParamType[str]):
    """A run of the project, by its name."""

    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the runs whose name begins so."""
        return [CompletionItem(name) for name in _runs() if name.startswith(incomplete)]


class ExperimentName(click.ParamType[str]):
    """An experiment of the project, by its name."""

    name = "experiment"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the experiments whose name begins so."""
        return [CompletionItem(name) for name in _experiments() if name.startswith(incomplete)]


class ArtifactPath(click.Path):
    """The folder of an artifact; those of the project's runs are offered first."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return the artifacts whose path begins so, else let the shell complete a folder."""
        root = _root()
        paths = [str(root / "runs" / name / "artifact") for name in _runs()]
        found = [path for path in paths if path.startswith(incomplete) and Path(path, "manifest.json").is_file()]
        return [CompletionItem(path) for path in found] or [CompletionItem(incomplete, type="dir")]


def _root() -> Path:
    """Return the folder of the project as it is written from here: empty for this one."""
    here = Path()
    for depth, folder in enumerate((here.absolute(), *here.absolute().parents)):
        if (folder / _PROJECT_FILE).is_file():
            return Path(*[".."] * depth)
    return here


def _runs() -> list[str]:
    try:
        folders = sorted((_root() / "runs").iterdir())
    except OSError:
        return []
    return [folder.name for folder in folders if (folder / "run.json").is_file() or (folder / "run.db").is_file()]


def _experiments() -> list[str]:
    import tomllib  # here, because no other completion needs it

    try:
        found = tomllib.loads((_root() / _PROJECT_FILE).read_text(encoding="utf-8-sig")).get("experiments")
    except (OSError, ValueError):
        return []
    return sorted(found) if isinstance(found, dict) else []
