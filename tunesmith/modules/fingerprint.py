"""The identity of a program: its class name, structure and fingerprint."""

import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tunesmith.data import content_key
from tunesmith.modules.module import Module
from tunesmith.modules.registry import find_module, saved_name, spec_of
from tunesmith.signatures import describe, fingerprint

__all__ = ["class_name", "find_class", "program_fingerprint", "program_structure", "why_not_importable"]

_MAIN = ("__main__", "__mp_main__")  # the second one is the main module of a process that `multiprocessing` spawned


def class_name(value: object) -> str:
    """Return `module:Class` of an object. For a class of the running script it is the name that others can import."""
    kind = type(value)
    if kind.__module__ in _MAIN:
        return f"{_module_name(kind.__module__)}:{kind.__qualname__}"
    return saved_name(kind)


def find_class(name: str) -> Any:
    """Return the object that `module:Class` names. Does not import the running script a second time.

    Raises:
        Exception: any error that importing the module raises.
    """
    known = find_module(name)
    if known is not None:
        return known
    module_name, _, path = name.partition(":")
    main = next((main for main in _MAIN if main in sys.modules and _module_name(main) == module_name), None)
    value: Any = importlib.import_module(module_name) if main is None else sys.modules[main]
    for attribute in path.split("."):
        value = getattr(value, attribute)
    return value


def why_not_importable(program: Module) -> str | None:
    """Return why another process cannot create `program` from its class name, `None` if it can."""
    kind, name = type(program), class_name(program)
    if "<locals>" in name:
        return "it is defined inside a function"
    if name.partition(":")[0] in _MAIN:
        return "it is defined in a notebook, in standard input, or in a script whose name cannot be imported"
    try:
        value = find_class(name)
    except Exception:  # noqa: BLE001 - an import or a module's `__getattr__` may raise anything
        value = None
    if value is not kind:
        return f"{name!r} cannot be imported"
    needed = [
        parameter.name
        for parameter in list(inspect.signature(kind.__init__).parameters.values())[1:]  # DSPy's metaclass hides it
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    return f"it is made with arguments ({', '.join(needed)})" if needed else None


def _module_name(name: str) -> str:
    """Return the importable name of a module. For the running script that is not `__main__`."""
    if name not in _MAIN or name not in sys.modules:
        return name
    main: ModuleType = sys.modules[name]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # `python -m package.module`
        return str(spec.name)
    file = Path(getattr(main, "__file__", None) or "")
    return file.stem if file.suffix == ".py" and file.stem.isidentifier() and file.stem not in _MAIN else name


def program_structure(program: Module) -> dict[str, Any]:
    """Return the parts that a candidate does not change: class names, and the signature per predictor path.

    A registered module also has `spec`: its constructor's arguments, as JSON.
    """
    spec = spec_of(program)
    return {
        "class": class_name(program),
        **({} if spec is None else {"spec": _spec_json(program, "")}),
        "predictors": {
            path: {
                "class": class_name(predictor),
                "fingerprint": fingerprint(predictor.signature),
                "signature": describe(predictor.signature),
            }
            for path, predictor in program.named_predictors()
        },
    }


def _spec_json(program: Module, path: str) -> dict[str, Any]:
    """Return a registered module's arguments. An inner module is given by its own `spec`, a predictor by its `path`."""
    arguments = {}
    for name, value in (spec_of(program) or {}).items():
        here = f"{path}.{name}" if path else name
        if not isinstance(value, Module):
            arguments[name] = {"value": value}
        elif spec_of(value) is not None:
            arguments[name] = {"class": class_name(value), "spec": _spec_json(value, here)}
        else:
            arguments[name] = {"class": class_name(value), "path": here}
    return arguments


def program_fingerprint(program: Module) -> str:
    """Return the sha256 of the program's class and of its predictors' paths, classes and typed fields.

    Instructions and demos are not part of it, because a compiler changes them.
    """
    structure = program_structure(program)
    for predictor in structure["predictors"].values():
        del predictor["signature"]
    return content_key(structure, escaped=True)
