"""The worker's end: it evaluates examples for a driver in another process, and holds neither budget nor ledger.

    python -m tunesmith.evaluation.worker

JSON lines come in on standard input and go out on what was standard output. See `evaluation/remote.py`.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO

from tunesmith.errors import BudgetExceeded, ModelUnavailable, kind_of
from tunesmith.evaluation.job import example_of, subject_of
from tunesmith.evaluation.ledger_columns import columns_of
from tunesmith.evaluation.ledger_entry import Entry, RowKey
from tunesmith.evaluation.subject import Subject
from tunesmith.lm import Budget, Call, Meter, StopSignal, metered, role, run_under_way, unpaid

__all__ = ["Driver", "DriverGone", "work"]


class DriverGone(StopSignal):
    """The driver has ended: without it nothing may be paid for."""

    def __init__(self) -> None:
        super().__init__(ModelUnavailable("The process that started this evaluation has ended."))


class Driver:
    """The process that holds the budget, at the other end of two streams. Safe from many threads."""

    def __init__(self, coming: BinaryIO, going: BinaryIO) -> None:
        self._coming, self._going = coming, going
        self._gate = threading.Lock()

    def hear(self) -> dict[str, Any] | None:
        """Return the next message, `None` if the driver has ended."""
        try:
            line = self._coming.readline()
        except OSError:
            return None
        return json.loads(line) if line.endswith(b"\n") else None

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            DriverGone: nobody hears it.
        """
        with self._gate:
            self._write(message)

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message and return the answer.

        Raises:
            DriverGone: there is none.
        """
        with self._gate:
            self._write(message)
            found = self.hear()
        if found is None:
            raise DriverGone
        return found

    def _write(self, message: Mapping[str, Any]) -> None:
        try:
            self._going.write(json.dumps(message).encode("ascii") + b"\n")
            self._going.flush()
        except (OSError, ValueError):  # a stream that was closed
            raise DriverGone from None


@dataclass(slots=True)
class _Request:
    """A request of the example under way.

    Attributes:
        leased: whether its place in the budget comes out of the lease.
        open: reservations without an answer.
        settled: whether it was answered once.
    """

    leased: bool
    open: int = 1
    settled: bool = False


class _DriversMeter(Meter):
    """The driver's meters for one example: calls of its lease are made at once, for others the driver is asked."""

    def __init__(self, driver: Driver, *, lease: int | None, timed: bool) -> None:
        super().__init__()
        self._driver, self._lease, self._timed = driver, lease, timed
        self._requests: dict[str, _Request] = {}
        self._turn = threading.RLock()

    def reserve(self, key: str) -> None:
        """Take a call out of the lease, or ask whether the request may be made."""
        if self._lease is None:
            return
        with self._turn:
            known = self._requests.get(key)
            if known is not None:
                known.open += 1
                return
            if self._lease == 0:
                said = self._driver.ask({"reserve": key})
                if "stop" in said:
                    raise StopSignal(BudgetExceeded(said["stop"]))
            self._requests[key] = _Request(leased=self._lease > 0)
            self._lease -= self._lease > 0

    def release(self, key: str) -> None:
        """Give back the place of a request that was not answered."""
        if self._lease is None:
            return
        with self._turn:
            known = self._requests[key]
            known.open -= 1
            if known.open or known.settled:
                return
            del self._requests[key]
            if known.leased:
                self._lease += 1
            else:
                self._driver.tell({"release": key})

    def settle(self, call: Call) -> None:
        """Say how the request was answered."""
        with self._turn:
            known = self._requests.get(call.key)
            first = known is not None and not known.settled
            if known is not None:
                known.open, known.settled = known.open - 1, True
            self._driver.tell({"settle": list(call), "leased": first and known is not None and known.leased})

    def room(self) -> Budget:
        """Return what is left of the driver's time."""
        return Budget(wall_seconds=self._driver.ask({"room": True})["left"]) if self._timed else Budget()


def work(driver: Driver, made: Callable[[Mapping[str, Any]], Subject]) -> None:
    """Evaluate what the driver sends, until it ends.

    Args:
        driver: sends jobs and examples.
        made: returns the subject that a message with a job describes.
    """
    subject: Subject | None = None
    try:
        while (message := driver.hear()) is not None:
            try:
                if "job" in message:
                    subject = made(message)
                    driver.tell({"ready": True})
                elif subject is not None:
                    driver.tell({"row": _row(subject, driver, message)})
            except DriverGone:
                raise
            except StopSignal as stop:
                driver.tell({"stopped": _said(stop.error)})
            except Exception as error:  # noqa: BLE001 - the driver raises it
                driver.tell({"stopped": _said(error)})
    except DriverGone:
        return


def _row(subject: Subject, driver: Driver, message: Mapping[str, Any]) -> list[Any]:
    """Return a row in the form of a ledger's."""
    key, scope = message["key"], list[Any]([None])
    meter = _DriversMeter(driver, lease=message["lease"], timed=message["timed"])
    calls: list[Call] = []
    subject.recall(message["notes"])
    example = example_of(subject, message["example"])
    paying = nullcontext() if message["paying"] else unpaid()
    with role(message["role"]), paying, run_under_way(), subject.settings(scope), metered(meter):
        row, notes, bare = subject.evaluate(key, example, scope, calls)
    place = RowKey("", "", "", "", "eval", key)
    return list(columns_of(Entry(place, row, tuple(calls), notes, bare=bare), 0))


def _said(error: BaseException) -> dict[str, str]:
    return {"type": kind_of(error), "message": str(error)}


def _made_here(message: Mapping[str, Any]) -> Subject:
    sys.path[:] = message["path"]
    return subject_of(message["job"])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver hears Ctrl-C, and ends its workers
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the program prints must not stand between the messages
    work(Driver(sys.stdin.buffer, pipe), _made_here)
    os._exit(0)  # threads of a program may still wait for the driver's answer
