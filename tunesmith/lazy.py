"""Import a library when it is first used: most commands and programs end without it."""

import importlib
from typing import Any

__all__ = ["lazy_module"]


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
