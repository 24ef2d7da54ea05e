"""What a connection is made of, checked before it is made: the libraries below fail on the rest in their own ways."""

import re
import urllib.request
from collections.abc import Callable
from typing import TypeVar

from tunesmith.lm.engine import missing_model

__all__ = ["is_header_name", "is_header_value", "is_time_limit", "made", "proxy_for"]

_T = TypeVar("_T")
_YEAR = 366 * 86400.0  # a clock of the system holds no arbitrary number of seconds
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"(?:[\x21-\x7e]+(?:[ \t]+[\x21-\x7e]+)*)?")


def is_time_limit(value: object) -> bool:
    """Return whether `value` is a number of seconds that can be waited."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _YEAR


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


def made(address: str, make: Callable[[], _T]) -> _T:
    """Return what `make` gives: the client for the server at `address`.

    Raises:
        ModelMissing: the environment asks for what cannot be had. It is not shown, since it may hold a password.
    """
    try:
        return make()
    except (ImportError, OSError, TypeError, ValueError) as error:
        raise missing_model(
            f"No connection to {address} can be made ({type(error).__name__}). Check the proxy in HTTP_PROXY, "
            "HTTPS_PROXY or ALL_PROXY (http and https proxies are known, socks needs `pip install httpx[socks]`) and "
            "the file in SSL_CERT_FILE; NO_PROXY names hosts that need no proxy."
        ) from error
