"""The files of a new project."""

from pathlib import Path

from tunesmith.errors import UsageError, shown

__all__ = ["write_template"]

_SOURCE = Path(__file__).parent / "template"
_SUFFIX = ".txt"  # ends the names of files that are code in a project and data in this package


def write_template(folder: Path, *, force: bool = False) -> list[Path]:
    """Write the files of a new project below `folder`, and return their paths from there.

    Args:
        folder: made where it is missing.
        force: overwrite files of the same names.

    Raises:
        UsageError: a file is there already, and nothing was written; or the folder cannot be written to.
    """
    files = {_name(path): path for path in sorted(_SOURCE.rglob("*")) if path.is_file()}
    there = [str(name) for name in files if (folder / name).exists()]
    if there and not force:
        raise UsageError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} in {shown(str(folder))} already, so nothing was "
            "written. Choose another folder, or overwrite with --force."
        )
    try:
        for name, source in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(source.read_bytes())
    except OSError as error:
        raise UsageError(
            f"The project cannot be written to {shown(str(folder))}: {error.strerror}. Choose another folder."
        ) from error
    return list(files)


def _name(path: Path) -> Path:
    name = path.relative_to(_SOURCE)
    return name.with_suffix("") if name.suffix == _SUFFIX else name
