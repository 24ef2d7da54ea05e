"""Ollama, loaded at its first use: the client takes half a second to import."""

import importlib
import os
from typing import TYPE_CHECKING, Any

from tunesmith.errors import UsageError, shown
from tunesmith.lm.connection import is_header_value, is_time_limit
from tunesmith.lm.engine import Engine
from tunesmith.lm.engines.ollama.host import server_address

if TYPE_CHECKING:
    from tunesmith.lm.engines.ollama.client import OllamaServer, Policy

__all__ = ["OLLAMA_OPTIONS", "ollama_engine", "ollama_server"]

OLLAMA_OPTIONS = ("think", "keep_alive", "timeout", "cloud")
"""Options of `ts.lm` that only `ollama/<model>` has, or takes in a way of its own."""
_LEVELS = ("low", "medium", "high", "max")


def ollama_engine(
    model: str, *, host: str | None, num_ctx: int | None, options: dict[str, Any]
) -> tuple[Engine, dict[str, Any]]:
    """Return the engine of a model on an Ollama server, and the options that build it again; asks no server yet.

    Args:
        model: its name on the server.
        host: where the server is; by default OLLAMA_HOST.
        num_ctx: tokens of context.
        options: any of `OLLAMA_OPTIONS`.

    Raises:
        UsageError: an option or the address cannot be used.
    """
    if not model.strip():
        raise UsageError("`ollama/` needs a model behind it, as in `ollama/llama3.2` or `ollama/qwen3:8b`.")
    if any(char.isspace() for char in model):
        raise UsageError(f"The name of a model holds no space. Given: {shown(model)}. `ollama list` shows the names.")
    _check(options)
    timeout = options.get("timeout")
    own = {name: value for name, value in options.items() if name != "timeout" and value is not None}
    server = ollama_server(host, **({} if timeout is None else {"timeout": float(timeout)}))
    engine: Engine = _library().OllamaEngine(model, server, num_ctx=num_ctx, **own)
    kept = {"host": None if host is None else server.address, "num_ctx": num_ctx, **own, "timeout": timeout}
    return engine, {name: value for name, value in kept.items() if value is not None}


def ollama_server(host: str | None = None, **policy: Any) -> "OllamaServer":
    """Return the server at `host`, by default at OLLAMA_HOST; asks it nothing yet.

    Args:
        host: a host, `host:port` or a URL.
        **policy: fields of `tunesmith.lm.engines.ollama.client.Policy`.

    Raises:
        UsageError: the address cannot be read.
    """
    server_address(host)
    found: OllamaServer = _library().server_at(host, _policy(policy))
    return found


def _policy(fields: dict[str, Any]) -> "Policy":
    made: Policy = importlib.import_module("tunesmith.lm.engines.ollama.client").Policy(**fields)
    return made


def _library() -> Any:
    if not is_header_value(os.environ.get("OLLAMA_API_KEY", "")):  # the client reads it; errors below would show it
        raise UsageError("OLLAMA_API_KEY is no key: it holds a line end, an outer space or a letter beyond ASCII.")
    try:
        return importlib.import_module("tunesmith.lm.engines.ollama.engine")
    except ValueError as error:  # the client reads OLLAMA_HOST while it is imported
        given = os.environ.get("OLLAMA_HOST")
        raise UsageError(f"OLLAMA_HOST is no address: {error}. Given: {shown(given)}.") from error


def _check(options: dict[str, Any]) -> None:
    think, keep, timeout = (options.get(name) for name in ("think", "keep_alive", "timeout"))
    if think is not None and not isinstance(think, bool) and think not in _LEVELS:
        raise UsageError(f"`think` is true, false or one of {', '.join(_LEVELS)}. Given: {shown(think)}.")
    if keep is not None and (isinstance(keep, bool) or not isinstance(keep, (int, float, str))):
        raise UsageError(f"`keep_alive` is seconds, or a text such as '10m'. Given: {shown(keep)}.")
    if timeout is not None and not is_time_limit(timeout):
        raise UsageError(f"`timeout` is a number of seconds above 0, at most a year. Given: {shown(timeout)}.")
    if not isinstance(options.get("cloud", False), bool):
        raise UsageError(f"`cloud` is true or false. Given: {shown(options['cloud'])}.")
