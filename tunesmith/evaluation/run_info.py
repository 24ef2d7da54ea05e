"""What a run's folder says to somebody who only looks."""

import contextlib
import fnmatch
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.atomic import left_beside
from tunesmith.errors import UsageError, brief, shown
from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import filelock
else:
    filelock = lazy_module("filelock")

__all__ = [
    "ASIDE",
    "CANDIDATES",
    "COMMAND",
    "IDENTITY",
    "LEDGER",
    "RunInfo",
    "TRIALS",
    "foreign_names",
    "holds_run",
    "is_removed",
    "json_object",
    "problem_of",
    "run_path",
    "runs_in",
]

ASIDE = ".aside"  # in a run that was set aside: the name that it got then
CANDIDATES = "candidates.json"  # what the candidates of the ledger are, for people
COMMAND = "command"  # beside the identity in run.json, and not a part of it
IDENTITY = "run.json"
LEDGER = "run.db"
TRIALS = "trials.json"  # what each candidate was, and the examples: what a report needs beside the ledger
_RESULT = "result.json"
# What a process that was killed at the very beginning leaves, and what systems put into every folder.
_NOTHING = (".lock", ".owner", left_beside(IDENTITY), ".gitkeep", ".gitignore", ".DS_Store")
_OURS = (
    *_NOTHING,
    ASIDE,
    "run.json",
    "run.db*",
    ".run.db*",
    "*result.json*",
    "*compile.json*",
    "*candidates.json*",
    "*trials.json*",
    "report.html*",
    left_beside("report.html"),
    "*artifact*",
    "study.db*",
    "*mirror.json*",
)
_LONGEST_NAME = 200  # bytes; file systems take 255, and a run that is set aside or removed has a longer name
_REMOVED = re.compile(r"\..+\.removed-[0-9a-f]{8}")  # a folder that is being deleted


def run_path(name: str | Path, root: Path | None = None) -> Path:
    """Return the folder of the run `name`: a name is below `runs` in `root` (default: here), a path is a path.

    Raises:
        UsageError: the name cannot be a folder of the run's own.
    """
    text = str(name)
    if not isinstance(name, (str, Path)) or not text.strip() or "\0" in text or Path(text).name in ("", ".."):
        raise UsageError(f"A run needs a folder of its own. Given: run={shown(name)}. Name it, as in `run='first'`.")
    if (length := len(os.fsencode(Path(text).name))) > _LONGEST_NAME:
        raise UsageError(f"The name of a run has at most {_LONGEST_NAME} bytes. Given: {length}, {shown(text)}.")
    if isinstance(name, Path) or os.sep in text:
        return Path(name)
    return (Path() if root is None else root) / "runs" / name


def holds_run(path: Path) -> bool:
    """Whether `path` is the folder of a run, whole or damaged."""
    return any(os.path.lexists(path / name) for name in (IDENTITY, LEDGER))


def foreign_names(path: Path, ours: tuple[str, ...] = _NOTHING) -> list[str]:
    """Return the names in the folder `path` that match none of the patterns `ours`."""
    names = sorted(file.name for file in path.iterdir())
    return [name for name in names if not any(fnmatch.fnmatchcase(name, pattern) for pattern in ours)]


def is_removed(path: Path) -> bool:
    """Whether `path` is what a run's folder is called while it is deleted, so that nobody takes the rest for a run."""
    return _REMOVED.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()


def problem_of(path: Path) -> str | None:
    """Return in words why the run in `path` does not say what it is of; `None` if it does."""
    file = path / IDENTITY
    if json_object(file) is not None:
        return None
    if not os.path.lexists(file):
        return "its run.json is gone"
    try:
        return "its run.json is empty" if not file.read_bytes().strip() else "its run.json is damaged"
    except OSError as error:
        return f"its run.json cannot be read ({error.strerror})"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run's folder says.

    Attributes:
        path: the folder.
        state: `done`, `running`, `stopped`, or `damaged` if nothing says what it is a run of.
        identity: what the run is of; empty if it is damaged.
        command: how it was started: `arguments` and `folder`, and `called` for a cell of an experiment; `None` if
            nothing is known of it.
        result: what `result.json` holds, `None` before the end.
        changed: when something was last written, in seconds since 1970.
        problem: why it is damaged, in words.
    """

    path: Path
    state: str
    identity: dict[str, Any]
    command: dict[str, Any] | None
    result: dict[str, Any] | None
    changed: float
    problem: str | None = None

    @classmethod
    def of(cls, path: Path) -> "RunInfo":
        """Read the run in `path`.

        Raises:
            UsageError: there is none.
        """
        if not holds_run(path):
            raise UsageError(f"There is no run in {str(path)!r}. `tunesmith runs ls` lists those there are.")
        identity, result, problem = json_object(path / IDENTITY) or {}, json_object(path / _RESULT), problem_of(path)
        command = identity.pop(COMMAND, None)
        state = "damaged" if problem else "stopped" if result is None else "done"
        return cls(
            path,
            "running" if _is_held(path) else state,
            identity,
            command if isinstance(command, dict) else None,
            result,
            _changed(path),
            problem,
        )

    def __repr__(self) -> str:
        return brief(self, str(self.path), self.state, verdict=self.verdict, problem=self.problem)

    @property
    def arguments(self) -> tuple[str, ...] | None:
        """The command line that started the run, `None` if there is none or it is not one."""
        given = (self.command or {}).get("arguments")
        if not isinstance(given, list) or not all(isinstance(part, str) for part in given):
            return None
        return tuple(given)

    @property
    def called(self) -> dict[str, str]:
        """What its `program`, `compiler` and `model` are called in its experiment; empty without one."""
        given = (self.command or {}).get("called")
        found = given if isinstance(given, dict) else {}
        return {name: found[name] for name in ("program", "compiler", "model") if isinstance(found.get(name), str)}

    @property
    def budget(self) -> dict[str, float]:
        """The limits of the run by kind; what is not a number is left out."""
        given = self.identity.get("budget")
        return {name: value for name, value in given.items() if _is_number(value)} if isinstance(given, dict) else {}

    @property
    def verdict(self) -> str | None:
        """The verdict of its result, `None` before the end."""
        found = (self.result or {}).get("verdict")
        return found if isinstance(found, str) else None

    @property
    def notes(self) -> dict[str, Any]:
        """What `candidates.json` says of examples and candidates; empty if it is not there."""
        return json_object(self.path / CANDIDATES) or {}

    @property
    def trials(self) -> dict[str, Any]:
        """What `trials.json` says of candidates, examples and roles; empty if it is not there."""
        return json_object(self.path / TRIALS) or {}

    @property
    def lost(self) -> str | None:
        """What a finished run no longer says, because a file of it is gone or damaged, and how to get it back."""
        if self.result is None or self.problem is not None:
            return None
        again = "The compile that made the run, run again, writes it anew, and repeats no call that the cache has."
        if self.ledger is None:
            return f"Its {LEDGER} is gone, and with it every evaluation. {again}"
        if not self.notes:
            return f"Its {CANDIDATES} is missing or damaged: it says what the candidates are. {again}"
        return None

    @property
    def is_aside(self) -> bool:
        """Whether `--new` set it aside, and nobody has used it or given it another name since."""
        try:
            return (self.path / ASIDE).read_text(encoding="utf-8") == self.path.name
        except (OSError, UnicodeDecodeError):
            return False

    @property
    def foreign(self) -> list[str]:
        """The names in the folder that no run makes."""
        return foreign_names(self.path, _OURS)

    @property
    def ledger(self) -> Path | None:
        """The run's ledger, `None` if there is none."""
        path = self.path / LEDGER
        return path if path.exists() else None

    def remove(self) -> None:
        """Delete the folder.

        Raises:
            UsageError: a process holds the run, the folder is a link or cannot be deleted, or it is damaged and holds
                files that are not a run's.
        """
        if self.path.is_symlink():
            raise UsageError(
                f"The run {str(self.path)!r} is a link to {os.path.realpath(self.path)!r}, so nothing was removed. "
                "Delete the link itself, or remove the run that it points to by its path."
            )
        if self.problem is not None and (names := self.foreign):
            raise UsageError(
                f"{str(self.path)!r} may not be a run: {self.problem}, and there is {', '.join(names[:3])} in it. "
                "Nothing was removed. Delete the folder yourself if you do not need it."
            )
        gone = self.path.with_name(f".{self.path.name}.removed-{os.urandom(4).hex()}")
        try:
            with filelock.FileLock(self.path / ".lock").acquire(timeout=0):
                os.replace(self.path, gone)  # now no process can begin to use what is being deleted
            shutil.rmtree(gone)
        except filelock.Timeout:
            raise UsageError(f"The run {str(self.path)!r} is held by a process. End that first.") from None
        except OSError as error:
            left = f" What is left is in {str(gone)!r}; `tunesmith runs gc` removes it." if gone.exists() else ""
            raise UsageError(f"The folder {str(self.path)!r} cannot be deleted: {error.strerror}.{left}") from error


def runs_in(folder: Path) -> list[RunInfo]:
    """Return the runs in `folder`, by name, the damaged ones too."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and holds_run(path) and not is_removed(path):
            with contextlib.suppress(UsageError):  # another process has removed it just now
                found.append(RunInfo.of(path))
    return found


def json_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in the file `path`, `None` if there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_held(path: Path) -> bool:
    if not (path / ".lock").is_file():
        return False  # to try the lock would make it
    lock = filelock.FileLock(path / ".lock")
    try:
        with lock.acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # nobody holds a folder that cannot be written to
        return False


def _changed(path: Path) -> float:
    """Return when a file of the run was last written; an empty log is what somebody who looked has left."""
    times = [path.stat().st_mtime] if not os.path.lexists(path / IDENTITY) else []
    for name in (IDENTITY, LEDGER, f"{LEDGER}-wal", _RESULT):
        try:
            found = (path / name).stat()
        except OSError:
            continue
        if found.st_size or not name.endswith("-wal"):
            times.append(found.st_mtime)
    return max(times, default=0.0)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
