"""Modules that declare how to rebuild them and what they cost. Each file registers its own."""

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

from tunesmith.modules.module import DspyChainOfThought, DspyPredict, Module

__all__ = [
    "calls_of",
    "find_module",
    "is_registered",
    "missing_functions",
    "register_module",
    "saved_name",
    "spec_of",
]

_KINDS: dict[str, type[Module]] = {}
_PACKAGE = __name__.rpartition(".")[0] + "."
_NAMED_WITH_ROOM = ("retrieval",)  # artifacts of other modules are older than the folders that these are in now


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
    _KINDS[saved_name(kind)] = kind
    return kind


def saved_name(kind: type) -> str:
    """Return `module:Class` as files name a class. A module of this package is named without its folder.

    So an artifact loads regardless of the folder that the file of a module is in.
    """
    module = kind.__module__
    if module.startswith(_PACKAGE):
        folder, _, file = module.removeprefix(_PACKAGE).rpartition(".")
        module = _PACKAGE + file if folder not in _NAMED_WITH_ROOM else module
    return f"{module}:{kind.__qualname__}"


def find_module(name: str) -> type[Module] | None:
    """Return the registered class `module:Class`, `None` if there is none. Imports only files of this package."""
    if name not in _KINDS:
        place = _place_of(name.partition(":")[0])
        if place is not None:
            importlib.import_module(place)
    return _KINDS.get(name)


def _place_of(module: str) -> str | None:
    """Return the file of this package that files call `module`, with its folder; `None` if there is none."""
    if not module.startswith(_PACKAGE):
        return None
    import pkgutil  # here, because most programs name modules that are known

    package, file = importlib.import_module(_PACKAGE.rstrip(".")), module.removeprefix(_PACKAGE)
    folders = [one.name for one in pkgutil.iter_modules(package.__path__) if one.ispkg] if "." not in file else []
    places = (module, *(f"{_PACKAGE}{folder}.{file}" for folder in folders))
    return next(filter(_is_there, places), None)


def _is_there(place: str) -> bool:
    try:
        return find_spec(place) is not None
    except ModuleNotFoundError:  # its folder is not there
        return False


def spec_of(program: Module) -> Mapping[str, Any] | None:
    """Return the constructor's arguments of a registered module, `None` for any other."""
    described: Any = program
    return described.spec() if is_registered(program) else None


def is_registered(program: Module) -> bool:
    """Return whether the class of `program` is a registered one."""
    return type(program) in _KINDS.values()


def missing_functions(program: Module) -> list[str]:
    """Return the arguments that are functions, which an artifact does not hold, by path: `reward`, `check.goal`."""
    inside: Any = program.named_sub_modules(Module)
    found = ((path.removeprefix("self").lstrip("."), one) for path, one in inside if is_registered(one))
    return [f"{path}.{name}".lstrip(".") for path, one in found for name in getattr(one, "missing", ())]


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
