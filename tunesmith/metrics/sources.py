"""The identity of code: its source and the user code that it uses. Best effort."""

import dis
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from tunesmith.signatures import Signature

__all__ = ["code_identity", "place", "source_key"]

_INSTALLED = (
    *(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    Path(__file__).resolve().parents[1],
)


def code_identity(value: FunctionType | type) -> list[Any]:
    """Return the identity of a function or class as JSON values: module, name, source, and the user code it uses.

    User code is every function and class of a module that is not installed, followed through calls and module
    attributes, and every global constant (number, text, or tuple of them) that none of these functions assigns. It
    misses methods called on objects, values that change, and installed packages, which have versions. The byte code
    counts if there is no source.
    """
    return _identity(value, set())


def place(value: Any) -> tuple[str, str]:
    """Return module and qualified name of a function or class, or of an object's class."""
    name = getattr(value, "__qualname__", type(value).__qualname__)
    return str(getattr(value, "__module__", "")), str(name)


def source_key(value: Any) -> str | None:
    """Return the sha256 of a source; `None` if there is none, as for code typed at a prompt or written in C."""
    try:
        return hashlib.sha256(inspect.getsource(value).encode()).hexdigest()
    except (OSError, TypeError):
        return None


def _identity(value: FunctionType | type, seen: set[int]) -> list[Any]:
    seen.add(id(value))
    if isinstance(value, type):
        own = source_key(value)
        used = {name: _identity(item, seen) for name, item in vars(value).items() if isinstance(item, FunctionType)}
        return [*place(value), own, used]
    own = source_key(value) or hashlib.sha256(value.__code__.co_code).hexdigest()
    used = {}
    for name, item in sorted(_named(value), key=lambda pair: pair[0]):
        if isinstance(item, (FunctionType, type)):
            if id(item) not in seen and _is_own(item):
                used[name] = _identity(item, seen)
        elif _is_constant(item):
            used[name] = [type(item).__name__, repr(item)]
    return [*place(value), own, used]


def _named(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the global values that a function names, and the attributes of modules."""
    names, attributes, assigned = _names(function.__code__)
    for name in names - assigned:
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType):
            if _is_own(value):
                yield from ((f"{name}.{other}", vars(value)[other]) for other in attributes if other in vars(value))
        elif name in function.__globals__:
            yield name, value


def _names(code: CodeType) -> tuple[set[str], set[str], set[str]]:
    """Return the global names that code reads, the attributes it reads, and the global names it assigns."""
    found: tuple[set[str], set[str], set[str]] = set(), set(), set()
    for step in dis.get_instructions(code):
        for names, operations in zip(found, (("LOAD_GLOBAL", "LOAD_NAME"), _ATTRIBUTES, _ASSIGNMENTS), strict=True):
            if step.opname in operations:
                names.add(step.argval)
    for inner in (constant for constant in code.co_consts if isinstance(constant, CodeType)):
        for names, more in zip(found, _names(inner), strict=True):
            names |= more
    return found


_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_ASSIGNMENTS = ("STORE_GLOBAL", "DELETE_GLOBAL")


def _is_own(value: Any) -> bool:
    """Whether a value is defined in user code."""
    module = value if isinstance(value, ModuleType) else sys.modules.get(value.__module__)
    file = getattr(module, "__file__", None)
    if isinstance(value, type) and issubclass(value, Signature):
        return False  # a nested function is part of the source around it
    if file is None:
        return getattr(module, "__name__", None) == "__main__"
    return not any(Path(file).resolve().is_relative_to(folder) for folder in _INSTALLED)


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return value is None or isinstance(value, (bool, int, float, str, bytes))
