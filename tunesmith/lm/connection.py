"""What a connection is made of, checked before it is made: the libraries below fail on the rest in their own ways."""

import functools
import ipaddress
import os
import threading
import urllib.request
from collections.abc import Callable
from typing import Generic, TypeVar

from tunesmith.lazy import lazy_pattern
from tunesmith.lm.engine import missing_model

__all__ = [
    "Connections",
    "is_header_name",
    "is_header_value",
    "is_host_name",
    "is_loopback",
    "proxy_for",
]

_T = TypeVar("_T")
_NAME = lazy_pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = lazy_pattern(r"(?:[\x21-\x7e]+(?:[ \t]+[\x21-\x7e]+)*)?")
_NO_HOST = lazy_pattern(r"[\s\x00-\x1f\"'<>*,\\^`{|}]")


def is_header_name(text: object) -> bool:
    """Return whether `text` can name an HTTP header."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_header_value(text: object) -> bool:
    """Return whether `text` can be sent in an HTTP header: a key with a line end, or read from a wrong file, cannot."""
    return isinstance(text, str) and _VALUE.fullmatch(text) is not None


def proxy_for(scheme: str, host: str) -> str | None:
    """Return the proxy that the environment names for `host`; one without a scheme is an http proxy."""
    if urllib.request.proxy_bypass(host):
        return None
    found = urllib.request.getproxies()
    proxy = found.get(scheme) or found.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


@functools.lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine; a server's 0.0.0.0, when connected to, is."""
    host = host.strip("[]")
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def is_host_name(name: str) -> bool:
    """Return whether a connection to `name` can be tried: what is not a name at all fails in ways of its own."""
    try:
        name.encode("idna")
    except UnicodeError:  # a label that is empty or too long
        return False
    return _NO_HOST.search(name) is None


class Connections(Generic[_T]):
    """The connections to the server at `address`, made at the first need. Safe from many threads.

    A forked process makes its own: it must not speak on those of its parent, nor close them.

    Args:
        address: of the server, for the error.
        make: opens them.
    """

    def __init__(self, address: str, make: Callable[[], _T]) -> None:
        self._address, self._make = address, make
        self._lock = threading.Lock()
        self._made: tuple[int, _T] | None = None

    def get(self) -> _T:
        """Return the connections of this process.

        Raises:
            ModelMissing: the environment asks for what cannot be had. It is not shown, since it may hold a password.
        """
        pid, made = os.getpid(), self._made
        if made is None or made[0] != pid:
            with self._lock:
                made = self._made
                if made is None or made[0] != pid:
                    made = self._made = (pid, self._opened())
        return made[1]

    def take(self) -> _T | None:
        """Forget the connections, and return those of this process, for closing; the next `get` opens new ones."""
        with self._lock:
            made, self._made = self._made, None
        return made[1] if made is not None and made[0] == os.getpid() else None

    def _opened(self) -> _T:
        try:
            return self._make()
        except (ImportError, OSError, TypeError, ValueError) as error:
            raise missing_model(
                f"No connection to {self._address} can be made ({type(error).__name__}). Check the proxy in "
                "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY (http and https proxies are known, socks needs `pip install "
                "httpx[socks]`) and the file in SSL_CERT_FILE; NO_PROXY names hosts that need no proxy."
            ) from error
