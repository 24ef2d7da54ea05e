"""Find the project that a folder belongs to, without reading it."""

from pathlib import Path

__all__ = ["PROJECT_FILE", "project_file", "project_root"]

PROJECT_FILE = "tunesmith.toml"


def project_file() -> Path | None:
    """Return the project file of this folder or of the nearest one above, `None` if there is none."""
    here = Path.cwd()
    return next((folder / PROJECT_FILE for folder in (here, *here.parents) if (folder / PROJECT_FILE).is_file()), None)


def project_root() -> Path:
    """Return the folder of the project: an empty path for this folder, also if there is no project."""
    file = project_file()
    return Path() if file is None or file.parent == Path.cwd() else file.parent
