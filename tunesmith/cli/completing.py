"""What the shell completes: names, and artifacts of the project, without importing anything that takes time."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from tunesmith.compilers import compiler_names

__all__ = ["ArtifactPath", "CompilerName", "ExperimentName", "ExportName", "RunName"]

_PROJECT_FILE = "tunesmith.toml"


class _Name(click.ParamType[str]):
    """A name of a kind, whose names are known."""

    def names(self) -> Iterable[str]:
        """Return all names."""
        raise NotImplementedError

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin so."""
        return [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]


class RunName(_Name):
    """A run of the project, by its name."""

    name = "run"

    def names(self) -> Iterable[str]:
        """Return the runs of the project."""
        return _runs()


class ExperimentName(_Name):
    """An experiment of the project, by its name."""

    name = "experiment"

    def names(self) -> Iterable[str]:
        """Return the experiments of the project file."""
        import tomllib  # here, because no other completion needs it

        try:
            found = tomllib.loads((_root() / _PROJECT_FILE).read_text(encoding="utf-8-sig")).get("experiments")
        except (OSError, ValueError):
            return []
        return sorted(found) if isinstance(found, dict) else []


class CompilerName(_Name):
    """A compiler, by its name."""

    name = "compiler"

    def names(self) -> Iterable[str]:
        """Return the compilers of the package."""
        return compiler_names()


class ExportName(_Name):
    """A target of an export, by its name."""

    name = "target"

    def names(self) -> Iterable[str]:
        """Return the targets of the package."""
        # Importing them takes seconds.
        files = Path(__file__).parents[1].joinpath("artifacts", "export").glob("[!_]*.py")
        return sorted(file.stem.replace("_", "-") for file in files)


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
