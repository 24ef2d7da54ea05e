"""What a worker process of `executor="processes"` runs: it evaluates examples and holds neither budget nor ledger.

    python -m tunesmith.evaluation.worker

JSON lines come in on standard input and go out on what was standard output. See `executors/processes.py`.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, BinaryIO

from tunesmith.errors import BudgetExceeded
from tunesmith.evaluation.job import example_of, subject_of
from tunesmith.evaluation.ledger_entry import Entry, RowKey, columns_of
from tunesmith.evaluation.subject import Subject
from tunesmith.lm import Budget, Call, Meter, StopSignal, metered, role, run_under_way, unpaid

__all__ = ["main"]


class _Driver:
    """The process that holds the budget, at the other end of two pipes. Safe from many threads."""

    def __init__(self, coming: BinaryIO, going: BinaryIO) -> None:
        self._coming, self._going = coming, going
        self._gate = threading.Lock()

    def hear(self) -> dict[str, Any] | None:
        """Return the next message, `None` if the driver has ended."""
        line = self._coming.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def tell(self, message: Mapping[str, Any]) -> None:
        with self._gate:
            self._write(message)

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        with self._gate:
            self._write(message)
            found = self.hear()
        if found is None:
            os._exit(1)  # without a driver nothing may be paid for
        return found

    def _write(self, message: Mapping[str, Any]) -> None:
        try:
            self._going.write(json.dumps(message).encode("ascii") + b"\n")
            self._going.flush()
        except OSError:
            os._exit(1)


class _DriversMeter(Meter):
    """The driver's meters, asked before every call."""

    def __init__(self, driver: _Driver) -> None:
        super().__init__()
        self._driver = driver

    def reserve(self, key: str) -> None:
        """Ask whether the request may be made."""
        said = self._driver.ask({"reserve": key})
        if "stop" in said:
            raise StopSignal(BudgetExceeded(said["stop"]))

    def release(self, key: str) -> None:
        """Say that the request was not answered."""
        self._driver.tell({"release": key})

    def settle(self, call: Call) -> None:
        """Say how the request was answered."""
        self._driver.tell({"settle": call._asdict()})

    def room(self) -> Budget:
        """Return what is left of the driver's time."""
        return Budget(wall_seconds=self._driver.ask({"room": True})["left"])


def main(driver: _Driver) -> None:
    """Evaluate what the driver sends, until it ends."""
    subject: Subject | None = None
    meter = _DriversMeter(driver)
    while (message := driver.hear()) is not None:
        try:
            if "job" in message:
                sys.path[:] = message["path"]
                subject = subject_of(message["job"])
                driver.tell({"ready": True})
            elif subject is not None:
                driver.tell({"row": _row(subject, meter, message)})
        except StopSignal as stop:
            driver.tell({"stopped": _said(stop.error)})
        except Exception as error:  # noqa: BLE001 - the driver raises it
            driver.tell({"stopped": _said(error)})


def _row(subject: Subject, meter: Meter, message: Mapping[str, Any]) -> list[Any]:
    """Return a row in the form of a ledger's."""
    key, scope = message["key"], list[Any]([None])
    calls: list[Call] = []
    subject.recall(message["notes"])
    example = example_of(subject, message["example"])
    paying = nullcontext() if message["paying"] else unpaid()
    with role(message["role"]), paying, run_under_way(), subject.settings(scope), metered(meter):
        row, notes, bare = subject.evaluate(key, example, scope, calls)
    place = RowKey("", "", "", "", "eval", key)
    return list(columns_of(Entry(place, row, tuple(calls), notes, bare=bare), 0))


def _said(error: BaseException) -> dict[str, str]:
    module = "tunesmith.errors"  # engines and formats raise subclasses of their own
    kind = next((kind.__name__ for kind in type(error).__mro__ if kind.__module__ == module), type(error).__name__)
    return {"type": kind, "message": str(error)}


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver hears Ctrl-C, and ends its workers
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the program prints must not stand between the messages
    main(_Driver(sys.stdin.buffer, pipe))
