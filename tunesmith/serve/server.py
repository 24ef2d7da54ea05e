"""The door to uvicorn: listen, answer signals, and end without breaking a request off."""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from tunesmith.errors import TunesmithError, UsageError, shown
from tunesmith.serve.front import App
from tunesmith.serve.log import Log

__all__ = ["check_address", "names_of", "run_server"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SHORTEST = 16
_SWITCH = 0.0005  # seconds that a worker may hold up the event loop; the default of 5 ms adds up over a few threads


def check_address(host: str, token: str | None) -> None:
    """Check that a service may listen at `host`.

    Raises:
        UsageError: others can reach it, and it has no token or a short one.
    """
    if token is not None and (len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token):
        raise UsageError(
            f"The token must have at least {_SHORTEST} characters of ASCII without blanks. Make one with "
            '`python -c "import secrets; print(secrets.token_urlsafe(32))"`.'
        )
    if token is None and not _is_loopback(host):
        raise UsageError(
            f"Without a token, only this machine may reach the service. Given: --host {shown(host)}. Give "
            "--token-file FILE or set TUNESMITH_SERVE_TOKEN, or listen on 127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    """Return whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def names_of(host: str, token: str | None) -> tuple[str, ...] | None:
    """Return the host names that a service at `host` answers to, `None` for all: a token keeps web pages out."""
    return None if token is not None or not _is_loopback(host) else (*_LOOPBACK, host.strip("[]"))


def run_server(service: App, *, host: str, port: int, log: Log, started: Callable[[str], None] | None = None) -> None:
    """Answer requests until SIGTERM or SIGINT; SIGHUP loads again what is served, or ends an app that loads nothing.

    After the first signal no new connection is taken, and requests under way end. A second one ends at once.

    Args:
        service: the app.
        host: address to listen at.
        port: 0 for any free one.
        log: gets what happens.
        started: is called with the service's URL when it answers.

    Raises:
        UsageError: the address cannot be listened at.
    """
    _allow_many_connections()
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    last = _Last()
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [log.handler(), last] if name == "uvicorn" else [], name != "uvicorn"
        logger.setLevel(logging.WARNING)
    config = uvicorn.Config(
        service,
        host=host.strip("[]"),
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=max(1, round(service.desk.limits.drain_seconds)),
    )
    try:
        _Server(config, service, log, started).run()
    except SystemExit as stop:
        raise UsageError(
            f"The service cannot listen at {host}, port {port}: {last.text}. If the port is taken, give another "
            "--port, else another --host."
        ) from stop
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()


class _Last(logging.Handler):
    """Keeps the last message."""

    text = "the system gave no reason"

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


class _Server(uvicorn.Server):
    """uvicorn's server; it reloads at SIGHUP, and returns after SIGTERM instead of dying of it."""

    def __init__(self, config: uvicorn.Config, service: App, log: Log, started: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._service, self._log, self._tell = service, log, started
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        where = self.servers[0].sockets[0].getsockname()
        host = f"[{where[0]}]" if ":" in where[0] else where[0]
        url = f"http://{host}:{where[1]}"
        spare_collections()
        self._log.write("started", url=url, **self._service.about())
        if self._tell is not None:
            self._tell(url)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        if self._service.reloads:
            loop.add_signal_handler(signal.SIGHUP, self._reload)
        else:
            loop.add_signal_handler(signal.SIGHUP, self._stop, signal.SIGHUP)
        yield
        self._log.write("stopped")

    def _stop(self, number: signal.Signals) -> None:
        self._log.write("stopping", signal=number.name, in_flight=self._service.desk.in_flight)
        self._service.desk.draining = True
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    def _reload(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reloaded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reloaded(self) -> None:
        with contextlib.suppress(TunesmithError):  # it is in the log
            await self._service.reload()
        spare_collections()


def spare_collections() -> None:
    """Keep what is loaded out of the collections of garbage, which would stop all requests to look through it.

    What was kept out before and is garbage now, as a program that was replaced, goes first.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _allow_many_connections() -> None:
    """Raise the limit of open files to what the system allows: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
