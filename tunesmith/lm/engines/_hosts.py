"""A model on one host, or on several as one engine. The pool is loaded at its first use."""

import importlib
from collections.abc import Callable, Sequence

from tunesmith.errors import UsageError, shown
from tunesmith.lm.engine import Engine
from tunesmith.lm.engines.registry import Built

__all__ = ["on_hosts"]


def _machine(address: str) -> str:
    """Return an address with one name for this machine."""
    start, slashes, rest = address.partition("://")
    name = next((name for name in ("localhost", "0.0.0.0") if rest.startswith(f"{name}:")), None)
    return address if name is None else f"{start}{slashes}127.0.0.1{rest.removeprefix(name)}"


def on_hosts(
    make: Callable[..., Built], hosts: object, *, name: str, slots: int, timeout: float | None = None
) -> Built:
    """Return the engine on one host, or a pool of the engines on several, and the options that build it again.

    One host alone is not asked yet.

    Args:
        make: returns the engine at an address, from the address and the fields of a `Policy` that are not the usual
            ones: of a pool, another host is tried instead of the same one again.
        hosts: the address or addresses; `None` for the usual one.
        name: of the option that holds them.
        slots: requests that one host works on at once.
        timeout: seconds that a call may take on all hosts together.

    Raises:
        UsageError: `hosts` is not a list of different addresses, or they serve different models.
        ModelUnavailable, ModelMissing: of a pool, a host does not answer, or has no such model.
    """
    if hosts is None or isinstance(hosts, str):
        return make(hosts)
    if not isinstance(hosts, Sequence) or not all(isinstance(host, str) for host in hosts):
        raise UsageError(f"`{name}` is an address or a list of addresses. Given: {shown(hosts)}.")
    kept = [make(host)[1] for host in hosts]
    places = [options[name] for options in kept]
    if not places or len({_machine(place) for place in places}) < len(places):
        raise UsageError(f"`{name}` must list at least one address, each once. Given: {shown(hosts)}.")
    makers = {place: lambda place=place: make(place, attempts=1)[0] for place in places}
    pool: Engine = importlib.import_module("tunesmith.lm.pool.engine").PoolEngine(makers, slots=slots, timeout=timeout)
    return pool, {**kept[0], name: places}
