"""Modules that say how they are rebuilt and what they cost; each registers where it is defined."""

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

from tunesmith.modules.module import DspyChainOfThought, DspyPredict, Module

__all__ = ["calls_of", "find_module", "register_module", "spec_of"]

_KINDS: dict[str, type[Module]] = {}
_PACKAGE = __name__.rpartition(".")[0] + "."


class _Described(Protocol):
    """What a registered class says of an instance, beside its declared settings.

    `spec` gives the other arguments that its constructor needs: modules, signatures, or JSON values. `calls` gives how
    often one run of it runs each inner module, by attribute.
    """

    def spec(self) -> Mapping[str, Any]: ...

    def calls(self) -> Mapping[str, int]: ...


_Kind = TypeVar("_Kind", bound=type[Any])


def register_module(kind: _Kind) -> _Kind:
    """Let artifacts rebuild a class of modules, and plans count its calls; used as a decorator.

    Raises:
        TypeError: it has no `spec` or no `calls`.
    """
    for name in ("spec", "calls"):
        if not callable(getattr(kind, name, None)):
            raise TypeError(f"A registered module has `spec` and `calls`; {kind.__name__} has no `{name}`.")
    _KINDS[f"{kind.__module__}:{kind.__qualname__}"] = kind
    return kind


def find_module(name: str) -> type[Module] | None:
    """Return the registered class `module:Class`, `None` if there is none. Only files of this package are imported."""
    place = name.partition(":")[0]
    if name not in _KINDS and place.startswith(_PACKAGE) and find_spec(place) is not None:
        importlib.import_module(place)
    return _KINDS.get(name)


def spec_of(program: Module) -> Mapping[str, Any] | None:
    """Return the constructor's arguments of a registered module, `None` for any other."""
    described: Any = program
    return described.spec() if type(program) in _KINDS.values() else None


def calls_of(program: Module) -> tuple[int, bool]:
    """Return how many LM calls one run of `program` makes, and whether there can be no more.

    A class of the caller's is counted as one call per predictor: what its code does is seen only in a run.
    """
    if isinstance(program, DspyPredict | DspyChainOfThought):
        return 1, True
    if type(program) not in _KINDS.values():
        return len(program.named_predictors()), False
    described: Any = program
    inner = [(times, calls_of(getattr(program, attribute))) for attribute, times in described.calls().items()]
    return sum(times * calls for times, (calls, _) in inner), all(known for _, (_, known) in inner)
