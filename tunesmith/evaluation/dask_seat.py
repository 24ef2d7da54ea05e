"""What a worker of a Dask cluster runs: it connects to the driver and evaluates examples until the driver ends.

Dask sends this function by its name, and a line of JSON. A scheduler reads the name too, so nothing but the standard
library is imported before a seat is taken.
"""

import hashlib
import importlib.metadata
import json
import os
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.evaluation.subject import Subject

__all__ = ["keep_alive", "own_version", "take_seat"]

_SECONDS_TO_CONNECT = 20.0
_KEPT = 2  # subjects: the candidate under way, and the one before it
_subjects: "OrderedDict[str, Subject]" = OrderedDict()
_gate = threading.Lock()


def take_seat(text: str) -> None:
    """Evaluate what a driver sends, until it ends.

    Args:
        text: JSON: the driver's `host`, `port` and `token`, its version of `tunesmith`, and the `folders` that it
            imports its own modules from.

    Raises:
        RuntimeError: the driver cannot be reached.
    """
    given = json.loads(text)
    name = f"{socket.gethostname()} (process {os.getpid()})"
    try:
        connection = socket.create_connection((given["host"], given["port"]), _SECONDS_TO_CONNECT)
    except OSError as error:
        raise RuntimeError(
            f"The Dask worker {name} cannot reach the driver at {given['host']}:{given['port']}: {error}. Let the "
            "driver listen at an address that workers reach: `DaskExecutor(..., listen='HOST:PORT')`."
        ) from None
    from tunesmith.evaluation.worker import Driver, DriverGone, work

    with connection:
        keep_alive(connection)
        driver = Driver(connection.makefile("rb"), connection.makefile("wb"))
        try:
            driver.tell({"token": given["token"], "name": name} | _refusal(name, given["tunesmith"]))
        except DriverGone:
            return
        sys.path += [folder for folder in given["folders"] if folder not in sys.path and os.path.isdir(folder)]
        work(driver, lambda message: _made(name, message))


def own_version() -> str:
    """Return the version of tunesmith that is installed here."""
    try:
        return importlib.metadata.version("tunesmith")
    except importlib.metadata.PackageNotFoundError:
        return "that is not installed"


def keep_alive(connection: socket.socket) -> None:
    """Send at once, and notice within half a minute that the machine at the other end is gone."""
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _refusal(name: str, wanted: str) -> dict[str, Any]:
    own = own_version()
    if wanted == own:
        return {}
    message = (
        f"The Dask worker {name} has tunesmith {own}, and this process has {wanted}. Install the same version on every "
        "worker and here: rows of different versions are not comparable."
    )
    return {"stopped": {"type": "UsageError", "message": message}}


def _made(name: str, message: Mapping[str, Any]) -> "Subject":
    """Return the subject of a job, the same one for all threads of this worker."""
    from tunesmith.errors import TunesmithError, UsageError
    from tunesmith.evaluation.job import subject_of
    from tunesmith.lm import unmetered

    key = hashlib.sha256(json.dumps(message["job"], sort_keys=True).encode()).hexdigest()
    with _gate:
        if key not in _subjects:
            try:
                with unmetered():  # other threads of this worker may be evaluating
                    _subjects[key] = subject_of(message["job"])
            except UsageError as error:
                raise UsageError(f"On the Dask worker {name}: {error}") from error
            except TunesmithError:
                raise
            except Exception as error:
                raise UsageError(f"The Dask worker {name} failed with {type(error).__name__}: {error}") from error
            while len(_subjects) > _KEPT:
                _subjects.popitem(last=False)
        _subjects.move_to_end(key)
        return _subjects[key]
