"""Modules that declare how to rebuild them and what they cost. Each file registers its own."""

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

from tunesmith.modules.module import DspyChainOfThought, DspyPredict, Module

__all__ = ["calls_of", "find_module", "is_registered", "register_module", "spec_of"]

_KINDS: dict[str, type[Module]] = {}
_PACKAGE = __name__.rpartition(".")[0] + "."


class _Described(Protocol):
    """The methods of a registered class.

    `spec` returns the constructor's arguments except declared settings: modules, signatures, or JSON values. `calls`
    returns how often one run of it runs each inner module, by attribute.
    """

    def spec(self) -> Mapping[str, Any]: ...

    def calls(self) -> Mapping[str, int]: ...


_Kind = TypeVar("_Kind", bound=type[Any])


def register_module(kind: _Kind) -> _Kind:
    """Class decorator: artifacts can rebuild the class, and plans can count its calls.

    Raises:
        TypeError: the class lacks `spec` or `calls`.
    """
    for name in ("spec", "calls"):
        if not callable(getattr(kind, name, None)):
            raise TypeError(f"A registered module needs `spec` and `calls`. {kind.__name__} lacks `{name}`.")
    _KINDS[f"{kind.__module__}:{kind.__qualname__}"] = kind
    return kind


def find_module(name: str) -> type[Module] | None:
    """Return the registered class `module:Class`, `None` if there is none. Imports only files of this package."""
    place = name.partition(":")[0]
    if name not in _KINDS and place.startswith(_PACKAGE) and find_spec(place) is not None:
        importlib.import_module(place)
    return _KINDS.get(name)


def spec_of(program: Module) -> Mapping[str, Any] | None:
    """Return the constructor's arguments of a registered module, `None` for any other."""
    described: Any = program
    return described.spec() if is_registered(program) else None


def is_registered(program: Module) -> bool:
    """Return whether the class of `program` is a registered one."""
    return type(program) in _KINDS.values()


def calls_of(program: Module) -> tuple[int, bool]:
    """Return how many LM calls one run of `program` makes, and whether that is certain.

    The caller's own class counts as one call per predictor, because its code shows the calls only in a run.
    """
    if isinstance(program, DspyPredict | DspyChainOfThought):
        return 1, True
    if not is_registered(program):
        return len(program.named_predictors()), False
    described: Any = program
    inner = [(times, calls_of(getattr(program, attribute))) for attribute, times in described.calls().items()]
    return sum(times * calls for times, (calls, _) in inner), all(known for _, (_, known) in inner)
