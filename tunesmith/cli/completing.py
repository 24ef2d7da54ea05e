"""What the shell completes: names, and artifacts of the project, without importing anything that takes time."""

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from tunesmith.lazy import lazy_pattern

__all__ = ["ArtifactPath", "CompilerName", "ExperimentName", "ExportName", "RunName"]

_PROJECT_FILE = "tunesmith.toml"
# The class of a compiler, the name that it gives itself instead, and the words of a class's name. `compilers()` finds
# the same, but imports them all.
_COMPILER = lazy_pattern(r"(?m)^class (\w+)\(\w*Compiler\):|^    command_name = \"(.+)\"")
_WORD = lazy_pattern(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


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


class CompilerName(click.ParamType[str]):
    """A compiler, by its name."""

    name = "compiler"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the compilers whose name begins so."""
        return [CompletionItem(name) for name in _compilers() if name.startswith(incomplete)]


class ExportName(click.ParamType[str]):
    """A target of an export, by its name."""

    name = "target"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the targets whose name begins so."""
        names = [file.stem.replace("_", "-") for file in _files("artifacts/export")]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


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


def _files(folder: str) -> list[Path]:
    """Return the public files of a folder of the package, which are not imported: that takes seconds."""
    return sorted(Path(__file__).parents[1].joinpath(folder).glob("[!_]*.py"))


def _compilers() -> list[str]:
    found = list[str]()
    for file in _files("compilers"):
        for kind, own in _COMPILER.findall(file.read_text(encoding="utf-8")):
            if own:
                found.pop()
            found.append(own or _WORD.sub("-", kind).lower())
    return sorted(found)


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
