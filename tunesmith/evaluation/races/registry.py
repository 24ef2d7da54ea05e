"""Every race by its name: a file of this package registers what it defines, with `register_race`."""

import importlib
import pkgutil

from tunesmith.evaluation.race import RACES

__all__ = ["RACES"]

_PACKAGE = importlib.import_module(__name__.rpartition(".")[0])
for _part in pkgutil.iter_modules(_PACKAGE.__path__):
    if _part.name != "registry":
        importlib.import_module(f"{_PACKAGE.__name__}.{_part.name}")
