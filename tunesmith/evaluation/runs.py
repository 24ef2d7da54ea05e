"""A run's folder: one owner at a time, files written whole or not at all, one run per folder."""

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from tunesmith.atomic import write_atomically
from tunesmith.errors import ArtifactError, RunMismatch, UsageError, refusal_advice
from tunesmith.evaluation.ledger import Ledger
from tunesmith.evaluation.run_info import (
    ASIDE,
    COMMAND,
    IDENTITY,
    LEDGER,
    foreign_names,
    holds_run,
    json_object,
    problem_of,
    run_path,
)
from tunesmith.lazy import lazy_module

if TYPE_CHECKING:
    import filelock
else:
    filelock = lazy_module("filelock")

__all__ = ["RunFolder"]


class RunFolder:
    """`./runs/<name>`, locked while it is open; use it with `with`.

    Args:
        name: the run's name, or a path.
        identity: what the run is of; a folder that holds a run of something else is refused.
        command: how the run was started, kept with it for `tunesmith runs resume`.
        new: whether a run that is there is set aside, under a name of its own.
        rescore: whether the run may go on with another metric.

    Raises:
        UsageError: the name cannot be a folder, the folder holds files that are not a run's, or another process holds
            the run.
        RunMismatch: the folder holds a run of something else, or one whose `run.json` cannot be read any more.
    """

    def __init__(
        self,
        name: str | Path,
        identity: dict[str, Any],
        *,
        command: dict[str, Any] | None = None,
        new: bool = False,
        rescore: bool = False,
    ) -> None:
        self.path = run_path(name)
        self._identity, self._command = identity, command
        self._new, self._rescore = new, rescore
        self._lock = filelock.FileLock(self.path / ".lock")

    def __enter__(self) -> "RunFolder":
        try:
            self._refuse_other_files()
            self._take()
            if self._new and holds_run(self.path):
                self.set_aside()
                self._take()
        except filelock.Timeout:
            raise UsageError(
                f"The run {str(self.path)!r} is held by {self._holder()}. Wait for it, or choose another `run=` name."
            ) from None
        except OSError as error:
            raise UsageError(
                f"The run folder {str(self.path)!r} cannot be used: {error.strerror}. "
                "Let this user write there, or choose another `run=` name."
            ) from error
        try:
            with contextlib.suppress(OSError):  # on a full disk: it only says whose the lock is
                (self.path / ".owner").write_text(str(os.getpid()), encoding="utf-8")
            self._check()
            (self.path / ASIDE).unlink(missing_ok=True)  # one that was set aside goes on
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        with contextlib.suppress(OSError):
            (self.path / ".owner").unlink(missing_ok=True)
        self._lock.release()

    def _refuse_other_files(self) -> None:
        """A run has its folder to itself: `runs rm` removes all of it."""
        if self.path.is_dir() and not holds_run(self.path) and (names := foreign_names(self.path)):
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise UsageError(
                f"The folder {str(self.path)!r} is not a run's: it holds {', '.join(names[:3])}{more}. Nothing was "
                "written. Choose another `run=` or --fork name, or empty the folder first."
            )

    def _take(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock.acquire(timeout=0)

    def set_aside(self) -> Path:
        """Give the run's folder, which must be held, another name, and return that."""
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.old-{number}")).exists():
            number += 1
        os.replace(self.path, aside)
        with contextlib.suppress(OSError):  # a full disk: `runs gc` leaves it
            (aside / ASIDE).write_text(aside.name, encoding="utf-8")
        self._lock.release()
        return aside

    def ledger(self, *, private: bool = False) -> Ledger:
        """Open the run's ledger; see `Ledger`."""
        return Ledger(self.path / LEDGER, private=private)

    def copy_ledger(self, ledger: Ledger, source: str | Path) -> None:
        """Take over what another run has evaluated, unless this one has begun.

        Raises:
            UsageError: there is no such run.
            LedgerError: its ledger cannot be read.
        """
        path = run_path(source)
        if not holds_run(path):
            raise UsageError(f"There is no run in {str(path)!r} to start from; `tunesmith runs ls` lists the runs.")
        if not len(ledger) and (path / LEDGER).exists():
            ledger.copy(path / LEDGER)

    def read(self, name: str) -> Any:
        """Return the JSON file `name`, `None` where it is absent or damaged."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None

    def write(self, name: str, value: Any) -> Path:
        """Write `value` as the JSON file `name`, whole or not at all.

        Raises:
            ArtifactError: the disk refuses.
        """
        path = self.path / name
        try:
            write_atomically(path, to_json(value, indent=2).decode() + "\n")
        except OSError as error:
            raise ArtifactError(
                f"{str(path)!r} cannot be written: {error.strerror}. What was there is untouched, paid replies are in "
                f"the cache. {refusal_advice(path, error)}, then run the same again."
            ) from error
        return path

    def _holder(self) -> str:
        try:
            return f"process {(self.path / '.owner').read_text(encoding='utf-8')}"
        except OSError:
            return "another process"

    def _check(self) -> None:
        if not holds_run(self.path):
            self._write_identity(self._command)
            return
        known = json_object(self.path / IDENTITY)
        if known is None:
            # Whatever it was of, its ledger and its artifact must not become those of another run.
            raise RunMismatch(
                f"The folder {str(self.path)!r} holds a run, but {problem_of(self.path)}, so what it is a run of "
                "is not known. Nothing was changed. Put that file back, choose another `run=` name, or pass --new to "
                "set the run aside; `tunesmith compile --fork NAME` starts one from what it has evaluated. Paid "
                "replies stay in the cache."
            )
        command = known.pop(COMMAND, None)
        different = sorted(
            name
            for name in {*known, *self._identity}
            if known.get(name) != json.loads(json.dumps(self._identity.get(name)))
        )
        if different == ["metric"] and self._rescore:
            self._write_identity(command)
        elif different:
            advice = ", or --rescore to score its outputs with the new metric" if different == ["metric"] else ""
            raise RunMismatch(
                f"The folder {str(self.path)!r} holds a run with another {', '.join(different)}. Choose another name "
                f"for this run, or pass --new to set that run aside{advice}; `tunesmith compile --fork NAME` starts "
                "one from what it has evaluated. Paid replies stay in the cache."
            )

    def _write_identity(self, command: Any) -> None:
        self.write(IDENTITY, {**self._identity, **({} if command is None else {COMMAND: command})})
