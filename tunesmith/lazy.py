"""Import a file or a library, or compile an expression, when it is first used: most programs end without it."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["import_files", "lazy_module", "lazy_package", "lazy_pattern", "public_files"]


def lazy_module(name: str) -> Any:
    """Return a stand-in for the module `name` that imports it when an attribute is first read.

    It has no names that begin with an underscore. A type checker needs the import itself, so a file writes both.
    Annotations that name the library are quoted::

        if TYPE_CHECKING:
            import numpy as np
        else:
            np = lazy_module("numpy")
    """
    return _Lazy(lambda: importlib.import_module(name), f"module {name!r}")


def lazy_pattern(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """Return a stand-in for `re.compile(pattern, flags)` that compiles it when an attribute is first read.

    Compiling takes 0.1 to 1 ms, and a process uses few of the expressions in the files that it imports.

    Example:
        >>> lazy_pattern("[0-9]+").sub("", "a1b22")
        'ab'
    """
    stand_in: Any = _Lazy(lambda: re.compile(pattern, flags), f"pattern {pattern!r}")
    found: re.Pattern[str] = stand_in
    return found


class _Lazy:
    def __init__(self, make: Callable[[], Any], title: str) -> None:
        self._make, self._title = make, title

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest and other tools ask every object for such names, which is no use of it
            raise AttributeError(f"{self!r} has no attribute {attribute!r}")
        value = getattr(self._make(), attribute)
        setattr(self, attribute, value)  # so that each name comes here once
        return value

    def __repr__(self) -> str:
        return f"<lazy {self._title}>"


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
    text = spec.loader.get_data(spec.origin).decode("utf-8").partition("\nelse:")[0]
    found = {}
    # Split by hand: the first line of a program reads several packages, and compiling expressions for it takes longer.
    for statement in text.split("\n    from ")[1:]:
        home, _, rest = statement.partition("#")[0].partition(" import ")
        listed = rest[1:].partition(")")[0] if rest.startswith("(") else rest.partition("\n")[0]
        for given in listed.replace(",", "\n").split("\n"):
            original, _, other = given.strip().partition(" as ")
            if original:
                found[other or original] = (home, original)
    return found


@cache
def import_files(name: str) -> None:
    """Import every file of the package `name`, once, so that what registers itself there is known."""
    list(public_files(name))


def public_files(name: str) -> Iterator[ModuleType]:
    """Import the files of the package `name` one by one, by name; those that begin with an underscore are left out."""
    folders = importlib.import_module(name).__path__
    files = (file for folder in folders for file in Path(folder).iterdir() if not file.name.startswith(("_", ".")))
    for file in sorted({file.stem for file in files if file.suffix == ".py" or (file / "__init__.py").is_file()}):
        yield importlib.import_module(f"{name}.{file}")
