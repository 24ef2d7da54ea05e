"""Where an Ollama server is: the address, read as the `ollama` client reads it."""

import ipaddress
import os
from urllib.parse import urlsplit

from tunesmith.errors import UsageError, shown

__all__ = ["server_address"]

_PORTS = {"http": 80, "https": 443}
_OLLAMA_PORT = 11434


def server_address(host: str | None) -> str:
    """Return the base URL of the server that `host`, or without one OLLAMA_HOST, names.

    Args:
        host: a host, `host:port` or a URL, with a path where there is one; `None` for OLLAMA_HOST, and where that is
            not set for this machine.

    Raises:
        UsageError: it cannot be read.
    """
    text = (os.environ.get("OLLAMA_HOST", "") if host is None else host).strip()
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "http", text
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = parts.port or (_PORTS.get(scheme, _OLLAMA_PORT) if mark else _OLLAMA_PORT)
    except ValueError as error:
        raise UsageError(f"{_where(host)} is no address: {error}. Given: {shown(text)}.") from error
    if scheme not in _PORTS:
        raise UsageError(f"{_where(host)} must be http or https. Given: {shown(text)}.")
    path = parts.path.strip("/")
    return f"{scheme}://{_bracketed(parts.hostname or '127.0.0.1')}:{port}" + (f"/{path}" if path else "")


def _where(host: str | None) -> str:
    return "OLLAMA_HOST" if host is None else "`host`"


def _bracketed(name: str) -> str:
    try:
        return f"[{name}]" if ipaddress.ip_address(name).version == 6 else name
    except ValueError:
        return name
