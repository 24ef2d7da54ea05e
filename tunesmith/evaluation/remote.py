"""The driver's end of workers in other processes: a conversation in JSON lines for each example.

A worker is sent the job once and then examples. It answers with rows, reports every reply that it was charged for, and
asks before a call that its lease does not cover. Budget, ledger and decisions stay here.
"""

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import IO, Any, Protocol

from tunesmith import errors
from tunesmith.errors import BudgetExceeded, ModelUnavailable, TunesmithError, UsageError
from tunesmith.evaluation.job import example_json
from tunesmith.evaluation.ledger_entry import Entry, entry_of
from tunesmith.evaluation.report import Row
from tunesmith.evaluation.subject import Subject
from tunesmith.lm import Call, Meter, Scope, StopSignal, metered
from tunesmith.signatures import Example

__all__ = ["Gone", "Leases", "Peer", "Peers", "Seat", "error_of"]

_MOST_DEATHS = 3  # workers that one example may take with it
_NOT_JSON = (
    "The program or one of its predictors returned a value that has no JSON form, so a worker process cannot send it. "
    "Return JSON values, dates, enums or pydantic models, or leave the executor at `threads`."
)


class Gone(Exception):
    """The worker has ended; the text says how, as the end of a sentence."""


class Peer(ABC):
    """One worker at the other end of two streams of JSON lines."""

    def __init__(self, coming: IO[bytes], going: IO[bytes]) -> None:
        self._coming, self._going = coming, going
        self._loaded: bytes | None = None

    @abstractmethod
    def end(self) -> str:
        """End the worker's part in this at once, and return how it ended."""

    def load(self, job: bytes) -> None:
        """Let the worker make the subject of `job`, a line of JSON, unless it is what it has.

        Raises:
            StopSignal: it cannot.
            Gone: it has ended.
        """
        if self._loaded == job:
            return
        self._write(job)
        said = self.hear()
        if "stopped" in said:
            raise StopSignal(error_of(said["stopped"]))
        self._loaded = job

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            Gone: the worker has ended.
        """
        self._write(json.dumps(message).encode("ascii"))

    def hear(self) -> dict[str, Any]:
        """Return its next message.

        Raises:
            Gone: it has ended.
        """
        try:
            line = self._coming.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise Gone(self.end())
        found: dict[str, Any] = json.loads(line)
        return found

    def _write(self, line: bytes) -> None:
        try:
            self._going.write(line + b"\n")
            self._going.flush()
        except OSError:
            raise Gone(self.end()) from None


class Peers(Protocol):
    """Where workers come from. Safe from many threads."""

    def take(self) -> Peer:
        """Return a worker that nobody else uses until `give` or `drop`.

        Raises:
            StopSignal: there is none.
        """

    def give(self, peer: Peer) -> None:
        """Let others use a worker that waits for its next example."""

    def drop(self, peer: Peer) -> None:
        """Do without a worker that has ended, or may be in the middle of an example."""


class Leases:
    """Calls that workers may make before they ask, taken out of a budget of calls beforehand.

    A worker on another machine would else wait for an answer before every call. What a lease holds counts as spent
    until it is used or given back, so that the budget is kept to the call. A call is refused only when no lease is
    out that may still be given back. Tokens, seconds and dollars are known after a call, so a budget of these is asked
    before each call.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._out = self._held = self._number = 0  # calls in leases; those of seats that wait here; keys so far

    def begin(self, meters: tuple[Meter, ...], wanted: int) -> list[str] | None:
        """Return a lease of up to `wanted` calls: one key for each, `None` if nothing is limited."""
        limited = [meter for meter in meters if meter.limited]
        if not limited:
            return None
        if any(set(meter.budget.to_json()) != {"calls"} for meter in limited):
            return []
        found = list[str]()
        with self._changed:
            while len(found) < wanted:
                self._number += 1
                key = f"leased call {self._number}"
                if _reserved(limited, key) is not None:
                    break
                found.append(key)
            self._out += len(found)
        return found

    def reserve(self, meters: tuple[Meter, ...], key: str, lease: list[str]) -> StopSignal | None:
        """Reserve a call beyond `lease`, for the request `key`; return why it may not be made."""
        with self._changed:
            self._held += len(lease)  # its calls are under way: whoever waits does not give them back
            self._changed.notify_all()
            try:
                while (stop := _reserved(meters, key)) is not None and self._out > self._held:
                    self._changed.wait()
            finally:
                self._held -= len(lease)
            return stop

    def settle(self, meters: tuple[Meter, ...], call: Call, leased: list[str]) -> None:
        """Charge a call, and give back what was leased for it."""
        with self._changed:
            for meter in meters:
                meter.settle(call)
            self.back(meters, leased)

    def back(self, meters: tuple[Meter, ...], lease: list[str]) -> None:
        """Give back what is left of a lease."""
        with self._changed:
            for key in lease:
                for meter in meters:
                    meter.release(key)
            self._out -= len(lease)
            self._changed.notify_all()


class Seat:
    """One thread of the driver, which lets workers evaluate one example after the other.

    Args:
        subject: what is evaluated.
        job: the line of JSON that tells a worker of it.
        peers: the workers.
        leases: of all seats of the executor.
        counts: calls of the dearest example so far, the same list for all seats of an evaluation.
    """

    def __init__(self, subject: Subject, job: bytes, peers: Peers, leases: Leases, counts: list[int]) -> None:
        self._subject, self._job, self._peers, self._leases, self._counts = subject, job, peers, leases, counts

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
                    found = self._evaluated(key, given, scope[0])
                except Gone as gone:
                    calls.clear()  # what was charged stays charged, and is not charged again
                    if deaths == _MOST_DEATHS:
                        raise StopSignal(_died(gone, deaths)) from None
                else:
                    self._counts[0] = max(self._counts[0], found[0].calls)
                    return found
        raise AssertionError("not reached")

    def _evaluated(self, key: str, given: dict[str, Any], scope: Scope) -> tuple[Row, tuple[str, ...], bool]:
        peer = self._peers.take()
        try:
            found = self._asked(peer, key, given, scope)
        except StopSignal:  # it has said so, and waits for what comes next
            self._peers.give(peer)
            raise
        except BaseException:
            self._peers.drop(peer)
            raise
        self._peers.give(peer)
        return found

    def _asked(self, peer: Peer, key: str, given: dict[str, Any], scope: Scope) -> tuple[Row, tuple[str, ...], bool]:
        notes = [note for model in self._subject.models for note in model.findings.notes]
        peer.load(self._job)
        with _Counted(scope, self._leases, self._counts[0]) as counted:
            peer.say(
                {"key": key, "example": given, "paying": scope.paying, "role": scope.role, "notes": notes}
                | counted.leave
            )
            while True:
                said = peer.hear()
                if "row" in said:
                    entry = entry_of(said["row"])
                    if not entry.whole:
                        raise StopSignal(UsageError(_NOT_JSON))
                    self._subject.recall(entry.notes)
                    return self._subject.typed(entry.row), entry.notes, entry.bare
                if "stopped" in said:
                    raise counted.stop or StopSignal(error_of(said["stopped"]))
                answer = counted.take(said)
                if answer is not None:
                    peer.say(answer)


class _Counted:
    """Counts a worker's calls in the driver. What it has reserved and not settled at the end is given back.

    Attributes:
        leave: what the worker is told of the budget before it begins: `lease`, the calls that it may make without
            asking, `None` for any number, and `timed`, whether it has to ask for the time that is left.
        stop: why a call was refused.
    """

    def __init__(self, scope: Scope, leases: Leases, wanted: int) -> None:
        self._scope, self._leases, self._open = scope, leases, list[str]()
        self._lease = leases.begin(scope.meters, wanted)
        timed = any(meter.budget.wall_seconds is not None for meter in scope.meters)
        self.leave = {"lease": None if self._lease is None else len(self._lease), "timed": timed}
        self.stop: StopSignal | None = None

    def __enter__(self) -> "_Counted":
        return self

    def __exit__(self, *problem: object) -> None:
        self._leases.back(self._scope.meters, self._lease or [])
        for key in self._open:
            for meter in self._scope.meters:
                meter.release(key)

    def take(self, said: dict[str, Any]) -> dict[str, Any] | None:
        """Do what a worker asks for, and return the answer, `None` if it waits for none."""
        if "reserve" in said:
            self.stop = self._leases.reserve(self._scope.meters, said["reserve"], self._lease or [])
            if self.stop is not None:
                return {"stop": str(self.stop.error)}
            self._open.append(said["reserve"])
            return {"go": True}
        if "room" in said:
            left = [meter.room().wall_seconds for meter in self._scope.meters]
            return {"left": min((seconds for seconds in left if seconds is not None), default=None)}
        if "settle" in said:
            call = Call(*said["settle"])
            self._closed(call.key)
            self._leases.settle(self._scope.meters, call, [self._lease.pop()] if said["leased"] and self._lease else [])
            for sink in self._scope.sinks:
                sink(call)
        elif "release" in said and self._closed(said["release"]):
            for meter in self._scope.meters:
                meter.release(said["release"])
        return None

    def _closed(self, key: str) -> bool:
        """Whether the call was asked for, and not closed yet; from now on it is."""
        if key not in self._open:
            return False
        self._open.remove(key)
        return True


def _reserved(meters: "tuple[Meter, ...] | list[Meter]", key: str) -> StopSignal | None:
    done: list[Meter] = []
    try:
        for meter in meters:
            meter.reserve(key)
            done.append(meter)
    except StopSignal as stop:
        for meter in done:
            meter.release(key)
        return stop
    return None


def _died(gone: Gone, deaths: int) -> ModelUnavailable:
    return ModelUnavailable(
        f"A worker process ended {deaths} times at the same example, the last time with {gone}. Look at what it wrote "
        "to standard error; a machine without memory kills processes. The same command goes on, with fewer slots or "
        "with the executor `threads` if it happens again."
    )


def error_of(said: Mapping[str, Any]) -> Exception:
    """Return the error that a worker raised, as a type of `tunesmith.errors`."""
    kind: Callable[[str], Exception] | None = getattr(errors, said["type"], None)
    if kind is BudgetExceeded:
        return BudgetExceeded(said["message"])
    if isinstance(kind, type) and issubclass(kind, TunesmithError):
        try:
            return kind(said["message"])
        except TypeError:  # it needs more than its text
            return UsageError(said["message"])
    return UsageError(f"A worker process failed with {said['type']}: {said['message']}")
