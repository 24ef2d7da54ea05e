"""A run's folder: one owner at a time, files written whole or not at all, one run per folder."""

import json
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from tunesmith.errors import ArtifactError, RunMismatch, UsageError, shown

__all__ = ["RunFolder", "run_path", "write_atomically"]


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader, or a crash, finds the old file or the new one.

    Raises:
        OSError: the folder cannot be written; what was there is untouched.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def run_path(name: str | Path, root: Path | None = None) -> Path:
    """Return the folder of the run `name`: a name is below `runs` in `root` (default: here), a path is a path.

    Raises:
        UsageError: the name cannot be a folder of the run's own.
    """
    text = str(name)
    if not isinstance(name, (str, Path)) or not text.strip() or "\0" in text or Path(text).name in ("", ".."):
        raise UsageError(f"A run needs a folder of its own. Given: run={shown(name)}. Name it, as in `run='first'`.")
    if isinstance(name, Path) or os.sep in text:
        return Path(name)
    return (Path() if root is None else root) / "runs" / name


class RunFolder:
    """`./runs/<name>`, locked while it is open; use it with `with`.

    Args:
        name: the run's name, or a path.
        identity: what the run is of; a folder that holds a run of something else is refused.

    Raises:
        UsageError: the name cannot be a folder, or another process holds the run.
        RunMismatch: the folder holds a run of something else; the message names what differs.
    """

    def __init__(self, name: str | Path, identity: dict[str, Any]) -> None:
        self.path = run_path(name)
        self._identity = identity
        self._lock = FileLock(self.path / ".lock")

    def __enter__(self) -> "RunFolder":
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"The run {str(self.path)!r} is held by {self._holder()}. Wait for it, or choose another `run=` name."
            ) from None
        except OSError as error:
            raise UsageError(
                f"The run folder {str(self.path)!r} cannot be used: {error.strerror}. Choose another `run=` name."
            ) from error
        try:
            (self.path / ".owner").write_text(str(os.getpid()), encoding="utf-8")
            self._check()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        (self.path / ".owner").unlink(missing_ok=True)
        self._lock.release()

    def read(self, name: str) -> Any:
        """Return the JSON file `name`, `None` where it is absent or damaged."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def write(self, name: str, value: Any) -> Path:
        """Write `value` as the JSON file `name`, whole or not at all.

        Raises:
            ArtifactError: the disk refuses.
        """
        path = self.path / name
        try:
            write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        except OSError as error:
            raise ArtifactError(
                f"{str(path)!r} cannot be written: {error.strerror}. What was there is untouched, paid "
                "replies are in the cache: make room, then run the same again."
            ) from error
        return path

    def _holder(self) -> str:
        try:
            return f"process {(self.path / '.owner').read_text(encoding='utf-8')}"
        except OSError:
            return "another process"

    def _check(self) -> None:
        known = self.read("run.json")
        if not isinstance(known, dict):
            self.write("run.json", self._identity)
            return
        different = sorted(
            name
            for name in {*known, *self._identity}
            if known.get(name) != json.loads(json.dumps(self._identity.get(name)))
        )
        if different:
            raise RunMismatch(
                f"The folder {str(self.path)!r} holds a run with another {', '.join(different)}. "
                "Choose another `run=` name, or delete the folder; paid replies stay in the cache."
            )
