"""The workers of a Dask cluster, on many machines. The only file that imports `distributed`.

Dask starts one task per slot, a *seat*, which connects back to this process and evaluates examples until this process
ends. A task per example would cost the driver 2 ms and wait 30 ms. If a worker dies, another seat takes its example,
and Dask starts its seat again on another worker.
"""

import contextlib
import importlib
import json
import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from tunesmith.errors import ModelUnavailable, UsageError, shown
from tunesmith.evaluation.dask_seat import keep_alive, own_version, take_seat
from tunesmith.evaluation.executor import Evaluate, Executor, register_executor
from tunesmith.evaluation.job import job_json
from tunesmith.evaluation.remote import Gone, Leases, Peer, Seat, error_of
from tunesmith.evaluation.subject import Subject
from tunesmith.lm import LM, StopSignal

__all__ = ["DaskExecutor"]

_log = logging.getLogger("tunesmith")
_SECONDS_TO_GREET = 10.0
_SECONDS_BETWEEN_LOOKS = 0.5


@register_executor
class DaskExecutor(Executor):
    """Runs programs on the workers of a Dask cluster, as many examples at once as its workers have threads.

    What cannot be named by an import runs on `threads` only. Each worker opens the model itself, at its own
    `OLLAMA_HOST` if the model has no `host`, and its own reply cache.

    Args:
        address: of the scheduler, such as 'tcp://scheduler:8786', or a `distributed` cluster or client; default what
            Dask is configured with, as in `DASK_SCHEDULER_ADDRESS`.
        listen: `host:port` where workers reach this process, port 0 for a free one; default the address from which
            it reaches the scheduler.
        patience: seconds to wait for the scheduler, for a first worker, and for another one if all are gone.

    Raises:
        UsageError: `listen` is not an address.

    Example:
        >>> import tunesmith as ts
        >>> executor = ts.DaskExecutor("tcp://scheduler:8786")  # connects when it is used
        >>> executor.name
        'dask'
    """

    name: ClassVar[str] = "dask"

    def __init__(self, address: Any = None, *, listen: str | None = None, patience: float = 30.0) -> None:
        self._address, self._listen, self._patience = address, _host_and_port(listen), patience
        self._cluster: _Cluster | None = None
        self._job: tuple[Subject, bytes, list[int]] | None = None  # of the evaluation under way
        self._leases, self._gate, self._seats = Leases(), threading.Lock(), 0

    def check(self, subject: Subject) -> None:
        """Connect to the cluster.

        Raises:
            UsageError: a worker could not make the program, its metric or its model; `distributed` is not installed.
            ModelUnavailable: there is no scheduler, or no worker.
        """
        if self._job is None or self._job[0] is not subject:
            line = json.dumps({"job": job_json(subject)}).encode("ascii")
            self._job = subject, line, [len(subject.paths)]
        if self._cluster is None:
            self._cluster = _Cluster(*_client(self._address, self._patience), self._listen, self._patience)

    def slots(self, lm: LM) -> int:
        """Return how many threads the workers have."""
        return lm.slots if self._cluster is None else self._cluster.threads

    @contextmanager
    def seat(self, subject: Subject) -> Iterator[Evaluate]:
        """Give what lets a worker evaluate each example; the workers serve the next evaluation afterwards."""
        with self._gate:
            self.check(subject)
            assert self._cluster is not None
            assert self._job is not None
            cluster, job = self._cluster, self._job
            self._seats += 1
            cluster.want(self._seats)
        try:
            yield Seat(subject, job[1], cluster, self._leases, job[2]).evaluate
        finally:
            with self._gate:
                self._seats -= 1

    def close(self) -> None:
        """Let the workers go."""
        cluster, self._cluster, self._job = self._cluster, None, None
        if cluster is not None:
            cluster.close()


class _Worker(Peer):
    """A seat on a worker, at the other end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self.name = connection, "a worker"
        super().__init__(connection.makefile("rb"), connection.makefile("wb"))

    def end(self) -> str:
        """Close the connection; the worker sees it and ends its task."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        for stream in (self._coming, self._going, self._connection):
            with contextlib.suppress(OSError):
                stream.close()
        return f"the loss of {self.name}"

    @property
    def is_there(self) -> bool:
        """Whether the connection is open, as far as is known; it waits, so nothing comes."""
        try:
            return self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


class _Cluster:
    """The seats of one run. Safe from many threads."""

    def __init__(self, client: Any, is_own: bool, listen: tuple[str, int] | None, patience: float) -> None:  # noqa: FBT001
        self._client, self._is_own, self._address = client, is_own, client.scheduler.address
        self._patience, self._token = patience, secrets.token_hex(16)
        self._gate = threading.Lock()
        self._idle, self._waiting = deque[_Worker](), deque["Future[Peer]"]()
        self._seats = set[_Worker]()
        self._tasks = list[Any]()
        self._wanted, self._refused, self._warned, self._closed = 0, "", False, False
        self._seen = time.monotonic()  # when there was a worker
        try:
            self._await_workers()
            host, port = listen or (_own_address(self._address), 0)
            try:
                self._door = socket.create_server((host, port), family=_family(host), backlog=1024)
            except OSError as error:
                raise UsageError(f"This process cannot listen at {host}:{port} for workers: {error}.") from error
        except BaseException:
            self._leave()
            raise
        self._text = json.dumps(
            {
                "host": host,
                "port": self._door.getsockname()[1],
                "token": self._token,
                "tunesmith": own_version(),
                "folders": _own_folders(),
            }
        )
        threading.Thread(target=self._greet, name="tunesmith-dask", daemon=True).start()

    # As `Peers` ------------------------------------------------------------------------------------------------

    def take(self) -> Peer:
        """Return a seat, the one that has waited longest; wait for one if all are in use.

        Raises:
            StopSignal: a worker refuses, or there has been none for too long.
        """
        waiting: Future[Peer] = Future()
        with self._gate:
            while self._idle:
                found = self._idle.popleft()
                if found.is_there:
                    return found
                self._forget(found)
            self._waiting.append(waiting)
        while True:
            try:
                return waiting.result(_SECONDS_BETWEEN_LOOKS)
            except TimeoutError:
                try:
                    self._look()
                except BaseException:
                    self._withdraw(waiting)
                    raise

    def give(self, peer: Peer) -> None:
        """Hand a seat to the thread that has waited longest for one."""
        with self._gate:
            if self._waiting:
                self._waiting.popleft().set_result(peer)
            elif isinstance(peer, _Worker):
                self._idle.append(peer)

    def drop(self, peer: Peer) -> None:
        """Do without a seat that is lost, or that may be in the middle of an example."""
        with self._gate:
            if isinstance(peer, _Worker):
                self._forget(peer)

    # -----------------------------------------------------------------------------------------------------------

    @property
    def threads(self) -> int:
        """How many threads the workers have now, at least 1."""
        return self._told("total_threads") or len(self._seats) or 1

    def _told(self, name: str) -> int:
        """Return what the scheduler says; a client that has lost its scheduler knows nothing, which is 0."""
        return int(self._client.scheduler_info(n_workers=0).get(name, 0))

    def want(self, seats: int) -> None:
        """Have Dask start as many seats, or as many of them as its workers have threads."""
        with self._gate:
            self._wanted = max(self._wanted, seats)
            self._fill()

    def close(self) -> None:
        """Let the workers go: each ends its task when it sees that its connection is closed."""
        self._door.close()
        with self._gate:
            self._closed = True
            for seat in list(self._seats):
                self._forget(seat)
        self._leave()

    def _leave(self) -> None:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.cancel(self._tasks, force=True)
        if self._is_own:
            with contextlib.suppress(Exception):
                self._client.close(timeout=2)

    def _await_workers(self) -> None:
        end = time.monotonic() + self._patience
        while not self._told("n_workers"):
            if time.monotonic() >= end:
                raise ModelUnavailable(self._nobody())
            time.sleep(min(0.2, max(0.0, end - time.monotonic())))

    def _greet(self) -> None:
        """Let in whoever knows the token, each heard by a thread of its own: one that says nothing delays no other."""
        while True:
            try:
                connection, _ = self._door.accept()
            except OSError:  # closed: the run has ended
                return
            threading.Thread(target=self._hear, args=[connection], name="tunesmith-dask-seat", daemon=True).start()

    def _hear(self, connection: socket.socket) -> None:
        try:
            self._let_in(connection)
        except (OSError, ValueError, KeyError, TypeError, Gone):
            connection.close()

    def _let_in(self, connection: socket.socket) -> None:
        connection.settimeout(_SECONDS_TO_GREET)
        seat = _Worker(connection)
        said = seat.hear()
        if not secrets.compare_digest(str(said["token"]), self._token):
            seat.end()
            return
        seat.name = str(said["name"])
        if "stopped" in said:
            self._refused = str(error_of(said["stopped"]))
            seat.end()
            return
        keep_alive(connection)
        with self._gate:
            if self._closed:
                seat.end()
                return
            self._seats.add(seat)
            self._seen = time.monotonic()
        self.give(seat)

    def _forget(self, seat: _Worker) -> None:
        seat.end()
        self._seats.discard(seat)

    def _fill(self) -> None:
        """Have Dask start the seats that are wanted, and start those again that have ended."""
        if self._client.status != "running":  # it has lost its scheduler; the seats there are go on
            return
        kept = [task for task in self._tasks if not task.done()]
        missing = self._wanted - len(kept)
        if missing > 0:
            kept += self._client.map(take_seat, [self._text] * missing, pure=False)
        self._tasks = kept

    def _look(self) -> None:
        """Look after the seats while an example waits for one.

        Raises:
            StopSignal: a worker refuses, or there has been none for too long.
        """
        with self._gate:
            if self._refused:
                raise StopSignal(UsageError(self._refused))
            for task in self._tasks:
                if task.status == "error":
                    self._failed(task.exception())
            self._fill()
            if self._seats:
                self._seen = time.monotonic()
                return
        if self._client.status != "running":
            raise StopSignal(
                ModelUnavailable(
                    f"The Dask scheduler at {self._address} has gone. The same command goes on when there is one again."
                )
            )
        if self._told("n_workers"):
            if not self._warned and time.monotonic() - self._seen > self._patience:
                self._warned = True
                _log.warning("All workers of the Dask cluster are busy with other work. Waiting for them.")
        elif time.monotonic() - self._seen > self._patience:
            raise StopSignal(ModelUnavailable(self._nobody()))

    def _failed(self, error: BaseException) -> None:
        """Raise what a seat failed with, unless it lost one worker after the other: then it is started again."""
        if type(error).__name__ == "KilledWorker":
            return
        message = str(error).strip() or type(error).__name__
        if not message.startswith("The Dask worker"):
            message = (
                f"A Dask worker cannot run tunesmith: {type(error).__name__}: {message.rstrip('.')}. Install tunesmith "
                f"{own_version()} with its `dask` extra where the scheduler and the workers run."
            )
        raise StopSignal(UsageError(message))

    def _nobody(self) -> str:
        return (
            f"The Dask scheduler at {self._address} has had no worker for {self._patience:g} seconds. "
            "Start some, as in `dask worker tcp://HOST:8786 --nthreads 1`; the same command goes on then."
        )

    def _withdraw(self, waiting: "Future[Peer]") -> None:
        with self._gate:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                return
        self.give(waiting.result())


def _client(address: Any, patience: float) -> tuple[Any, bool]:
    """Return a client of the cluster, and whether it was made here.

    Raises:
        UsageError: `distributed` is not installed, or no address is known.
        ModelUnavailable: there is no scheduler.
    """
    try:
        distributed = importlib.import_module("distributed")
        config = importlib.import_module("dask").config
    except ImportError as error:
        raise UsageError(
            "The executor `dask` needs the package `distributed`. Install it: pip install 'tunesmith[dask]'."
        ) from error
    if isinstance(address, distributed.Client):
        return address, False
    place = address
    if place is None:  # Dask reads the variable once, when it is imported
        place = os.environ.get("DASK_SCHEDULER_ADDRESS") or config.get("scheduler-address", None)
    if place is None:
        raise UsageError(
            'The executor `dask` needs a scheduler: `--dask tcp://HOST:8786`, `dask = "tcp://HOST:8786"` under '
            "[compile] in tunesmith.toml, `DaskExecutor('tcp://HOST:8786')`, or the variable DASK_SCHEDULER_ADDRESS."
        )
    try:
        if isinstance(place, str) and not place.startswith("inproc:"):
            distributed.comm.get_address_host_port(place)  # a client of a wrong address takes a minute to give up
        return distributed.Client(place, timeout=patience, set_as_default=False), True
    except OSError as error:
        raise ModelUnavailable(
            f"There is no Dask scheduler at {shown(place)}: {error}. Start one with `dask scheduler`, or correct the "
            "address."
        ) from error
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(
            f"{shown(place)} is not the address of a Dask scheduler: {error}. Write tcp://HOST:8786."
        ) from error


def _host_and_port(listen: str | None) -> tuple[str, int] | None:
    if listen is None:
        return None
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"`listen` is 'HOST:PORT', as in '10.0.0.5:0'. Given: {shown(listen)}.")
    return host.strip("[]"), int(port)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _own_address(scheduler: str) -> str:
    """Return the address of this machine on the way to the scheduler."""
    place = urlsplit(scheduler)
    if not place.hostname or place.scheme == "inproc":
        return "127.0.0.1"
    with socket.socket(_family(place.hostname), socket.SOCK_DGRAM) as probe:  # it sends nothing
        probe.connect((place.hostname, place.port or 8786))
        return str(probe.getsockname()[0])


def _own_folders() -> list[str]:
    """Return the folders that modules come from which no package manager has installed."""
    installed = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)}
    folders = [Path(folder).resolve() for folder in sys.path]
    return [str(folder) for folder in folders if folder.is_dir() and installed.isdisjoint({folder, *folder.parents})]
