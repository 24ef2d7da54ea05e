"""Worker processes: one fresh interpreter per slot, which runs the program, its metric and its model's engine.

The driver sends a job and examples as JSON, and gets rows. A worker asks before every call whether the budget has room
for it and reports every reply, so that budget, ledger and decisions stay in the driver. If a worker dies, another one
takes its example: the replies it had finished are in the reply cache.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from tunesmith import errors
from tunesmith.errors import BudgetExceeded, ModelUnavailable, TunesmithError, UsageError
from tunesmith.evaluation.executor import Evaluate, Executor, register_executor
from tunesmith.evaluation.job import example_json, job_json
from tunesmith.evaluation.ledger_entry import Entry, entry_of
from tunesmith.evaluation.report import Row
from tunesmith.evaluation.subject import Subject
from tunesmith.lm import Call, Scope, StopSignal, metered
from tunesmith.signatures import Example

__all__ = ["Processes"]

_COMMAND = (sys.executable, "-m", "tunesmith.evaluation.worker")
_MOST_DEATHS = 3  # workers that one example may take with it
_NOT_JSON = (
    "The program or one of its predictors returned a value that has no JSON form, so a worker process cannot send it. "
    "Return JSON values, dates, enums or pydantic models, or leave the executor at `threads`."
)
_ROOT = str(Path(__file__).parents[3])
_LONGEST_END = 5.0  # seconds that a worker has to end by itself


@register_executor
class Processes(Executor):
    """Runs programs in worker processes. What cannot be named by an import runs on `threads` only."""

    name: ClassVar[str] = "processes"

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._job: tuple[Subject, dict[str, Any]] | None = None  # of the evaluation under way
        self._gate = threading.Lock()

    def check(self, subject: Subject) -> None:
        """Raise `UsageError` if a worker process could not make the program, its metric or its model."""
        if self._job is None or self._job[0] is not subject:
            self._job = subject, job_json(subject)

    @contextmanager
    def seat(self, subject: Subject) -> Iterator[Evaluate]:
        """Give a worker of its own to one thread; it serves the next evaluation afterwards."""
        self.check(subject)
        job = job_json(subject) if self._job is None else self._job[1]
        seat = _Seat(subject, job, self._taken())
        try:
            yield seat.evaluate
        except BaseException:
            seat.worker.kill()  # it may be in the middle of an example
            raise
        with self._gate:
            self._idle.append(seat.worker)

    def close(self) -> None:
        """End the workers."""
        with self._gate:
            workers, self._idle = self._idle, []
        for worker in workers:
            worker.close()

    def _taken(self) -> "_Worker":
        with self._gate:
            return self._idle.pop() if self._idle else _Worker()


class _Seat:
    """One thread of the driver with its worker."""

    def __init__(self, subject: Subject, job: dict[str, Any], worker: "_Worker") -> None:
        self.worker = worker
        self._subject, self._job = subject, job

    def evaluate(
        self, key: str, example: Example, scope: list[Any], calls: list[Call], again: Entry | None = None
    ) -> tuple[Row, tuple[str, ...], bool]:
        """Evaluate one example; see `Subject.evaluate`."""
        if again is not None:  # its outputs are here, and no program runs
            return self._subject.evaluate(key, example, scope, calls, again)
        given = example_json(self._subject, example)
        with metered(sink=calls.append) as scope[0]:
            for deaths in range(1, _MOST_DEATHS + 1):
                try:
                    return self._asked(key, given, scope[0])
                except _Gone as gone:
                    calls.clear()  # what was charged stays charged, and the next worker finds it in the cache
                    self.worker.kill()
                    if deaths == _MOST_DEATHS:
                        raise StopSignal(_died(gone, deaths)) from None
                    self.worker = _Worker()
        raise AssertionError("not reached")

    def _asked(self, key: str, given: dict[str, Any], scope: Scope) -> tuple[Row, tuple[str, ...], bool]:
        notes = [note for model in self._subject.models for note in model.findings.notes]
        self.worker.load(self._job)
        self.worker.say({"key": key, "example": given, "paying": scope.paying, "role": scope.role, "notes": notes})
        with _Counted(scope) as counted:
            while True:
                said = self.worker.hear()
                if "row" in said:
                    entry = entry_of(said["row"])
                    if not entry.whole:
                        raise StopSignal(UsageError(_NOT_JSON))
                    self._subject.recall(entry.notes)
                    return self._subject.typed(entry.row), entry.notes, entry.bare
                if "stopped" in said:
                    raise counted.stop or StopSignal(_error_of(said["stopped"]))
                answer = counted.take(said)
                if answer is not None:
                    self.worker.say(answer)


class _Counted:
    """Counts a worker's calls in the driver. What it has reserved and not settled at the end is given back."""

    def __init__(self, scope: Scope) -> None:
        self._scope, self._open = scope, list[str]()
        self.stop: StopSignal | None = None

    def __enter__(self) -> "_Counted":
        return self

    def __exit__(self, *problem: object) -> None:
        for key in self._open:
            for meter in self._scope.meters:
                meter.release(key)

    def take(self, said: dict[str, Any]) -> dict[str, Any] | None:
        """Do what a worker asks for, and return the answer, `None` if it waits for none."""
        if "reserve" in said:
            return self._reserve(said["reserve"])
        if "room" in said:
            left = [meter.room().wall_seconds for meter in self._scope.meters]
            return {"left": min((seconds for seconds in left if seconds is not None), default=None)}
        if "settle" in said:
            call = Call(**said["settle"])
            self._closed(call.key)
            for meter in self._scope.meters:
                meter.settle(call)
            for sink in self._scope.sinks:
                sink(call)
        elif "release" in said:
            self._closed(said["release"])
            for meter in self._scope.meters:
                meter.release(said["release"])
        return None

    def _reserve(self, key: str) -> dict[str, Any]:
        done = []
        try:
            for meter in self._scope.meters:
                meter.reserve(key)
                done.append(meter)
        except StopSignal as stop:
            for meter in done:
                meter.release(key)
            self.stop = stop
            return {"stop": str(stop.error)}
        self._open.append(key)
        return {"go": True}

    def _closed(self, key: str) -> None:
        if key in self._open:
            self._open.remove(key)


class _Gone(Exception):
    """The worker has ended, with this exit code."""


class _Worker:
    """One process. JSON lines go in and come out; what the program prints goes to standard error."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])},
        )
        self._loaded: dict[str, Any] | None = None

    def load(self, job: dict[str, Any]) -> None:
        """Let the worker make the subject of `job`, unless it is what it has."""
        if self._loaded is job:
            return
        self.say({"job": job, "path": sys.path})
        said = self.hear()
        if "stopped" in said:
            raise StopSignal(_error_of(said["stopped"]))
        self._loaded = job

    def say(self, message: dict[str, Any]) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps(message).encode("ascii") + b"\n")
            pipe.flush()
        except OSError:
            raise _Gone(self._process.wait()) from None

    def hear(self) -> dict[str, Any]:
        pipe = self._process.stdout
        assert pipe is not None
        line = pipe.readline()
        if not line.endswith(b"\n"):
            raise _Gone(self._process.wait())
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """Let the process end by itself, and end it if it does not."""
        try:
            self._process.communicate(timeout=_LONGEST_END)
        except (subprocess.TimeoutExpired, OSError):
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # what was not sent is of no use to anybody now


def _died(gone: _Gone, deaths: int) -> ModelUnavailable:
    code = int(str(gone))
    how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
    return ModelUnavailable(
        f"A worker process ended {deaths} times at the same example, the last time with {how}. Look at what it wrote "
        "to standard error; a machine without memory kills processes. The same command goes on, with fewer slots or "
        "with the executor `threads` if it happens again."
    )


def _error_of(said: dict[str, Any]) -> Exception:
    """Return the error that a worker raised, as a type of `tunesmith.errors`."""
    kind = getattr(errors, said["type"], None)
    if kind is BudgetExceeded:
        return BudgetExceeded(said["message"])
    if isinstance(kind, type) and issubclass(kind, TunesmithError):
        try:
            return kind(said["message"])
        except TypeError:  # it needs more than its text
            return UsageError(said["message"])
    return UsageError(f"A worker process failed with {said['type']}: {said['message']}")
