"""One server or a pool of them, loaded at their first use: the HTTP client takes time to import."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunesmith.errors import UsageError, shown
from tunesmith.lm.engine import Engine
from tunesmith.lm.engines.ollama.lazy import ollama_engine
from tunesmith.lm.options import SECRET_OPTIONS

__all__ = ["OPENAI_OPTIONS", "ollama_hosts", "openai_hosts"]

OPENAI_OPTIONS = ("api_key", "cloud", "dialect", "extra_headers", "headers", "revision", "timeout")
"""Options of `ts.lm` that `openai/<model>` with `base_url=` has."""

Built = tuple[Engine, dict[str, Any]]
"""An engine, and the options that build it again."""


def ollama_hosts(model: str, host: object, num_ctx: int | None, slots: int, given: dict[str, Any]) -> Built:
    """Return the engine of `ollama/<model>` on one host, or on several as a pool.

    Args:
        model: its name there.
        host: address, or addresses; `None` for OLLAMA_HOST.
        num_ctx: tokens of context.
        slots: requests that one host of a pool works on at once.
        given: any of `OLLAMA_OPTIONS`.

    Raises:
        UsageError: an option or address that cannot be used, or hosts that serve different models.
        ModelUnavailable, ModelMissing: of a pool, nobody answers, or somebody has no such model.
    """
    if host is None or isinstance(host, str):
        return ollama_engine(model, host=host, num_ctx=num_ctx, options=given)

    def make(address: str) -> Built:
        engine, options = ollama_engine(model, host=address, num_ctx=num_ctx, options=given)
        server: Any = engine.server  # type: ignore[attr-defined]
        server.policy = replace(server.policy, attempts=1)  # the pool tries another host instead
        return engine, options

    return _pool(make, host, name="host", slots=slots, timeout=given.get("timeout"))


def openai_hosts(model: str, base_url: object, slots: int, given: Mapping[str, Any]) -> Built:
    """Return the engine of `openai/<model>` on one OpenAI-compatible server, or on several as a pool.

    Args:
        model: its name there.
        base_url: address, or addresses.
        slots: requests that one server works on at once.
        given: any of `OPENAI_OPTIONS`.

    Raises: as `ollama_hosts`; one server is not asked yet.
    """
    if isinstance(base_url, str):
        return _openai(model, base_url, slots, given)
    # The pool tries another host instead of the same one again.
    return _pool(
        lambda address: _openai(model, address, slots, given, waits=()), base_url, name="base_url", slots=slots
    )


def _openai(model: str, base_url: str, slots: int, options: Mapping[str, Any], **own: Any) -> Built:
    given = {name: value for name, value in options.items() if value is not None}
    headers = {**_headers(given, "headers"), **_headers(given, "extra_headers")}
    if headers:
        given["headers"] = headers
    made: Engine = importlib.import_module("tunesmith.lm.engines.openai.engine").OpenAIEngine(
        model, base_url=base_url, slots=slots, **given, **own
    )
    return made, {"base_url": base_url, **{name: value for name, value in given.items() if name not in SECRET_OPTIONS}}


def _headers(given: dict[str, Any], name: str) -> Mapping[str, str]:
    found = given.pop(name, {})
    if not isinstance(found, Mapping):  # not shown: it may hold a key
        raise UsageError(f"`{name}` is a mapping of names to texts. Given: a value of type {type(found).__name__}.")
    return found


def _machine(address: str) -> str:
    """Return an address with one name for this machine."""
    start, slashes, rest = address.partition("://")
    name = next((name for name in ("localhost", "0.0.0.0") if rest.startswith(f"{name}:")), None)
    return address if name is None else f"{start}{slashes}127.0.0.1{rest.removeprefix(name)}"


def _pool(make: Callable[[str], Built], hosts: object, *, name: str, slots: int, timeout: float | None = None) -> Built:
    if not isinstance(hosts, Sequence) or not all(isinstance(host, str) for host in hosts):
        raise UsageError(f"`{name}` is an address or a list of addresses. Given: {shown(hosts)}.")
    kept = [make(host)[1] for host in hosts]
    places = [options[name] for options in kept]
    if not places or len({_machine(place) for place in places}) < len(places):
        raise UsageError(f"`{name}` must list at least one address, each once. Given: {shown(hosts)}.")
    makers = {place: lambda place=place: make(place)[0] for place in places}
    pool: Engine = importlib.import_module("tunesmith.lm.pool.engine").PoolEngine(makers, slots=slots, timeout=timeout)
    return pool, {**kept[0], name: places}
