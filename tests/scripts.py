"""The scripts under `benchmarks/` as modules: they are in no package."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

_FOLDER = str(Path(__file__).parents[1] / "benchmarks")


def benchmark(name: str) -> ModuleType:
    """Import `benchmarks/<name>.py` and return it."""
    if _FOLDER not in sys.path:
        sys.path.append(_FOLDER)  # scripts import each other; last, so that none hides a package
    return importlib.import_module(name)
