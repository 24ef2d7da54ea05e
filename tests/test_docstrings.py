"""Every example in a docstring runs, and every public name that a user calls has one."""

import doctest
import importlib
import inspect
import pkgutil
import types
from pathlib import Path

import pytest

import tunesmith as ts
from tunesmith import metrics

MODULES = sorted(
    found.name for found in pkgutil.walk_packages(ts.__path__, "tunesmith.") if not found.name.endswith("__main__")
)
HELPERS = {"InputField", "OutputField", "Signature"}  # DSPy's own


def names(package: types.ModuleType) -> list[str]:
    return [
        name
        for name in package.__all__
        if not isinstance(getattr(package, name), types.ModuleType)
        and callable(getattr(package, name))
        and name not in HELPERS
    ]


def text_of(package: types.ModuleType, name: str) -> str:
    return inspect.getdoc(getattr(package, name)) or ""


@pytest.mark.parametrize("name", names(ts))
def test_a_public_name_has_an_example(name: str) -> None:
    assert ">>>" in text_of(ts, name)


@pytest.mark.parametrize("name", [n for n in names(metrics) if text_of(metrics, n).startswith("Return a metric")])
def test_a_metric_has_an_example(name: str) -> None:
    assert ">>>" in text_of(metrics, name)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    tried, text = 0, list[str]()
    for name in MODULES:
        for test in finder.find(importlib.import_module(name), name):
            runner.run(test, out=text.append)
            tried += bool(test.examples)
    assert not text, "".join(text)
    assert tried > 30
