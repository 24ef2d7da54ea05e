"""A deadline over a whole exchange, and its end if nobody waits for it any more: httpx has neither.

It limits each read and each write, not what they add up to. A server that sends a byte now and then keeps every such
limit for ever, in the header of a reply as well as in its body, and a pause that begins just before the deadline may
last as long as any other. And a thread that waits for the first byte hears of nothing else: here it looks up.
"""

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tunesmith.lazy import lazy_module
from tunesmith.lm.scope import current_scope

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazy_module("httpx")

__all__ = ["keep_deadline"]

_LOOK = 0.2  # seconds of waiting until a call that may be stopped asks whether it is
_PIECE = 1 << 16  # bytes written at once: the socket's own limit starts anew with each piece


def keep_deadline(transport: Any, left: Callable[[], float | None]) -> None:
    """Let `transport` end what takes longer than `left()` says, with `httpx.TimeoutException`.

    A call inside of `stoppable` is asked about while it waits for the server, and ends with its `StopSignal`.

    httpx has no public place for this, httpcore below has (its network backend). If a later version lacks it, httpx's
    own limits stay, and a test fails. Only the look-up of a host's name cannot be ended.

    Args:
        transport: an `httpx.HTTPTransport`.
        left: seconds that the exchange of the running thread has left, `None` for any number.
    """
    pool = getattr(transport, "_pool", None)
    backend = getattr(pool, "_network_backend", None)
    if pool is not None and backend is not None:
        pool._network_backend = _Backend(backend, left)


class _Backend:
    """Opens connections that keep the deadline."""

    def __init__(self, inner: Any, left: Callable[[], float | None]) -> None:
        self._inner, self._left = inner, left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "_Stream":
        """Connect to the first address of `host` that answers; `timeout` is for all of them together."""
        end = None if timeout is None else time.monotonic() + timeout
        addresses = _addresses(host, port)
        for number, address in enumerate(addresses):
            share = None if end is None else max(0.001, (end - time.monotonic()) / (len(addresses) - number))
            limit = _within(share, self._left(), httpx.ConnectTimeout)
            try:
                made = self._inner.connect_tcp(address, port, limit, local_address, socket_options)
            except Exception:
                if number == len(addresses) - 1:
                    raise
            else:
                return _Stream(made, self._left)
        raise AssertionError("a host has at least one address")

    def connect_unix_socket(self, *given: Any, **named: Any) -> "_Stream":
        return _Stream(self._inner.connect_unix_socket(*given, **named), self._left)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream:
    """One connection.

    The head of a request is sent with what is written next, the body: one packet and one call of the system in place of
    two.
    """

    def __init__(self, inner: Any, left: Callable[[], float | None]) -> None:
        self._inner, self._left = inner, left
        self._head: bytes | None = None
        self._answered = True  # what is written next begins a request

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._head is not None:
            self._send(b"", timeout)
        self._answered = True
        limit = _within(timeout, self._left(), httpx.ReadTimeout)
        check = current_scope().check
        if check is not None:
            limit = self._awaited(limit, check)
        found: bytes = self._inner.read(max_bytes, limit)
        return found

    def _awaited(self, limit: float | None, check: Callable[[], None]) -> float | None:
        """Wait until there is something to read, or the limit is over; return what is left of it."""
        secured = self._inner.get_extra_info("ssl_object")
        if secured is not None and secured.pending():
            return limit
        end = None if limit is None else time.monotonic() + limit
        while True:
            left = _LOOK if end is None else end - time.monotonic()
            if left <= 0 or _is_readable(self._inner.get_extra_info("socket"), min(left, _LOOK)):
                return None if end is None else max(left, 0.001)
            check()

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._answered:
            self._head, self._answered = buffer, False
        else:
            self._send(buffer, timeout)

    def _send(self, buffer: bytes, timeout: float | None) -> None:
        if self._head is not None:
            buffer, self._head = self._head + buffer, None
        for start in range(0, len(buffer), _PIECE):
            limit = _within(timeout, self._left(), httpx.WriteTimeout)
            self._inner.write(buffer[start : start + _PIECE], limit)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_Stream":
        limit = _within(timeout, self._left(), httpx.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, limit), self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _is_readable(connection: Any, seconds: float) -> bool:
    """Return whether a socket has something to read within `seconds`."""
    waiting = select.poll()  # `select` takes no numbers above 1,023
    try:
        waiting.register(connection, select.POLLIN)
    except ValueError:  # closed: reading says the rest
        return True
    return bool(waiting.poll(1000 * seconds))


def _within(timeout: float | None, left: float | None, error: "type[httpx.TimeoutException]") -> float | None:
    if left is None:
        return timeout
    if left <= 0:
        raise error("the time for this call is over")
    return left if timeout is None else min(timeout, left)


def _addresses(host: str, port: int) -> list[str]:
    """Return the addresses of `host` in the system's order; `host` itself without any, so that connecting says why."""
    with contextlib.suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found)) or [host]
    return [host]
