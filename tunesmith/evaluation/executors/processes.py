"""Worker processes: one fresh interpreter per slot, which runs the program, its metric and its model's engine.

`evaluation/remote.py` has the conversation with them. If a worker dies, another one takes its example: the replies it
had finished are in the reply cache.
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
from typing import ClassVar

from tunesmith.evaluation.executor import Evaluate, Executor, register_executor
from tunesmith.evaluation.job import job_json
from tunesmith.evaluation.remote import Leases, Peer, Seat
from tunesmith.evaluation.subject import Subject

__all__ = ["Processes"]

_COMMAND = (sys.executable, "-m", "tunesmith.evaluation.worker")
_ROOT = str(Path(__file__).parents[3])
_LONGEST_END = 5.0  # seconds that a worker has to end by itself


@register_executor
class Processes(Executor):
    """Runs programs in worker processes. What cannot be named by an import runs on `threads` only."""

    name: ClassVar[str] = "processes"

    def __init__(self) -> None:
        self._workers, self._leases = _Workers(), Leases()
        self._job: tuple[Subject, bytes, list[int]] | None = None  # of the evaluation under way

    def check(self, subject: Subject) -> None:
        """Raise `UsageError` if a worker process could not make the program, its metric or its model."""
        if self._job is None or self._job[0] is not subject:
            line = json.dumps({"job": job_json(subject), "path": sys.path}).encode("ascii")
            self._job = subject, line, [len(subject.paths)]

    @contextmanager
    def seat(self, subject: Subject) -> Iterator[Evaluate]:
        """Give what lets a worker evaluate each example; the worker serves the next evaluation afterwards."""
        self.check(subject)
        assert self._job is not None
        yield Seat(subject, self._job[1], self._workers, self._leases, self._job[2]).evaluate

    def close(self) -> None:
        """End the workers."""
        self._workers.close()


class _Workers:
    """The workers that nobody uses; another one is started if there is none."""

    def __init__(self) -> None:
        self._idle = list[Peer]()
        self._gate = threading.Lock()

    def take(self) -> Peer:
        with self._gate:
            return self._idle.pop() if self._idle else _Worker()

    def give(self, peer: Peer) -> None:
        with self._gate:
            self._idle.append(peer)

    def drop(self, peer: Peer) -> None:
        peer.end()

    def close(self) -> None:
        with self._gate:
            workers, self._idle = self._idle, []
        for worker in workers:
            assert isinstance(worker, _Worker)
            worker.close()


class _Worker(Peer):
    """One process. JSON lines go in and come out; what the program prints goes to standard error."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        super().__init__(self._process.stdout, self._process.stdin)

    def end(self) -> str:
        """End the process at once; one that has ended by itself says how."""
        if self._process.poll() is None:
            self._process.kill()
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # what was not sent is of no use to anybody now
        return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"

    def close(self) -> None:
        """Let the process end by itself, and end it if it does not."""
        try:
            self._process.communicate(timeout=_LONGEST_END)
        except (subprocess.TimeoutExpired, OSError):
            self.end()
