"""Import a file or a library when it is first used: most commands and programs end without it."""

import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

__all__ = ["import_files", "lazy_module", "lazy_package", "public_files"]

_COMMENT = re.compile(r"#.*")
_IMPORT = re.compile(r"^ +from ([\w.]+) import (?:\(([^)]*)\)|(.+))$", re.MULTILINE)
_NAME = re.compile(r"(\w+)(?: as (\w+))?")


def lazy_module(name: str) -> Any:
    """Return a stand-in for the module `name` that imports it when an attribute is first read.

    A type checker needs the import itself, so a file writes both. Annotations that name the library are quoted::

        if TYPE_CHECKING:
            import numpy as np
        else:
            np = lazy_module("numpy")
    """
    return _LazyModule(name)


class _LazyModule:
    def __init__(self, name: str) -> None:
        self._module = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._module), attribute)
        setattr(self, attribute, value)  # so that each name comes here once
        return value

    def __repr__(self) -> str:
        return f"<lazy module {self._module!r}>"


def lazy_package(name: str) -> Callable[[str], Any]:
    """Return `__getattr__` for the package `name`: each public name is imported from its file when it is first read.

    The package writes its imports once, where a type checker reads them, and so does this function::

        if TYPE_CHECKING:
            from tunesmith.data.keys import content_key
        else:
            __getattr__ = lazy_package(__name__)
    """
    package = sys.modules[name]
    homes = _imported(package)

    def load(attribute: str) -> Any:
        if attribute not in homes:
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        home, original = homes[attribute]
        if home == name:
            return importlib.import_module(f"{name}.{original}")
        value = getattr(importlib.import_module(home), original)
        setattr(package, attribute, value)  # so that each name comes here once
        return value

    return load


def _imported(package: Any) -> dict[str, tuple[str, str]]:
    """Return for each name that the package's indented imports give its module, and its name there."""
    spec = package.__spec__
    source = _COMMENT.sub("", spec.loader.get_data(spec.origin).decode("utf-8"))
    found = {}
    for home, several, one in _IMPORT.findall(source):
        for original, other in _NAME.findall(several or one):
            found[other or original] = (home, original)
    return found


@cache
def import_files(name: str) -> None:
    """Import every file of the package `name`, once, so that what registers itself there is known."""
    list(public_files(name))


def public_files(name: str) -> Iterator[ModuleType]:
    """Import the files of the package `name` one by one, by name; those that begin with an underscore are left out."""
    for file in sorted(found.name for found in pkgutil.iter_modules(importlib.import_module(name).__path__)):
        if not file.startswith("_"):
            yield importlib.import_module(f"{name}.{file}")
