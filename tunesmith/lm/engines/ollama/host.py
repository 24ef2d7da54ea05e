"""Where an Ollama server is: the address, read as the `ollama` client reads it."""

import ipaddress
import os
from urllib.parse import SplitResult, urlsplit

from tunesmith.errors import UsageError, shown
from tunesmith.lm.connection import is_host_name

__all__ = ["server_address"]

_PORTS = {"http": 80, "https": 443}
_OLLAMA_PORT = 11434


def server_address(host: str | None) -> str:
    """Return the base URL of the server that `host`, or without one OLLAMA_HOST, names.

    Args:
        host: a host, `host:port` or a URL, with a path if there is one; `None` for OLLAMA_HOST, and if that is
            not set for this machine.

    Raises:
        UsageError: it cannot be read.
    """
    given: object = os.environ.get("OLLAMA_HOST", "") if host is None else host
    if not isinstance(given, str):
        raise UsageError(f"`host` is the address of one server, as text. Given: {shown(given)}.")
    text = given.strip()
    scheme, mark, rest = text.partition("://")
    scheme, rest = (scheme.lower(), rest) if mark else ("http", text)
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = parts.port or (_PORTS.get(scheme, _OLLAMA_PORT) if mark else _OLLAMA_PORT)
    except ValueError as error:
        brackets = " An IPv6 address stands in brackets: `[::1]:11434`." if _is_ipv6(rest) else ""
        raise UsageError(f"{_where(host)} is not an address: {error}. Given: {shown(text)}.{brackets}") from error
    if scheme not in _PORTS:
        raise UsageError(f"{_where(host)} must be http or https. Given: {shown(text)}.")
    _check(_where(host), text, rest, parts)
    path = parts.path.strip("/")
    return f"{scheme}://{_bracketed(parts.hostname or '127.0.0.1')}:{port}" + (f"/{path}" if path else "")


def _check(where: str, text: str, rest: str, parts: SplitResult) -> None:
    if parts.username is not None or parts.password is not None:  # without showing them
        raise UsageError(f"{where} holds a user name or a password, which no Ollama server asks for. Leave it out.")
    if parts.query or parts.fragment or any(char.isspace() for char in rest):
        raise UsageError(f"{where} is a host, a port and at most a path. Given: {shown(text)}.")
    if not is_host_name(parts.hostname or "127.0.0.1") or (parts.hostname is None and parts.path.strip("/")):
        raise UsageError(f"{where} names no host: {shown(text)}. Write `host:port` or `http://host:port`.")


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text.strip("/")).version == 6
    except ValueError:
        return False


def _where(host: str | None) -> str:
    return "OLLAMA_HOST" if host is None else "`host`"


def _bracketed(name: str) -> str:
    try:
        return f"[{name}]" if ipaddress.ip_address(name).version == 6 else name
    except ValueError:
        return name
