"""What a start does not import. Nothing is timed here: `benchmarks/bench_start.py` does that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.lazy import lazy_module

HEAVY = ("click", "filelock", "httpx", "numpy", "ollama", "openai", "optuna", "pandas", "rich", "scipy", "xllamacpp")


def loaded(code: str, *names: str) -> set[str]:
    """Return which of the libraries `code` loads in a fresh process, beyond those that `import dspy` loads."""
    watch = f"import sys; names = {names}\n"
    shown = "\nsys.stderr.write('loaded: ' + ' '.join(name for name in names if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"{watch}try:\n    {code}\nfinally:{shown.replace(chr(10), chr(10) + '    ')}"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.rpartition("loaded: ")[2].split())


def test_the_first_line_of_a_program_loads_no_heavy_library_that_dspy_does_not() -> None:
    by_dspy = loaded("import dspy", *HEAVY)

    assert loaded("import tunesmith as ts; ts.Predict, ts.lm, ts.evaluate, ts.RandomSearch", *HEAVY) <= by_dspy


def test_a_lazy_module_is_imported_when_an_attribute_is_read() -> None:
    code = "from tunesmith.lazy import lazy_module; numpy = lazy_module('numpy')"

    assert loaded(code, "numpy") == set()
    assert loaded(f"{code}; numpy.ndarray", "numpy") == {"numpy"}


def test_a_lazy_module_lacks_what_the_module_lacks() -> None:
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'nothing'"):
        lazy_module("json").nothing  # noqa: B018
