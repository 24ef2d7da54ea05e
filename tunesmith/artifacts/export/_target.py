"""What a target of an export is, and the targets by name."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import ClassVar, TypeVar

from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.folder import MANIFEST, STATE
from tunesmith.atomic import write_atomically
from tunesmith.errors import ArtifactError, UsageError, shown
from tunesmith.lazy import import_files
from tunesmith.options import option_names

__all__ = ["Export", "Exported", "export_kind", "export_kinds", "export_summary", "register_export"]

_PACKAGE = __name__.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Exported:
    """The files of an export, and what they do not carry.

    Attributes:
        files: the text of each file by its name, such as `prompt.json`; a name may have a folder, as in `data/a.jsonl`.
        notes: sentences about what the files do not carry, and how to use them.

    Example:
        >>> import tunesmith as ts
        >>> list(ts.export(ts.Predict("question -> answer"), to="messages").files)
        ['messages.json']
    """

    files: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", MappingProxyType(dict(self.files)))

    @property
    def text(self) -> str:
        """The text of the only file.

        Raises:
            UsageError: there are several files.
        """
        if len(self.files) != 1:
            raise UsageError(
                f"This export has {len(self.files)} files: {', '.join(self.files)}. Write them with `out=FOLDER` in "
                "Python, or `--out FOLDER` on the command line."
            )
        return next(iter(self.files.values()))

    def write(self, path: str | Path) -> tuple[Path, ...]:
        """Write the files and return their paths. A file that is there already is replaced.

        Args:
            path: for one file its path, or a folder that exists; for several files a folder, which is made.

        Raises:
            UsageError: `path` is a file, and there are several; or it is in the folder of an artifact, where the
                files could replace the artifact's own, and nobody could save or sign it again.
            ArtifactError: the disk cannot be written.
        """
        path = Path(path)
        alone = len(self.files) == 1 and not path.is_dir()
        if not alone and path.exists() and not path.is_dir():
            raise UsageError(f"This export has {len(self.files)} files, and {str(path)!r} is a file. Give a folder.")
        folder = path.parent if alone else path
        if all((folder / name).is_file() for name in (MANIFEST, STATE)):
            raise UsageError(f"{str(folder)!r} is an artifact, which holds no other files. Give another place.")
        targets = {(path if alone else path / name): text for name, text in self.files.items()}
        try:
            for target, text in targets.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(target, text)
        except (OSError, UnicodeEncodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ArtifactError(f"The export {str(path)!r} could not be written: {reason}.") from error
        return tuple(targets)


@dataclass(frozen=True)
class Export(ABC):
    """One target: a frozen dataclass whose fields, made with `option`, are its options.

    The first line of its docstring is its help.

    Attributes:
        name: what `to=` and `--to` call it.
    """

    kind: ClassVar[str] = "export"
    name: ClassVar[str]

    @abstractmethod
    def files(self, source: Source) -> Exported:
        """Return the files.

        Raises:
            UsageError: the target cannot carry the program; the message says why.
        """


_KINDS: dict[str, type[Export]] = {}
_ARGUMENTS = {"allow", "given", "out", "program", "to"}
Kind = TypeVar("Kind", bound=type[Export])


def register_export(kind: Kind) -> Kind:
    """Let `ts.export(..., to=NAME)` and `tunesmith export --to NAME` know a target; used as a decorator.

    Raises:
        UsageError: another target has its name, or an option has the name of an argument of `ts.export`.
    """
    taken = _ARGUMENTS.intersection(option_names(kind))
    if taken:
        raise UsageError(f"`ts.export` has arguments with the names of these options: {', '.join(sorted(taken))}.")
    if kind.name in _KINDS or PurePosixPath(kind.name).name != kind.name:
        raise UsageError(f"An export needs a unique name. Given: {shown(kind.name)}.")
    _KINDS[kind.name] = kind
    return kind


def export_kinds() -> dict[str, type[Export]]:
    """Return every target by name."""
    import_files(_PACKAGE)
    return dict(sorted(_KINDS.items()))


def export_kind(name: str) -> type[Export]:
    """Return the target of that name.

    Raises:
        UsageError: there is none.
    """
    known = export_kinds()
    if not isinstance(name, str) or name not in known:
        raise UsageError(f"There is no export {shown(name)}. Use one of: {', '.join(known)}.")
    return known[name]


def export_summary(kind: type[Export]) -> str:
    """Return the first line of a target's docstring."""
    return (inspect.getdoc(kind) or "").partition("\n")[0]
