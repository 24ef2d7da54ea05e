"""The server: in this process (`ProtocolServer`) or in one of its own (`ServerProcess`)."""

import contextlib
import dataclasses
import http.server
import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.protocol.calls import Entry, World
from tests.protocol.faults import Fault, Faults
from tests.protocol.http import ProtocolHandler, abort
from tests.protocol.modelfile import create_body
from tests.protocol.models import FakeModel, Library, full_name
from tests.protocol.runners import Scheduler


class _Listener(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    RequestHandlerClass: type[ProtocolHandler]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own; it is known from now on, however late that thread runs."""
        self.RequestHandlerClass.owner.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.RequestHandlerClass.owner.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what broke, but not when a client went away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class ProtocolServer:
    """An HTTP server that speaks Ollama's protocol; see the package.

    Args:
        models: what is there.
        version: `0.24.0` (as recorded), or `0.32.15` and later (as measured and as in the sources); the whole behaviour
            follows it: what is new has been so since 0.30.
        reported_version: what `/api/version` says, `version` unless given.
        port: 0 takes a free one, kept over `stop()` and `start()`.
        num_ctx: `OLLAMA_CONTEXT_LENGTH`.
        slots: `OLLAMA_NUM_PARALLEL`.
        max_queue: `OLLAMA_MAX_QUEUE`, requests that wait for a load.
        catalogue: models that `/api/pull` finds beside `models`; one that was made with `/api/create` it does not.
        constraints: whether `format` and `response_format` hold a reply; else they are dropped in silence.
        only_v1: whether it answers below `/v1` alone, as other servers and proxies of that protocol do.
        offline: whether it has no network, so that nothing can be pulled.

    Attributes:
        requests: the log, one `Entry` per request, in the order of arrival.
        faults: what was asked for with `fault`; `faults.rule` may be a function of the entry.
        on_death: called when a schema or a fault kills the server, instead of only `stop()`.
    """

    def __init__(
        self,
        models: Sequence[FakeModel] = (),
        version: str = "0.24.0",
        *,
        reported_version: str | None = None,
        port: int = 0,
        num_ctx: int = 4096,
        slots: int = 1,
        max_queue: int = 512,
        catalogue: Sequence[FakeModel] = (),
        constraints: bool = True,
        only_v1: bool = False,
        offline: bool = False,
    ) -> None:
        numbers = tuple(int(part) for part in version.split("-")[0].split("."))
        self.world = World(
            version=numbers,
            reported_version=version if reported_version is None else reported_version,
            num_ctx=num_ctx,
            library=Library(models, catalogue),
            scheduler=Scheduler(slots=slots, max_queue=max_queue),
            constraints=constraints,
            only_v1=only_v1,
            offline=offline,
        )
        self.requests: list[Entry] = []
        self.faults = Faults()
        self.connections: set[socket.socket] = set()
        self.on_death: Callable[[], None] | None = None
        self.port = port
        self._lock = threading.RLock()
        self._stops = 0
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address, `http://127.0.0.1:port`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._listener is not None

    @property
    def loads(self) -> dict[str, int]:
        """How often each model was loaded; a change of `num_ctx` loads it again."""
        return dict(self.world.scheduler.loads)

    @property
    def processed_tokens(self) -> int:
        """Prompt tokens that were really read, those found in the prompt cache left out."""
        return sum(entry.processed_tokens for entry in self.requests)

    def __enter__(self) -> "ProtocolServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; on the port of the last time."""
        with self._lock:
            if self._listener is not None:
                return
            handler = type("Handler", (ProtocolHandler,), {"owner": self})
            self._listener = _Listener(("127.0.0.1", self.port), handler)
            self.port = self._listener.server_port
            self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.005,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Close the listener and reset every connection; models are unloaded."""
        self._stops += 1
        self._close()
        self.world.scheduler.clear()

    def refuse(self, seconds: float) -> None:
        """Refuse connections for a while."""
        self._close(shut=True)
        timer = threading.Timer(seconds, self._back, [self._stops])
        timer.daemon = True
        timer.start()

    def die(self) -> None:
        """Go down as a process that was killed."""
        if self.on_death is not None:
            self.on_death()
        self.stop()

    def create(self, name: str, modelfile: str) -> None:
        """Make a model as `ollama create NAME -f MODELFILE` does: the command reads the file, the server gets JSON.

        Raises:
            ModelfileError: the command does not read it.
            urllib.error.HTTPError: the server refuses it.
        """
        raw = json.dumps({**create_body(name, modelfile), "stream": False}).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(urllib.request.Request(f"{self.url}/api/create", raw), timeout=10).close()

    def unload(self, name: str) -> None:
        """Forget the runner of a model."""
        self.world.scheduler.unload(full_name(name))

    def fault(
        self, kind: str, *, after: int = 0, times: int | None = 1, path: str | None = None, **details: Any
    ) -> Fault:
        """Play a fault on `times` requests (`None`: all), once `after` were let through.

        Args:
            kind: one of `faults.KINDS`, which also says which `details` it has.
            after, times: counted on requests that it is for.
            path: for this route only, `"*"` for all; else for all that ask a model.
        """
        fault = Fault(kind, after, times, path, details)
        self.faults.add(fault)
        if kind == "refuse" and after == 0:
            self.answered(None)
        return fault

    def entered(self, entry: Entry) -> Entry:
        """Give a request its number and log it."""
        with self._lock:
            entry.number = len(self.requests)
            self.requests.append(entry)
        return entry

    def answered(self, entry: Entry | None) -> None:
        """Play a `refuse` that is due now."""
        due = self.faults.refusal(None if entry is None else entry.path)
        if due is not None:
            self.refuse(due.get("seconds", 0.2))

    def control(self, path: str, raw: bytes) -> Any:
        """Answer `/_test/...`, by which another process reads the log and asks for faults."""
        if path == "/_test/fault":
            self.fault(**json.loads(raw))
            return {}
        if path == "/_test/requests":
            return [dataclasses.asdict(entry) for entry in self.requests]
        packages = sorted({name.partition(".")[0] for name in sys.modules})
        return {"loads": self.loads, "processed_tokens": self.processed_tokens, "packages": packages}

    def _back(self, stops: int) -> None:
        if stops == self._stops:  # nobody has stopped the server since
            self.start()

    def _close(self, *, shut: bool = False) -> None:
        with self._lock:
            listener, thread = self._listener, self._thread
            self._listener = self._thread = None
        if listener is None or thread is None:
            return
        listener.shutdown()
        listener.server_close()
        thread.join()
        for connection in list(self.connections):
            self.connections.discard(connection)
            if shut:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)  # what is being answered still is, then it ends
            else:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                abort(connection)


class ServerProcess:
    """`python -m tests.protocol` in a process of its own, which can be killed and started again on the same port.

    Attributes:
        module: what is run.
    """

    module = "tests.protocol"

    def __init__(self, *arguments: str, port: int = 0) -> None:
        self.port = port
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "ServerProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = [sys.executable, "-m", self.module, "--port", str(self.port), *self._arguments]
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server did not start"
        self.port = json.loads(line)["port"]

    def kill(self) -> None:
        """Kill it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def wait(self, seconds: float = 10) -> int:
        """Return the exit status of a server that dies by itself."""
        assert self._process is not None
        return self._process.wait(seconds)

    def requests(self) -> list[dict[str, Any]]:
        """Return the log, each entry as a mapping."""
        return self._ask("/_test/requests")

    def stats(self) -> dict[str, Any]:
        """Return `loads`, `processed_tokens`, and which `packages` the process has loaded."""
        return self._ask("/_test/stats")

    def fault(self, kind: str, **details: Any) -> None:
        """As `ProtocolServer.fault`."""
        self._ask("/_test/fault", {"kind": kind, **details})

    def _ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.url + path, data), timeout=10) as reply:
            return json.load(reply)
